//! The sessions of one account: which may stay when another logs in, and what all of them are sent.

use std::sync::Arc;

use slab::Slab;

use super::pending::Signal;
use super::registry::Hub;
use super::session::Session;
use super::user::UserRef;
use rosterd_engine::model::{Account, CloseReason, Millis, SessionId, SessionsPolicy};
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::v1;

/// How many sessions of an account may be live, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsLimit {
    /// The policy.
    pub policy: SessionsPolicy,
    /// The most sessions; beyond it the oldest ends.
    pub max: usize,
}

/// How many sessions a signal or a prefetch reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Sessions that will be sent it.
    pub delivered: u32,
    /// Sessions that have too much pending already.
    pub dropped: u32,
}

impl Delivered {
    /// Adds what was reached elsewhere.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { delivered: self.delivered + other.delivered, dropped: self.dropped + other.dropped }
    }
}

impl Hub {
    /// The sessions of an account here, the oldest first.
    #[must_use]
    pub fn sessions_of(&self, account: &Account) -> Vec<Arc<Session>> {
        self.user(account).map_or_else(Vec::new, |user| self.live_sessions(&user))
    }

    /// Ends the named sessions of an account, or all of them; returns which.
    #[must_use]
    pub fn kick(&self, account: &Account, named: Option<&[SessionId]>) -> Vec<SessionId> {
        let mut kicked = self.sessions_of(account);
        kicked.retain(|session| named.is_none_or(|named| named.contains(&session.id())));
        for session in &kicked {
            session.end(CloseReason::Kicked);
        }
        kicked.iter().map(|session| session.id()).collect()
    }

    /// Sends a signal to the sessions of an account, except the one it came from.
    pub fn signal(&self, to: &Account, origin: Option<SessionId>, signal: &Arc<Signal>) -> Delivered {
        let mut done = Delivered::default();
        for session in self.sessions_of(to).iter().filter(|session| Some(session.id()) != origin) {
            *(if session.signal(signal.clone()) { &mut done.delivered } else { &mut done.dropped }) += 1;
        }
        self.metrics.signals.inc_by(done.delivered.into());
        self.metrics.signals_dropped.inc_by(done.dropped.into());
        done
    }

    /// Sends the profiles of these accounts to the sessions of `viewer`.
    pub fn prefetch(&self, viewer: &Account, accounts: &[Account]) -> Delivered {
        let name = |account: &Account| self.user(account).unwrap_or_else(|| UserRef::detached(account.clone()));
        let users: Vec<_> = accounts.iter().map(name).collect();
        let mut done = Delivered::default();
        for session in self.sessions_of(viewer) {
            *(if session.look_up(&users) { &mut done.delivered } else { &mut done.dropped }) += 1;
        }
        done
    }

    /// Marks the list of sessions for every session of the account.
    pub(super) fn sessions_changed(&self, me: &UserRef) {
        for session in &self.live_sessions(me) {
            self.mark(session, me.clone(), RecordKinds::SESSIONS);
        }
    }

    /// Logs a session in, and ends those of the account that may not stay beside it. True if it is the only one here.
    pub(super) fn admit(&self, me: &UserRef, session: &Session, now: Millis, limit: SessionsLimit) -> bool {
        let sessions = self.sessions.read();
        // Held throughout: if two log in together, the second sees the first.
        let state = me.state().lock();
        let others: Vec<_> = live(&sessions, &state.own).collect();
        make_room(&others, session, limit);
        session.connect(now);
        others.is_empty()
    }

    /// The live sessions of an account, the oldest first.
    pub(super) fn live_sessions(&self, user: &UserRef) -> Vec<Arc<Session>> {
        let sessions = self.sessions.read();
        let state = user.state().lock();
        live(&sessions, &state.own).cloned().collect()
    }
}

/// Ends the sessions that may not stay beside one that has just logged in.
fn make_room(others: &[&Arc<Session>], newest: &Session, limit: SessionsLimit) {
    let is_replaced = |other: &Session| match limit.policy {
        SessionsPolicy::All => false,
        SessionsPolicy::OnePerDeviceType => device_type(other) == device_type(newest),
        // Sessions without an id say nothing about their device.
        SessionsPolicy::OnePerDeviceId => !device_id(newest).is_empty() && device_id(other) == device_id(newest),
        SessionsPolicy::One => true,
    };
    let (replaced, stay): (Vec<&Arc<Session>>, Vec<_>) = others.iter().partition(|other| is_replaced(other));
    for other in replaced {
        other.end(CloseReason::Kicked);
    }
    let beyond = (stay.len() + 1).saturating_sub(limit.max);
    for other in &stay[..beyond] {
        other.end(CloseReason::SessionLimit);
    }
}

/// The sessions in these slots that have logged in and are not to end, the oldest first.
pub(super) fn live<'a>(sessions: &'a Slab<Arc<Session>>, slots: &'a [u32]) -> impl Iterator<Item = &'a Arc<Session>> {
    in_slots(sessions, slots).filter(|session| session.connected_at().is_some() && !session.is_ended())
}

/// The sessions in these slots.
pub(super) fn in_slots<'a>(
    sessions: &'a Slab<Arc<Session>>,
    slots: &'a [u32],
) -> impl Iterator<Item = &'a Arc<Session>> {
    slots.iter().filter_map(|slot| sessions.get(*slot as usize))
}

pub(super) fn device_id(session: &Session) -> &str {
    session.device().map_or("", |device: &v1::Device| &device.id)
}

pub(super) fn device_type(session: &Session) -> &str {
    session.device().map_or("", |device: &v1::Device| &device.r#type)
}
