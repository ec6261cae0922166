//! How a store in a database is opened.

use std::sync::Arc;
use std::time::Duration;

use super::batch_network::BatchNetwork;
use super::url::PostgresUrl;
use crate::metrics::DatabaseMetrics;
use crate::store::StoreClock;
use crate::store::nodes::JoiningNode;
use rosterd_engine::model::{Visibility, WriteRights};

/// What a failover of the database means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failover {
    /// Commits may be lost: clients sync in full after it.
    #[default]
    MayLose,
    /// No commit is lost: the standby that takes over is a synchronous one.
    Lossless,
}

impl Failover {
    /// Returns whether a move from one identity to another, each a server with its timeline, loses no commit.
    #[must_use]
    pub fn loses_nothing(self, known: &str, identity: &str) -> bool {
        let system = |identity: &str| identity.rsplit_once('/').map(|(system, _)| system.to_owned());
        self == Self::Lossless && system(known) == system(identity)
    }
}

/// Who uses the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// This gateway alone, which a lock ensures.
    Alone,
    /// Several gateways, which follow each other's writes. Each looks for them every so often, whoever says so or not.
    Shared {
        /// How often.
        poll: Duration,
    },
}

impl Sharing {
    pub(super) fn is_shared(self) -> bool {
        self != Self::Alone
    }
}

/// How a store is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Which fields of a profile each audience may see. Other rules than before begin a new epoch.
    pub visibility: Visibility,
    /// Who may write which field, for gateways that join others.
    pub write: WriteRights,
    /// Whether followers are kept a change log. To keep none for once ends its history.
    pub keeps_log: bool,
    /// Whether presence transitions get numbers, so that they can be followed as the change log is.
    pub numbers_presence: bool,
    /// A replica of the database, which friend lists are read of as far as it has them.
    pub read_url: Option<PostgresUrl>,
    /// The connections that read, of a replica as many again.
    pub readers: usize,
    /// What a failover of the database means.
    pub failover: Failover,
    /// How long a write waits for a database that is away.
    pub write_timeout: Duration,
    /// The time of writes instead of the database's.
    pub clock: Option<StoreClock>,
    /// Whether other gateways use the database too.
    pub sharing: Sharing,
    /// What is compared with other gateways before anything in the database is changed.
    pub joining: Option<JoiningNode>,
    /// What carries batches between gateways besides the log.
    pub network: Option<Arc<dyn BatchNetwork>>,
    /// What it counts.
    pub metrics: DatabaseMetrics,
}

impl Default for PostgresOptions {
    /// The default visibility, a change log without presence, 8 readers, 10 seconds.
    fn default() -> Self {
        Self {
            visibility: Visibility::default(),
            write: WriteRights::default(),
            keeps_log: true,
            numbers_presence: false,
            read_url: None,
            readers: 8,
            failover: Failover::MayLose,
            write_timeout: Duration::from_secs(10),
            clock: None,
            sharing: Sharing::Alone,
            joining: None,
            network: None,
            metrics: DatabaseMetrics::default(),
        }
    }
}
