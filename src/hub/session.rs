//! One session as others see it.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::UserRef;
use crate::locks::{AtomicU32, AtomicU64, AtomicWaker, Mutex, Ordering};
use crate::model::{Account, CloseReason, Millis, SessionId};
use crate::sync::outbox::{Kinds, Marked, Marks, Outbox, Queue};
use crate::wire::v1;

/// What the signals that wait for one session may take, in bytes.
const SIGNAL_BYTES: usize = 64 * 1024;
/// What a signal takes besides its payload.
const SIGNAL_OVERHEAD: usize = 128;
/// How many profiles a session does not follow may wait for it.
const LOOK_UPS: usize = 500;

/// The part of a session that the feed marks and others may end.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    account: Account,
    device: Option<Box<v1::Device>>,
    /// When it was logged in; 0 before.
    connected_at: AtomicU64,
    owed: Mutex<Owed>,
    /// Counts marks of relations: a drain that sees it move looks again at what may be seen.
    relations: AtomicU32,
    ended: Mutex<Option<CloseReason>>,
    waker: AtomicWaker,
}

/// What the session has yet to be told.
#[derive(Debug, Default)]
struct Owed {
    marks: Outbox<UserRef>,
    signals: Option<Box<Queue<Arc<Signal>>>>,
}

/// A message that is kept nowhere else.
#[derive(Debug)]
pub struct Signal {
    /// Who sent it.
    pub from: UserRef,
    /// What.
    pub payload: String,
}

/// Why a session's task was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something is owed.
    Marks,
    /// The session is to end.
    End(CloseReason),
}

impl Session {
    pub(super) fn new(id: SessionId, account: Account, device: Option<Box<v1::Device>>) -> Self {
        let (connected_at, owed, relations, ended, waker) = Default::default();
        Self { id, account, device, connected_at, owed, relations, ended, waker }
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whose session it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// What it said of its device.
    #[must_use]
    pub fn device(&self) -> Option<&v1::Device> {
        self.device.as_deref()
    }

    /// When it logged in; `None` before.
    #[must_use]
    pub fn connected_at(&self) -> Option<Millis> {
        Some(self.connected_at.load(Ordering::Acquire)).filter(|at| *at != 0)
    }

    pub(super) fn connect(&self, now: Millis) {
        self.connected_at.store(now.max(1), Ordering::Release);
    }

    /// Sets a mark; the caller wakes the session if it was the first.
    pub(super) fn mark(&self, user: UserRef, kinds: Kinds) -> Marked {
        if kinds.has(Kinds::EDGE) {
            self.relations_changed();
        }
        self.owed.lock().marks.mark(user, kinds)
    }

    pub(super) fn mark_and_wake(&self, user: UserRef, kinds: Kinds) {
        if self.mark(user, kinds) == Marked::First {
            self.wake();
        }
    }

    /// What this session may see has changed.
    pub(super) fn relations_changed(&self) {
        self.relations.fetch_add(1, Ordering::Release);
    }

    pub(super) fn relations(&self) -> u32 {
        self.relations.load(Ordering::Acquire)
    }

    /// Marks profiles it does not follow, all of them or, if too many wait already, none (false).
    pub(super) fn look_up(&self, users: &[UserRef]) -> bool {
        let mut owed = self.owed.lock();
        if owed.marks.count(Kinds::LOOK_UP) + users.len() > LOOK_UPS {
            return false;
        }
        for user in users {
            owed.marks.mark(user.clone(), Kinds::LOOK_UP);
        }
        drop(owed);
        self.wake();
        true
    }

    /// Hands it a signal; false if it has too many to read already.
    pub(super) fn signal(&self, signal: Arc<Signal>) -> bool {
        let bytes = signal.payload.len() + SIGNAL_OVERHEAD;
        let taken = self.owed.lock().signals.get_or_insert_default().push(signal, bytes, SIGNAL_BYTES);
        if taken {
            self.wake();
        }
        taken
    }

    /// Takes everything that is owed. Signals and marks in one step: what a signal must come after is among the marks.
    pub(super) fn take(&self) -> (Marks<UserRef>, impl Iterator<Item = Arc<Signal>> + use<>) {
        let mut owed = self.owed.lock();
        let signals = owed.signals.take().map(|mut signals| signals.take());
        (owed.marks.take(), signals.into_iter().flatten())
    }

    pub(super) fn put_back<'a>(&self, marks: impl Iterator<Item = (&'a UserRef, &'a Kinds)>) {
        let mut owed = self.owed.lock();
        for (user, kinds) in marks {
            owed.marks.mark(user.clone(), *kinds);
        }
    }

    /// How many keys are marked: at most as many as the session is interested in.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.owed.lock().marks.len()
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Ends the session; the first reason stands.
    pub fn end(&self, reason: CloseReason) {
        self.ended.lock().get_or_insert(reason);
        self.wake();
    }

    /// Whether it is about to end.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.lock().is_some()
    }

    pub(super) fn poll_wake(&self, cx: &Context<'_>) -> Poll<Wake> {
        // Registered first, so that a mark set while this looks is not slept through.
        self.waker.register(cx.waker());
        if let Some(reason) = *self.ended.lock() {
            return Poll::Ready(Wake::End(reason));
        }
        let owed = self.owed.lock();
        if owed.marks.is_empty() && owed.signals.is_none() { Poll::Pending } else { Poll::Ready(Wake::Marks) }
    }

    #[cfg(test)]
    pub(super) fn ended(&self) -> Option<CloseReason> {
        *self.ended.lock()
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.owed.lock().marks.is_empty()
    }
}
