//! The ops listener: the server API for backends, health, and metrics. It is not meant for the open internet.
//!
//! Bodies are the records of the wire in JSON; errors are its `error` object with a fitting HTTP status. A write takes
//! the same path as a client's: the same checks, decision, commit and feed.

mod answer;
mod explain;
mod live;
mod openapi;
mod relations;
mod request;
mod serve;
mod tokens;
mod users;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

pub use self::serve::serve;

use self::answer::Refusal;
use crate::lifecycle::{Lifecycle, Phase};
use crate::service::Service;
use rosterd_engine::model::{Reason, RequestError};

/// The largest body of an import, in bytes; of a batch, [`BATCH_BYTES`]; of any other request, [`BODY_BYTES`].
pub const IMPORT_BYTES: usize = 8 * 1024 * 1024;
/// Enough for 150 profiles with every field at its limit.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const BODY_BYTES: usize = 64 * 1024;

/// Who may use the server API.
#[derive(Debug, Clone)]
pub enum Access {
    /// Callers that send this key.
    Key(String),
    /// Programs on this machine, without a key: development on loopback.
    Open,
    /// Nobody, because no key is set.
    Closed,
}

/// The state that the handlers share.
pub(crate) struct Api {
    service: Arc<Service>,
    lifecycle: Arc<Lifecycle>,
    access: Access,
}

type Route = (&'static str, MethodRouter<Arc<Api>>);

/// The routes that need the key.
fn server_api() -> [Route; 22] {
    let import = post(users::import).layer(DefaultBodyLimit::max(IMPORT_BYTES));
    [
        ("/v1/users:batchGet", post(users::batch_get)),
        ("/v1/users:batchUpdate", post(users::batch_update).layer(DefaultBodyLimit::max(BATCH_BYTES))),
        ("/v1/users/{account}", put(users::put).patch(users::patch).get(users::get).delete(users::delete)),
        ("/v1/users/{account}/export", get(users::export)),
        ("/v1/users/{account}/friends", get(relations::friends)),
        (
            "/v1/users/{account}/friends/{peer}",
            put(relations::befriend).patch(relations::update_friend).delete(relations::unfriend),
        ),
        ("/v1/users/{account}/requests", get(relations::requests)),
        ("/v1/users/{account}/requests/{peer}", put(relations::ask).delete(relations::cancel)),
        ("/v1/users/{account}/requests/{peer}/accept", post(relations::accept)),
        ("/v1/users/{account}/requests/{peer}/reject", post(relations::reject)),
        ("/v1/users/{account}/blocks", get(relations::blocks)),
        ("/v1/users/{account}/blocks/{peer}", put(relations::block).delete(relations::unblock)),
        ("/v1/users/{account}/sessions", get(live::sessions).delete(live::kick_all)),
        ("/v1/users/{account}/sessions/{session}", delete(live::kick)),
        ("/v1/users/{account}/presence", get(live::presence).put(live::set_presence)),
        ("/v1/users/{account}/token", put(tokens::set).delete(tokens::withdraw)),
        ("/v1/users/{account}/tokens:revoke", post(tokens::revoke)),
        ("/v1/users/{account}/hints", post(live::hint)),
        ("/v1/users/{account}/signals", post(live::signal)),
        ("/v1/import", import),
        ("/v1/sessions", get(live::all_sessions)),
        ("/v1/accounts/{account}/explain", get(explain::explain)),
    ]
}

/// The routes that a probe, a scraper or a developer may use without the key.
fn open() -> [Route; 4] {
    [
        ("/livez", get(livez)),
        ("/readyz", get(ready)),
        ("/metrics", get(metrics)),
        ("/v1/openapi.json", get(openapi::openapi_json)),
    ]
}

fn routed(routes: impl IntoIterator<Item = Route>) -> Router<Arc<Api>> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// Builds all routes of the listener.
pub fn router(service: Arc<Service>, lifecycle: Arc<Lifecycle>, access: Access) -> Router {
    let api = Arc::new(Api { service, lifecycle, access });
    let server_api = routed(server_api()).route_layer(middleware::from_fn_with_state(api.clone(), authorize));
    routed(open())
        .merge(server_api)
        .fallback(async || Refusal(RequestError::new(Reason::NotFound, "there is no such path")))
        .method_not_allowed_fallback(async || {
            let error = RequestError::new(Reason::InvalidArgument, "this path does not take this method");
            (StatusCode::METHOD_NOT_ALLOWED, answer::body(&error))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(api)
}

/// Answers as long as the process runs.
#[utoipa::path(
    get, path = "/livez", tag = "operations", security(()),
    responses((status = 200, description = "alive", body = String, content_type = "text/plain"))
)]
async fn livez() -> &'static str {
    "ok\n"
}

/// 200 while the gateway serves, 503 while it starts or drains; the body names the phase.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "ready", body = String, content_type = "text/plain"),
        (status = 503, description = "starting or draining", body = String, content_type = "text/plain"),
    )
)]
async fn ready(State(api): State<Arc<Api>>) -> Response {
    let phase = api.lifecycle.phase();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{phase}\n")).into_response()
}

/// The metrics, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "in the OpenMetrics format", body = String, content_type = "application/openmetrics-text"))
)]
async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    api.service.metrics().draining.set(i64::from(api.lifecycle.phase() == Phase::Draining));
    ([(CONTENT_TYPE, kind)], api.service.render_metrics()).into_response()
}

async fn authorize(State(api): State<Arc<Api>>, request: Request, next: Next) -> Result<Response, Refusal> {
    match &api.access {
        Access::Open if is_local(request.headers()) => {}
        Access::Open => {
            let message = "without ops.api_key the server API answers programs on this machine, not web pages";
            return Err(Refusal(RequestError::new(Reason::PermissionDenied, message)));
        }
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

/// Returns whether the request did not come from a page in a browser on this machine.
///
/// Browsers send `Origin` or `Sec-Fetch-Site`, and in `Host` the name that they looked up, which somebody else may have
/// pointed at this machine.
fn is_local(headers: &HeaderMap) -> bool {
    let from_page = headers.contains_key(ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    let is_here = host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    is_here && !from_page
}

fn shows(headers: &HeaderMap, key: &str) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    shown.is_some_and(|shown| equal(shown.trim_ascii(), key.as_bytes()))
}

/// Compares in a time that does not depend on how much of the key is right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_in_the_document_and_no_other() {
        let mut routes: Vec<_> = server_api().into_iter().chain(open()).map(|(path, _)| path.to_owned()).collect();
        let mut documented = openapi::paths();
        routes.sort();
        documented.sort();
        assert_eq!(routes, documented);
    }
}
