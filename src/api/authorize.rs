//! Stands before every operation of the server API.

use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::access::caller;
use super::answer::Refusal;
use super::console_audit::prepare;
use super::request::{Shared, position};
use super::state::Api;

/// With the answer to a write: whoever sends it as [`AFTER`], to whichever gateway, reads nothing older than the write.
const APPLIED: &str = "rosterd-stamp";

/// The revision up to which changes are to be applied before a request is carried out.
const AFTER: &str = "rosterd-after";

/// Waits for the changes that the caller has seen elsewhere.
async fn wait_for(api: &Api, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(after) = headers.get(AFTER) else { return Ok(()) };
    let revision = position("Rosterd-After", after.to_str().unwrap_or_default())?;
    Ok(api.service.reached(revision).await?)
}

/// Lets a request pass if its caller may use the server API.
pub(super) async fn authorize(State(api): Shared, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let mut caller = caller(&api, request.headers(), request.method().is_safe())?;
    let is_console = caller.console().is_some();
    if is_console {
        prepare(&api, &mut caller, &mut request).await?;
    }
    request.extensions_mut().insert(caller);
    wait_for(&api, request.headers()).await?;
    let is_write = !request.method().is_safe();
    let mut answer = next.run(request).await;
    if is_write && answer.status().is_success() {
        // The write is applied here by now, so this is its own revision or a later one.
        answer.headers_mut().insert(APPLIED, api.service.applied_revision().into());
    }
    if is_console {
        // What an operator saw is not to be found in the browser afterwards.
        answer.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    Ok(answer)
}
