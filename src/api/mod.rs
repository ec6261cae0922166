//! The ops listener: the server API for backends, health, and metrics. Never meant for the open internet.
//!
//! Bodies are the records of the wire in JSON, errors its `error` object with a fitting HTTP status. A write here
//! goes the way of a client's: the same checks, decision, commit and feed.

mod answer;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use self::answer::Refusal;
use crate::lifecycle::{Lifecycle, Phase};
use crate::model::{Reason, RequestError};
use crate::service::Service;

/// The largest body of an import, in bytes; of any other request, [`BODY_BYTES`].
pub const IMPORT_BYTES: usize = 8 * 1024 * 1024;
const BODY_BYTES: usize = 64 * 1024;

/// Who may use the server API.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever shows this key.
    Key(String),
    /// Whoever reaches the listener: development on loopback.
    Open,
    /// Nobody: no key is set.
    Closed,
}

/// What the handlers share.
pub(crate) struct Api {
    service: Arc<Service>,
    lifecycle: Arc<Lifecycle>,
    access: Access,
}

/// The listener's routes.
pub fn router(service: Arc<Service>, lifecycle: Arc<Lifecycle>, access: Access) -> Router {
    let api = Arc::new(Api { service, lifecycle, access });
    let server_api = Router::new()
        .route("/v1/users:batchGet", post(users::batch_get))
        .route("/v1/users/{account}", put(users::put).patch(users::patch).get(users::get).delete(users::delete))
        .route("/v1/users/{account}/friends", get(users::friends))
        .route("/v1/users/{account}/friends/{peer}", put(users::befriend).delete(users::unfriend))
        .route("/v1/import", post(users::import).layer(DefaultBodyLimit::max(IMPORT_BYTES)))
        .route_layer(middleware::from_fn_with_state(api.clone(), authorize));
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(server_api)
        .fallback(async || Refusal(RequestError::new(Reason::NotFound, "there is no such path")))
        .method_not_allowed_fallback(async || {
            let error = RequestError::new(Reason::InvalidArgument, "this path does not take this method");
            (StatusCode::METHOD_NOT_ALLOWED, answer::body(&error))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(api)
}

/// 200 while the gateway serves, 503 while it starts or drains; the body names the phase.
async fn ready(State(api): State<Arc<Api>>) -> Response {
    let phase = api.lifecycle.phase();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{phase}\n")).into_response()
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], api.service.render_metrics()).into_response()
}

async fn authorize(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Refusal> {
    match &api.access {
        Access::Open => {}
        Access::Key(key) if shows(request.headers(), key) => {}
        Access::Key(_) => {
            let message = "the server API needs the header \"Authorization: Bearer KEY\", with the key of ops.api_key";
            return Err(Refusal(RequestError::new(Reason::Unauthenticated, message)));
        }
        Access::Closed => {
            let message = "the server API is off: set ops.api_key";
            return Err(Refusal(RequestError::new(Reason::PermissionDenied, message)));
        }
    }
    Ok(next.run(request).await)
}

fn shows(headers: &HeaderMap, key: &str) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    shown.is_some_and(|shown| equal(shown.trim_ascii(), key.as_bytes()))
}

/// In a time that does not tell how much was right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
