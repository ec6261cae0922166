//! Whom to tell that another gateway has written, and how this one is called there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use rosterd_engine::model::Revision;

/// Takes what the gateways say to each other, and wakes who waits for it.
#[derive(Debug, Clone)]
pub struct Waker {
    pub(super) wake: Arc<Notify>,
    pub(super) own: String,
    /// Up to which revision others have handed over what they wrote.
    pub(super) told: Arc<AtomicU64>,
    /// Told when that is raised.
    pub(super) soon: Arc<Notify>,
    /// Whom to tell that others have something else for this gateway, whose id among them this is.
    pub(super) live: Arc<Notify>,
    pub(super) node: Arc<AtomicI64>,
}

/// What a writer says after a commit: its number, and the last revision if it has also handed the changes over.
pub(super) fn word(writer: i64, carried: Option<Revision>) -> String {
    carried.map_or_else(|| writer.to_string(), |last| format!("{writer} {last}"))
}

impl Waker {
    /// Creates one for the process that writes under this number.
    pub(super) fn new(wake: Arc<Notify>, writer: i64) -> Self {
        let (told, soon) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let (live, node) = (Arc::new(Notify::new()), Arc::new(AtomicI64::new(0)));
        Self { wake, own: writer.to_string(), told, soon, live, node }
    }

    /// Takes a word on a channel.
    pub fn take(&self, channel: &str, payload: &str) {
        let node = self.node.load(Ordering::Acquire).to_string();
        if channel == "rosterd_live" {
            let is_for_all = payload.strip_prefix('*').is_some_and(|sender| sender != node);
            if is_for_all || payload == node {
                self.live.notify_one();
            }
            return;
        }
        let (writer, handed_over) = payload.split_once(' ').unwrap_or((payload, ""));
        match handed_over.parse::<Revision>() {
            _ if writer == self.own => {}
            Ok(last) => {
                self.told.fetch_max(last, Ordering::AcqRel);
                self.soon.notify_one();
            }
            Err(_) => self.wake.notify_one(),
        }
    }
}
