//! Requests of the console's page, and whether they are its own.
//!
//! A browser sends the cookie, or on an open gateway nothing at all, with whatever a page asks for. So that no other page
//! acts in an operator's name, a request has to come from the console's own origin, with a header that other origins
//! cannot send.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};

/// What the page sends with each request: `1`, or `private` to be shown private fields.
pub(super) const MARK: &str = "rosterd-console";
/// The names of the cookie, over TLS and without.
pub(super) const COOKIES: [&str; 2] = ["__Host-rosterd-console", "rosterd-console"];

/// Returns the cookie of the console that a request sends.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&[u8]> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| COOKIES.iter().find_map(|name| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")))
}

/// Reports whether a request is the page's own: from its origin, and marked.
pub(super) fn from_own_page(headers: &HeaderMap) -> bool {
    headers.contains_key(MARK) && is_same_origin(headers) == Some(true)
}

/// Reports whether a browser says that the page that asks is of this origin; `None` if it says nothing about pages.
pub(super) fn is_same_origin(headers: &HeaderMap) -> Option<bool> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let site = text("sec-fetch-site").filter(|site| *site != "none");
    if let Some(site) = site {
        return Some(site == "same-origin");
    }
    // Older browsers, and those that reach the gateway over plain HTTP by a name.
    let origin = headers.get(ORIGIN)?.to_str().unwrap_or_default();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    Some(authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)))
}
