//! The sessions of one account: who may stay when another comes, and what they know of each other.

use std::sync::Arc;

use slab::Slab;

use super::pending::Signal;
use super::registry::Hub;
use super::session::Session;
use super::user::UserRef;
use rosterd_engine::model::{Account, CloseReason, Millis, SessionId, SessionsPolicy};
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::v1;

/// How many sessions of an account may be there, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsLimit {
    /// Which of them.
    pub policy: SessionsPolicy,
    /// The most of them; beyond it the oldest goes.
    pub max: usize,
}

/// What became of a signal or a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Sessions that will be told.
    pub delivered: u32,
    /// Sessions that have too much to read already.
    pub dropped: u32,
}

impl Hub {
    /// The sessions of an account, the oldest first.
    #[must_use]
    pub fn sessions_of(&self, account: &Account) -> Vec<Arc<Session>> {
        self.user(account).map_or_else(Vec::new, |user| self.own(&user))
    }

    /// Ends those of an account's sessions that are named, or all; answers which.
    #[must_use]
    pub fn kick(&self, account: &Account, named: Option<&[SessionId]>) -> Vec<SessionId> {
        let mut kicked = self.sessions_of(account);
        kicked.retain(|session| named.is_none_or(|named| named.contains(&session.id())));
        for session in &kicked {
            session.end(CloseReason::Kicked);
        }
        kicked.iter().map(|session| session.id()).collect()
    }

    /// Hands a message to the sessions of an account but the one that sent it.
    pub fn signal(&self, to: &Account, origin: Option<SessionId>, signal: &Arc<Signal>) -> Delivered {
        let mut done = Delivered::default();
        for session in self.sessions_of(to).iter().filter(|session| Some(session.id()) != origin) {
            *(if session.signal(signal.clone()) { &mut done.delivered } else { &mut done.dropped }) += 1;
        }
        self.metrics.signals.inc_by(done.delivered.into());
        self.metrics.signals_dropped.inc_by(done.dropped.into());
        done
    }

    /// Brings the profiles of these accounts to the sessions of `viewer`.
    pub fn prefetch(&self, viewer: &Account, accounts: &[Account]) -> Delivered {
        let name = |account: &Account| self.user(account).unwrap_or_else(|| UserRef::detached(account.clone()));
        let users: Vec<_> = accounts.iter().map(name).collect();
        let mut done = Delivered::default();
        for session in self.sessions_of(viewer) {
            *(if session.look_up(&users) { &mut done.delivered } else { &mut done.dropped }) += 1;
        }
        done
    }

    /// Marks every session of the account with the list of sessions.
    pub(super) fn sessions_changed(&self, me: &UserRef) {
        for session in &self.own(me) {
            self.mark(session, me.clone(), RecordKinds::SESSIONS);
        }
    }

    /// Ends the sessions of an account that may not stay beside the one that logs in now. True if there is no other.
    pub(super) fn admit(&self, me: &UserRef, session: &Session, now: Millis, limit: SessionsLimit) -> bool {
        let sessions = self.sessions.read();
        // Held throughout: of two that arrive together, the later one finds the other.
        let state = me.state().lock();
        let others: Vec<_> = present(&sessions, &state.own).collect();
        make_room(&others, session, limit);
        session.connect(now);
        others.is_empty()
    }

    fn own(&self, user: &UserRef) -> Vec<Arc<Session>> {
        let sessions = self.sessions.read();
        let state = user.state().lock();
        present(&sessions, &state.own).cloned().collect()
    }
}

/// Ends those that may not stay beside a session that has just logged in.
fn make_room(others: &[&Arc<Session>], newest: &Session, limit: SessionsLimit) {
    let must_go = |other: &Session| match limit.policy {
        SessionsPolicy::All => false,
        SessionsPolicy::OnePerDeviceType => device_type(other) == device_type(newest),
        SessionsPolicy::One => true,
    };
    let (replaced, stay): (Vec<&Arc<Session>>, Vec<_>) = others.iter().partition(|other| must_go(other));
    for other in replaced {
        other.end(CloseReason::Kicked);
    }
    let beyond = (stay.len() + 1).saturating_sub(limit.max);
    for other in &stay[..beyond] {
        other.end(CloseReason::SessionLimit);
    }
}

/// The sessions of an account that have logged in and do not end, the oldest first.
fn present<'a>(sessions: &'a Slab<Arc<Session>>, slots: &'a [u32]) -> impl Iterator<Item = &'a Arc<Session>> {
    own(sessions, slots).filter(|session| session.connected_at().is_some() && !session.is_ended())
}

/// Some slots' sessions.
pub(super) fn own<'a>(sessions: &'a Slab<Arc<Session>>, slots: &'a [u32]) -> impl Iterator<Item = &'a Arc<Session>> {
    slots.iter().filter_map(|slot| sessions.get(*slot as usize))
}

fn device_type(session: &Session) -> &str {
    session.device().map_or("", |device: &v1::Device| &device.r#type)
}
