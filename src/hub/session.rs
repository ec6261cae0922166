//! One session as others see it ([`Session`]), and as its own task holds it ([`Seat`]).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::{Hub, UserRef};
use crate::model::{Account, CloseReason, SessionId, Stamp};
use crate::sync::interest::Slot;
use crate::sync::outbox::{Kinds, Marked, Marks, Outbox};
use crate::wire::Card;

/// The part of a session that the feed marks and others may end.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    account: Account,
    outbox: Mutex<Outbox<UserRef>>,
    /// Counts marks of relations: a drain that sees it move looks again at what may be seen.
    relations: AtomicU32,
    ended: Mutex<Option<CloseReason>>,
    waker: AtomicWaker,
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
    pub(super) fn new(id: SessionId, account: Account) -> Self {
        let (outbox, relations, ended, waker) = Default::default();
        Self { id, account, outbox, relations, ended, waker }
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

    /// Sets a mark; the caller wakes the session if it was the first.
    pub(super) fn mark(&self, user: UserRef, kinds: Kinds) -> Marked {
        if kinds.has(Kinds::EDGE) {
            self.relations.fetch_add(1, Ordering::Release);
        }
        self.outbox.lock().mark(user, kinds)
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.outbox.lock().is_empty()
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Ends the session; the first reason stands.
    pub fn end(&self, reason: CloseReason) {
        self.ended.lock().get_or_insert(reason);
        self.wake();
    }

    fn poll_wake(&self, cx: &Context<'_>) -> Poll<Wake> {
        // Registered first, so that a mark set while this looks is not slept through.
        self.waker.register(cx.waker());
        if let Some(reason) = *self.ended.lock() {
            return Poll::Ready(Wake::End(reason));
        }
        if self.outbox.lock().is_empty() { Poll::Pending } else { Poll::Ready(Wake::Marks) }
    }
}

/// A session's place in the hub, held by its task alone. Dropping it leaves: no watcher entry stays behind.
#[derive(Debug)]
pub struct Seat {
    hub: Arc<Hub>,
    pub(super) session: Arc<Session>,
    pub(super) slot: Slot,
    me: UserRef,
    pub(super) watched: Vec<UserRef>,
}

impl Seat {
    pub(super) fn new(hub: Arc<Hub>, session: Arc<Session>, slot: Slot, me: UserRef) -> Self {
        Self { hub, session, slot, me, watched: Vec::new() }
    }

    /// The part that others see.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The entry of the session's own account.
    #[must_use]
    pub fn me(&self) -> &UserRef {
        &self.me
    }

    /// Starts watching an account: from now on its changes mark this session. Harmless if it did already.
    pub fn watch(&mut self, account: &Account) -> UserRef {
        let (user, new) = self.hub.watch(account, self.slot);
        if new {
            self.watched.push(user.clone());
        }
        user
    }

    /// Makes room for the number of accounts that will be watched.
    pub fn expect(&mut self, accounts: usize) {
        self.watched.reserve_exact(accounts);
    }

    /// Stops watching an account.
    pub fn unwatch(&mut self, account: &Account) {
        if let Some(at) = self.watched.iter().position(|user| user.account() == account) {
            let user = self.watched.swap_remove(at);
            self.hub.unwatch(&user, self.slot);
        }
    }

    /// The newest card of an account that was marked, if this session still watches it.
    #[must_use]
    pub fn visible(&self, user: &UserRef) -> Option<Arc<Card>> {
        let state = user.state().lock();
        if state.watchers.contains(self.slot) { state.card() } else { None }
    }

    /// How often a relation of this account changed since login.
    #[must_use]
    pub fn relations(&self) -> u32 {
        self.session.relations.load(Ordering::Acquire)
    }

    /// The stamp up to which every mark has been set. Read before [`Seat::take`], it is what a drain may promise.
    #[must_use]
    pub fn horizon(&self) -> Stamp {
        self.hub.horizon()
    }

    /// Takes everything that is owed.
    #[must_use]
    pub fn take(&self) -> Marks<UserRef> {
        self.session.outbox.lock().take()
    }

    /// Puts back what was taken but not told.
    pub fn put_back<'a>(&self, marks: impl Iterator<Item = (&'a UserRef, &'a Kinds)>) {
        let mut outbox = self.session.outbox.lock();
        for (user, kinds) in marks {
            outbox.mark(user.clone(), *kinds);
        }
    }

    /// Waits until something is owed or the session is to end.
    pub async fn wake(&self) -> Wake {
        poll_fn(|cx| self.session.poll_wake(cx)).await
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for user in self.watched.drain(..) {
            self.hub.unwatch(&user, self.slot);
        }
        self.hub.leave(&self.me, self.slot);
    }
}
