//! Health and metrics, which need no key.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::request::Shared;
use crate::lifecycle::Phase;

/// Answers as long as the process runs.
#[utoipa::path(
    get, path = "/livez", tag = "operations", security(()),
    responses((status = 200, description = "alive", body = String, content_type = "text/plain"))
)]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// 200 while the gateway serves, 503 while it starts or drains; the body names the phase.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, description = "ready", body = String, content_type = "text/plain"),
        (status = 503, description = "starting or draining", body = String, content_type = "text/plain"),
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
