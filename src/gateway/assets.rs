//! Serves the SDK's scripts and, in development mode, the demo page to browsers.
//!
//! They are in the binary, from `sdk/js`, so that a gateway needs neither npm nor files beside it. Nothing here knows of
//! sessions.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";

/// Makes the routes of the scripts, and of the demo page if there is to be one.
pub(super) fn routes(demo: bool) -> Router {
    let router = Router::new()
        .route("/sdk/rosterd.js", constant(SCRIPT, include_str!("../../sdk/js/dist/rosterd.js")))
        .route("/sdk/nim.js", constant(SCRIPT, include_str!("../../sdk/js/dist/nim.js")));
    if demo { router.route("/", constant(PAGE, include_str!("../../sdk/js/demo/index.html"))) } else { router }
}

/// Answers the text, or 304 to a browser that has it.
fn constant(kind: &'static str, text: &'static str) -> MethodRouter {
    let mut hash = DefaultHasher::new();
    text.hash(&mut hash);
    let tag = format!("\"{:016x}\"", hash.finish());
    get(async move |asked: HeaderMap| -> Response {
        let tags = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = tags.flat_map(|value| value.split(',')).any(|known| {
            let known = known.trim();
            known == "*" || known.trim_start_matches("W/") == tag
        });
        let headers = [
            (CONTENT_TYPE, kind),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // The browser asks again each time, so that an upgrade of the gateway upgrades the page as well.
            (CACHE_CONTROL, "no-cache"),
            // Nothing here is private: pages of any origin may load it.
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ETAG, tag.as_str()),
        ];
        let body = if known { "" } else { text };
        (if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK }, headers, body).into_response()
    })
}
