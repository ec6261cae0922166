//! How the server API answers: records as JSON, errors as on the wire with a fitting HTTP status.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};

use crate::model::{Outcome, Reason, RequestError};
use crate::wire::{self, v1};

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
    Json(v1::ServerFrame { error: Some(wire::error(error)), ..Default::default() })
}

fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
        Reason::PermissionDenied | Reason::AccountDisabled => StatusCode::FORBIDDEN,
        Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Reason::VersionMismatch => StatusCode::PRECONDITION_FAILED,
        Reason::InvalidArgument | Reason::MalformedFrame => StatusCode::BAD_REQUEST,
        Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Reason::AlreadyExists => StatusCode::CONFLICT,
        Reason::LimitExceeded => StatusCode::UNPROCESSABLE_ENTITY,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// 201 for what was made, 200 for what was there.
pub(super) fn made(outcome: Outcome) -> StatusCode {
    if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK }
}

/// What was named in the path or the query, or that it could not be read.
pub(super) fn named<T, R>(part: Result<T, R>) -> Result<T, Refusal> {
    part.map_err(|_| Refusal(RequestError::new(Reason::InvalidArgument, "the path or its query cannot be read")))
}

/// The body, or what was wrong with its size.
pub(super) fn bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        let (reason, message) = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => (Reason::LimitExceeded, "the body is too large"),
            _ => (Reason::InvalidArgument, "the body could not be read"),
        };
        Refusal(RequestError::new(reason, message))
    })
}
