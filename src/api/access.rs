//! Decides who may use the server API.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::Refusal;
use super::request::Shared;
use super::state::Access;
use rosterd_engine::model::{Reason, RequestError, WriteOrigin};

/// Who sends a request to the server API: the name of a key.
#[derive(Debug, Clone)]
pub(super) struct Caller(Arc<str>);

impl Caller {
    /// The caller whose key is `ops.api_key`, or that needs none.
    fn default_key() -> Self {
        Self("default".into())
    }

    /// Returns who asks for what this request writes.
    pub(super) fn origin(&self) -> WriteOrigin {
        WriteOrigin::Key(self.0.clone())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Refusal(RequestError::new(Reason::Unavailable, "the caller is not known")))
    }
}

/// Lets a request pass if its caller may use the server API.
pub(super) async fn authorize(State(api): Shared, mut request: Request, next: Next) -> Result<Response, Refusal> {
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
    request.extensions_mut().insert(Caller::default_key());
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
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(|value| value.split_at_checked(7));
    // The name of a scheme has no case (RFC 9110, section 11.1).
    given.is_some_and(|(scheme, shown)| {
        scheme.eq_ignore_ascii_case(b"Bearer ") && equal(shown.trim_ascii(), key.as_bytes())
    })
}

/// Compares in a time that does not depend on how much of the key is right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
