//! Positions in the feed: read from a request, and the answer for one that nobody can read on from.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::Refusal;
use crate::service::FeedError;
use rosterd_engine::model::{FeedPosition, Reason, RequestError};

pub(super) fn parse_position(text: &str, field: &'static str) -> Result<FeedPosition, RequestError> {
    text.parse().map_err(|()| {
        let message = format!("CURSOR_MALFORMED: {field} is no position of the feed");
        RequestError::new(Reason::InvalidArgument, message).field(field)
    })
}

/// A position that nobody can read on from is gone, and the answer says how to begin anew.
pub(super) fn refused(error: FeedError) -> Response {
    match error {
        FeedError::Refused(error) => Refusal(error).into_response(),
        lost => (StatusCode::GONE, axum::Json(gone(&lost))).into_response(),
    }
}

/// Says why a position is gone, and how to begin anew.
pub(super) fn gone(error: &FeedError) -> serde_json::Value {
    let (code, reason, message) = match error {
        FeedError::Expired(_) => (410, "CURSOR_EXPIRED", "changes after this position are not kept any more"),
        FeedError::Foreign => (410, "CURSOR_FOREIGN", "this position is one of another store"),
        FeedError::FromFuture => (410, "CURSOR_FROM_FUTURE", "this position is ahead of all changes"),
        FeedError::Refused(error) => {
            return json!({"error": {"code": error.reason.code(), "reason": error.reason.word(), "message": error.message}});
        }
    };
    let mut body = json!({
        "error": {"code": code, "reason": reason, "message": format!("{message}; begin with the snapshot")},
        "snapshot": "/v1/snapshot",
    });
    if let FeedError::Expired(oldest) = error {
        body["oldest"] = oldest.to_string().into();
    }
    body
}
