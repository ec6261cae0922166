//! The state of a node that serves accounts together with others.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::clock::ClusterClock;
use super::forwarded_call::ForwardHandler;
use super::message::{NodeAnswer, NodeStatus};
use super::own_changes::UnstoredSessions;
use crate::metrics::ClusterMetrics;
use crate::store::StoreClock;
use crate::store::nodes::{NodeBeat, NodePhase, NodeRow, NodeStore};
use rosterd_engine::model::{Millis, NodeId, Revision};
use rosterd_engine::sync::liveness::LivenessObserver;

/// The messages of other nodes that are carried out at the same time.
const INCOMING: usize = 256;

/// The messages that wait to be sent.
const OUTBOX: usize = 4096;

/// How a node serves accounts together with others.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// What operators call this node.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The settings that all nodes must have alike, each as `key=value`.
    pub rules: Vec<String>,
    /// How often it says that it lives.
    pub beat: Duration,
    /// How long another's beat may stand still.
    pub dead_after: Duration,
    /// How often it looks for what others did, whoever says so or not.
    pub poll: Duration,
    /// How long without contact to the database until it says that it is not ready.
    pub unready_after: Duration,
    /// How long without contact to the database until it ends.
    pub cut_off: Duration,
}

/// A node that serves accounts together with others.
pub struct SharedNode {
    pub(super) store: Arc<dyn NodeStore>,
    pub(super) settings: ClusterSettings,
    pub(super) clock: ClusterClock,
    pub(super) state: Mutex<SharedState>,
    /// The changes of the own sessions that are not stored yet. Held while they are stored.
    pub(super) own: tokio::sync::Mutex<UnstoredSessions>,
    /// Held while sessions of others are read, or forgotten.
    pub(super) directory: tokio::sync::Mutex<()>,
    /// What is to be sent to other nodes; what finds no room gets lost.
    pub(super) outbox: mpsc::Sender<(NodeId, Vec<u8>)>,
    pub(super) to_send: tokio::sync::Mutex<mpsc::Receiver<(NodeId, Vec<u8>)>>,
    /// Who brings events to endpoints.
    pub(super) lease: Mutex<KnownLease>,
    /// Who waits for answers, by the numbers of the questions.
    pub(super) asked: Mutex<HashMap<u64, oneshot::Sender<NodeAnswer>>>,
    pub(super) asks: AtomicU64,
    pub(super) incoming: Arc<Semaphore>,
    pub(super) metrics: ClusterMetrics,
    /// Carries out what others pass on.
    pub(super) forwarded: OnceLock<ForwardHandler>,
    /// Whether the database has been away for so long that the gateway ends.
    pub(super) over: watch::Sender<bool>,
}

/// A lease as this node knows it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct KnownLease {
    pub holder: Option<NodeId>,
    /// Until when it is this node's.
    pub until: Option<Instant>,
}

/// What changes with each look at the others.
pub(super) struct SharedState {
    pub me: NodeId,
    pub observer: LivenessObserver,
    pub others: Vec<NodeRow>,
    /// Nodes that were forgotten and whose rows may still be there.
    pub forgotten: BTreeSet<NodeId>,
    /// Nodes that are being removed.
    pub burying: BTreeSet<NodeId>,
    /// Nodes whose sessions were read and that were not there at the last look.
    pub missing: BTreeSet<NodeId>,
    pub begun: Instant,
    /// When the database answered last.
    pub contact: Instant,
    /// How long the accounts here count as being there from the begin of the stop on, once it has begun.
    pub stops: Option<Duration>,
}

/// Another node, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNode {
    /// What they call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: Millis,
    /// When it was heard of last, by the database's clock.
    pub heard: Millis,
    /// Whether it serves, and does not stop.
    pub serves: bool,
    /// The last change that is applied there.
    pub applied: Revision,
    /// What it says of itself.
    pub status: NodeStatus,
}

impl SharedNode {
    /// Creates it; it joins the others with [`Service::join_others`](crate::service::Service::join_others).
    #[must_use]
    pub fn new(store: Arc<dyn NodeStore>, settings: ClusterSettings, metrics: ClusterMetrics) -> Self {
        let now = Instant::now();
        let state = SharedState {
            me: NodeId(0),
            observer: LivenessObserver::new(settings.beat, settings.dead_after),
            others: Vec::new(),
            forgotten: BTreeSet::new(),
            burying: BTreeSet::new(),
            missing: BTreeSet::new(),
            begun: now,
            contact: now,
            stops: None,
        };
        let (outbox, to_send) = mpsc::channel(OUTBOX);
        Self {
            outbox,
            to_send: tokio::sync::Mutex::new(to_send),
            store,
            settings,
            clock: ClusterClock::default(),
            state: Mutex::new(state),
            own: tokio::sync::Mutex::default(),
            directory: tokio::sync::Mutex::default(),
            lease: Mutex::default(),
            asked: Mutex::default(),
            asks: AtomicU64::new(1),
            incoming: Arc::new(Semaphore::new(INCOMING)),
            metrics,
            forwarded: OnceLock::new(),
            over: watch::Sender::new(false),
        }
    }

    /// Replaces the clock of the machine.
    #[must_use]
    pub fn on_clock(self, machine: StoreClock) -> Self {
        Self { clock: ClusterClock::on(machine), ..self }
    }

    /// Returns the clock that all nodes have in common.
    #[must_use]
    pub fn clock(&self) -> &ClusterClock {
        &self.clock
    }

    /// Returns this node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.state.lock().me
    }

    /// Returns what operators call this node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns whether the database has not answered for so long that balancers should know.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.state.lock().contact.elapsed() >= self.settings.unready_after
    }

    /// Waits until the database has not answered for so long that revocations and blocks may not have reached the sessions
    /// here.
    pub async fn over(&self) {
        // The sender is here, so it is there.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Returns the other nodes as they were at the last look, except dead ones.
    #[must_use]
    pub fn others(&self) -> Vec<OtherNode> {
        let state = self.state.lock();
        let others = state.others.iter().filter(|row| row.phase != NodePhase::Dead);
        let others = others.map(|row| OtherNode {
            name: row.name.clone(),
            version: row.version.clone(),
            started: row.started,
            heard: row.beat_time,
            serves: row.phase == NodePhase::Serves,
            applied: row.applied,
            status: serde_json::from_str(&row.status).unwrap_or_default(),
        });
        others.collect()
    }

    /// Returns the ids of the other nodes that serve.
    pub(super) fn other_ids(&self) -> Vec<NodeId> {
        let state = self.state.lock();
        state.others.iter().filter(|row| row.phase == NodePhase::Serves).map(|row| row.id).collect()
    }

    /// Returns what operators call a node.
    pub(super) fn name_of(&self, node: NodeId) -> String {
        let state = self.state.lock();
        let found = state.others.iter().find(|row| row.id == node);
        found.map_or_else(|| node.to_string(), |row| row.name.clone())
    }

    /// Returns what this node says of itself.
    pub(super) fn own_beat(&self, applied: u64, status: String) -> NodeBeat {
        let stops = self.state.lock().stops.map(|grace| grace.as_millis() as Millis);
        let keep_ended = 2 * self.settings.cut_off.as_millis() as Millis;
        NodeBeat { applied, stops, status, keep_ended }
    }

    /// Returns the number of the next question.
    pub(super) fn next_ask(&self) -> u64 {
        self.asks.fetch_add(1, Ordering::Relaxed)
    }
}
