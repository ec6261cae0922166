//! The operator's console: its page, and how an operator logs in to it.
//!
//! Everything that the page shows or does is an operation of the server API. Its files are built and committed, from
//! `sdk/console`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;

use super::answer::{Done, Refusal};
use super::console_request::{COOKIES, cookie, from_own_page};
use super::console_sessions::LIFE;
use super::request::{Body, Shared, read};
use super::serve::PeerAddress;
use super::state::{Access, Api};
use crate::assets::{ASK_AGAIN, Asset, PAGE, SCRIPT, STYLE};
use rosterd_engine::model::{Account, Reason, RequestError};

/// The page loads from its own origin alone, runs no other script, and stands in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Makes the routes of the console.
pub(super) fn routes() -> Router<Arc<Api>> {
    let page = Asset { kind: PAGE, plain: include_bytes!("../../sdk/console/dist/index.html"), gzip: None };
    let script = Asset {
        kind: SCRIPT,
        plain: include_bytes!("../../sdk/console/dist/console.js"),
        gzip: Some(include_bytes!("../../sdk/console/dist/console.js.gz")),
    };
    let style = Asset {
        kind: STYLE,
        plain: include_bytes!("../../sdk/console/dist/console.css"),
        gzip: Some(include_bytes!("../../sdk/console/dist/console.css.gz")),
    };
    Router::new()
        .route("/console", page.answer(ASK_AGAIN))
        .route("/console/console.js", script.answer(ASK_AGAIN))
        .route("/console/console.css", style.answer(ASK_AGAIN))
        .route("/console/login", post(login))
        .route("/console/logout", post(logout))
        .layer(map_response(async |answer: Response| guarded(answer)))
}

fn guarded(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let set = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

/// What the form of the page sends.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LoginForm {
    key: String,
}

/// Gives a browser that shows a key a cookie for it.
async fn login(
    State(api): Shared,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let refused = |reason, message| Err(Refusal(RequestError::new(reason, message)));
    if !from_own_page(&headers) {
        return refused(Reason::PermissionDenied, "only the console's own page logs in");
    }
    let LoginForm { key } = read(body)?;
    let (now, address) = (api.service.now(), peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.0));
    if let Err(retry_after_ms) = api.console.try_login(address, now) {
        let error = RequestError::new(Reason::RateLimited, "too many keys were wrong; try again later");
        return Err(Refusal(RequestError { retry_after_ms: Some(retry_after_ms), ..error }));
    }
    let access = api.access.current();
    let found = match &*access {
        Access::Keys(keys) => keys.find(key.trim().as_bytes()).filter(|key| key.is_valid(now)),
        Access::Open | Access::Closed => None,
    };
    let Some(key) = found else {
        api.service.audit_console("", "console.refused", Account::none(), format!("address={address}")).await?;
        return refused(Reason::Unauthenticated, "this is not a key of this gateway, or it is not valid any more");
    };
    api.console.logged_in(address);
    api.service.audit_console(&key.name, "console.login", Account::none(), format!("address={address}")).await?;
    let token = api.console.open(key.hash, now);
    Ok(([(SET_COOKIE, set_cookie(&headers, &token, LIFE / 1000))], Json(Done {})).into_response())
}

/// Ends the session that a cookie stands for.
async fn logout(State(api): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    if !from_own_page(&headers) {
        return Err(Refusal(RequestError::new(Reason::PermissionDenied, "only the console's own page logs out")));
    }
    if let Some(token) = cookie(&headers) {
        api.console.close(token);
    }
    Ok(([(SET_COOKIE, set_cookie(&headers, "", 0))], Json(Done {})).into_response())
}

/// Over TLS, also where a proxy ends it, the name says that no other host can have set the cookie.
fn set_cookie(headers: &HeaderMap, token: &str, seconds: u64) -> String {
    let secure = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let (name, secure) = if secure { (COOKIES[0], "; Secure") } else { (COOKIES[1], "") };
    format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}
