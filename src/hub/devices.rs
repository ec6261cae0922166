//! The sessions of one account: who may stay when another comes, and what they know of each other.

use std::sync::Arc;

use slab::Slab;

use super::{Hub, Seat, Session, Signal, UserRef};
use crate::model::{Account, CloseReason, Millis, SessionId};
use crate::sync::outbox::Kinds;
use crate::wire::v1;

/// Which sessions of an account may be there together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionsPolicy {
    /// Any.
    #[default]
    All,
    /// One of each type of device; the newest stays.
    OnePerDeviceType,
    /// The newest.
    One,
}

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
    /// The session has logged in: it counts from now on, and those that may not stay beside it end.
    pub fn arrive(&self, seat: &Seat, now: Millis, limit: SessionsLimit) {
        let session = seat.session();
        session.connect(now);
        let others = self.own(seat.me(), |other| other.id() != session.id());
        let replaces = |other: &Session| match limit.policy {
            SessionsPolicy::All => false,
            SessionsPolicy::OnePerDeviceType => device_type(other) == device_type(session),
            SessionsPolicy::One => true,
        };
        let (replaced, stay): (Vec<_>, Vec<_>) = others.iter().partition(|other| replaces(other));
        for other in replaced {
            other.end(CloseReason::Kicked);
        }
        let beyond = (stay.len() + 1).saturating_sub(limit.max);
        for other in &stay[..beyond] {
            other.end(CloseReason::SessionLimit);
        }
        if self.settings.presence {
            self.came(seat.me(), now);
        }
        // Who is alone knows that without being told.
        if !others.is_empty() {
            self.sessions_changed(seat.me());
        }
    }

    /// The sessions of an account, the oldest first.
    #[must_use]
    pub fn sessions_of(&self, account: &Account) -> Vec<Arc<Session>> {
        self.user(account).map_or_else(Vec::new, |user| self.own(&user, |_| true))
    }

    /// Ends those of an account's sessions that are named, or all; answers which.
    #[must_use]
    pub fn kick(&self, account: &Account, named: Option<&[SessionId]>) -> Vec<SessionId> {
        let mut kicked = self.sessions_of(account);
        kicked.retain(|session| named.is_none_or(|named| named.contains(&session.id())));
        kicked.iter().for_each(|session| session.end(CloseReason::Kicked));
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
    pub fn hint(&self, viewer: &Account, accounts: &[Account]) -> Delivered {
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
        for session in self.own(me, |_| true) {
            session.mark_and_wake(me.clone(), Kinds::SESSIONS);
        }
    }

    /// The sessions of an account that have logged in and do not end, the oldest first.
    fn own(&self, user: &UserRef, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let sessions = self.sessions.read();
        let state = user.state().lock();
        own(&sessions, &state.own)
            .filter(|s| s.connected_at().is_some() && !s.is_ended() && wanted(s))
            .cloned()
            .collect()
    }
}

/// Some slots' sessions.
pub(super) fn own<'a>(sessions: &'a Slab<Arc<Session>>, slots: &'a [u32]) -> impl Iterator<Item = &'a Arc<Session>> {
    slots.iter().filter_map(|slot| sessions.get(*slot as usize))
}

fn device_type(session: &Session) -> &str {
    session.device().map_or("", |device: &v1::Device| &device.r#type)
}
