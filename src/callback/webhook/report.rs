//! What operators see of a delivery: its status, and its metrics.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::settings::EndpointSettings;
use crate::metrics::{EndpointLabel, EndpointResult, Metrics};
use crate::service::{EndpointFailure, EndpointStatus};
use rosterd_engine::model::{FeedPosition, Millis};
use rosterd_engine::sync::delivery::{Delivery, DeliveryContent, KeptDelivery};

/// The status of one delivery, which its task writes and the server API reads.
#[derive(Debug, Default)]
pub(super) struct DeliveryReport(watch::Sender<Option<ReportedDelivery>>);

/// How long a status is waited for, which is there once the task has read where the delivery was left.
const BEGUN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct ReportedDelivery {
    kept: KeptDelivery,
    next_try: Option<Millis>,
    replay_end: Option<FeedPosition>,
    behind_since: Option<Millis>,
    last_success: Option<Millis>,
    last_failure: Option<EndpointFailure>,
}

impl DeliveryReport {
    pub(super) fn put(&self, delivery: &Delivery, behind_since: Option<Millis>) {
        self.0.send_modify(|reported| {
            let (last_success, last_failure) =
                reported.take().map_or((None, None), |before| (before.last_success, before.last_failure));
            *reported = Some(ReportedDelivery {
                kept: delivery.kept().clone(),
                next_try: delivery.next_try(),
                replay_end: delivery.replay_end(),
                behind_since,
                last_success,
                last_failure,
            });
        });
    }

    pub(super) fn succeeded(&self, now: Millis) {
        self.0.send_modify(|reported| {
            if let Some(reported) = reported {
                reported.last_success = Some(now);
            }
        });
    }

    pub(super) fn failed(&self, failure: EndpointFailure) {
        self.0.send_modify(|reported| {
            if let Some(reported) = reported {
                reported.last_failure = Some(failure);
            }
        });
    }

    /// Returns the status, unless the task cannot begin.
    pub(super) async fn status(
        &self,
        settings: &EndpointSettings,
        head: FeedPosition,
        now: Millis,
        dead: u64,
    ) -> Option<EndpointStatus> {
        let mut begun = self.0.subscribe();
        let reported = timeout(BEGUN, begun.wait_for(Option::is_some)).await.ok()?.ok()?.clone()?;
        Some(EndpointStatus {
            name: settings.name.clone(),
            url: settings.outbound.url.to_string(),
            enabled: settings.enabled,
            behind: changes_behind(&reported.kept, head),
            behind_ms: reported.behind_since.map_or(0, |since| now.saturating_sub(since)),
            kept: reported.kept,
            last_success: reported.last_success,
            last_failure: reported.last_failure,
            next_try: reported.next_try,
            replay_end: reported.replay_end,
            dead,
        })
    }
}

/// Counts the changes after a position.
pub(super) fn changes_behind(kept: &KeptDelivery, head: FeedPosition) -> u64 {
    let is_same = kept.position.history == head.history;
    head.revision.saturating_sub(if is_same { kept.position.after() } else { 0 })
}

/// Counts for one endpoint.
pub(super) struct EndpointMetrics<'a> {
    pub metrics: &'a Metrics,
    pub endpoint: &'a str,
}

impl EndpointMetrics<'_> {
    fn label(&self) -> EndpointLabel {
        EndpointLabel { endpoint: self.endpoint.to_owned() }
    }

    fn result(&self, result: &'static str) -> EndpointResult {
        EndpointResult { endpoint: self.endpoint.to_owned(), result }
    }

    pub(super) fn requested(&self, result: &'static str, took: Duration) {
        self.metrics.webhook_requests.get_or_create(&self.result(result)).inc();
        self.metrics.webhook_request_times.get_or_create(&self.label()).observe(took.as_secs_f64());
    }

    /// Counts what the endpoint took. Of so many events personal data was taken out before.
    pub(super) fn delivered(&self, content: DeliveryContent, erased: usize) {
        match content {
            DeliveryContent::Events(count, _) => {
                let whole = count.saturating_sub(erased) as u64;
                for (result, count) in [("delivered", whole), ("erased", erased as u64)] {
                    if count > 0 {
                        self.metrics.webhook_events.get_or_create(&self.result(result)).inc_by(count);
                    }
                }
            }
            DeliveryContent::Gap => {
                self.metrics.webhook_gaps.get_or_create(&self.label()).inc();
            }
        }
    }

    pub(super) fn dead(&self) {
        self.metrics.webhook_events.get_or_create(&self.result("dead")).inc();
    }

    pub(super) fn show(&self, kept: &KeptDelivery, behind: (u64, Millis)) {
        let label = self.label();
        self.metrics.webhook_state.get_or_create(&label).set(i64::from(kept.state.number()));
        self.metrics.webhook_behind_changes.get_or_create(&label).set(behind.0 as i64);
        self.metrics.webhook_behind.get_or_create(&label).set((behind.1 / 1000) as i64);
    }
}
