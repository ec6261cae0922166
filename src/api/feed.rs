//! The server API's route for backends that follow all changes.

use std::time::Duration;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::answer::Refusal;
use super::request::{Shared, named};
use crate::service::{FeedError, FeedEvents, FeedQuery, FeedStart};
use rosterd_engine::model::{Account, FeedPosition, Reason, RequestError};
use rosterd_protocol::{EventFields, EventTypes};

/// The events of an answer unless asked otherwise, and at most.
const EVENTS: (usize, usize) = (500, 5000);
/// The longest wait for an event, in seconds.
const WAIT: u64 = 60;
/// One JSON text in each line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// The query of the feed.
#[derive(Debug, Deserialize)]
pub(super) struct FeedParameters {
    after: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
    types: Option<String>,
    fields: Option<String>,
    account: Option<String>,
}

/// The changes after a position, as events: a line of JSON for each, and a last line with the next position.
///
/// Without `after` it begins with the oldest change that is kept.
#[utoipa::path(
    get, path = "/v1/feed", tag = "feed", operation_id = "readFeed",
    params(
        ("after" = Option<String>, Query, pattern = r"^(now|[0-9a-f]{16}-[0-9]{1,16}(\.[0-9]{1,9})?-0)$",
            description = "The `position` of the answer before; `now` for a position without events"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 5000, description = "500 unless given"),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60,
            description = "Seconds to wait while there is no event; 0 unless given"),
        ("types" = Option<String>, Query, pattern = r"^[a-z.*]+(,[a-z.*]+)*$",
            description = "Types of events with commas between, `*` for the rest of a name; all unless given"),
        ("fields" = Option<String>, Query, pattern = r"^([a-z]+(,[a-z]+)*)?$",
            description = "Fields in the events, with commas between; nick,avatar,sign,gender,custom unless given"),
        ("account" = Option<String>, Query, description = "Only events about this account"),
    ),
    responses(
        (status = 200, description = "events, and the position after them", content(
            (String = "application/x-ndjson"), (String = "text/plain"),
        )),
        (status = 410, description = "the position cannot be read on from; begin with a snapshot",
            body = serde_json::Value, content_type = "application/json"),
    )
)]
pub(super) async fn feed(api: Shared, query: Result<Query<FeedParameters>, QueryRejection>) -> Response {
    let query = match named(query).and_then(|Query(query)| read(&query)) {
        Ok(query) => query,
        Err(refusal) => return refusal.into_response(),
    };
    match api.service.read_feed(&query).await {
        Ok(found) => ([(CONTENT_TYPE, NDJSON)], lines(&found)).into_response(),
        Err(error) => refused(error),
    }
}

fn lines(found: &FeedEvents) -> String {
    let last = json!({"position": found.position.to_string(), "head": found.head.to_string()}).to_string();
    let mut text = String::with_capacity(found.events.iter().map(|event| event.len() + 1).sum::<usize>() + last.len());
    for line in found.events.iter().chain([&last]) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn read(query: &FeedParameters) -> Result<FeedQuery, Refusal> {
    let start = match query.after.as_deref() {
        None => FeedStart::Oldest,
        Some("now") => FeedStart::Now,
        Some(position) => FeedStart::At(position.parse::<FeedPosition>().map_err(|()| {
            let message = "CURSOR_MALFORMED: after is no position of the feed";
            RequestError::new(Reason::InvalidArgument, message).field("after")
        })?),
    };
    let limit = number("limit", query.limit.as_deref(), EVENTS.0, 1, EVENTS.1)?;
    let wait = number("wait", query.wait.as_deref(), 0, 0, WAIT)?;
    let types = query.types.as_deref().map_or(Ok(EventTypes::ALL), EventTypes::parse)?;
    let account = query.account.as_deref().map(|account| Account::parse(account, "account")).transpose()?;
    Ok(FeedQuery {
        start,
        limit,
        wait: Duration::from_secs(wait),
        types,
        account,
        fields: fields(query.fields.as_deref())?,
    })
}

pub(super) fn fields(list: Option<&str>) -> Result<EventFields, Refusal> {
    Ok(list.map_or(Ok(EventFields::default()), EventFields::parse)?)
}

fn number<T: Copy + std::str::FromStr + PartialOrd + std::fmt::Display>(
    field: &'static str,
    given: Option<&str>,
    default: T,
    least: T,
    most: T,
) -> Result<T, Refusal> {
    match given.map(str::parse) {
        None => Ok(default),
        Some(Ok(number)) if (least..=most).contains(&number) => Ok(number),
        Some(_) => {
            let message = format!("{field} must be a whole number from {least} to {most}");
            Err(RequestError::new(Reason::InvalidArgument, message).field(field).into())
        }
    }
}

/// A position that nobody can read on from is gone, and the answer says how to begin anew.
fn refused(error: FeedError) -> Response {
    let (reason, message, oldest) = match error {
        FeedError::Expired(oldest) => {
            ("CURSOR_EXPIRED", "changes after this position are not kept any more", Some(oldest))
        }
        FeedError::Foreign => ("CURSOR_FOREIGN", "this position is one of another store", None),
        FeedError::FromFuture => ("CURSOR_FROM_FUTURE", "this position is ahead of all changes", None),
        FeedError::Refused(error) => return Refusal(error).into_response(),
    };
    let mut body = json!({
        "error": {"code": 410, "reason": reason, "message": format!("{message}; begin with the snapshot")},
        "snapshot": "/v1/snapshot",
    });
    if let Some(oldest) = oldest {
        body["oldest"] = oldest.to_string().into();
    }
    (StatusCode::GONE, axum::Json(body)).into_response()
}
