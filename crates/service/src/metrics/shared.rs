//! Metrics of a store in a database, and of gateways that share one.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::kind::Kind;

/// Whether a gateway serves (`SERVES`) or stops (`STOPS`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the label's own name")]
pub struct NodeState {
    pub state: &'static str,
}

/// What a store in a database counts. Clones count together.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field's help text stands where it is registered")]
pub struct DatabaseMetrics {
    pub lock_wait: Histogram,
    pub lock_held: Histogram,
    pub lock_holders_ended: Counter,
    pub in_doubt: Family<Kind, Counter>,
    pub replica_reads: Family<Kind, Counter>,
    pub feed_lag: Histogram,
    pub feed_read_rows: Counter,
    pub feed_unwoken: Counter,
    pub feed_holes: Counter,
    pub nats_batches: Counter,
    pub nats_refused: Family<Kind, Counter>,
    pub nats_connected: Gauge,
}

/// What a gateway counts of those that share its database. Clones count together.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "each field's help text stands where it is registered")]
pub struct ClusterMetrics {
    pub feed_lag_changes: Gauge,
    pub contact_age: Gauge<f64, AtomicU64>,
    pub cut_off: Gauge,
    pub leads: Family<Kind, Gauge>,
    pub nodes: Family<NodeState, Gauge>,
    pub nodes_lost: Counter,
    pub sent: Counter,
    pub unanswered: Counter,
    pub dropped: Counter,
}

/// Creates a histogram from a quarter of a millisecond to eight seconds.
fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.00025, 2.0, 16))
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        Self {
            lock_wait: waits(),
            lock_held: waits(),
            lock_holders_ended: Counter::default(),
            in_doubt: Family::default(),
            replica_reads: Family::default(),
            feed_lag: waits(),
            feed_read_rows: Counter::default(),
            feed_unwoken: Counter::default(),
            feed_holes: Counter::default(),
            nats_batches: Counter::default(),
            nats_refused: Family::default(),
            nats_connected: Gauge::default(),
        }
    }
}

impl DatabaseMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "store_in_doubt",
            "Commits whose outcome was not known at once, by what came out (DONE, NOT), and writes of which it is not known (UNKNOWN)",
            self.in_doubt.clone(),
        );
        r.register(
            "store_replica_reads",
            "Friend lists that a replica was asked for: READ there, or of the primary because it was BEHIND or it FAILED",
            self.replica_reads.clone(),
        );
        r.register_with_unit(
            "store_lock_wait",
            "How long a transaction waited for the lock of all writes",
            Unit::Seconds,
            self.lock_wait.clone(),
        );
        r.register_with_unit(
            "store_lock_held",
            "How long a transaction held the lock of all writes",
            Unit::Seconds,
            self.lock_held.clone(),
        );
        r.register(
            "store_lock_holders_ended",
            "Sessions of the database that held the lock and did nothing, and were ended",
            self.lock_holders_ended.clone(),
        );
        r.register_with_unit(
            "feed_lag",
            "From a change on another gateway until it was read here, by the database's clock",
            Unit::Seconds,
            self.feed_lag.clone(),
        );
        r.register("feed_read_rows", "Batches of other gateways that were read", self.feed_read_rows.clone());
        r.register(
            "feed_unwoken",
            "Times that changes of other gateways were found without a word from them",
            self.feed_unwoken.clone(),
        );
        r.register("feed_holes", "Times that the log did not go on where it was read last", self.feed_holes.clone());
        r.register(
            "nats_batches",
            "Batches of other gateways that came over NATS, and were not read from the database",
            self.nats_batches.clone(),
        );
        r.register(
            "nats_refused",
            "Messages on NATS that were not used, by reason (FORGED, EPOCH, REPEATED, FULL, DAMAGED)",
            self.nats_refused.clone(),
        );
        r.register("nats_connected", "1 while the gateway is connected to NATS", self.nats_connected.clone());
    }
}

impl ClusterMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register_with_unit(
            "feed_lag",
            "Changes that some gateway is known to have and that are not applied here",
            Unit::Other("changes".to_owned()),
            self.feed_lag_changes.clone(),
        );
        r.register_with_unit(
            "store_contact_age",
            "How long ago the database answered about other gateways last",
            Unit::Seconds,
            self.contact_age.clone(),
        );
        r.register("cut_off", "1 while the gateway is not ready for want of the database", self.cut_off.clone());
        r.register("leads", "1 for what this gateway does for all of them (WEBHOOKS)", self.leads.clone());
        r.register("nodes", "Gateways at the database, by state (SERVES, STOPS)", self.nodes.clone());
        r.register("nodes_lost", "Gateways that this one found dead and removed", self.nodes_lost.clone());
        r.register("bus_sent", "Messages for other gateways", self.sent.clone());
        r.register("bus_unanswered", "Questions that another gateway did not answer in time", self.unanswered.clone());
        r.register("bus_dropped", "Messages that were lost here before they were sent or done", self.dropped.clone());
    }
}
