//! The routes of the ops listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post, put};

use super::answer::{self, Refusal};
use super::state::{Access, Api};
use super::{access, explain, feed, health, live, openapi, relations, snapshot, tokens, users};
use crate::lifecycle::Lifecycle;
use crate::service::Service;
use rosterd_engine::model::{Reason, RequestError};

/// The largest body of an import, in bytes; of a batch, [`BATCH_BYTES`]; of any other request, [`BODY_BYTES`].
pub const IMPORT_BYTES: usize = 8 * 1024 * 1024;
/// Enough for 150 profiles with every field at its limit.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const BODY_BYTES: usize = 64 * 1024;

type Route = (&'static str, MethodRouter<Arc<Api>>);

/// The routes that need the key.
fn server_api() -> [Route; 24] {
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
        ("/v1/feed", get(feed::feed)),
        ("/v1/snapshot", get(snapshot::snapshot)),
        ("/v1/sessions", get(live::all_sessions)),
        ("/v1/accounts/{account}/explain", get(explain::explain)),
    ]
}

/// The routes that a probe, a scraper or a developer may use without the key.
fn open() -> [Route; 4] {
    [
        ("/livez", get(health::livez)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(health::metrics)),
        ("/v1/openapi.json", get(openapi::openapi_json)),
    ]
}

fn routed(routes: impl IntoIterator<Item = Route>) -> Router<Arc<Api>> {
    routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

/// Builds all routes of the listener.
pub fn router(service: Arc<Service>, lifecycle: Arc<Lifecycle>, access: Access) -> Router {
    let api = Arc::new(Api { service, lifecycle, access });
    let server_api = routed(server_api()).route_layer(middleware::from_fn_with_state(api.clone(), access::authorize));
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
