//! The part of a session that others reach: its dirty marks, its signals, its end.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::pending::{PendingState, Signal, WakeReason};
use super::user::UserRef;
use super::writer::WriteHandle;
use crate::locks::{AtomicU32, AtomicU64, Mutex, Ordering};
use rosterd_engine::model::{Account, CloseReason, Millis, Revision, SessionId};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::{DirtyMarks, Marked, RecordKinds};
use rosterd_protocol::v1;

/// The most bytes of signals that wait for one session.
const SIGNAL_BYTES: usize = 64 * 1024;
/// What a signal counts besides its payload, in bytes.
const SIGNAL_OVERHEAD: usize = 128;
/// The most pending lookups of profiles that a session does not follow.
const LOOK_UPS: usize = 500;

/// A session as others see it: the feed marks it, and anyone may end it.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    slot: Slot,
    account: Account,
    device: Option<Box<v1::Device>>,
    /// When it logged in; 0 before.
    connected_at: AtomicU64,
    /// When its token was issued. Set before the service checks whether the token is revoked, and at each refresh.
    issued_at: AtomicU64,
    /// The watermark that was last sent to the client, plus one; 0 before the first.
    delivered_up_to: AtomicU64,
    pub(super) pending: Mutex<PendingState>,
    /// Counts changes of relations: a flush that sees it move checks again what the session may see.
    relations_epoch: AtomicU32,
}

impl Session {
    pub(super) fn new(id: SessionId, slot: Slot, account: Account, device: Option<Box<v1::Device>>) -> Self {
        let (connected_at, delivered_up_to, pending, relations_epoch) = Default::default();
        // Unknown, and no revocation may end the session for it.
        let issued_at = AtomicU64::new(Millis::MAX);
        Self { id, slot, account, device, connected_at, issued_at, delivered_up_to, pending, relations_epoch }
    }

    /// The session's id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// The session's account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The device that the client described at login.
    #[must_use]
    pub fn device(&self) -> Option<&v1::Device> {
        self.device.as_deref()
    }

    /// When it logged in; `None` before.
    #[must_use]
    pub fn connected_at(&self) -> Option<Millis> {
        Some(self.connected_at.load(Ordering::Acquire)).filter(|at| *at != 0)
    }

    /// Sets when the token it now uses was issued; returns when the previous one was.
    pub fn set_issued_at(&self, issued_at: Millis) -> Millis {
        self.issued_at.swap(issued_at, Ordering::AcqRel)
    }

    pub(super) fn issued_at(&self) -> Millis {
        self.issued_at.load(Ordering::Acquire)
    }

    /// The last watermark that was sent to the client, which holds every change up to it; `None` before its catch-up is
    /// complete.
    #[must_use]
    pub fn delivered_up_to(&self) -> Option<Revision> {
        self.delivered_up_to.load(Ordering::Acquire).checked_sub(1)
    }

    pub(super) fn set_delivered_up_to(&self, watermark: Revision) {
        self.delivered_up_to.store(watermark + 1, Ordering::Release);
    }

