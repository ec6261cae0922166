//! Holds what the use cases need: the store, the hub, what verifies tokens, and the settings.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::clock::{ClockLook, ClockWatch};
use super::cluster::SharedNode;
use super::feed_progress::FeedProgress;
use super::hooks::HookDecisions;
use super::schema_cache::SchemaCache;
use crate::auth::Authenticator;
use crate::hub::{Hub, SessionsLimit};
use crate::metrics::{Kind, Metrics};
use crate::store::{AuditEntry, AuditLog, ChangeLog, Store, StoreClock, StoreError, Write, WriteError, system_clock};
use rosterd_engine::model::{
    Answer, Command, Cursor, FriendsPolicy, Millis, Reason, RequestError, Revision, Visibility, WriteOrigin,
    WriteRights,
};

/// The milliseconds after which a client may try again what the store could not do.
pub(super) const STORE_RETRY_MS: u64 = 1000;

/// The most readers of the feed that wait for an event.
pub(super) const WAITING_READERS: usize = 64;

/// The use cases, with what they need. There is one for the whole node.
pub struct Service {
    pub(super) store: Arc<dyn Store>,
    pub(super) hub: Arc<Hub>,
    /// Replaced as a whole when the settings are read anew.
    pub(super) auth: RwLock<Arc<Authenticator>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: ServiceSettings,
    /// Those of the settings at first. Replaced as a whole when the settings are read anew.
    pub(super) write_rights: Arc<RwLock<Arc<WriteRights>>>,
    pub(super) schema_cache: SchemaCache,
    /// The rules about who sees what that were wanted last; `None` if those of the start are.
    pub(super) wanted_rules: watch::Sender<Option<Visibility>>,
    pub(super) environment: NodeEnvironment,
    pub(super) feed_progress: FeedProgress,
    pub(super) clock_watch: ClockWatch,
    /// `None` where nobody follows the changes.
    pub(super) log: Option<Arc<dyn ChangeLog>>,
    /// `None` where there are no operators.
    pub(super) audit: Option<Arc<dyn AuditLog>>,
    /// `None` where nobody is asked before a write.
    pub(super) hooks: Option<Arc<dyn HookDecisions>>,
    /// `None` where no other node serves these accounts.
    pub(super) shared: Option<Arc<SharedNode>>,
    /// Places for readers of the feed that wait for an event.
    pub(super) feed_readers: Arc<Semaphore>,
    /// The pages of long friend lists that may be read at the same time.
    pub(super) list_pages: Semaphore,
}

/// The environment that a node runs in. A simulation has its own.
#[derive(Clone)]
pub struct NodeEnvironment {
    /// The wall clock: the time that clients get, and that tokens and presence go by.
    pub clock: StoreClock,
    /// The source of the ids of sessions.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// The friends read at a time, which a session holds in memory while it catches up.
    pub page: usize,
    /// How many sessions read a further page of a long list at the same time. Each page costs some milliseconds of CPU, and
    /// whoever waits for a change or a short answer needs the rest of the machine.
    pub list_readers: usize,
    /// How many blocks of an account are read at most for all its followers together. Of an account with more, each
    /// follower reads its own.
    pub few_blocks: usize,
    /// What a session waits for between taking what is pending and looking at what it may see, where other threads run.
    /// `None` on a machine that has them; a simulation has one thread.
    pub interleave: Option<Interleave>,
    /// How long after a jump of the clock nothing is done because of age alone.
    pub settle: Duration,
}

/// Makes something to wait for.
pub type Interleave = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Default for NodeEnvironment {
    fn default() -> Self {
        let random = || getrandom::u64().expect("the system's random source works once it has started");
        Self {
            clock: system_clock(),
            random: Arc::new(random),
            page: 500,
            few_blocks: 32,
            list_readers: (thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1),
            interleave: None,
            settle: Duration::from_hours(1),
        }
    }
}

/// The settings of the use cases.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Whether a login with a good token makes the account it names.
    pub create_accounts: bool,
    /// How clients become friends.
    pub friends: FriendsPolicy,
    /// Who may write which field of a profile.
    pub write: WriteRights,
    /// How many sessions an account may have.
    pub sessions: SessionsLimit,
    /// How long an account counts as online after its last session left.
    pub linger: Duration,
}

