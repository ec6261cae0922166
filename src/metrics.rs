//! Every metric, named once. Base units, no account labels; rendered as Prometheus text by the ops listener.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// One label with a value out of a small fixed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the label's own name")]
pub struct Kind {
    pub kind: &'static str,
}

/// A command and what came of it: `ok` or the error's word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the labels' own names")]
pub struct Commanded {
    pub command: &'static str,
    pub result: &'static str,
}

/// The counters of one gateway. Cheap to bump; shared by reference.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field's help text stands where it is registered")]
pub struct Metrics {
    registry: Registry,
    pub connections: Gauge,
    pub sessions: Gauge,
    pub closed: Family<Kind, Counter>,
    pub logins: Family<Kind, Counter>,
    pub full_syncs: Family<Kind, Counter>,
    pub repairs: Family<Kind, Counter>,
    pub repair_records: Counter,
    pub commands: Family<Commanded, Counter>,
    pub changes: Counter,
    pub marks: Counter,
    pub conflated: Counter,
    pub records: Counter,
    pub signals: Counter,
    pub signals_dropped: Counter,
    pub bytes: Counter,
    pub horizon: Gauge,
    pub watched_accounts: Gauge,
    pub commits: Counter,
    pub failed_writes: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rosterd"),
            connections: Gauge::default(),
            sessions: Gauge::default(),
            closed: Family::default(),
            logins: Family::default(),
            full_syncs: Family::default(),
            repairs: Family::default(),
            repair_records: Counter::default(),
            commands: Family::default(),
            changes: Counter::default(),
            marks: Counter::default(),
            conflated: Counter::default(),
            records: Counter::default(),
            signals: Counter::default(),
            signals_dropped: Counter::default(),
            bytes: Counter::default(),
            horizon: Gauge::default(),
            watched_accounts: Gauge::default(),
            commits: Counter::default(),
            failed_writes: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "Open WebSocket connections", self.connections.clone());
        r.register("sessions", "Logged-in sessions", self.sessions.clone());
        r.register("sessions_closed", "Connections ended, by close reason", self.closed.clone());
        r.register(
            "logins",
            "Logins, by kind of sync (FULL, DELTA, CURRENT, or REFUSED, UNAVAILABLE)",
            self.logins.clone(),
        );
        r.register("full_syncs", "Full syncs, by reason", self.full_syncs.clone());
        r.register(
            "repairs",
            "Clients whose digest did not agree, by whether a part of the friend list did differ (DIFFERENT, SAME)",
            self.repairs.clone(),
        );
        r.register("repair_records", "Records told by repairs", self.repair_records.clone());
        r.register("commands", "Commands after login, by name and result", self.commands.clone());
        r.register("changes_applied", "Committed changes applied to the hub", self.changes.clone());
        r.register("marks", "Marks set in outboxes", self.marks.clone());
        r.register("marks_conflated", "Marks that were set already", self.conflated.clone());
        r.register("records_sent", "Records pushed to clients after their catch-up", self.records.clone());
        r.register("signals", "Signals handed to sessions", self.signals.clone());
        r.register(
            "signals_dropped",
            "Signals not handed to sessions that read too slowly",
            self.signals_dropped.clone(),
        );
        r.register_with_unit("sent", "Payload and framing written to clients", Unit::Bytes, self.bytes.clone());
        r.register("horizon", "The stamp up to which every change has been marked", self.horizon.clone());
        r.register("watched_accounts", "Accounts that a session is interested in", self.watched_accounts.clone());
        r.register("store_commits", "Transactions committed", self.commits.clone());
        r.register("store_failed_writes", "Writes that could not be made durable", self.failed_writes.clone());
    }

    /// The metrics in the Prometheus text format.
    ///
    /// # Panics
    /// Never: a `String` takes all that is written.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all that is written");
        text
    }
}
