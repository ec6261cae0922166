//! The server API's route for backends that follow all changes.

use std::time::Duration;

use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::access::Caller;
use super::answer::Refusal;
use super::feed_stream;
use super::positions::{parse_position, refused};
use super::request::{Shared, named};
use crate::keys::Scope;
use crate::service::{FEED_BYTES, FeedEvents, FeedQuery, FeedStart};
use rosterd_engine::model::{Account, Reason, RequestError};
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
/// Without `after` it begins with the oldest change that is kept. With `Accept: text/event-stream` it goes on for ever, as
/// server-sent events.
#[utoipa::path(
    get, path = "/v1/feed", tag = "feed", operation_id = "readFeed",
    params(
        ("after" = Option<String>, Query, pattern = r"^(now|[0-9a-f]{16}-[0-9]{1,16}(\.[0-9]{1,9})?-[0-9]{1,16})$",
            description = "The `position` of the answer before; `now` for a position without events"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 5000, description = "500 unless given"),
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60,
            description = "Seconds to wait while there is no event; 0 unless given"),
        ("types" = Option<String>, Query,
            description = "Types of events with commas between, `*` for the rest of a name; all unless given"),
        ("fields" = Option<String>, Query,
            description = "Fields in the events, with commas between; nick,avatar,sign,gender,custom unless given"),
        ("account" = Option<String>, Query, description = "Only events about this account"),
    ),
    responses(
        (status = 200, description = "events, and the position after them", content(
            (String = "application/x-ndjson"), (String = "text/event-stream"), (String = "text/plain"),
        )),
        (status = 410, description = "the position cannot be read on from; begin with a snapshot",
            body = serde_json::Value, content_type = "application/json"),
    )
)]
pub(super) async fn feed(
    State(api): Shared,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<FeedParameters>, QueryRejection>,
) -> Response {
    let is_stream = feed_stream::is_wanted(&headers);
    let read = named(query).and_then(|Query(query)| {
        let wait = number("wait", query.wait.as_deref(), 0, 0, WAIT)?;
        Ok((read(&caller, &query, feed_stream::last_event(&headers).filter(|_| is_stream))?, Duration::from_secs(wait)))
    });
    let (query, wait) = match read {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(),
    };
    let answered = async {
        let mut reader = api.service.clone().feed_reader(query, is_stream || !wait.is_zero())?;
        if is_stream {
            let is_allowed = move || api.still_allows(&caller, Scope::Feed);
            return feed_stream::events(reader, is_allowed).await;
        }
        let found = reader.next(wait).await?;
        Ok(([(CONTENT_TYPE, NDJSON)], lines(&found)).into_response())
    };
    answered.await.unwrap_or_else(refused)
}

fn lines(found: &FeedEvents) -> String {
    let last = json!({"position": found.position.to_string(), "head": found.head.to_string()}).to_string();
    let lines = || found.events.iter().map(|event| &event.json).chain([&last]);
    let mut text = String::with_capacity(lines().map(|line| line.len() + 1).sum());
    for line in lines() {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn read(caller: &Caller, query: &FeedParameters, last_event: Option<&str>) -> Result<FeedQuery, Refusal> {
    let start = match last_event.or(query.after.as_deref()) {
        None => FeedStart::Oldest,
        Some("now") => FeedStart::Now,
        Some(position) => FeedStart::At(parse_position(position, "after")?),
    };
    let limit = number("limit", query.limit.as_deref(), EVENTS.0, 1, EVENTS.1)?;
    let types = query.types.as_deref().map_or(Ok(EventTypes::ALL), EventTypes::parse)?;
    let account = query.account.as_deref().map(|account| Account::parse(account, "account")).transpose()?;
    Ok(FeedQuery { start, limit, bytes: FEED_BYTES, types, account, fields: fields(caller, query.fields.as_deref())? })
}

/// Reads the list of fields. Private ones need their scope.
pub(super) fn fields(caller: &Caller, list: Option<&str>) -> Result<EventFields, Refusal> {
    let fields = list.map_or(Ok(EventFields::default()), EventFields::parse)?;
    match fields.private() {
        Some(name) if !caller.has(Scope::Private) => {
            let Refusal(error) = caller.lacks(Scope::Private, &format!("the field \"{name}\""));
            Err(Refusal(error.field("fields")))
        }
        _ => Ok(fields),
    }
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
