//! The server API's route for the history of one user.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::Refusal;
use super::feed::fields;
use super::request::{One, Shared, account, limit, named, position};
use crate::service::UserChanges;
use rosterd_engine::model::{Reason, RequestError};

/// The most changes of a page.
const CHANGES: usize = 100;

/// The query of a user's history.
#[derive(Debug, Deserialize)]
pub(super) struct ChangesParameters {
    before: Option<String>,
    limit: Option<String>,
    fields: Option<String>,
}

/// A page of a user's history.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape, for the document; events are JSON already")]
pub(super) struct ChangePage {
    /// As in the feed, newest first.
    changes: Vec<serde_json::Value>,
    /// Where the next page begins: its `before`. Absent on the last one.
    next: Option<String>,
    /// Whether there were older changes that are not kept any more.
    cut: bool,
}

/// The changes to a user, its friends, requests and blocks that the change log still has, newest first, as the events of
/// the feed. Those of its tokens are not among them.
#[utoipa::path(
    get, path = "/v1/users/{account}/changes", tag = "users", operation_id = "listChanges",
    params(
        ("account" = String, Path),
        ("before" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "100 unless given"),
        ("fields" = Option<String>, Query,
            description = "Fields in the events, with commas between; nick,avatar,sign,gender,custom unless given"),
    ),
    responses((status = 200, description = "a page", body = ChangePage))
)]
pub(super) async fn changes(
    api: Shared,
    caller: Caller,
    name: One,
    query: Result<Query<ChangesParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let account = account(name)?;
    let Query(query) = named(query)?;
    let limit = limit(query.limit.as_deref())?;
    if limit > CHANGES {
        let message = format!("limit must be a whole number from 1 to {CHANGES}");
        return Err(RequestError::new(Reason::InvalidArgument, message).field("limit").into());
    }
    let before = query.before.as_deref().map(|before| position("before", before)).transpose()?;
    let fields = fields(&caller, query.fields.as_deref())?;
    let found = api.service.user_changes(&account, before, limit, &fields).await?;
    Ok(([(CONTENT_TYPE, "application/json")], page(&found)).into_response())
}

fn page(found: &UserChanges) -> String {
    let next = found.next.map_or_else(String::new, |next| format!(",\"next\":\"{next}\""));
    format!("{{\"changes\":[{}],\"cut\":{}{next}}}", found.events.join(","), found.is_cut)
}
