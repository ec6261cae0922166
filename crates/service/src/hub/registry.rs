//! The hub itself: the registry of users, the session table, the watermark.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::sync::{Notify, watch};

use super::elsewhere::Elsewhere;
use super::flush_queue::FlushQueue;
use super::holders::Holders;
use super::offline_grace::OfflineGrace;
use super::presence_sweep::PresenceSweeps;
use super::session::Session;
use super::shown_kinds::KindsHere;
use super::status_ends::StatusEnds;
use super::transitions::Transitions;
use super::user::{UserRef, UserState};
use crate::locks::{AtomicU64, DashMap, Mutex, Ordering, RwLock};
use crate::metrics::Metrics;
use rosterd_engine::model::{Account, Millis, Revision, User, Visibility};

/// Who sees the kinds of devices on which an account is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownDevices {
    /// Nobody.
    Nobody,
    /// Friends.
    Friends,
    /// Friends, and backends that follow presence.
    FriendsAndBackends,
}

/// What an operator configures about who sees what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Who may see which fields of a profile.
    pub visibility: Visibility,
    /// Whether friends see who is online.
    pub presence: bool,
    /// Who sees on which kinds of devices, too.
    pub devices: ShownDevices,
    /// Whether other nodes serve the same accounts.
    pub shared: bool,
    /// The offline grace.
    pub linger: Duration,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            visibility: Visibility::default(),
            presence: true,
            devices: ShownDevices::Nobody,
            shared: false,
            linger: Duration::from_secs(10),
        }
    }
}

/// The live state of one node.
#[derive(Debug)]
pub struct Hub {
    pub(super) users: DashMap<Account, UserRef, ahash::RandomState>,
    pub(super) sessions: RwLock<Slab<Arc<Session>>>,
    pub(super) watermark: AtomicU64,
    /// How often the feed has published what it applied or marked. It shows that the feed moves.
    pub(super) feed_steps: AtomicU64,
    /// The last revision whose rows are all applied.
    pub(super) applied: watch::Sender<Revision>,
    /// Wakes those who wait for a revision, in the order in which they came: a watch would choose one at random.
    pub(super) applied_more: Notify,
    pub(super) settings: HubSettings,
    /// Those of the settings at first. Replaced while sessions live.
    visibility: RwLock<Arc<Visibility>>,
    pub(super) offline_grace: Mutex<OfflineGrace>,
    /// The presence transitions that are not stored yet.
    pub(super) transitions: Mutex<Transitions>,
    pub(super) presence_sweeps: Mutex<PresenceSweeps>,
    /// When the next status of each account ends.
    pub(super) status_ends: Mutex<StatusEnds>,
    /// The time up to which statuses have ended.
    pub(super) statuses_at: AtomicU64,
    /// The kinds of devices of the sessions here, if friends see them.
    pub(super) kinds_here: Mutex<KindsHere>,
    pub(super) flush_queue: Mutex<FlushQueue>,
    pub(super) holders: Holders,
    /// What is known of other nodes, and what they are to know of this one.
    pub(super) elsewhere: Mutex<Elsewhere>,
    /// The wall clock at `wall_begun`, as it was set last.
    pub(super) wall: AtomicU64,
    wall_begun: tokio::time::Instant,
    pub(super) metrics: Arc<Metrics>,
    /// The origin of the hub's clock, in which times of commits are counted.
    started: Instant,
}

impl Hub {
    /// An empty hub at the store's last revision.
    #[must_use]
    pub fn new(head: Revision, settings: HubSettings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (users, sessions, offline_grace, transitions, presence_sweeps, flush_queue) = Default::default();
        let (watermark, feed_steps) = (AtomicU64::new(head), AtomicU64::new(0));
        let (holders, elsewhere, status_ends) = (Holders::default(), Mutex::default(), Mutex::default());
        let started = Instant::now();
        let visibility = RwLock::new(Arc::new(settings.visibility.clone()));
        Arc::new(Self {
            users,
            sessions,
            watermark,
            feed_steps,
            applied: watch::Sender::new(head),
            applied_more: Notify::new(),
            settings,
            visibility,
            offline_grace,
            transitions,
            presence_sweeps,
            status_ends,
            statuses_at: AtomicU64::new(0),
            kinds_here: Mutex::default(),
            flush_queue,
            holders,
            elsewhere,
            wall: AtomicU64::new(0),
            wall_begun: tokio::time::Instant::now(),
            metrics,
            started,
        })
    }

    /// The revision up to which all watchers of every change are marked.
    #[must_use]
    pub fn watermark(&self) -> Revision {
        self.watermark.load(Ordering::Acquire)
    }

    /// The last revision whose rows are all applied: whoever knows it reads nothing older from this node. Watchers of the
    /// newest changes may not be marked yet.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    /// Waits until everything up to a revision is applied.
    pub async fn until_applied(&self, revision: Revision) {
        loop {
            let more = self.applied_more.notified();
            if *self.applied.borrow() >= revision {
                return;
            }
            more.await;
        }
    }

    /// How often the feed has published what it applied or marked.
    #[must_use]
    pub fn feed_steps(&self) -> u64 {
        self.feed_steps.load(Ordering::Acquire)
    }

    /// A user's entry, if someone is interested in the account.
    #[must_use]
    pub fn user(&self, account: &Account) -> Option<UserRef> {
        self.users.get(account).map(|entry| entry.value().clone())
    }

