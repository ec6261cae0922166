//! What is live: the registry of users that someone connected cares about, and the sessions.
//!
//! The only place with locks. It decides nothing and reads no store: the feed tells it what was committed
//! ([`feed`]), sessions sit down and follow ([`SessionHandle`]). Invariants: a user is in the registry exactly while a session
//! follows it or is logged in as it, or it counts as online; a mark that is set reaches the session or the session ends; the horizon
//! moves only past changes whose watchers are all marked.
//!
//! Lock order: session table, then registry shard, then one user, then those who departed, transitions, one outbox, or the
//! sessions that are due.

mod account_sessions;
pub mod feed;
mod flush;
mod flush_state;
mod presence;
mod session;
mod session_handle;
mod session_view;
mod user;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use slab::Slab;

pub use account_sessions::{Delivered, SessionsLimit};
use flush::FlushQueue;
pub use flush::{FlushPermit, WriteHandle};
pub use flush_state::FlushState;
use presence::OfflineGrace;
pub use presence::{PresenceTransition, PresenceView};
pub use session::{Session, Signal, WakeReason};
pub use session_handle::{SessionHandle, TakenMarks};
pub use session_view::{SessionView, VisibleProfile};
pub use user::UserRef;

use crate::locks::{AtomicU64, DashMap, Mutex, Ordering, RwLock};
use crate::metrics::Metrics;
use rosterd_engine::model::{Account, Revision, SessionId, User, Visibility};
use rosterd_engine::sync::interest::Slot;
use rosterd_protocol::v1;

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
    users: DashMap<Account, UserRef, ahash::RandomState>,
    sessions: RwLock<Slab<Arc<Session>>>,
    horizon: AtomicU64,
    settings: HubSettings,
    departed: Mutex<OfflineGrace>,
    /// Who came and went and is yet to be written down.
    transitions: Mutex<FxHashMap<Account, PresenceTransition>>,
    due: Mutex<FlushQueue>,
    metrics: Arc<Metrics>,
    /// What times of commits are counted from.
    begun: Instant,
}

impl Hub {
    /// An empty hub at the store's last stamp.
    #[must_use]
    pub fn new(head: Revision, settings: HubSettings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (users, sessions, departed, transitions, due) = Default::default();
        let horizon = AtomicU64::new(head);
        Arc::new(Self {
            users,
            sessions,
            horizon,
            settings,
            departed,
            transitions,
            due,
            metrics,
            begun: Instant::now(),
        })
    }

    /// Seats a session, which follows its own account from the start. It counts once it has logged in, [`Hub::arrive`].
    #[must_use]
    pub fn join(self: &Arc<Self>, account: &Account, id: SessionId, device: Option<v1::Device>) -> SessionHandle {
        let (session, slot) = {
            let mut sessions = self.sessions.write();
            let place = sessions.vacant_entry();
            let slot = place.key() as Slot;
            let session = Arc::new(Session::new(id, slot, account.clone(), device.map(Box::new)));
            (place.insert(session).clone(), slot)
        };
        let (me, ()) = self.follow(account, |state| state.own.push(slot));
        self.metrics.sessions.inc();
        SessionHandle::new(self.clone(), session, me)
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
    fn at(&self, instant: Instant) -> u64 {
        (instant.saturating_duration_since(self.begun).as_micros() as u64).max(1)
    }

    /// What was committed at `at`, unless that is not known (0), is on its way to a client: how long that took is a measure
    /// of the gateway.
    fn delivered(&self, at: u64) {
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
    fn follow<T>(&self, account: &Account, enter: impl FnOnce(&mut user::UserState) -> T) -> (UserRef, T) {
        let entry = match self.users.get(account) {
            Some(entry) => entry,
            None => self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account.clone())).downgrade(),
        };
        let entered = enter(&mut entry.state().lock());
        (entry.clone(), entered)
    }

    fn unfollow(&self, user: &UserRef, withdraw: impl FnOnce(&mut user::UserState) -> bool) {
        let idle = {
            let mut state = user.state().lock();
            withdraw(&mut state);
            state.is_idle()
        };
        self.forget_if(idle, user);
    }

    fn leave(&self, me: &UserRef, slot: Slot) {
        let (idle, alone) = {
            let mut state = me.state().lock();
            state.own.retain(|own| *own != slot);
            let alone = state.own.is_empty();
            if alone {
                self.left(me, &mut state);
            }
            (state.is_idle(), alone)
        };
        self.forget_if(idle, me);
        // Last: a slot is given anew only when nothing names it any more.
        self.sessions.write().remove(slot as usize);
        self.metrics.sessions.dec();
        if !alone {
            self.sessions_changed(me);
        }
    }

    fn forget_if(&self, idle: bool, user: &UserRef) {
        if idle {
            self.users.remove_if(user.account(), |_, held| held.is(user) && held.state().lock().is_idle());
        }
    }
}

#[cfg(test)]
mod tests;
