//! One session as others see it.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::pending::{PendingState, Signal, WakeReason};
use super::user::UserRef;
use super::writer::WriteHandle;
use crate::locks::{AtomicU32, AtomicU64, Mutex, Ordering};
use rosterd_engine::model::{Account, CloseReason, Millis, Revision, SessionId};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::{DirtyMarks, Marked, RecordKinds};
use rosterd_protocol::v1;

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
    slot: Slot,
    account: Account,
    device: Option<Box<v1::Device>>,
    /// When it was logged in; 0 before.
    connected_at: AtomicU64,
    /// When its token was issued; set before the token's revocation is looked for, and at a refresh.
    issued_at: AtomicU64,
    /// The last stamp that the client was told it holds everything up to, and one more; 0 before the first.
    told: AtomicU64,
    pub(super) owed: Mutex<PendingState>,
    /// Counts marks of relations: a drain that sees it move looks again at what may be seen.
    relations: AtomicU32,
}

impl Session {
    pub(super) fn new(id: SessionId, slot: Slot, account: Account, device: Option<Box<v1::Device>>) -> Self {
        let (connected_at, told, owed, relations) = Default::default();
        // Not known yet, and not to be ended for it.
        let issued_at = AtomicU64::new(Millis::MAX);
        Self { id, slot, account, device, connected_at, issued_at, told, owed, relations }
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
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

    /// The token it goes by now was issued then; answers when the one before was.
    pub fn set_issued_at(&self, issued_at: Millis) -> Millis {
        self.issued_at.swap(issued_at, Ordering::AcqRel)
    }

    pub(super) fn issued_at(&self) -> Millis {
        self.issued_at.load(Ordering::Acquire)
    }

    /// The last stamp that the client was told it holds everything up to; `None` before its catch-up is complete.
    #[must_use]
    pub fn delivered_up_to(&self) -> Option<Revision> {
        self.told.load(Ordering::Acquire).checked_sub(1)
    }

    pub(super) fn set_delivered_up_to(&self, horizon: Revision) {
        self.told.store(horizon + 1, Ordering::Release);
    }

    /// How many accounts something is owed of.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.owed.lock().marks.marks().len()
    }

    /// What is owed of one account.
    #[must_use]
    pub fn pending(&self, account: &Account) -> RecordKinds {
        let owed = self.owed.lock();
        let found = owed.marks.marks().iter().find(|(user, _)| user.account() == account);
        found.map(|(_, kinds)| *kinds).unwrap_or_default()
    }

    pub(super) fn connect(&self, now: Millis) {
        self.connected_at.store(now.max(1), Ordering::Release);
    }

    /// Sets a mark for what was committed at `at`, 0 if it is nothing that is committed; the caller announces the session
    /// if the mark was the first.
    pub(super) fn mark(&self, user: UserRef, kinds: RecordKinds, at: u64) -> Marked {
        if kinds.has(RecordKinds::EDGE) {
            self.relations_changed();
        }
        let mut owed = self.owed.lock();
        if owed.since == 0 {
            owed.since = at;
        }
        owed.marks.mark(user, kinds)
    }

    /// What this session may see has changed.
    pub(super) fn relations_changed(&self) {
        self.relations.fetch_add(1, Ordering::Release);
    }

    pub(super) fn relations_epoch(&self) -> u32 {
        self.relations.load(Ordering::Acquire)
    }

    /// Marks profiles it does not follow, all of them or, if too many wait already, none (false).
    pub(super) fn look_up(&self, users: &[UserRef]) -> bool {
        let mut owed = self.owed.lock();
        if owed.marks.count(RecordKinds::LOOK_UP) + users.len() > LOOK_UPS {
            return false;
        }
        for user in users {
            owed.marks.mark(user.clone(), RecordKinds::LOOK_UP);
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

    /// Takes everything that is owed, and since when. Signals and marks in one step: what a signal must come after is
    /// among the marks.
    pub(super) fn take(&self) -> (DirtyMarks<UserRef>, u64, impl Iterator<Item = Arc<Signal>> + use<>) {
        let mut owed = self.owed.lock();
        let signals = owed.signals.take().map(|mut signals| signals.take());
        (owed.marks.take(), std::mem::take(&mut owed.since), signals.into_iter().flatten())
    }

    pub(super) fn put_back<'a>(&self, marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>, since: u64) {
        self.owed.lock().put_back(marks, since);
    }

    /// Wakes the task, if it sleeps.
    pub(super) fn wake(&self) {
        let sleeper = self.owed.lock().sleeper.take();
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Ends the session; the first reason stands.
    pub fn end(&self, reason: CloseReason) {
        self.owed.lock().ended.get_or_insert(reason);
        self.wake();
    }

    /// Whether it is about to end.
    pub(super) fn is_ended(&self) -> bool {
        self.owed.lock().ended.is_some()
    }

    /// Whether something is to be told.
    pub(super) fn has_pending(&self) -> bool {
        self.owed.lock().is_some()
    }

    /// The task looks for something to do, and has its line back; waits while a teller has it.
    pub(super) fn poll_resume(
        &self,
        cx: &Context<'_>,
        line: &mut Option<Box<dyn WriteHandle>>,
    ) -> Poll<Option<WakeReason>> {
        let mut owed = self.owed.lock();
        if owed.is_told {
            owed.sleeper = Some(cx.waker().clone());
            return Poll::Pending;
        }
        *line = line.take().or_else(|| owed.line.take());
        Poll::Ready(owed.wake())
    }

    /// The task sleeps if there is nothing to do, and leaves its line behind.
    pub(super) fn poll_sleep(&self, cx: &Context<'_>, line: &mut Option<Box<dyn WriteHandle>>) -> Poll<WakeReason> {
        let mut owed = self.owed.lock();
        if let Some(wake) = owed.wake() {
            return Poll::Ready(wake);
        }
        match &mut owed.sleeper {
            Some(sleeper) => sleeper.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        owed.line = line.take();
        Poll::Pending
    }

    /// What of a frame is to be written before anything else.
    pub(super) fn take_rest(&self) -> Option<Box<[u8]>> {
        self.owed.lock().rest.take()
    }

    #[cfg(test)]
    pub(super) fn ended(&self) -> Option<CloseReason> {
        self.owed.lock().ended
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.owed.lock().marks.is_empty()
    }
}