impl Service {
    /// Makes the use cases of an open store, and of the hub that its feed is applied to.
    pub fn new(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        auth: Authenticator,
        metrics: Arc<Metrics>,
        settings: ServiceSettings,
    ) -> Self {
        let environment = NodeEnvironment::default();
        Self {
            list_pages: Semaphore::new(environment.list_readers),
            store,
            hub,
            auth: RwLock::new(Arc::new(auth)),
            metrics,
            write_rights: Arc::new(RwLock::new(Arc::new(settings.write.clone()))),
            schema_cache: SchemaCache::default(),
            wanted_rules: watch::Sender::new(None),
            settings,
            environment,
            feed_progress: FeedProgress::default(),
            clock_watch: ClockWatch::default(),
            log: None,
            audit: None,
            hooks: None,
            shared: None,
            feed_readers: Arc::new(Semaphore::new(WAITING_READERS)),
        }
    }

    /// Runs them in another environment than this machine.
    #[must_use]
    pub fn on(self, environment: NodeEnvironment) -> Self {
        Self { list_pages: Semaphore::new(environment.list_readers), environment, ..self }
    }

    /// Returns the time of the wall clock.
    #[must_use]
    pub fn now(&self) -> Millis {
        (self.environment.clock)()
    }

    /// Returns a random number.
    #[must_use]
    pub fn random(&self) -> u64 {
        (self.environment.random)()
    }

    /// Lets other tasks run where other threads would.
    pub async fn interleave(&self) {
        if let Some(interleave) = &self.environment.interleave {
            interleave().await;
        }
    }

    /// Returns the time of the wall clock, unless it jumped of late. What is done because of age alone goes by this.
    #[must_use]
    pub fn settled_now(&self) -> Option<Millis> {
        let wall = self.now();
        let ClockLook { jump, since } = self.clock_watch.look(wall, Instant::now());
        if let Some(by) = jump {
            self.metrics.clock_jumps.inc();
            tracing::warn!(
                ms = by,
                "the clock of this machine jumped: revocations, tokens and last-seen times of the time between are wrong"
            );
        }
        since.is_none_or(|since| since >= self.environment.settle).then_some(wall)
    }

    /// Returns the live state, for the listeners that count and end sessions.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Returns the metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Renders the metrics in the Prometheus text format.
    #[must_use]
    pub fn render_metrics(&self) -> String {
        self.metrics.watched_accounts.set(self.hub.watched_accounts() as i64);
        self.gauge_cluster();
        self.metrics.render()
    }

    /// Makes the cursor of a client that has every change up to `watermark`.
    #[must_use]
    pub fn cursor(&self, watermark: Revision) -> Cursor {
        Cursor { epoch: self.store.lineage().epoch, watermark }
    }

    pub(super) async fn write(&self, write: Write) -> Result<Vec<Answer>, (usize, RequestError)> {
        let now = self.now();
        let audited = write.commands.iter().filter_map(|command| AuditEntry::of(&write.origin, command, now));
        let audited: Vec<_> = audited.collect();
        let written = self.store.write(write).await;
        if written.is_ok() {
            audited.iter().for_each(AuditEntry::log);
        }
        written.map_err(|error| match error {
            WriteError::Refused { at, error } => (at, error),
            WriteError::Failed(error) => {
                self.metrics.failed_writes.inc();
                (0, unavailable(&error))
            }
            WriteError::Unknown(error) => {
                self.metrics.failed_writes.inc();
                self.metrics.database.in_doubt.get_or_create(&Kind { kind: "UNKNOWN" }).inc();
                tracing::error!(%error, "whether a write was carried out is not known");
                let told = "whether this was done is not known; read before you try again";
                (0, RequestError::new(Reason::OutcomeUnknown, told))
            }
        })
    }

    pub(super) async fn write_one(&self, command: Command, origin: WriteOrigin) -> Result<Answer, RequestError> {
        let mut answers = self.write(Write { commands: vec![command], origin }).await.map_err(|(_, error)| error)?;
        Ok(answers.pop().expect("a store answers every command"))
    }
}

/// Turns a failure of the store into an answer, 503. What failed is for the operator: the store logs it, and the answer
/// has nothing of it.
pub(super) fn unavailable(_: &StoreError) -> RequestError {
    RequestError::new(Reason::Unavailable, "the store cannot do this now; try again later").retry_after(STORE_RETRY_MS)
}
