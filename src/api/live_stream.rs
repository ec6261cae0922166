//! The server API's route for the numbers of this node, as they are taken.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::Refusal;
use super::feed_stream;
use super::live_numbers::STREAMS;
use super::request::Shared;
use crate::keys::Scope;
use rosterd_engine::model::{Reason, RequestError};

/// Numbers of this node, taken once a second.
#[derive(Serialize, ToSchema)]
pub(super) struct LiveSamples {
    /// What each number of a sample is. `phase` is 0 while it starts, 1 ready, 2 draining, 3 failed. From `opened` on they
    /// count since the start.
    names: Vec<String>,
    /// Oldest first.
    samples: Vec<Vec<u64>>,
}

/// The numbers of the last ten minutes, one sample a second. With `Accept: text/event-stream` they go on, as server-sent
/// events: first `history`, then a `sample` each second.
#[utoipa::path(
    get, path = "/v1/live", tag = "operations", operation_id = "readLive",
    responses((status = 200, description = "samples, oldest first", content(
        (LiveSamples = "application/json"), (String = "text/event-stream"),
    )))
)]
pub(super) async fn live(State(api): Shared, caller: Caller, headers: HeaderMap) -> Result<Response, Refusal> {
    let json = HeaderValue::from_static("application/json");
    if !feed_stream::is_wanted(&headers) {
        return Ok(([(CONTENT_TYPE, json)], api.numbers.history()).into_response());
    }
    let Some((newest, place)) = api.numbers.follow() else {
        return Err(Refusal(RequestError::new(Reason::RateLimited, format!("{STREAMS} streams are open already"))));
    };
    let first = Event::default().event("history").data(api.numbers.history());
    let rest = stream::unfold((api.clone(), caller, newest, place), |(api, caller, mut newest, place)| async move {
        newest.changed().await.ok()?;
        let text = newest.borrow_and_update().clone();
        // A key may end, or be taken away, while its caller looks on.
        let event = api.still_allows(&caller, Scope::Read).then(|| Event::default().event("sample").data(&*text))?;
        Some((event, (api, caller, newest, place)))
    });
    let events = stream::iter([first]).chain(rest).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
