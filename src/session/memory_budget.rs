//! Bounds the memory that is held for clients that read slowly, and ends the newest connections when it is too much.
//!
//! A session holds one batch at a time, but a batch may be large, and there may be very many sessions. Only batches that
//! wait are counted: a write that the system takes at once costs nothing here. The newest connections end first, so that
//! a flood of new ones cannot push out those that were there before.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::metrics::{Kind, Metrics};

/// The memory that all connections hold.
pub(super) struct MemoryBudget {
    usage: Mutex<HeldBytes>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct HeldBytes {
    bytes: usize,
    /// By the number of the connection: the newest is last.
    by: BTreeMap<u64, (usize, oneshot::Sender<()>)>,
}

/// The memory that one connection holds. Dropping it gives the memory back.
pub(super) struct HeldMemory<'a> {
    memory_budget: &'a MemoryBudget,
    number: u64,
    shed: oneshot::Receiver<()>,
}

impl MemoryBudget {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { usage: Mutex::default(), metrics }
    }

    /// Counts `bytes` that a connection holds, which holds nothing else. If all connections then hold more than `most`,
    /// the newest have to end until they hold less, this one perhaps among them.
    pub(super) fn hold(&self, number: u64, bytes: usize, most: usize) -> HeldMemory<'_> {
        let (end, shed) = oneshot::channel();
        let mut usage = self.usage.lock();
        usage.bytes += bytes;
        usage.by.insert(number, (bytes, end));
        while usage.bytes > most {
            let Some((_, (bytes, end))) = usage.by.pop_last() else { break };
            usage.bytes -= bytes;
            self.metrics.refused.get_or_create(&Kind { kind: "OUTBOUND_BYTES" }).inc();
            let _ = end.send(());
        }
        self.metrics.outbound.set(usage.bytes as i64);
        HeldMemory { memory_budget: self, number, shed }
    }
}

impl HeldMemory<'_> {
    /// Resolves when the connection has to end.
    pub(super) async fn shed(&mut self) {
        // The sender is dropped with this.
        if (&mut self.shed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for HeldMemory<'_> {
    fn drop(&mut self) {
        let mut usage = self.memory_budget.usage.lock();
        if let Some((bytes, _)) = usage.by.remove(&self.number) {
            usage.bytes -= bytes;
        }
        self.memory_budget.metrics.outbound.set(usage.bytes as i64);
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
        assert_eq!((memory_budget.metrics.outbound.get(), memory_budget.usage.lock().by.len()), (0, 0));
    }
}
