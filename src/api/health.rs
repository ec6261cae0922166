//! Health and metrics, which need no key.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::request::Shared;
use crate::lifecycle::Phase;

/// 200 while the process can do its work; 503 if changes are committed here, and for 10 s nothing was applied of them.
#[utoipa::path(
    get, path = "/livez", tag = "operations", security(()),
    responses(
        (status = 200, description = "alive", body = String, content_type = "text/plain"),
        (status = 503, description = "committed changes are not applied", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn livez(State(api): Shared) -> Response {
    if api.service.is_stuck() {
        return (StatusCode::SERVICE_UNAVAILABLE, "committed changes are not applied\n").into_response();
    }
    "ok\n".into_response()
}

/// 200 while the gateway serves, 503 while it starts or drains or has failed; the body names the phase.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "ready", body = String, content_type = "text/plain"),
        (status = 503, description = "starting, draining or failed", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn ready(State(api): Shared) -> Response {
    let phase = api.lifecycle.phase();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{phase}\n")).into_response()
}

/// The metrics, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, description = "in the OpenMetrics format", body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(State(api): Shared) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    api.service.metrics().draining.set(i64::from(api.lifecycle.phase() == Phase::Draining));
    ([(CONTENT_TYPE, kind)], api.service.render_metrics()).into_response()
}
