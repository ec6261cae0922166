//! Every metric, named once, in base units and without account labels. The ops listener renders them for Prometheus.

mod kind;
mod process;
mod shared;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub use self::kind::Kind;
pub use self::shared::{ClusterMetrics, DatabaseMetrics, NodeState};

/// A command and its result: `ok` or the error's word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the labels' own names")]
pub struct Commanded {
    pub command: &'static str,
    pub result: &'static str,
}

/// An endpoint of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the label's own name")]
pub struct EndpointLabel {
    pub endpoint: String,
}

/// What came of something that was sent to an endpoint of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the labels' own names")]
pub struct EndpointResult {
    pub endpoint: String,
    pub result: &'static str,
}

/// A hook of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the label's own name")]
pub struct HookLabel {
    pub hook: &'static str,
}

/// What came of a call of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[allow(missing_docs, reason = "the labels' own names")]
pub struct HookResult {
    pub hook: &'static str,
    pub result: &'static str,
}

/// The metrics of one gateway, shared by reference.
#[derive(Debug)]
#[allow(missing_docs, reason = "each field's help text stands where it is registered")]
pub struct Metrics {
    registry: Registry,
    process: Registry,
    pub connections: Gauge,
    pub opened: Counter,
    pub sessions: Gauge,
    pub closed: Family<Kind, Counter>,
    pub logins: Family<Kind, Counter>,
    pub full_syncs: Family<Kind, Counter>,
    pub catch_ups: Timed,
    pub login_waits: Histogram,
    pub command_times: Timed,
    pub repairs: Family<Kind, Counter>,
    pub repair_records: Counter,
    pub commands: Family<Commanded, Counter>,
    pub changes: Counter,
    pub marks: Counter,
    pub conflated: Counter,
    pub delivery: Histogram,
    pub records: Counter,
    pub signals: Counter,
    pub signals_dropped: Counter,
    pub bytes: Counter,
    pub watermark: Gauge,
    pub watermark_lag: Gauge,
    pub watched_accounts: Gauge,
    pub commits: Counter,
    pub failed_writes: Counter,
    pub database: DatabaseMetrics,
    pub cluster: ClusterMetrics,
    pub feed_bytes: Gauge,
    pub feed_age: Gauge,
    pub feed_readers: Gauge,
    pub feed_events: Counter,
    pub key_sets: Family<Kind, Counter>,
    pub refused: Family<Kind, Counter>,
    pub outbound: Gauge,
    pub tls_failures: Counter,
    pub certificate_end: Family<Kind, Gauge>,
    pub reloads: Family<Kind, Counter>,
    pub clock_jumps: Counter,
    pub draining: Gauge,
    pub log_dropped: Family<Kind, Counter>,
    pub webhook_events: Family<EndpointResult, Counter>,
    pub webhook_requests: Family<EndpointResult, Counter>,
    pub webhook_request_times: Family<EndpointLabel, Histogram, fn() -> Histogram>,
    pub webhook_behind: Family<EndpointLabel, Gauge>,
    pub webhook_behind_changes: Family<EndpointLabel, Gauge>,
    pub webhook_state: Family<EndpointLabel, Gauge>,
    pub webhook_gaps: Family<EndpointLabel, Counter>,
    pub hook_calls: Family<HookResult, Counter>,
    pub hook_times: Family<HookLabel, Histogram, fn() -> Histogram>,
    pub hook_in_flight: Family<HookLabel, Gauge>,
    pub hook_open: Family<HookLabel, Gauge>,
}

/// Durations by kind.
pub type Timed = Family<Kind, Histogram, fn() -> Histogram>;

/// Creates a histogram from half a millisecond to eight seconds, where each bucket is twice the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 15))
}

