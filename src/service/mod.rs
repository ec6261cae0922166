//! The use cases, called by the gateway and the server API alike: log in, catch up, drain, change, look up.
//!
//! It reads and writes through the store and the hub, and alone turns their failures into answers. It knows no
//! encoding and no socket.

mod bulk;
mod catch_up;
mod expiry;
mod explain;
mod live;
mod login;
mod presence;
mod profile;
mod repair;
mod roster;
mod sessions;
mod signal;
mod tokens;
mod visible;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::mpsc;

pub use bulk::Export;
pub use catch_up::{CatchUp, Record, RecordPage};
pub use expiry::expire_requests;
pub use explain::{ExplainedSession, Explanation, Obstacle, Relation};
pub use login::LoggedIn;
pub use presence::{keep_presence, record as presence_record, restore_presence};
pub use repair::Repair;
pub use roster::{BlocksPage, FriendsPage};
pub use sessions::{SessionInfo, SessionStatus};
pub use tokens::keep_keys;

use crate::auth::Authenticator;
use crate::hub::feed::Feed;
use crate::hub::{Hub, SessionsLimit};
use crate::metrics::Metrics;
use crate::store::{CommitBatch, Store, StoreClock, StoreError, Write, WriteError, system_clock};
use rosterd_engine::model::{Answer, Cursor, FriendsPolicy, Millis, Reason, RequestError, SessionId};

/// When a client may try again what the store could not do.
const STORE_RETRY_MS: u64 = 1000;

/// What a use case needs. One for the whole node.
pub struct Service {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    /// Replaced as a whole when the settings are read anew.
    auth: RwLock<Arc<Authenticator>>,
    metrics: Arc<Metrics>,
    settings: ServiceSettings,
    machine: NodeEnvironment,
}

/// What a node runs on. A simulation has its own.
#[derive(Clone)]
pub struct NodeEnvironment {
    /// The time that is told to clients, and that tokens and presence go by.
    pub clock: StoreClock,
    /// Where the ids of sessions come from.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Relations read at a time; what a session holds in memory while it catches up.
    pub page: usize,
}

impl Default for NodeEnvironment {
    fn default() -> Self {
        let random = || getrandom::u64().expect("the system's random source works once it has started");
        Self { clock: system_clock(), random: Arc::new(random), page: 500 }
    }
}

/// What an operator sets about the use cases.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Whether a login with a good token makes the account it names.
    pub create_accounts: bool,
    /// How clients become friends.
    pub friends: FriendsPolicy,
    /// How many sessions an account may have.
    pub sessions: SessionsLimit,
    /// How long an account counts as online after its last session left.
    pub linger: Duration,
}

impl Service {
    /// The use cases on an open store, and the hub that its feed is applied to.
    pub fn new(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        auth: Authenticator,
        metrics: Arc<Metrics>,
        settings: ServiceSettings,
    ) -> Self {
        Self { store, hub, auth: RwLock::new(Arc::new(auth)), metrics, settings, machine: NodeEnvironment::default() }
    }

    /// The same, running on something else than this machine.
    #[must_use]
    pub fn on(self, machine: NodeEnvironment) -> Self {
        Self { machine, ..self }
    }

    /// The wall clock.
    #[must_use]
    pub fn now(&self) -> Millis {
        (self.machine.clock)()
    }

    /// The live state, for the listeners that count and end sessions.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The metrics in the Prometheus text format.
    #[must_use]
    pub fn render_metrics(&self) -> String {
        self.metrics.watched_accounts.set(self.hub.watched_accounts() as i64);
        self.metrics.render()
    }

    /// The cursor a client may be given for this stamp.
    #[must_use]
    pub fn cursor(&self, horizon: u64) -> Cursor {
        Cursor { epoch: self.store.lineage().epoch, horizon }
    }

    async fn write(&self, write: Write) -> Result<Vec<Answer>, (usize, RequestError)> {
        self.store.write(write).await.map_err(|error| match error {
            WriteError::Refused { at, error } => (at, error),
            WriteError::Failed(error) => {
                self.metrics.failed_writes.inc();
                (0, unavailable(&error))
            }
        })
    }

    async fn write_one(
        &self,
        command: rosterd_engine::model::Command,
        origin: Option<SessionId>,
    ) -> Result<Answer, RequestError> {
        let mut answers = self.write(Write { commands: vec![command], origin }).await.map_err(|(_, error)| error)?;
        Ok(answers.pop().expect("a store answers every command"))
    }
}

/// Applies a store's commits to the hub and answers those who wait, until the store closes its feed.
pub async fn consume(mut commits: mpsc::Receiver<CommitBatch>, mut feed: Feed, metrics: Arc<Metrics>) {
    loop {
        let batch = if feed.is_sweeping() {
            match commits.try_recv() {
                Ok(batch) => Some(batch),
                Err(mpsc::error::TryRecvError::Empty) => None,
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        } else {
            match commits.recv().await {
                Some(batch) => Some(batch),
                None => return,
            }
        };
        if let Some(batch) = batch {
            metrics.commits.inc();
            feed.committed(batch.committed);
            feed.apply(&batch.changes);
            batch.answer();
        }
        feed.sweep();
        tokio::task::yield_now().await;
    }
}

fn unavailable(error: &StoreError) -> RequestError {
    RequestError::new(Reason::Unavailable, format!("the store cannot do this now: {error}")).retry_after(STORE_RETRY_MS)
}