    /// Whether this entry is in the registry, and not only a name.
    #[must_use]
    pub fn has(&self, user: &UserRef) -> bool {
        self.user(user.account()).is_some_and(|held| held.is(user))
    }

    /// Brings what a reader found in the store, if anything; newer state stays. The reader must have had `entry` before it
    /// began: an entry that was made meanwhile may have missed a change between the two.
    pub fn offer(&self, entry: &UserRef, found: Option<&User>) {
        self.offer_from(entry, found, None);
    }

    /// Does what [`Hub::offer`] does. The reader read for a session that follows the account, if for one.
    pub(super) fn offer_from(&self, entry: &UserRef, found: Option<&User>, reader: Option<&Session>) {
        // The lock of the shard comes before that of the entry.
        let is_held = self.settings.presence && self.has(entry);
        let mut state = entry.state().lock();
        if let Some(user) = found {
            if !state.is_known() {
                self.offer_blocks(entry, is_held, &mut state, user.blocks.iter().chain(&user.ended));
            } else if let Some(session) = reader.filter(|session| state.is_unread(session.slot())) {
                // All others that have ended, and that still decide something, came with the first reader.
                let own = user.blocks.iter().filter(|block| block.peer == *session.account());
                self.offer_blocks(entry, is_held, &mut state, own);
            }
        }
        let was_known = state.is_known();
        state.offer_user(found, &self.visibility());
        if !was_known && self.settings.shared {
            self.begin_elsewhere(entry, &mut state);
        }
        if !was_known && is_held {
            // Nobody has seen anything of it yet.
            let _ = self.show_status(entry, &mut state);
            let _ = self.show_kinds(entry, &mut state, self.departure(self.time()));
        }
        if let Some(session) = reader {
            state.has_read(session.slot());
        }
    }

    /// A time in microseconds of the hub's clock, never 0.
    pub(super) fn at(&self, instant: Instant) -> u64 {
        (instant.saturating_duration_since(self.started).as_micros() as u64).max(1)
    }

    /// Sets the wall clock; where nodes share accounts it is the database's, so that all of them tell the same times.
    pub fn set_time(&self, now: Millis) {
        let passed = self.wall_begun.elapsed().as_millis() as Millis;
        self.wall.store(now.saturating_sub(passed), Ordering::Release);
    }

    /// The wall clock.
    pub(super) fn time(&self) -> Millis {
        self.wall.load(Ordering::Acquire) + self.wall_begun.elapsed().as_millis() as Millis
    }

    /// Measures how long it took from the commit at `at` until the change is on its way to a client; 0 is an unknown time.
    pub(super) fn delivered(&self, at: u64) {
        if at != 0 {
            let time = Duration::from_micros(self.at(Instant::now()).saturating_sub(at));
            self.metrics.delivery.observe(time.as_secs_f64());
        }
    }

    /// Who may see which fields of a profile.
    #[must_use]
    pub fn visibility(&self) -> Arc<Visibility> {
        self.visibility.read().clone()
    }

    /// Shows profiles by other rules from now on. Nobody is marked: views that look other than before get a new version, and
    /// with that a change each.
    ///
    /// An entry that is read or written meanwhile takes the rules under its own lock, so it has the new ones in the end.
    pub fn set_visibility(&self, visibility: Visibility) {
        let visibility = Arc::new(visibility);
        *self.visibility.write() = visibility.clone();
        let users: Vec<UserRef> = (&self.users).into_iter().map(|user| user.clone()).collect();
        for user in users {
            user.state().lock().derive_views(&visibility);
        }
    }

    /// Whether friends see who is online.
    #[must_use]
    pub fn has_presence(&self) -> bool {
        self.settings.presence
    }

    /// The number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.read().len()
    }

    /// The number of accounts that are followed. Visits every shard of the registry: for a scrape, not for a login.
    #[must_use]
    pub fn watched_accounts(&self) -> usize {
        self.users.len()
    }

    /// All sessions, those included that have not logged in yet.
    #[must_use]
    pub fn all_sessions(&self) -> Vec<Arc<Session>> {
        self.sessions.read().iter().map(|(_, session)| session.clone()).collect()
    }

    /// Enters someone's interest in an account, and makes its entry if there is none. Holds the shard's lock, so that
    /// nobody drops the entry as idle in between.
    pub(super) fn follow<T>(&self, account: &Account, enter: impl FnOnce(&mut UserState) -> T) -> (UserRef, T) {
        let entry = match self.users.get(account) {
            Some(entry) => entry,
            None => self.users.entry(account.clone()).or_insert_with(|| self.new_entry(account)).downgrade(),
        };
        let entered = enter(&mut entry.state().lock());
        (entry.clone(), entered)
    }

    /// Withdraws someone's interest in an account, and drops the entry if that was the last.
    pub(super) fn unfollow(&self, user: &UserRef, withdraw: impl FnOnce(&mut UserState)) {
        let idle = {
            let mut state = user.state().lock();
            withdraw(&mut state);
            state.is_idle()
        };
        self.forget_if(idle, user);
    }

    /// Drops an entry that was idle, unless someone has become interested meanwhile.
    pub(super) fn forget_if(&self, idle: bool, user: &UserRef) {
        if idle {
            let is_gone = |held: &UserRef| held.is(user) && held.state().lock().is_idle();
            // Under the lock of the shard: whoever makes the entry again notes its statuses after this.
            self.users.remove_if(user.account(), |account, held| {
                let is_gone = is_gone(held);
                if is_gone {
                    self.status_ends.lock().remove(account);
                }
                is_gone
            });
        }
    }
}
