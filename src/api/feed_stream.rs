//! The feed as server-sent events: a browser's `EventSource`, and programs that read lines, follow it without asking
//! again.
//!
//! A reader whose connection is full is not buffered for: the next events are read once it can take them.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::json;

use super::positions::gone;
use crate::service::{FeedError, FeedEvents, FeedReader};

/// A reader is told its position at least so often, which also shows it that the connection lives.
const POSITION: Duration = Duration::from_secs(10);

/// Returns whether the caller asks for server-sent events.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let mut kinds =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")))
}

/// Returns the position that a reader has come to, which `EventSource` sends when it connects again.
pub(super) fn last_event(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty())
}

/// Sends events for as long as the reader stays and is allowed to.
///
/// # Errors
/// It cannot be read on from where the reader is.
pub(super) async fn events(
    mut reader: FeedReader,
    is_allowed: impl Fn() -> bool + Send + 'static,
) -> Result<Response, FeedError> {
    // Before the status is sent.
    let first = reader.next(Duration::ZERO).await?;
    let rest = stream::unfold(Some((reader, is_allowed)), |state| async {
        let (mut reader, is_allowed) = state?;
        match reader.next(POSITION).await {
            // A key may end, or be taken away, while its caller reads. It connects again, and is told so.
            _ if !is_allowed() => None,
            Ok(found) => Some((batch(&found), Some((reader, is_allowed)))),
            Err(error) => Some((vec![Event::default().event("error").data(gone(&error).to_string())], None)),
        }
    });
    let batches = stream::iter([batch(&first)]).chain(rest);
    let events = batches.flat_map(stream::iter).map(Ok::<_, Infallible>);
    let mut response = Sse::new(events).into_response();
    // Some proxies gather an answer before they pass it on, unless told otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The events that were found, and the position after them, which also moves over what the reader did not ask for.
fn batch(found: &FeedEvents) -> Vec<Event> {
    let events = found
        .events
        .iter()
        .map(|event| Event::default().id(event.position.to_string()).event(event.event_type).data(&event.json));
    let position = json!({"position": found.position.to_string(), "head": found.head.to_string()}).to_string();
    let last = Event::default().id(found.position.to_string()).event("position").data(position);
    events.chain([last]).collect()
}
