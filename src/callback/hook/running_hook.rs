//! One hook: asks its server, within its limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::breaker_call::HookBreaker;
use super::settings::HookSettings;
use crate::metrics::{HookLabel, HookResult, Metrics};
use crate::outbound::{CallError, OutboundClient, system_lookup};
use crate::service::{HookKind, HookStatus, LastHookCall};
use crate::store::system_clock;
use rosterd_engine::model::{Reason, RequestError};
use rosterd_protocol::{HookAnswer, HookQuestion};

/// When a client may try again what could not be decided.
const RETRY_MS: u64 = 1000;

/// A hook of the settings.
pub(super) struct RunningHook {
    pub(super) kind: HookKind,
    pub(super) settings: HookSettings,
    client: OutboundClient,
    places: Semaphore,
    waiting: AtomicUsize,
    breaker: HookBreaker,
    calls: Mutex<HookCalls>,
    in_flight: Gauge,
    metrics: Arc<Metrics>,
}

/// The calls so far.
#[derive(Default)]
struct HookCalls {
    by_result: BTreeMap<&'static str, u64>,
    last: Option<LastHookCall>,
}

/// Why there is no decision.
struct Undecided {
    /// The word in the metrics.
    result: &'static str,
    /// What was wrong.
    text: String,
}

/// Counts one more for as long as it is held.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shows a call as out for as long as it is held.
struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl RunningHook {
    pub(super) fn new(kind: HookKind, settings: HookSettings, metrics: Arc<Metrics>) -> Self {
        let label = HookLabel { hook: kind.name() };
        let open = metrics.hook_open.get_or_create(&label).clone();
        let in_flight = metrics.hook_in_flight.get_or_create(&label).clone();
        Self {
            client: OutboundClient::new(settings.outbound.clone(), system_lookup()),
            places: Semaphore::new(settings.in_flight),
            waiting: AtomicUsize::new(0),
            breaker: HookBreaker::new(kind.name(), open),
            calls: Mutex::default(),
            kind,
            settings,
            in_flight,
            metrics,
        }
    }

    /// Asks, and answers in any case.
    pub(super) async fn ask(self: Arc<Self>, question: HookQuestion) -> HookAnswer {
        let begun = Instant::now();
        let (answer, result, text) = match self.decide(&question).await {
            Ok(answer) => {
                let result = match answer {
                    HookAnswer::Allow => "allow",
                    HookAnswer::SetFields(_) | HookAnswer::SetMessage(_) | HookAnswer::SetStatus(_) => "changed",
                    HookAnswer::Deny(_) => "deny",
                };
                (answer, result, String::new())
            }
            Err(Undecided { result, text }) => {
                let answer =
                    if self.settings.allows_on_failure { HookAnswer::Allow } else { HookAnswer::Deny(undecided()) };
                (answer, result, text)
            }
        };
        self.count(result, text, begun);
        answer
    }

    /// Asks the server, unless it is known to fail or too many ask it already.
    async fn decide(&self, question: &HookQuestion) -> Result<HookAnswer, Undecided> {
        let Some(call) = self.breaker.begin() else {
            return Err(Undecided { result: "open", text: "the hook failed too often, and is not called".to_owned() });
        };
        let limit = self.settings.outbound.timeout;
        let decided = match timeout(limit, self.call(question)).await {
            Ok(decided) => decided,
            Err(_) => Err(Undecided { result: "timeout", text: format!("no decision in {limit:?}") }),
        };
        match &decided {
            // It says nothing about the server.
            Err(Undecided { result: "full", .. }) => {}
            decided => call.finish(decided.is_err()),
        }
        decided
    }

    async fn call(&self, question: &HookQuestion) -> Result<HookAnswer, Undecided> {
        let _place = self.place().await?;
        self.in_flight.inc();
        let _in_flight = InFlight(&self.in_flight);
        let (now, random) = (system_clock()(), || getrandom::u64().unwrap_or_default());
        let id = format!("{:016x}{:016x}", random(), random());
        let body = question.json(&id, now, &self.settings.fields);
        let mut headers = self.settings.secrets.headers(&id, now, body.as_bytes(), "application/json");
        let name = HeaderValue::from_static(self.kind.name());
        headers.insert(HeaderName::from_static("rosterd-hook"), name);
        let answer = self.client.post(headers, body.into()).await.map_err(|failed| match failed {
            CallError::Timeout(_) => Undecided { result: "timeout", text: failed.to_string() },
            CallError::TooLarge(..) | CallError::Failed(_) => error(failed.to_string()),
        })?;
        if answer.status != StatusCode::OK {
            return Err(error(format!("status {}", answer.status.as_u16())));
        }
        question.answer(&answer.body, &self.settings.fields).map_err(error)
    }

    /// Takes one of the places for calls, or waits for it as long as so many do.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Undecided> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let _waiting = Counted(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.settings.waiting {
            return Err(Undecided { result: "full", text: "too many calls wait".to_owned() });
        }
        self.places.acquire().await.map_err(|_| error("the hook is gone"))
    }

    fn count(&self, result: &'static str, text: String, begun: Instant) {
        let (hook, took) = (self.kind.name(), begun.elapsed());
        self.metrics.hook_calls.get_or_create(&HookResult { hook, result }).inc();
        if !matches!(result, "open" | "full") {
            self.metrics.hook_times.get_or_create(&HookLabel { hook }).observe(took.as_secs_f64());
        }
        if !text.is_empty() {
            tracing::debug!(hook, result, why = text, "a hook gave no decision");
        }
        let mut calls = self.calls.lock();
        *calls.by_result.entry(result).or_default() += 1;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        calls.last = Some(LastHookCall { time: system_clock()(), result, text, took_ms });
    }

    pub(super) fn status(&self) -> HookStatus {
        let (state, opens_in) = self.breaker.state();
        let calls = self.calls.lock();
        HookStatus {
            kind: self.kind,
            url: self.settings.outbound.url.to_string(),
            allows_on_failure: self.settings.allows_on_failure,
            state,
            opens_in,
            in_flight: self.settings.in_flight - self.places.available_permits(),
            waiting: self.waiting.load(Ordering::Relaxed),
            calls: calls.by_result.iter().map(|(result, count)| (*result, *count)).collect(),
            last: calls.last.clone(),
        }
    }
}

fn error(text: impl Into<String>) -> Undecided {
    Undecided { result: "error", text: text.into() }
}

fn undecided() -> RequestError {
    let message = "it could not be decided whether this is allowed; try again later";
    RequestError::new(Reason::Unavailable, message).retry_after(RETRY_MS)
}
