//! Decides who may use the server API.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};

use super::answer::Refusal;
use super::console_request::{MARK, cookie, from_own_page, is_same_origin};
use super::state::{Access, AccessControl, Api};
use crate::keys::{ApiKey, DEFAULT_KEY, KeyHash, KeyRing, Scope, Scopes};
use rosterd_engine::model::{Millis, Reason, RequestError, WriteOrigin};

/// Who sends a request to the server API, and what it may do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    name: Arc<str>,
    scopes: Scopes,
    until: Option<Millis>,
    /// The hash of its key; `None` if it needs none.
    key: Option<KeyHash>,
    /// How it came in, if it is the console.
    console: Option<ConsoleEntry>,
    covered: bool,
}

/// How the console's page comes in.
#[derive(Debug, Clone)]
pub(super) enum ConsoleEntry {
    /// Without a key, on this machine.
    Open,
    /// With the cookie of a session.
    Cookie(String),
}

impl Caller {
    /// The caller that needs no key.
    fn open() -> Self {
        Self { name: DEFAULT_KEY.into(), scopes: Scopes::ALL, until: None, key: None, console: None, covered: false }
    }

    fn of(key: &ApiKey) -> Self {
        Self { name: key.name.clone(), scopes: key.scopes, until: key.until, key: Some(key.hash), ..Self::open() }
    }

    /// A caller that another gateway knows.
    pub(super) fn forwarded(name: &str, scopes: Scopes) -> Self {
        Self { name: name.into(), scopes, ..Self::open() }
    }

    fn through(self, console: ConsoleEntry) -> Self {
        Self { console: Some(console), ..self }
    }

    /// Returns how it came in, if it is the console.
    pub(super) fn console(&self) -> Option<&ConsoleEntry> {
        self.console.as_ref()
    }

    /// Keeps private fields from it for this request.
    pub(super) fn cover_private(&mut self) {
        self.covered = true;
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
        self.scopes.has(scope) && !(self.covered && scope == Scope::Private)
    }

    /// Returns the error for a caller that lacks the scope that `what` needs.
    pub(super) fn lacks(&self, scope: Scope, what: &str) -> Refusal {
        let (name, scope) = (&self.name, scope.word());
        let message = if self.scopes.has(Scope::Private) && self.covered {
            format!("{what} is private: the console asks for it, which is written down")
        } else {
            format!("{what} needs the scope \"{scope}\", which the key \"{name}\" does not have")
        };
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

impl Api {
    /// Reports whether a caller that was let in is still allowed to do what needs this scope: its key may have ended, and
    /// if it is the console, its session.
    pub(super) fn still_allows(&self, caller: &Caller, scope: Scope) -> bool {
        let now = self.service.now();
        let is_open = match caller.console() {
            Some(ConsoleEntry::Cookie(id)) => self.console.is_open(id, now),
            Some(ConsoleEntry::Open) | None => true,
        };
        is_open && self.access.is_allowed(caller, scope, now)
    }
}

/// Returns who asks.
///
/// # Errors
/// It may not: 401 without a valid key, 403 if no key would help.
pub(super) fn caller(api: &Api, headers: &HeaderMap, is_read: bool) -> Result<Caller, Refusal> {
    let refused = |reason, message| Err(Refusal(RequestError::new(reason, message)));
    let now = api.service.now();
    match &*api.access.current() {
        Access::Open if is_local_console(headers) => Ok(Caller::open().through(ConsoleEntry::Open)),
        Access::Open if is_local(headers) => Ok(Caller::open()),
        Access::Open => {
            let message = "without ops.api_key the server API answers programs on this machine, not web pages";
            refused(Reason::PermissionDenied, message)
        }
        Access::Keys(keys) if shown(headers).is_none() && cookie(headers).is_some() => {
            by_cookie(api, keys, headers, is_read)
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

/// Returns the caller of a request with the console's cookie. A page of another origin is none.
fn by_cookie(api: &Api, keys: &KeyRing, headers: &HeaderMap, is_read: bool) -> Result<Caller, Refusal> {
    let refused = |reason, message| Err(Refusal(RequestError::new(reason, message)));
    if !(from_own_page(headers) || is_read && is_same_origin(headers) != Some(false)) {
        return refused(Reason::PermissionDenied, "with the console's cookie only the console's own page asks");
    }
    let now = api.service.now();
    let session = cookie(headers).and_then(|cookie| api.console.key_of(cookie, now));
    // The key may have been taken away, or have ended, since.
    let found = session.and_then(|(hash, id)| Some((keys.get(hash).filter(|key| key.is_valid(now))?, id)));
    match found {
        Some((key, id)) => Ok(Caller::of(key).through(ConsoleEntry::Cookie(id))),
        None => refused(Reason::Unauthenticated, "this session of the console has ended: log in again"),
    }
}

/// Returns whether the request did not come from a page in a browser on this machine.
///
/// Browsers send `Origin` or `Sec-Fetch-Site`, and in `Host` the name that they looked up, which somebody else may have
/// pointed at this machine.
fn is_local(headers: &HeaderMap) -> bool {
    let from_page = headers.contains_key(ORIGIN)
        || headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
    is_here(headers) && !from_page
}

/// Returns whether the console's page asks, in a browser on this machine: no other page can send its mark.
fn is_local_console(headers: &HeaderMap) -> bool {
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let authority = of(ORIGIN).map(|origin| origin.split_once("://").map(|(_, authority)| authority));
    let is_own = authority.is_none_or(|authority| authority.is_some() && authority == of(HOST));
    headers.contains_key(MARK) && is_here(headers) && is_own && is_same_origin(headers) != Some(false)
}

/// Returns whether the request was sent to this machine by a name that stands for nothing else.
fn is_here(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Returns the key that a request shows, if any.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)?;
    let (scheme, shown) = given.split_at_checked(7)?;
    // The name of a scheme has no case (RFC 9110, section 11.1).
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| shown.trim_ascii())
}
