//! The numbers of this node, once a second: what the console draws.
//!
//! One task takes them, however many consoles look on, and makes each answer once.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use crate::lifecycle::Lifecycle;
use crate::service::Service;

/// How often they are taken, and how many samples are kept: ten minutes.
const EVERY: Duration = Duration::from_secs(1);
const KEPT: usize = 600;
/// The most streams, so that consoles leave backends their connections.
pub(super) const STREAMS: usize = 32;

/// The numbers of a sample, in order. Those of the second line count since the start.
const NAMES: [&str; 18] = [
    "time",
    "phase",
    "connections",
    "sessions",
    "outboundBytes",
    "applied",
    "committed",
    "unmarked",
    "feedBytes",
    "opened",
    "changes",
    "commits",
    "failedWrites",
    "marks",
    "conflated",
    "records",
    "sentBytes",
    "signals",
];

type Sample = [u64; NAMES.len()];

/// The samples of the last ten minutes.
pub struct LiveNumbers {
    samples: Mutex<VecDeque<Sample>>,
    newest: watch::Sender<Arc<str>>,
    streams: Arc<Semaphore>,
}

impl Default for LiveNumbers {
    fn default() -> Self {
        let (samples, streams) = (Mutex::default(), Arc::new(Semaphore::new(STREAMS)));
        Self { samples, newest: watch::Sender::new("".into()), streams }
    }
}

impl LiveNumbers {
    /// Takes the numbers for as long as the gateway runs.
    pub async fn keep(self: Arc<Self>, service: Arc<Service>, lifecycle: Arc<Lifecycle>) {
        let mut ticks = tokio::time::interval(EVERY);
        // Two samples in one moment would show a rate that never was.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let sample = sample(&service, &lifecycle);
            let mut samples = self.samples.lock();
            if samples.len() == KEPT {
                samples.pop_front();
            }
            samples.push_back(sample);
            drop(samples);
            self.newest.send_replace(text([&sample]).into());
        }
    }

    /// Returns the samples that are kept, as JSON.
    pub(super) fn history(&self) -> String {
        text(self.samples.lock().iter())
    }

    /// Follows the samples from now on, each as JSON; `None` if as many do as may.
    pub(super) fn follow(&self) -> Option<(watch::Receiver<Arc<str>>, OwnedSemaphorePermit)> {
        let place = self.streams.clone().try_acquire_owned().ok()?;
        let mut newest = self.newest.subscribe();
        newest.mark_unchanged();
        Some((newest, place))
    }
}

fn sample(service: &Service, lifecycle: &Lifecycle) -> Sample {
    let m = service.metrics();
    let gauge = |value: i64| value.max(0).unsigned_abs();
    [
        service.now(),
        lifecycle.phase() as u64,
        gauge(m.connections.get()),
        gauge(m.sessions.get()),
        gauge(m.outbound.get()),
        service.applied_revision(),
        service.head(),
        gauge(m.watermark_lag.get()),
        gauge(m.feed_bytes.get()),
        m.opened.get(),
        m.changes.get(),
        m.commits.get(),
        m.failed_writes.get(),
        m.marks.get(),
        m.conflated.get(),
        m.records.get(),
        m.bytes.get(),
        m.signals.get(),
    ]
}

/// Writes samples as JSON; numbers alone need no more than this.
fn text<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> String {
    let mut text = format!("{{\"names\":{NAMES:?},\"samples\":[");
    for (at, sample) in samples.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(text, "{comma}{sample:?}");
    }
    text.push_str("]}");
    text.retain(|c| c != ' ');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_json() {
        let value: serde_json::Value = serde_json::from_str(&text([&[7; NAMES.len()], &[0; NAMES.len()]])).unwrap();
        assert_eq!(value["names"].as_array().unwrap().len(), value["samples"][1].as_array().unwrap().len());
        assert_eq!(value["samples"][0][3], 7);
        assert_eq!(text([]), text(&[]));
    }
}
