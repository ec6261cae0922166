//! Who is online. An account comes with its first session and goes a while after its last: what comes back within the
//! linger never went, so reconnects and restarts are not seen.
//!
//! The hub keeps the state and tells watchers by marks; when to look for those who left, and writing down who came and
//! went, is the service's business.

use std::sync::Arc;

use slab::Slab;
use tokio::time::Instant;

use super::account_presence::{AccountPresence, PresenceTransition};
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Account, Millis, OnlineAccount};
use rosterd_engine::sync::outbox::RecordKinds;

/// What a session is told of an account's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceView {
    /// Whose.
    pub account: Account,
    /// Whether it is online.
    pub online: bool,
    /// When it came, or was last online; 0 if that is not known.
    pub last_seen: Millis,
    /// Of the session's own account, whether it hides that.
    pub invisible: Option<bool>,
}

impl Hub {
    /// Counts accounts as online that were when the process before this one ended. They go unless they come back in time.
    pub fn restore_online(&self, noted: Vec<OnlineAccount>) {
        for OnlineAccount { account, invisible, last_seen } in noted {
            let entry = self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account));
            let left = Some(self.departed.lock().add(entry.clone()));
            entry.state().lock().presence =
                AccountPresence { online: true, invisible: Some(invisible), last_seen, left };
        }
    }

    /// A session of the account has logged in.
    pub(super) fn came(&self, me: &UserRef, now: Millis) {
        let mut state = me.state().lock();
        if let Some(left) = state.presence.left.take() {
            self.departed.lock().waiting.remove(&left);
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

    /// The account's last session has left.
    pub(super) fn left(&self, me: &UserRef, state: &mut UserState) {
        if state.presence.online {
            let place = self.departed.lock().add(me.clone());
            if let Some(before) = state.presence.left.replace(place) {
                self.departed.lock().waiting.remove(&before);
            }
        }
    }

    /// The account is no more, and nothing is to be written down for one that is made under its name.
    pub(super) fn forget_presence(&self, account: &Account) {
        self.transitions.lock().remove(account);
    }

    /// Lets those go whose last session left before `until`; `now` is the wall clock at `instant`.
    pub fn expire(&self, until: Instant, instant: Instant, now: Millis) {
        loop {
            let Some((place, left, user)) = self.departed.lock().pop(until) else { return };
            let mut state = user.state().lock();
            // Who came back just now has left later, or not at all; or it is no more.
            if state.presence.left != Some(place) {
                let idle = state.is_idle();
                drop(state);
                self.forget_if(idle, &user);
                continue;
            }
            let shows = state.presence.shows();
            state.presence.left = None;
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
    }

    /// Takes who came and went since it was last asked; of each account the newest.
    #[must_use]
    pub fn take_transitions(&self) -> Vec<(Account, PresenceTransition)> {
        std::mem::take(&mut *self.transitions.lock()).into_iter().collect()
    }

    /// Puts back what could not be written down; what happened since stands.
    pub fn put_back_transitions(&self, transitions: Vec<(Account, PresenceTransition)>) {
        let mut held = self.transitions.lock();
        for (account, transition) in transitions {
            held.entry(account).or_insert(transition);
        }
    }

    /// The account hides, or no longer.
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

    /// An account's presence as its own sessions are told of it.
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

    /// An account's presence as its friend `viewer` is told of it. Who is blocked sees it as it was last
    /// seen before.
    pub(super) fn friends_presence(user: &UserRef, state: &UserState, viewer: &Account) -> PresenceView {
        let presence = &state.presence;
        let (online, last_seen) = match state.blocks(viewer) {
            Some(block) => (false, block.last_seen),
            None => (presence.shows(), presence.last_seen),
        };
        PresenceView { account: user.account().clone(), online, last_seen, invisible: None }
    }

    /// Marks everyone who lists the account and is not blocked by it.
    fn mark_friends(&self, sessions: &Slab<Arc<Session>>, user: &UserRef) {
        let state = user.state().lock();
        for session in state.friends.iter().filter_map(|slot| sessions.get(slot as usize)) {
            if state.blocks(session.account()).is_none() {
                self.mark(session, user.clone(), RecordKinds::PRESENCE);
            }
        }
    }
}
