//! The friends that are yet to be marked for a presence transition: a slice is marked at once, the rest by a task of its own.
//!
//! A famous account has ten thousand friends, each with several devices. The session table would be locked for as long as it
//! takes to mark them all, and the thread busy, while logins wait for both.

use std::collections::VecDeque;
use std::task::Waker;

use super::user::UserRef;
use rosterd_engine::sync::interest::Slot;

/// How many sessions are marked at a time.
pub(super) const SLICE: usize = 1024;

/// The transitions for which sessions are not marked yet, in turn.
#[derive(Debug, Default)]
pub(super) struct PresenceSweeps {
    pub(super) waiting: VecDeque<PresenceSweep>,
    /// Wakes the task that marks, if it has nothing to do.
    pub(super) idle: Option<Waker>,
}

/// The sessions of one account's friends that are not marked yet.
///
/// An account has at most one sweep. What a session is sent is the newest state, so a transition meanwhile asks for one more
/// round at most: an account that comes and goes quickly costs no more memory, and its last friend is marked too.
#[derive(Debug)]
pub(super) struct PresenceSweep {
    pub(super) user: UserRef,
    pub(super) slots: Vec<Slot>,
    pub(super) again: bool,
}

impl PresenceSweep {
    pub(super) fn begins_again(&mut self) -> bool {
        self.slots.is_empty() && std::mem::take(&mut self.again)
    }
}

impl PresenceSweeps {
    /// Adds a transition with the sessions that are not marked yet. Returns the task that has to be woken, if it sleeps.
    pub(super) fn add(&mut self, user: &UserRef, slots: Vec<Slot>) -> Option<Waker> {
        match self.waiting.iter_mut().find(|sweep| sweep.user == *user) {
            Some(sweep) => sweep.again = true,
            None => self.waiting.push_back(PresenceSweep { user: user.clone(), slots, again: false }),
        }
        self.idle.take()
    }
}
