//! The routes of the ops listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{MethodRouter, get};

use super::answer::{self, Refusal};
use super::authorize::authorize;
use super::console_sessions::ConsoleSessions;
use super::forward::{answer_forwarded, forward};
use super::live_numbers::LiveNumbers;
use super::routes::{server_api, webhook_routes};
use super::shown_settings::ShownSettings;
use super::state::{AccessControl, Api};
use super::{console, health, openapi};
use crate::lifecycle::Lifecycle;
use crate::service::{Endpoints, Service};
use rosterd_engine::model::{Reason, RequestError};

/// The largest body of a request that has no limit of its own.
const BODY_BYTES: usize = 64 * 1024;

type Route = (&'static str, MethodRouter<Arc<Api>>);

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

/// Builds all routes of the listener, with those of the console or without them.
pub fn router(
    service: Arc<Service>,
    endpoints: Arc<dyn Endpoints>,
    lifecycle: Arc<Lifecycle>,
    access: Arc<AccessControl>,
    numbers: Arc<LiveNumbers>,
    settings: Arc<ShownSettings>,
    serves_console: bool,
) -> Router {
    let console = ConsoleSessions::default();
    let started_at = service.now();
    let api = Arc::new(Api { service, endpoints, lifecycle, access, numbers, settings, console, started_at });
    let server_api = server_api().into_iter().map(|(path, route)| (path, route.methods));
    answer_forwarded(&api);
    let webhooks = webhook_routes().into_iter().map(|(path, route)| (path, route.methods));
    let webhooks = routed(webhooks).route_layer(middleware::from_fn_with_state(api.clone(), forward));
    let server_api =
        routed(server_api).merge(webhooks).route_layer(middleware::from_fn_with_state(api.clone(), authorize));
    routed(open())
        .merge(server_api)
        .merge(if serves_console { console::routes() } else { Router::new() })
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
        let server_api = server_api().into_iter().map(|(path, _)| path.to_owned());
        let endpoints = webhook_routes().into_iter().map(|(path, _)| path.to_owned());
        let mut routes: Vec<_> =
            server_api.chain(endpoints).chain(open().into_iter().map(|(path, _)| path.to_owned())).collect();
        let mut documented = openapi::paths();
        routes.sort();
        documented.sort();
        assert_eq!(routes, documented);
    }
}
