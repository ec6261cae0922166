//! Serves the SDK's scripts and, in development mode, the demo page to browsers.
//!
//! They are in the binary, from `sdk/js`, so that a gateway needs neither npm nor files beside it. Nothing here knows of
//! sessions.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Router;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";

/// The browser asks again each time, so that an upgrade of the gateway upgrades the page as well.
const ASK_AGAIN: &str = "no-cache";
/// The address has the hash of the contents, so what it answers never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Makes the routes of the scripts, and of the demo page if there is to be one.
pub(super) fn routes(demo: bool) -> Router {
    let rosterd = Asset::script(
        include_bytes!("../../sdk/js/dist/rosterd.js"),
        include_bytes!("../../sdk/js/dist/rosterd.js.gz"),
    );
    let nim = Asset::script(include_bytes!("../../sdk/js/dist/nim.js"), include_bytes!("../../sdk/js/dist/nim.js.gz"));
    let tabs =
        Asset::script(include_bytes!("../../sdk/js/dist/tabs.js"), include_bytes!("../../sdk/js/dist/tabs.js.gz"));
    let router = Router::new().merge(rosterd.at("/sdk/rosterd")).merge(nim.at("/sdk/nim")).merge(tabs.at("/sdk/tabs"));
    let page = Asset { kind: PAGE, plain: include_bytes!("../../sdk/js/demo/index.html"), gzip: None };
    if demo { router.route("/", page.answer(ASK_AGAIN)) } else { router }
}

/// A file in the binary, with its compressed form if it has one.
#[derive(Clone, Copy)]
struct Asset {
    kind: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
}

impl Asset {
    const fn script(plain: &'static [u8], gzip: &'static [u8]) -> Self {
        Self { kind: SCRIPT, plain, gzip: Some(gzip) }
    }

    /// Serves a script under `path.js`, and under `path.HASH.js` for ever; the hash is the entity tag of the former.
    fn at(self, path: &str) -> Router {
        Router::new()
            .route(&format!("{path}.js"), self.answer(ASK_AGAIN))
            .route(&format!("{path}.{}.js", self.hash()), self.answer(FOREVER))
    }

    fn hash(self) -> String {
        let mut hash = DefaultHasher::new();
        self.plain.hash(&mut hash);
        format!("{:016x}", hash.finish())
    }

    /// Answers the contents, compressed for a browser that takes gzip, or 304 to a browser that has them.
    fn answer(self, caching: &'static str) -> MethodRouter {
        let hash = self.hash();
        get(async move |asked: HeaderMap| -> Response {
            let gzip = self.gzip.filter(|_| accepts_gzip(&asked));
            // Another form is another entity to a cache.
            let tag = if gzip.is_some() { format!("\"{hash}-gzip\"") } else { format!("\"{hash}\"") };
            let known = matches_tag(&asked, &tag);
            let headers = [
                (CONTENT_TYPE, self.kind),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (CACHE_CONTROL, caching),
                // Nothing here is private: pages of any origin may load it, isolated ones included.
                (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
                (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
                (VARY, "accept-encoding"),
                (ETAG, tag.as_str()),
            ];
            if known {
                return (StatusCode::NOT_MODIFIED, headers).into_response();
            }
            match gzip {
                Some(body) => (headers, [(CONTENT_ENCODING, "gzip")], body).into_response(),
                None => (headers, self.plain).into_response(),
            }
        })
    }
}

/// Returns whether the browser takes gzip. A quality of 0 refuses it.
fn accepts_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.any(|part| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.is_some_and(|quality| quality.trim_matches(['0', '.']).is_empty())
        });
        is_gzip && !refused
    })
}

/// Returns whether the browser has the entity with this tag.
fn matches_tag(asked: &HeaderMap, tag: &str) -> bool {
    let values = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    })
}
