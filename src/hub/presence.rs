//! Who is online. An account comes with its first session and goes a while after its last: what comes back within the
//! linger never went, so reconnects and restarts are not seen.
//!
//! The hub keeps the state and tells watchers by marks; when to look for those who left, and writing down who came and
//! went, is the service's business.

use std::sync::Arc;

use slab::Slab;
use tokio::time::Instant;

use super::{Hub, Session, UserRef};
use crate::model::{Account, Millis, User};
use crate::sync::outbox::Kinds;

/// An account's presence, changed by its sessions' coming and going.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Whether it counts as online: it has a session, or had one less than the linger ago.
    pub(super) online: bool,
    /// Whether it hides that; unknown until the store was read.
    invisible: Option<bool>,
    /// When it came, or was last online; 0 if it never was.
    last_seen: Millis,
    /// When its last session left, while it still counts as online.
    left: Option<Instant>,
}

impl Presence {
    /// Takes what the store has; what happened since stands.
    pub(super) fn offer(&mut self, user: &User) {
        self.invisible.get_or_insert(user.invisible);
        self.last_seen = self.last_seen.max(user.last_seen);
    }

    /// The account is no more: one of the same name shows itself.
    pub(super) fn gone(&mut self) {
        self.invisible = Some(false);
    }

    fn is_invisible(&self) -> bool {
        self.invisible.unwrap_or_default()
    }

    /// Whether friends see it as online.
    pub(super) fn shows(&self) -> bool {
        self.online && !self.is_invisible()
    }
}

/// What a session is told of an account's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub account: Account,
    /// Whether it is online.
    pub online: bool,
    /// When it came, or was last online; 0 if that is not known.
    pub last_seen: Millis,
    /// Of the session's own account, whether it hides that.
    pub invisible: Option<bool>,
}

/// That an account came or went, to be written down.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    /// Whether it is online now.
    pub online: bool,
    /// When it came or went.
    pub time: Millis,
}

impl Hub {
    /// Counts accounts as online that were when the process before this one ended. They go unless they come back in time.
    pub fn restore_online(&self, accounts: Vec<Account>) {
        let now = Instant::now();
        for account in accounts {
            let entry = self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account));
            let mut state = entry.state().lock();
            state.presence.online = true;
            state.presence.left = Some(now);
            drop(state);
            self.departed.lock().push_back((now, entry.clone()));
        }
    }

    /// A session of the account has logged in.
    pub(super) fn came(&self, me: &UserRef, now: Millis) {
        let mut state = me.state().lock();
        state.presence.left = None;
        if state.presence.online {
            return;
        }
        state.presence.online = true;
        let shows = state.presence.shows();
        if shows {
            state.presence.last_seen = now;
        }
        let time = state.presence.last_seen;
        drop(state);
        self.passages.lock().insert(me.account().clone(), Passage { online: true, time });
        if shows {
            mark_friends(&self.sessions.read(), me);
        }
    }

    /// The account's last session has left.
    pub(super) fn left(&self, me: &UserRef, state: &mut super::user::State) {
        if state.presence.online {
            let now = Instant::now();
            state.presence.left = Some(now);
            self.departed.lock().push_back((now, me.clone()));
        }
    }

    /// Lets those go whose last session left before `until`; `now` is the wall clock at `instant`.
    pub fn expire(&self, until: Instant, instant: Instant, now: Millis) {
        loop {
            let (left, user) = {
                let mut departed = self.departed.lock();
                match departed.front() {
                    Some((left, _)) if *left <= until => departed.pop_front().expect("it has a front"),
                    _ => return,
                }
            };
            let mut state = user.state().lock();
            // Who came back has left later, or not at all.
            if state.presence.left != Some(left) {
                continue;
            }
            let shows = state.presence.shows();
            state.presence.left = None;
            state.presence.online = false;
            if shows {
                let ago = instant.saturating_duration_since(left).as_millis() as Millis;
                state.presence.last_seen = now.saturating_sub(ago).max(state.presence.last_seen);
            }
            let passage = Passage { online: false, time: state.presence.last_seen };
            let idle = state.is_idle();
            drop(state);
            self.passages.lock().insert(user.account().clone(), passage);
            if shows {
                mark_friends(&self.sessions.read(), &user);
            }
            self.forget_if(idle, &user);
        }
    }

    /// Takes who came and went since it was last asked; of each account the newest.
    #[must_use]
    pub fn take_passages(&self) -> Vec<(Account, Passage)> {
        std::mem::take(&mut *self.passages.lock()).into_iter().collect()
    }

    /// Puts back what could not be written down; what happened since stands.
    pub fn put_back_passages(&self, passages: Vec<(Account, Passage)>) {
        let mut held = self.passages.lock();
        for (account, passage) in passages {
            held.entry(account).or_insert(passage);
        }
    }

    /// The account hides, or no longer.
    pub(super) fn set_invisible(sessions: &Slab<Arc<Session>>, user: &UserRef, invisible: bool) {
        let mut state = user.state().lock();
        let before = state.presence.shows();
        state.presence.invisible = Some(invisible);
        let changed = before != state.presence.shows();
        for session in state.own.iter().filter_map(|slot| sessions.get(*slot as usize)) {
            session.mark_and_wake(user.clone(), Kinds::PRESENCE);
        }
        drop(state);
        if changed {
            mark_friends(sessions, user);
        }
    }

    /// An account's presence as its own sessions are told of it.
    #[must_use]
    pub fn own_presence(&self, user: &UserRef) -> Seen {
        let state = user.state().lock();
        let presence = &state.presence;
        Seen {
            account: user.account().clone(),
            online: presence.online,
            last_seen: presence.last_seen,
            invisible: Some(presence.is_invisible()),
        }
    }

    /// An account's presence as its friend `viewer` is told of it. Who is blocked sees it as offline since then.
    pub(super) fn friends_presence(user: &UserRef, state: &super::user::State, viewer: &Account) -> Seen {
        let presence = &state.presence;
        let (online, last_seen) = match state.blocks(viewer) {
            Some(block) => (false, block.create_time),
            None => (presence.shows(), presence.last_seen),
        };
        Seen { account: user.account().clone(), online, last_seen, invisible: None }
    }
}

/// Marks everyone who lists the account and is not blocked by it.
fn mark_friends(sessions: &Slab<Arc<Session>>, user: &UserRef) {
    let state = user.state().lock();
    for session in state.friends.iter().filter_map(|slot| sessions.get(slot as usize)) {
        if state.blocks(session.account()).is_none() {
            session.mark_and_wake(user.clone(), Kinds::PRESENCE);
        }
    }
}
