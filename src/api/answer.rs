//! Answers of the server API: records as JSON, and errors as on the wire with a fitting HTTP status.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use rosterd_engine::model::{Outcome, Reason, RequestError};
use rosterd_protocol::v1;

/// An error as a response: `{"error": {…}}`.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) RequestError);

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (status(self.0.reason), body(&self.0)).into_response();
        if let Some(ms) = self.0.retry_after_ms {
            response.headers_mut().insert(RETRY_AFTER, ms.div_ceil(1000).into());
        }
        response
    }
}

/// The error object, as on the wire.
pub(super) fn body(error: &RequestError) -> Json<v1::ServerFrame> {
    Json(v1::ServerFrame { error: Some(rosterd_protocol::error(error)), ..Default::default() })
}

fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
        Reason::PermissionDenied => StatusCode::FORBIDDEN,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::VersionMismatch => StatusCode::PRECONDITION_FAILED,
        Reason::InvalidArgument => StatusCode::BAD_REQUEST,
        Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Reason::AlreadyExists => StatusCode::CONFLICT,
        Reason::LimitExceeded => StatusCode::UNPROCESSABLE_ENTITY,
        Reason::Rejected => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
        Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// Returns 201 if something was made, and 200 if it existed.
pub(super) fn made(outcome: Outcome) -> StatusCode {
    if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK }
}

/// An empty answer: `{}`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {}

/// The result of a handler.
pub(super) type Reply<T> = Result<(StatusCode, Json<T>), Refusal>;

/// Answers 200 with this body.
#[expect(clippy::unnecessary_wraps, reason = "it is what a handler answers with")]
pub(super) fn ok<T>(body: T) -> Reply<T> {
    Ok((StatusCode::OK, Json(body)))
}

/// Answers `{}`, with 201 if something was made and 200 otherwise.
#[expect(clippy::unnecessary_wraps, reason = "it is what a handler answers with")]
pub(super) fn done(outcome: Outcome) -> Reply<Done> {
    Ok((made(outcome), Json(Done {})))
}
