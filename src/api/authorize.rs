//! Stands before every operation of the server API.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::Next;
use axum::response::Response;

use super::access::caller;
use super::answer::Refusal;
use super::console_audit::prepare;
use super::request::Shared;

/// Lets a request pass if its caller may use the server API.
pub(super) async fn authorize(State(api): Shared, mut request: Request, next: Next) -> Result<Response, Refusal> {
    let mut caller = caller(&api, request.headers(), request.method().is_safe())?;
    let is_console = caller.console().is_some();
    if is_console {
        prepare(&api, &mut caller, &mut request).await?;
    }
    request.extensions_mut().insert(caller);
    let mut answer = next.run(request).await;
    if is_console {
        // What an operator saw is not to be found in the browser afterwards.
        answer.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    Ok(answer)
}
