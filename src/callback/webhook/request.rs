//! One request to an endpoint, and what its answer means.

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::settings::EndpointSettings;
use crate::outbound::{CallError, CalledAnswer};
use crate::service::EndpointTest;
use rosterd_engine::model::Millis;
use rosterd_engine::sync::delivery::DeliveryOutcome;

/// What of an answer is kept for operators, in bytes.
const EXCERPT: usize = 200;

/// What is posted.
pub(super) struct SignedRequest {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl SignedRequest {
    /// Signs events for an endpoint. `first` is the id of the first of them.
    pub(super) fn new(
        settings: &EndpointSettings,
        first: &str,
        events: &[String],
        now: Millis,
        is_replay: bool,
    ) -> Self {
        // Always an array, so that receivers parse one form.
        let body = format!("[{}]", events.join(","));
        let id = format!("{first}_{}", events.len());
        let content = if settings.cloudevents { "application/cloudevents-batch+json" } else { "application/json" };
        let mut headers = settings.secrets.headers(&id, now, body.as_bytes(), content);
        if let Ok(name) = HeaderValue::from_str(&settings.name) {
            headers.insert(HeaderName::from_static("rosterd-endpoint"), name);
        }
        if is_replay {
            headers.insert(HeaderName::from_static("rosterd-replay"), HeaderValue::from_static("1"));
        }
        if let Some(authorization) = &settings.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Self { headers, body: body.into() }
    }
}

/// What came of a request.
pub(super) struct RequestResult {
    pub outcome: DeliveryOutcome,
    /// What an operator sees of it.
    pub seen: EndpointTest,
    /// The word in the metrics.
    pub word: &'static str,
}

impl RequestResult {
    pub(super) fn of(answer: Result<CalledAnswer, CallError>) -> Self {
        let (status, retry_after, text) = match answer {
            Ok(answer) => (answer.status, retry_after(&answer), excerpt(&answer.body)),
            // The status came, and whatever else it says is not wanted.
            Err(CallError::TooLarge(status, most)) => (status, None, format!("an answer of more than {most} bytes")),
            Err(error) => {
                let word = if matches!(error, CallError::Timeout(_)) { "timeout" } else { "failed" };
                let seen = EndpointTest { status: None, text: error.to_string() };
                return Self { outcome: DeliveryOutcome::Unavailable(None), seen, word };
            }
        };
        let outcome = DeliveryOutcome::of_status(status.as_u16(), retry_after);
        let word = match outcome {
            DeliveryOutcome::Accepted => "ok",
            DeliveryOutcome::Refused => "refused",
            DeliveryOutcome::Unavailable(_) | DeliveryOutcome::Gone => "failed",
        };
        Self { outcome, seen: EndpointTest { status: Some(status.as_u16()), text }, word }
    }
}

/// Returns the wait that an answer asks for, if it names seconds.
fn retry_after(answer: &CalledAnswer) -> Option<Millis> {
    let seconds: Millis = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1000))
}

fn excerpt(body: &[u8]) -> String {
    let part = &body[..body.len().min(EXCERPT)];
    let text = String::from_utf8_lossy(part);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
