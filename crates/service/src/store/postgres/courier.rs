//! Hands batches to other gateways besides the log, and takes theirs, over a network that may lose, repeat and reorder them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::batch_network::{BatchNetwork, CourierEnd, refuse};
use super::batch_seal::{BatchSeal, CarriedRow};
use crate::metrics::DatabaseMetrics;
use crate::store::log_rows::log_rows;
use rosterd_engine::model::{Change, Revision};

/// How many messages wait for the network, how many for who reads the log, and how many rows for one before them.
const WAITING: usize = 64;

/// The writer's end.
pub(super) struct Carrier {
    seal: Arc<BatchSeal>,
    epoch: i64,
    writer: i64,
    outgoing: mpsc::Sender<Vec<u8>>,
    connected: Arc<AtomicBool>,
}

/// The end of who reads the log: rows that came, until they go on where the log was read.
pub(super) struct CarriedRows {
    seal: Arc<BatchSeal>,
    incoming: mpsc::Receiver<Vec<u8>>,
    connected: Arc<AtomicBool>,
    waiting: BTreeMap<Revision, CarriedRow>,
    metrics: DatabaseMetrics,
}

/// The ends that a process has, if there is a network.
pub(super) struct Courier {
    pub carrier: Option<Carrier>,
    pub rows: Option<CarriedRows>,
    /// What the network does.
    pub carrying: Option<BoxFuture<'static, ()>>,
}

impl Courier {
    /// No ends: there is no network.
    pub(super) fn none() -> Self {
        Self { carrier: None, rows: None, carrying: None }
    }

    /// Makes the ends of a process that writes under this number in this epoch.
    pub(super) fn new(
        network: &dyn BatchNetwork,
        seal: BatchSeal,
        (epoch, writer): (i64, i64),
        metrics: &DatabaseMetrics,
    ) -> Self {
        let seal = Arc::new(seal);
        let ((sender, outgoing), (incoming, came)) = (mpsc::channel(WAITING), mpsc::channel(WAITING));
        let (connected, subject) = (Arc::new(AtomicBool::new(false)), seal.subject().to_owned());
        let carrier = Carrier { seal: seal.clone(), epoch, writer, outgoing: sender, connected: connected.clone() };
        let rows = CarriedRows {
            seal,
            incoming: came,
            connected: connected.clone(),
            waiting: BTreeMap::new(),
            metrics: metrics.clone(),
        };
        let end = CourierEnd { subject, outgoing, incoming, connected, metrics: metrics.clone() };
        Self { carrier: Some(carrier), rows: Some(rows), carrying: Some(network.carry(end)) }
    }
}

impl Carrier {
    /// Hands the changes of a batch over, with its nonce and the number of the rules that it was decided by, and returns whether all of them are on their way, as far as is known.
    pub(super) fn carry(&self, changes: &[Change], (nonce, rules): (i64, i64)) -> bool {
        self.connected.load(Ordering::Acquire)
            && log_rows(changes).into_iter().all(|row| {
                let ((first, last), packed) = (row.span, Some(row.packed));
                let row = CarriedRow { epoch: self.epoch, writer: self.writer, nonce, rules, first, last, packed };
                self.seal.seal(&row).is_ok_and(|message| self.outgoing.try_send(message).is_ok())
            })
    }
}

impl CarriedRows {
    /// Returns whether others can be expected to come this way.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Waits for a message.
    pub(super) async fn message(&mut self) -> Vec<u8> {
        match self.incoming.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// Takes a message of this epoch, after the log was read up to a revision; `false` if it is of no use.
    pub(super) fn take(&mut self, message: &[u8], epoch: i64, read: Revision) -> bool {
        let refused = match self.seal.open(message) {
            None => "FORGED",
            Some(row) if row.epoch != epoch => "EPOCH",
            Some(row) if row.first <= read || self.waiting.contains_key(&row.first) => "REPEATED",
            Some(row) if self.waiting.len() < WAITING => {
                self.waiting.insert(row.first, row);
                return true;
            }
            Some(_) => "FULL",
        };
        refuse(&self.metrics, refused);
        false
    }

    /// Returns the row that goes on where the log was read.
    pub(super) fn next(&mut self, read: Revision) -> Option<CarriedRow> {
        self.waiting.remove(&(read + 1))
    }

    /// Returns whether rows wait for one before them.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Drops what waits: whatever it is, the log has it.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Kind;

    #[test]
    fn rows_wait_for_those_before_them_and_others_are_counted_and_dropped() {
        let (seal, metrics) = (Arc::new(BatchSeal::new(b"secret", "1/2/3")), DatabaseMetrics::default());
        let (_, incoming) = mpsc::channel(1);
        let (connected, waiting) = (Arc::default(), BTreeMap::new());
        let mut rows = CarriedRows { seal: seal.clone(), incoming, connected, waiting, metrics: metrics.clone() };
        let message = |epoch, first: Revision| {
            let row = CarriedRow { epoch, writer: 1, nonce: 2, rules: 3, first, last: first + 1, packed: None };
            seal.seal(&row).unwrap()
        };
        let refused = |kind| metrics.nats_refused.get_or_create(&Kind { kind }).get();
        assert!(!rows.take(&message(6, 11), 5, 10));
        assert_eq!(refused("EPOCH"), 1);
        assert!(!rows.take(&message(5, 9), 5, 10));
        assert!(rows.take(&message(5, 13), 5, 10) && !rows.take(&message(5, 13), 5, 10));
        assert_eq!(refused("REPEATED"), 2);
        assert!(rows.next(10).is_none() && rows.waits());
        assert!(rows.take(&message(5, 11), 5, 10));
        let next: Vec<_> = [10, 12].map(|read| rows.next(read).unwrap().last).into();
        assert_eq!(next, [12, 14]);
        assert!(!rows.waits());
        for first in 0..WAITING as u64 {
            assert!(rows.take(&message(5, 100 + first), 5, 10));
        }
        assert!(!rows.take(&message(5, 99), 5, 10));
        assert_eq!((refused("FULL"), refused("FORGED")), (1, 0));
        rows.clear();
        assert!(!rows.waits());
    }
}
