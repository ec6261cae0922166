//! Health and metrics, which need no key.

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::classic_text::classic_text;
use super::request::Shared;
use crate::lifecycle::Phase;

/// 200 while the process can do its work; 503 if changes are committed here, and for 10 s nothing was applied of them.
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "isLive", security(()),
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

/// 200 while the gateway serves, 503 while it starts or drains or has failed, or cannot reach the database that it shares; the
/// body names the phase, or says `cut off`.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "isReady", security(()),
    responses(
        (status = 200, description = "ready", body = String, content_type = "text/plain"),
        (status = 503, description = "starting, draining, failed or cut off", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn ready(State(api): Shared) -> Response {
    let phase = api.lifecycle.phase();
    if phase == Phase::Ready && api.service.shared().is_some_and(|shared| shared.is_cut_off()) {
        return (StatusCode::SERVICE_UNAVAILABLE, "cut off\n").into_response();
    }
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{phase}\n")).into_response()
}

/// The metrics, for Prometheus: in the format `OpenMetrics` for who asks for it, otherwise in the older text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "getMetrics", security(()),
    responses((status = 200, description = "all of them", content(
        (String = "text/plain"),
        (String = "application/openmetrics-text"),
    )))
)]
pub(super) async fn metrics(State(api): Shared, headers: HeaderMap) -> Response {
    api.service.metrics().draining.set(i64::from(api.lifecycle.phase() == Phase::Draining));
    let open = weight(&headers, &["application/openmetrics-text"]);
    // Who takes anything gets what every tool reads.
    let (kind, text) = if open > 0.0 && open >= weight(&headers, &["text/plain", "text/*", "*/*"]) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", api.service.render_metrics())
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", classic_text(&api.service.render_metrics()))
    };
    ([(CONTENT_TYPE, kind), (VARY, "Accept")], text).into_response()
}

/// Returns how much a caller wants one of these media types, from 0 to 1. `Accept` is a list, in one line or several.
fn weight(headers: &HeaderMap, wanted: &[&str]) -> f64 {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let weights = lines.flat_map(|line| line.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(range)).then(|| {
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let quality: f64 = quality.map_or(1.0, |quality| quality.parse().unwrap_or_default());
            quality.clamp(0.0, 1.0)
        })
    });
    weights.fold(0.0, f64::max)
}
