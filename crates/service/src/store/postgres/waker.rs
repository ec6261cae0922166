//! Whom to tell that another gateway has written, and how this one is called there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Notify;

/// Takes what the gateways say to each other, and wakes who waits for it.
#[derive(Debug, Clone)]
pub struct Waker {
    pub(super) wake: Arc<Notify>,
    pub(super) own: String,
    /// Whom to tell that others have something else for this gateway, whose id among them this is.
    pub(super) live: Arc<Notify>,
    pub(super) node: Arc<AtomicI64>,
}

impl Waker {
    /// Takes a word on a channel.
    pub fn take(&self, channel: &str, payload: &str) {
        let node = self.node.load(Ordering::Acquire).to_string();
        match channel {
            "rosterd_live" => {
                let is_for_all = payload.strip_prefix('*').is_some_and(|sender| sender != node);
                if is_for_all || payload == node {
                    self.live.notify_one();
                }
            }
            _ if payload != self.own => self.wake.notify_one(),
            _ => {}
        }
    }
}
