//! Files in the binary that browsers load: the SDK's scripts, the demo page, the console.
//!
//! They are built and committed, so that a gateway needs neither npm nor files beside it.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

/// The kind of a script.
pub const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The kind of a style sheet.
pub const STYLE: &str = "text/css; charset=utf-8";
/// The kind of a page.
pub const PAGE: &str = "text/html; charset=utf-8";

/// The browser asks again each time, so that an upgrade of the gateway upgrades the page as well.
pub const ASK_AGAIN: &str = "no-cache";
/// The address has the hash of the contents, so what it answers never changes.
pub const FOREVER: &str = "public, max-age=31536000, immutable";

/// A file in the binary, with its compressed form if it has one.
#[derive(Clone, Copy)]
pub struct Asset {
    /// Its content type.
    pub kind: &'static str,
    /// Its contents.
    pub plain: &'static [u8],
    /// The same, compressed.
    pub gzip: Option<&'static [u8]>,
}

impl Asset {
    /// Returns a hash of the contents.
    #[must_use]
    pub fn hash(self) -> String {
        let mut hash = DefaultHasher::new();
        self.plain.hash(&mut hash);
        format!("{:016x}", hash.finish())
    }

    /// Answers the contents, compressed for a browser that takes gzip, or 304 to a browser that has them.
    pub fn answer<S: Clone + Send + Sync + 'static>(self, caching: &'static str) -> MethodRouter<S> {
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
