//! Routes that one gateway answers for all: each other passes such a request on, and gives its answer back.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::access::Caller;
use super::answer::Refusal;
use super::routes::webhook_routes;
use super::state::Api;
use crate::keys::Scope;
use crate::service::{ForwardedAnswer, ForwardedCall, Unforwarded};
use rosterd_engine::model::{Reason, RequestError};

/// The largest body that is passed on.
const BODY_BYTES: usize = 64 * 1024;

/// The largest answer: a page of events that an endpoint refused is a tenth of it.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Answers a request here, or has the gateway answer it that delivers.
pub(super) async fn forward(
    State(api): State<Arc<Api>>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if api.service.other_deliverer().is_none() {
        return Ok(next.run(request).await);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES).await;
    let body = body.map_err(|_| RequestError::new(Reason::LimitExceeded, "the body is too large"))?;
    let call = ForwardedCall {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        body: String::from_utf8_lossy(&body).into_owned(),
        caller: caller.name().to_owned(),
        scopes: caller.scopes().iter().map(|scope| scope.word().to_owned()).collect(),
        is_safe: parts.method.is_safe(),
    };
    match api.service.ask_deliverer(&call).await {
        Ok(None) => Ok(next.run(Request::from_parts(parts, Body::from(body))).await),
        Ok(Some(answer)) => Ok(response(answer)),
        Err(Unforwarded(name)) if call.is_safe => {
            let message = format!("the gateway \"{name}\" delivers webhooks, and does not answer");
            Err(RequestError::new(Reason::Unavailable, message).into())
        }
        Err(Unforwarded(name)) => {
            let message = format!(
                "the gateway \"{name}\" delivers webhooks, and did not answer: whether this was done is not known"
            );
            Err(RequestError::new(Reason::OutcomeUnknown, message).into())
        }
    }
}

fn response(answer: ForwardedAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Answers what other gateways pass on, as if their callers had asked here.
pub(super) fn answer_forwarded(api: &Arc<Api>) {
    let routes =
        webhook_routes().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route.methods));
    let routes = TowerToHyperService::new(routes.with_state(api.clone()));
    api.service.answer_forwarded(Box::new(move |call| {
        let routes = routes.clone();
        Box::pin(async move {
            let caller =
                Caller::forwarded(&call.caller, call.scopes.iter().filter_map(|word| Scope::of(word)).collect());
            let request = Request::builder().method(call.method.as_str()).uri(call.target).extension(caller);
            let answered = routes.call(request.body(Body::from(call.body)).ok()?).await;
            let (parts, body) = answered.unwrap_or_else(|never| match never {}).into_parts();
            let body = to_bytes(body, ANSWER_BYTES).await.ok()?;
            let body = String::from_utf8_lossy(&body).into_owned();
            Some(ForwardedAnswer { status: parts.status.as_u16(), body })
        })
    }));
}