    /// The number of accounts of which something is pending.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.lock().marks.marks().len()
    }

    /// The kinds of records that are pending for one account.
    #[must_use]
    pub fn pending(&self, account: &Account) -> RecordKinds {
        let pending = self.pending.lock();
        let found = pending.marks.marks().iter().find(|(user, _)| user.account() == account);
        found.map(|(_, kinds)| *kinds).unwrap_or_default()
    }

    pub(super) fn connect(&self, now: Millis) {
        self.connected_at.store(now.max(1), Ordering::Release);
    }

    /// Sets a dirty mark for what was committed at `at`; 0 if nothing was committed. The caller announces the session if
    /// the mark was the first.
    pub(super) fn mark(&self, user: UserRef, kinds: RecordKinds, at: u64) -> Marked {
        if kinds.has(RecordKinds::EDGE) {
            self.relations_changed();
        }
        let mut pending = self.pending.lock();
        if pending.since == 0 {
            pending.since = at;
        }
        pending.marks.mark(user, kinds)
    }

    /// Advances the relations epoch: what this session may see has changed.
    pub(super) fn relations_changed(&self) {
        self.relations_epoch.fetch_add(1, Ordering::Release);
    }

    pub(super) fn relations_epoch(&self) -> u32 {
        self.relations_epoch.load(Ordering::Acquire)
    }

    /// Marks profiles that the session does not follow: all of them or, if too many lookups are pending, none (false).
    pub(super) fn look_up(&self, users: &[UserRef]) -> bool {
        let mut pending = self.pending.lock();
        if pending.marks.count(RecordKinds::LOOK_UP) + users.len() > LOOK_UPS {
            return false;
        }
        for user in users {
            pending.marks.mark(user.clone(), RecordKinds::LOOK_UP);
        }
        drop(pending);
        self.wake();
        true
    }

    /// Queues a signal; false if the session has too many unread ones.
    pub(super) fn signal(&self, signal: Arc<Signal>) -> bool {
        let bytes = size(&signal);
        let taken = self.pending.lock().signals.get_or_insert_default().push(signal, bytes, SIGNAL_BYTES);
        if taken {
            self.wake();
        }
        taken
    }

    /// Takes all that is pending, and since when. Dirty marks and signals in one step: the records that have to be sent
    /// before a signal are among the marks.
    pub(super) fn take(&self) -> (DirtyMarks<UserRef>, u64, impl Iterator<Item = Arc<Signal>> + use<>) {
        let mut pending = self.pending.lock();
        let signals = pending.signals.take().map(|mut signals| signals.take());
        (pending.marks.take(), std::mem::take(&mut pending.since), signals.into_iter().flatten())
    }

    /// Puts back signals that were taken and not sent, in their order and before those that came meanwhile.
    pub(super) fn put_back_signals(&self, signals: impl DoubleEndedIterator<Item = Arc<Signal>>) {
        let mut pending = self.pending.lock();
        for signal in signals.rev() {
            let bytes = size(&signal);
            pending.signals.get_or_insert_default().put_back(signal, bytes);
        }
    }

    pub(super) fn put_back<'a>(&self, marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>, since: u64) {
        self.pending.lock().put_back(marks, since);
    }

    /// Wakes the task, if its waker is registered.
    pub(super) fn wake(&self) {
        let waker = self.pending.lock().writer.take_waker();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the session; the first reason stands.
    pub fn end(&self, reason: CloseReason) {
        self.pending.lock().ended.get_or_insert(reason);
        self.wake();
    }

    /// Whether the session is to end.
    pub(super) fn is_ended(&self) -> bool {
        self.pending.lock().ended.is_some()
    }

    /// Whether there is something to write.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.lock().has_pending()
    }

    /// Resumes the task, gives back its write handle, and says what there is to do. Pending while a flusher writes.
    pub(super) fn poll_resume(
        &self,
        cx: &Context<'_>,
        handle: &mut Option<Box<dyn WriteHandle>>,
    ) -> Poll<Option<WakeReason>> {
        let mut pending = self.pending.lock();
        pending.writer.resume(cx.waker()).map(|handed_over| {
            if handed_over.is_some() {
                *handle = handed_over;
            }
            pending.wake_reason()
        })
    }

    /// Lets the task sleep if there is nothing to do, and takes its write handle, if it gives one.
    pub(super) fn poll_sleep(&self, cx: &Context<'_>, handle: &mut Option<Box<dyn WriteHandle>>) -> Poll<WakeReason> {
        let mut pending = self.pending.lock();
        if let Some(reason) = pending.wake_reason() {
            return Poll::Ready(reason);
        }
        pending.writer.sleep(cx.waker(), handle.take());
        Poll::Pending
    }

    /// Takes the rest of a frame that a flusher began; it has to be written before anything else.
    pub(super) fn take_rest(&self) -> Option<Box<[u8]>> {
        self.pending.lock().writer.take_rest()
    }

    #[cfg(test)]
    pub(super) fn ended(&self) -> Option<CloseReason> {
        self.pending.lock().ended
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.pending.lock().marks.is_empty()
    }
}

/// What a signal counts in the queue of a session.
fn size(signal: &Signal) -> usize {
    signal.payload.len() + SIGNAL_OVERHEAD
}
