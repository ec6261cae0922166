//! What is live: users that someone cares about, and sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use slab::Slab;

use super::account_presence::PresenceTransition;
use super::flush_queue::FlushQueue;
use super::offline_grace::OfflineGrace;
use super::session::Session;
use super::user::{UserRef, UserState};
use crate::locks::{AtomicU64, DashMap, Mutex, Ordering, RwLock};
use crate::metrics::Metrics;
use rosterd_engine::model::{Account, Revision, User, Visibility};

/// What an operator sets about who sees what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Which fields of a profile whom may see.
    pub visibility: Visibility,
    /// Whether friends see who is online.
    pub presence: bool,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self { visibility: Visibility::default(), presence: true }
    }
}

/// The live state of one node.
#[derive(Debug)]
pub struct Hub {
    pub(super) users: DashMap<Account, UserRef, ahash::RandomState>,
    pub(super) sessions: RwLock<Slab<Arc<Session>>>,
    pub(super) horizon: AtomicU64,
    pub(super) settings: HubSettings,
    pub(super) departed: Mutex<OfflineGrace>,
    /// Who came and went and is yet to be written down.
    pub(super) transitions: Mutex<FxHashMap<Account, PresenceTransition>>,
    pub(super) flush_queue: Mutex<FlushQueue>,
    pub(super) metrics: Arc<Metrics>,
    /// What times of commits are counted from.
    pub(super) begun: Instant,
}

impl Hub {
    /// An empty hub at the store's last stamp.
    #[must_use]
    pub fn new(head: Revision, settings: HubSettings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (users, sessions, departed, transitions, flush_queue) = Default::default();
        let horizon = AtomicU64::new(head);
        Arc::new(Self {
            users,
            sessions,
            horizon,
            settings,
            departed,
            transitions,
            flush_queue,
            metrics,
            begun: Instant::now(),
        })
    }

    /// The stamp up to which every change has been marked.
    #[must_use]
    pub fn watermark(&self) -> Revision {
        self.horizon.load(Ordering::Acquire)
    }

    /// A user's entry, if someone cares about the account.
    #[must_use]
    pub fn user(&self, account: &Account) -> Option<UserRef> {
        self.users.get(account).map(|entry| entry.value().clone())
    }

    /// Brings what was found in the store, if anything, by a reader that began when it had `entry` already; newer state
    /// stays. Not for an entry that was made meanwhile: between the two, it may have missed a change.
    pub fn offer(&self, entry: &UserRef, found: Option<&User>) {
        entry.state().lock().offer_user(found, &self.settings.visibility);
    }

    /// A time in microseconds of this hub's clock, never 0.
    pub(super) fn at(&self, instant: Instant) -> u64 {
        (instant.saturating_duration_since(self.begun).as_micros() as u64).max(1)
    }

    /// What was committed at `at`, unless that is not known (0), is on its way to a client: how long that took is a measure
    /// of the gateway.
    pub(super) fn delivered(&self, at: u64) {
        if at != 0 {
            let time = Duration::from_micros(self.at(Instant::now()).saturating_sub(at));
            self.metrics.delivery.observe(time.as_secs_f64());
        }
    }

    /// Which fields of a profile whom may see.
    #[must_use]
    pub fn visibility(&self) -> &Visibility {
        &self.settings.visibility
    }

    /// Whether friends see who is online.
    #[must_use]
    pub fn has_presence(&self) -> bool {
        self.settings.presence
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.read().len()
    }

    /// How many accounts are followed. Passes over the whole registry's shards: for a scrape, not for a login.
    #[must_use]
    pub fn watched_accounts(&self) -> usize {
        self.users.len()
    }

    /// Every session there is, those that have yet to log in included.
    #[must_use]
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions.read().iter().map(|(_, session)| session.clone()).collect()
    }

    /// Enters someone's interest into an account's entry. Under the shard's lock, so that the entry cannot be dropped
    /// as idle in between.
    pub(super) fn follow<T>(&self, account: &Account, enter: impl FnOnce(&mut UserState) -> T) -> (UserRef, T) {
        let entry = match self.users.get(account) {
            Some(entry) => entry,
            None => self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account.clone())).downgrade(),
        };
        let entered = enter(&mut entry.state().lock());
        (entry.clone(), entered)
    }

    pub(super) fn unfollow(&self, user: &UserRef, withdraw: impl FnOnce(&mut UserState) -> bool) {
        let idle = {
            let mut state = user.state().lock();
            withdraw(&mut state);
            state.is_idle()
        };
        self.forget_if(idle, user);
    }

    pub(super) fn forget_if(&self, idle: bool, user: &UserRef) {
        if idle {
            self.users.remove_if(user.account(), |_, held| held.is(user) && held.state().lock().is_idle());
        }
    }
}
