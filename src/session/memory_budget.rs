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
pub(super) struct MemoryBudget {
    held: Mutex<HeldBytes>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct HeldBytes {
    bytes: usize,
    /// By the number of the connection: the newest is last.
    by: BTreeMap<u64, (usize, oneshot::Sender<()>)>,
}

/// What one connection holds, for as long as it does.
pub(super) struct HeldMemory<'a> {
    memory_budget: &'a MemoryBudget,
    number: u64,
    shed: oneshot::Receiver<()>,
}

impl MemoryBudget {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { held: Mutex::default(), metrics }
    }

    /// Counts what a connection holds, which holds nothing else. If that is more than `most` with what others hold, the
    /// newest of all have to go until it is not, this one perhaps among them.
    pub(super) fn hold(&self, number: u64, bytes: usize, most: usize) -> HeldMemory<'_> {
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
        HeldMemory { memory_budget: self, number, shed }
    }
}

impl HeldMemory<'_> {
    /// Resolves when the connection has to go.
    pub(super) async fn shed(&mut self) {
        // The sender is dropped with this.
        if (&mut self.shed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for HeldMemory<'_> {
    fn drop(&mut self) {
        let mut held = self.memory_budget.held.lock();
        if let Some((bytes, _)) = held.by.remove(&self.number) {
            held.bytes -= bytes;
        }
        self.memory_budget.metrics.outbound.set(held.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_newest_go_until_it_fits_and_what_is_let_go_makes_room() {
        let memory_budget = MemoryBudget::new(Arc::default());
        let gone = |holding: &mut HeldMemory<'_>| holding.shed().now_or_never().is_some();
        let (mut one, mut three) = (memory_budget.hold(1, 400, 1000), memory_budget.hold(3, 400, 1000));
        let mut two = memory_budget.hold(2, 300, 1000);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut three)), (false, false, true));
        let mut four = memory_budget.hold(4, 301, 1000);
        assert_eq!((gone(&mut two), gone(&mut four)), (false, true));
        drop((three, four));
        assert_eq!(memory_budget.metrics.outbound.get(), 700);
        // One that is too much by itself goes too, with all that is newer, and leaves the older ones alone.
        let mut huge = memory_budget.hold(2000, 5000, 1000);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut huge)), (false, false, true));
        drop((one, two, huge));
        assert_eq!((memory_budget.metrics.outbound.get(), memory_budget.held.lock().by.len()), (0, 0));
    }
}
