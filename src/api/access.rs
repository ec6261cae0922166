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
use super::state::{Access, AccessControl};
use crate::keys::{ApiKey, DEFAULT_KEY, KeyHash, Scope, Scopes};
use rosterd_engine::model::{Millis, Reason, RequestError, WriteOrigin};

/// Who sends a request to the server API, and what it may do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    name: Arc<str>,
    scopes: Scopes,
    until: Option<Millis>,
    /// The hash of its key; `None` if it needs none.
    key: Option<KeyHash>,
}

impl Caller {
    /// The caller that needs no key.
    fn open() -> Self {
        Self { name: DEFAULT_KEY.into(), scopes: Scopes::ALL, until: None, key: None }
    }

    fn of(key: &ApiKey) -> Self {
        Self { name: key.name.clone(), scopes: key.scopes, until: key.until, key: Some(key.hash) }
    }

    /// Returns the name of its key.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what it may do.
    pub(super) fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// Returns the time from which its key is not valid any more.
    pub(super) fn until(&self) -> Option<Millis> {
        self.until
    }

    /// Reports whether it has a scope.
    pub(super) fn has(&self, scope: Scope) -> bool {
        self.scopes.has(scope)
    }

    /// Returns the error for a caller that lacks the scope that `what` needs.
    pub(super) fn lacks(&self, scope: Scope, what: &str) -> Refusal {
        let (name, scope) = (&self.name, scope.word());
        let message = format!("{what} needs the scope \"{scope}\", which the key \"{name}\" does not have");
        Refusal(RequestError::new(Reason::PermissionDenied, message))
    }

    /// Returns who asks for what this request writes.
    pub(super) fn origin(&self) -> WriteOrigin {
        WriteOrigin::Key(self.name.clone())
    }

    /// Returns who asks for what an import writes.
    pub(super) fn import_origin(&self) -> WriteOrigin {
        WriteOrigin::KeyImport(self.name.clone())
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Refusal(RequestError::new(Reason::Unavailable, "the caller is not known")))
    }
}

impl AccessControl {
    /// Reports whether a caller that was let in is still allowed to do what needs this scope.
    pub(super) fn is_allowed(&self, caller: &Caller, scope: Scope, now: Millis) -> bool {
        match (&*self.current(), caller.key) {
            (Access::Keys(keys), Some(hash)) => {
                keys.get(hash).is_some_and(|key| key.is_valid(now) && key.scopes.has(scope))
            }
            (Access::Open, None) => true,
            _ => false,
        }
    }
}

/// Lets a request pass if its caller may use the server API.
pub(super) async fn authorize(State(api): Shared, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let caller = caller(&api.access.current(), request.headers(), api.service.now())?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn caller(access: &Access, headers: &HeaderMap, now: Millis) -> Result<Caller, Refusal> {
    let refused = |reason, message| Err(Refusal(RequestError::new(reason, message)));
    match access {
        Access::Open if is_local(headers) => Ok(Caller::open()),
        Access::Open => {
            let message = "without ops.api_key the server API answers programs on this machine, not web pages";
            refused(Reason::PermissionDenied, message)
        }
        Access::Keys(keys) => match shown(headers).and_then(|key| keys.find(key)) {
            Some(key) if key.is_valid(now) => Ok(Caller::of(key)),
            Some(_) => refused(Reason::Unauthenticated, "this key is not valid any more: its `until` has passed"),
            None => {
                let message = "the server API needs the header \"Authorization: Bearer KEY\", with the key of \
                               ops.api_key or of a section in ops.keys";
                refused(Reason::Unauthenticated, message)
            }
        },
        Access::Closed => {
            refused(Reason::PermissionDenied, "the server API is off: set ops.api_key, or a key in ops.keys")
        }
    }
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

/// Returns the key that a request shows, if any.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)?;
    let (scheme, shown) = given.split_at_checked(7)?;
    // The name of a scheme has no case (RFC 9110, section 11.1).
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| shown.trim_ascii())
}
