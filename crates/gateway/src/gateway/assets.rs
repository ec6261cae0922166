//! Serves the SDK's scripts and, in development mode, the demo page to browsers. Nothing here knows of sessions.

use axum::Router;
use axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::response::Response;

use crate::assets::{ASK_AGAIN, Asset, FOREVER, PAGE, SCRIPT};

/// Makes the routes of the scripts, and of the demo page if there is to be one.
pub(super) fn routes(demo: bool) -> Router {
    let rosterd = script(
        include_bytes!("../../../../sdk/js/dist/rosterd.js"),
        include_bytes!("../../../../sdk/js/dist/rosterd.js.gz"),
    );
    let nim =
        script(include_bytes!("../../../../sdk/js/dist/nim.js"), include_bytes!("../../../../sdk/js/dist/nim.js.gz"));
    let tabs =
        script(include_bytes!("../../../../sdk/js/dist/tabs.js"), include_bytes!("../../../../sdk/js/dist/tabs.js.gz"));
    let router =
        Router::new().merge(at("/sdk/rosterd", rosterd)).merge(at("/sdk/nim", nim)).merge(at("/sdk/tabs", tabs));
    let page = Asset { kind: PAGE, plain: include_bytes!("../../../../sdk/js/demo/index.html"), gzip: None };
    let router = if demo { router.route("/", page.answer(ASK_AGAIN)) } else { router };
    router.layer(map_response(async |answer: Response| for_any_page(answer)))
}

const fn script(plain: &'static [u8], gzip: &'static [u8]) -> Asset {
    Asset { kind: SCRIPT, plain, gzip: Some(gzip) }
}

/// Serves a script under `path.js`, and under `path.HASH.js` for ever; the hash is the entity tag of the former.
fn at(path: &str, script: Asset) -> Router {
    Router::new()
        .route(&format!("{path}.js"), script.answer(ASK_AGAIN))
        .route(&format!("{path}.{}.js", script.hash()), script.answer(FOREVER))
}

/// Nothing here is private: pages of any origin may load it, isolated ones included.
fn for_any_page(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
    answer
}