fn timed() -> Timed {
    Family::new_with_constructor(seconds)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rosterd"),
            process: Registry::default(),
            connections: Gauge::default(),
            opened: Counter::default(),
            sessions: Gauge::default(),
            closed: Family::default(),
            logins: Family::default(),
            full_syncs: Family::default(),
            catch_ups: timed(),
            login_waits: seconds(),
            command_times: timed(),
            repairs: Family::default(),
            repair_records: Counter::default(),
            commands: Family::default(),
            changes: Counter::default(),
            marks: Counter::default(),
            conflated: Counter::default(),
            delivery: seconds(),
            records: Counter::default(),
            signals: Counter::default(),
            signals_dropped: Counter::default(),
            bytes: Counter::default(),
            watermark: Gauge::default(),
            watermark_lag: Gauge::default(),
            watched_accounts: Gauge::default(),
            commits: Counter::default(),
            failed_writes: Counter::default(),
            database: DatabaseMetrics::default(),
            cluster: ClusterMetrics::default(),
            feed_bytes: Gauge::default(),
            feed_age: Gauge::default(),
            feed_readers: Gauge::default(),
            feed_events: Counter::default(),
            key_sets: Family::default(),
            refused: Family::default(),
            outbound: Gauge::default(),
            tls_failures: Counter::default(),
            certificate_end: Family::default(),
            reloads: Family::default(),
            clock_jumps: Counter::default(),
            draining: Gauge::default(),
            log_dropped: Family::default(),
            webhook_events: Family::default(),
            webhook_requests: Family::default(),
            webhook_request_times: Family::new_with_constructor(seconds),
            webhook_behind: Family::default(),
            webhook_behind_changes: Family::default(),
            webhook_state: Family::default(),
            webhook_gaps: Family::default(),
            hook_calls: Family::default(),
            hook_times: Family::new_with_constructor(seconds),
            hook_in_flight: Family::default(),
            hook_open: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        self.register_clients();
        self.register_sync();
        self.register_operation();
        self.register_feed();
        self.register_webhooks();
        self.register_hooks();
        self.database.register(&mut self.registry);
        self.cluster.register(&mut self.registry);
    }

    fn register_clients(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "Open WebSocket connections", self.connections.clone());
        r.register("connections_opened", "WebSocket connections opened", self.opened.clone());
        r.register("sessions", "Logged-in sessions", self.sessions.clone());
        r.register("sessions_closed", "Connections ended, by close reason", self.closed.clone());
        r.register(
            "logins",
            "Logins, by kind of sync (FULL, DELTA, CURRENT, or REFUSED, UNAVAILABLE)",
            self.logins.clone(),
        );
        r.register("full_syncs", "Full syncs, by reason", self.full_syncs.clone());
        r.register_with_unit(
            "catch_up_duration",
            "From an accepted login until the client is in sync, by kind of sync",
            Unit::Seconds,
            self.catch_ups.clone(),
        );
        r.register_with_unit(
            "login_wait",
            "How long a login waited until what it had read was applied here",
            Unit::Seconds,
            self.login_waits.clone(),
        );
        r.register(
            "repairs",
            "Clients whose digest did not agree, by whether a part of the friend list did differ (DIFFERENT, SAME)",
            self.repairs.clone(),
        );
        r.register("repair_records", "Records sent by repairs", self.repair_records.clone());
        r.register("commands", "Commands after login, by name and result", self.commands.clone());
        r.register_with_unit(
            "command_duration",
            "From a command that was read to its answer, by name; a write's includes its commit",
            Unit::Seconds,
            self.command_times.clone(),
        );
    }

    fn register_sync(&mut self) {
        let r = &mut self.registry;
        r.register("changes_applied", "Committed changes applied to the hub", self.changes.clone());
        r.register("marks", "Marks set in outboxes", self.marks.clone());
        r.register("marks_conflated", "Marks that were set already", self.conflated.clone());
        r.register_with_unit(
            "delivery_duration",
            "From the commit of a change until a session that it concerns has written it to its client",
            Unit::Seconds,
            self.delivery.clone(),
        );
        r.register("records_sent", "Records pushed to clients after their catch-up", self.records.clone());
        r.register("signals", "Signals handed to sessions", self.signals.clone());
        r.register(
            "signals_dropped",
            "Signals not handed to sessions that read too slowly",
            self.signals_dropped.clone(),
        );
        r.register_with_unit("sent", "Payload and framing written to clients", Unit::Bytes, self.bytes.clone());
        r.register("horizon", "The revision up to which every change has been marked", self.watermark.clone());
        r.register_with_unit(
            "horizon_lag",
            "Changes applied that are not yet marked at everyone they concern, and those behind them",
            Unit::Other("changes".to_owned()),
            self.watermark_lag.clone(),
        );
        r.register("watched_accounts", "Accounts that a session is interested in", self.watched_accounts.clone());
    }

    fn register_operation(&mut self) {
        let r = &mut self.registry;
        r.register("build", "Which rosterd this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("draining", "1 from the signal to stop on, 0 before", self.draining.clone());
        r.register("store_commits", "Transactions committed", self.commits.clone());
        r.register("store_failed_writes", "Writes that could not be made durable", self.failed_writes.clone());
        r.register("key_set_reads", "Reads of the key set, by result (OK, FAILED)", self.key_sets.clone());
        r.register("refused", "What was refused or ended at a limit, or by a rule, by its name", self.refused.clone());
        r.register_with_unit(
            "outbound",
            "Bytes held for clients that read more slowly than updates come",
            Unit::Bytes,
            self.outbound.clone(),
        );
        // These have the usual names of process metrics, so no prefix.
        self.process.register_collector(Box::new(process::Process));
        r.register("tls_failed_handshakes", "TLS handshakes of clients that failed", self.tls_failures.clone());
        r.register_with_unit(
            "tls_certificate_end_timestamp",
            "When the certificate in use ends, by listener",
            Unit::Seconds,
            self.certificate_end.clone(),
        );
        r.register("clock_jumps", "Jumps of this machine's clock by more than 5 s", self.clock_jumps.clone());
        r.register("config_reloads", "Reloads of the settings, by result (OK, REFUSED)", self.reloads.clone());
        r.register(
            "log_dropped",
            "Lines that are not in the log, by reason: nobody read them (UNREAD), others of their kind came before (TOO_FAST)",
            self.log_dropped.clone(),
        );
    }

    fn register_feed(&mut self) {
        let r = &mut self.registry;
        r.register_with_unit("feed", "Size of the changes in the change log", Unit::Bytes, self.feed_bytes.clone());
        r.register_with_unit(
            "feed_oldest",
            "Age of the oldest change in the change log",
            Unit::Seconds,
            self.feed_age.clone(),
        );
        r.register("feed_readers", "Readers of the feed that may wait", self.feed_readers.clone());
        r.register("feed_events", "Events given to readers of the feed", self.feed_events.clone());
    }

    fn register_webhooks(&mut self) {
        let r = &mut self.registry;
        r.register(
            "webhook_events",
            "Events that endpoints have (delivered) or refused (dead), by endpoint",
            self.webhook_events.clone(),
        );
        r.register(
            "webhook_requests",
            "Requests to endpoints, by result (ok, refused, failed, timeout)",
            self.webhook_requests.clone(),
        );
        r.register_with_unit(
            "webhook_request",
            "From the beginning of a request to the end of its answer, by endpoint",
            Unit::Seconds,
            self.webhook_request_times.clone(),
        );
        r.register_with_unit(
            "webhook_behind",
            "The age of the oldest event that an endpoint lacks",
            Unit::Seconds,
            self.webhook_behind.clone(),
        );
        r.register_with_unit(
            "webhook_behind",
            "Changes after the position of an endpoint",
            Unit::Other("changes".to_owned()),
            self.webhook_behind_changes.clone(),
        );
        r.register(
            "webhook_state",
            "0: events are sent, 1: paused, 2: the endpoint is gone (410), 3: too many events were refused",
            self.webhook_state.clone(),
        );
        r.register("webhook_gaps", "Times that an endpoint was told of missing events", self.webhook_gaps.clone());
    }

    fn register_hooks(&mut self) {
        let r = &mut self.registry;
        r.register(
            "hook_calls",
            "Decisions of hooks, by result (allow, changed, deny; without a decision: timeout, error, open, full)",
            self.hook_calls.clone(),
        );
        r.register_with_unit(
            "hook",
            "From a question to its decision, the wait for a connection included, by hook",
            Unit::Seconds,
            self.hook_times.clone(),
        );
        r.register("hook_in_flight", "Calls of hooks that are out", self.hook_in_flight.clone());
        r.register("hook_open", "1 while a hook mostly fails and is not called", self.hook_open.clone());
    }

    /// Renders the metrics in the Prometheus text format.
    ///
    /// # Panics
    /// Never: a `String` takes all that is written.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.process))
            .and_then(|()| encode_eof(&mut text));
        written.expect("a String takes all that is written");
        text
    }
}
