//! Presence transitions: an account comes online with its first session, and goes offline some time after its last.
//!
//! An account that comes back within offline grace never went offline, so nobody sees reconnects and restarts. The hub
//! keeps the state and marks the watchers; the service decides when to look for accounts whose grace has ended, and stores
//! the transitions.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::time::Instant;

use super::account_presence::{AccountPresence, PresenceTransition};
use super::presence_sweep::{PresenceSweep, SLICE};
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Account, Millis, OnlineAccount};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::RecordKinds;

/// How many accounts go offline at a time, before other tasks run.
const EXPIRED: usize = 16;

/// An account's presence as a session may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceView {
    /// The account.
    pub account: Account,
    /// Whether it is online.
    pub online: bool,
    /// When it came online or was last online; 0 if that is not known.
    pub last_seen: Millis,
    /// Whether the account hides its presence; only for the account's own sessions.
    pub invisible: Option<bool>,
}

impl Hub {
    /// Counts accounts as online that were online when the previous process ended. They go offline unless they come back
    /// within offline grace.
    pub fn restore_online(&self, accounts: Vec<OnlineAccount>) {
        for OnlineAccount { account, invisible, last_seen } in accounts {
            let entry = self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account));
            let grace = Some(self.offline_grace.lock().add(entry.clone()));
            entry.state().lock().presence =
                AccountPresence { online: true, invisible: Some(invisible), last_seen, grace };
        }
    }

    /// Notes that a session of the account has logged in.
    pub(super) fn came_online(&self, me: &UserRef, now: Millis) {
        let mut state = me.state().lock();
        if let Some(place) = state.presence.grace.take() {
            self.offline_grace.lock().remove(place);
        }
        if state.presence.online {
            return;
        }
        state.presence.online = true;
        let shows = state.presence.shows();
        if shows {
            state.presence.last_seen = now;
        }
        let time = state.presence.last_seen;
        self.transitions.lock().insert(me.account().clone(), PresenceTransition { online: true, time });
        drop(state);
        if shows {
            self.mark_friends(&self.sessions.read(), me);
        }
    }

    /// Begins offline grace: the account's last session has left.
    pub(super) fn begin_grace(&self, me: &UserRef, state: &mut UserState) {
        if state.presence.online {
            let place = self.offline_grace.lock().add(me.clone());
            if let Some(before) = state.presence.grace.replace(place) {
                self.offline_grace.lock().remove(before);
            }
        }
    }

    /// Forgets the transition of an account that was deleted: an account that is made again under its name must not get it.
    pub(super) fn forget_presence(&self, account: &Account) {
        self.transitions.lock().remove(account);
    }

    /// Takes accounts offline whose last session left no later than `until`; `now` is the wall clock at `instant`.
    pub fn expire(&self, until: Instant, instant: Instant, now: Millis) {
        while self.expire_some(until, instant, now) {}
    }

    /// Does what [`Hub::expire`] does for a bounded number of accounts, and returns whether there may be more.
    pub fn expire_some(&self, until: Instant, instant: Instant, now: Millis) -> bool {
        for _ in 0..EXPIRED {
            let Some((place, left, user)) = self.offline_grace.lock().pop(until) else { return false };
            let mut state = user.state().lock();
            // It came back meanwhile, and has left later or not at all; or it was deleted.
            if state.presence.grace != Some(place) {
                let idle = state.is_idle();
                drop(state);
                self.forget_if(idle, &user);
                continue;
            }
            let shows = state.presence.shows();
            state.presence.grace = None;
            state.presence.online = false;
            if shows {
                let ago = instant.saturating_duration_since(left).as_millis() as Millis;
                state.presence.last_seen = now.saturating_sub(ago).max(state.presence.last_seen);
            }
            let transition = PresenceTransition { online: false, time: state.presence.last_seen };
            let idle = state.is_idle();
            self.transitions.lock().insert(user.account().clone(), transition);
            drop(state);
            if shows {
                self.mark_friends(&self.sessions.read(), &user);
            }
            self.forget_if(idle, &user);
        }
        true
    }

    /// Takes at most so many presence transitions that are not stored yet; of each account the newest.
    #[must_use]
    pub fn take_transitions(&self, most: usize) -> Vec<(Account, PresenceTransition)> {
        let mut held = self.transitions.lock();
        let some: Vec<_> = held.keys().take(most).cloned().collect();
        some.iter().filter_map(|account| held.remove_entry(account)).collect()
    }

    /// Puts back transitions that could not be stored; newer ones stay.
    pub fn put_back_transitions(&self, transitions: Vec<(Account, PresenceTransition)>) {
        let mut held = self.transitions.lock();
        for (account, transition) in transitions {
            held.entry(account).or_insert(transition);
        }
    }

    /// Hides an account's presence, or shows it again.
    pub(super) fn set_invisible(&self, sessions: &Slab<Arc<Session>>, user: &UserRef, invisible: bool) {
        let mut state = user.state().lock();
        let before = state.presence.shows();
        state.presence.invisible = Some(invisible);
        let changed = before != state.presence.shows();
        for session in state.own.iter().filter_map(|slot| sessions.get(*slot as usize)) {
            self.mark(session, user.clone(), RecordKinds::PRESENCE);
        }
        drop(state);
        if changed {
            self.mark_friends(sessions, user);
        }
    }

    /// An account's presence as its own sessions see it.
    #[must_use]
    pub fn own_presence(&self, user: &UserRef) -> PresenceView {
        let state = user.state().lock();
        let presence = &state.presence;
        PresenceView {
            account: user.account().clone(),
            online: presence.online,
            last_seen: presence.last_seen,
            invisible: Some(presence.is_invisible()),
        }
    }

    /// An account's presence as its friend `viewer` sees it. A blocked friend sees it as it was before the block.
    pub(super) fn friends_presence(user: &UserRef, state: &UserState, viewer: &Account) -> PresenceView {
        let presence = &state.presence;
        let (online, last_seen) = match state.blocks(viewer) {
            Some(block) => (false, block.last_seen),
            None => (presence.shows(), presence.last_seen),
        };
        PresenceView { account: user.account().clone(), online, last_seen, invisible: None }
    }

    /// Marks the sessions of everyone who lists the account as a friend and is not blocked by it. Those beyond a slice are
    /// left to [`Hub::sweep_presence`].
    pub(super) fn mark_friends(&self, sessions: &Slab<Arc<Session>>, user: &UserRef) {
        let mut slots: Vec<_> = user.state().lock().friends.iter().collect();
        let rest = slots.split_off(slots.len().min(SLICE));
        self.mark_presence(sessions, user, &slots);
        if rest.is_empty() {
            return;
        }
        let idle = self.presence_sweeps.lock().add(user, rest);
        idle.into_iter().for_each(Waker::wake);
    }

    fn mark_presence(&self, sessions: &Slab<Arc<Session>>, user: &UserRef, slots: &[Slot]) {
        let state = user.state().lock();
        for session in slots.iter().filter_map(|slot| sessions.get(*slot as usize)) {
            if state.blocks(session.account()).is_none() {
                self.mark(session, user.clone(), RecordKinds::PRESENCE);
            }
        }
    }

    /// Waits until sessions are to be marked for a presence transition. One task may wait.
    pub fn poll_presence_sweep(&self, cx: &Context<'_>) -> Poll<()> {
        let mut sweeps = self.presence_sweeps.lock();
        if sweeps.waiting.is_empty() {
            sweeps.idle = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Marks the next slice of sessions for a presence transition. False if none is left.
    pub fn sweep_presence(&self) -> bool {
        // It stays in its place meanwhile, so that another transition of the account finds it.
        let (user, slots) = {
            let mut sweeps = self.presence_sweeps.lock();
            let Some(sweep) = sweeps.waiting.front_mut() else { return false };
            let rest = sweep.slots.len().saturating_sub(SLICE);
            (sweep.user.clone(), sweep.slots.split_off(rest))
        };
        self.mark_presence(&self.sessions.read(), &user, &slots);
        // The user's lock comes before that of the sweeps.
        let again = self.presence_sweeps.lock().waiting.front_mut().is_some_and(PresenceSweep::begins_again);
        let round = again.then(|| user.state().lock().friends.iter().collect::<Vec<_>>());
        let mut sweeps = self.presence_sweeps.lock();
        let Some(mut sweep) = sweeps.waiting.pop_front() else { return false };
        sweep.slots.extend(round.into_iter().flatten());
        if !sweep.slots.is_empty() || sweep.again {
            sweeps.waiting.push_back(sweep);
        }
        !sweeps.waiting.is_empty()
    }
}
