//! What is held for clients that read more slowly than they are told, and who has to go when it is too much.
//!
//! A session holds one batch at a time, but a batch may be large, and there may be very many sessions. Only what
//! waits is counted: a write that the system takes at once costs nothing here. Those who came last go first, so that
//! a flood of new connections cannot push out who was there before.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::metrics::{Kind, Metrics};

/// What all connections hold.
pub(super) struct Budget {
    held: Mutex<Held>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// By the number of the connection: the newest is last.
    by: BTreeMap<u64, (usize, oneshot::Sender<()>)>,
}

/// What one connection holds, for as long as it does.
pub(super) struct Holding<'a> {
    budget: &'a Budget,
    number: u64,
    shed: oneshot::Receiver<()>,
}

impl Budget {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { held: Mutex::default(), metrics }
    }

    /// Counts what a connection holds, which holds nothing else. If that is more than `most` with what others hold, the
    /// newest of all have to go until it is not, this one perhaps among them.
    pub(super) fn hold(&self, number: u64, bytes: usize, most: usize) -> Holding<'_> {
        let (go, shed) = oneshot::channel();
        let mut held = self.held.lock();
        held.bytes += bytes;
        held.by.insert(number, (bytes, go));
        while held.bytes > most {
            let Some((_, (bytes, go))) = held.by.pop_last() else { break };
            held.bytes -= bytes;
            self.metrics.refused.get_or_create(&Kind { kind: "OUTBOUND_BYTES" }).inc();
            let _ = go.send(());
        }
        self.metrics.outbound.set(held.bytes as i64);
        Holding { budget: self, number, shed }
    }
}

impl Holding<'_> {
    /// Resolves when the connection has to go.
    pub(super) async fn shed(&mut self) {
        // The sender is dropped with this.
        if (&mut self.shed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        let mut held = self.budget.held.lock();
        if let Some((bytes, _)) = held.by.remove(&self.number) {
            held.bytes -= bytes;
        }
        self.budget.metrics.outbound.set(held.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_newest_go_until_it_fits_and_what_is_let_go_makes_room() {
        let budget = Budget::new(Arc::default());
        let gone = |holding: &mut Holding<'_>| holding.shed().now_or_never().is_some();
        let (mut one, mut three) = (budget.hold(1, 400, 1000), budget.hold(3, 400, 1000));
        let mut two = budget.hold(2, 300, 1000);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut three)), (false, false, true));
        let mut four = budget.hold(4, 301, 1000);
        assert_eq!((gone(&mut two), gone(&mut four)), (false, true));
        drop((three, four));
        assert_eq!(budget.metrics.outbound.get(), 700);
        // One that is too much by itself goes too, with all that is newer, and leaves the older ones alone.
        let mut huge = budget.hold(2000, 5000, 1000);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut huge)), (false, false, true));
        drop((one, two, huge));
        assert_eq!((budget.metrics.outbound.get(), budget.held.lock().by.len()), (0, 0));
    }
}
