//! Passes sessions that have something pending on to a flusher, or to their own tasks.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::pending::PendingState;
use super::registry::Hub;
use super::session::Session;
use super::user::UserRef;
use rosterd_engine::sync::outbox::{Marked, RecordKinds};

impl Hub {
    /// Has sessions told of what they are owed: by a teller, or by their tasks, which are woken.
    pub(super) fn announce<'a>(&self, sessions: impl IntoIterator<Item = &'a Arc<Session>>) {
        let mut idle = None;
        for session in sessions {
            let announced = session.owed.lock().announced();
            match announced {
                FlushBy::FlushQueue => {
                    let mut due = self.due.lock();
                    due.sessions.push_back(session.clone());
                    idle = idle.or_else(|| due.idle.pop());
                }
                FlushBy::WakeReason(waker) => waker.wake(),
                FlushBy::Known => {}
            }
        }
        idle.into_iter().for_each(Waker::wake);
    }

    /// Marks a session for something that is not committed, and announces it.
    pub(super) fn mark(&self, session: &Arc<Session>, user: UserRef, kinds: RecordKinds) {
        if session.mark(user, kinds, 0) == Marked::First {
            self.announce([session]);
        }
    }

    /// Waits for sessions that are owed something; takes at most `most` of them.
    pub fn poll_flush_queue(&self, cx: &Context<'_>, most: usize, into: &mut Vec<Arc<Session>>) -> Poll<()> {
        let mut due = self.due.lock();
        if due.sessions.is_empty() {
            if !due.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
                due.idle.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let some = due.sessions.len().min(most);
        into.extend(due.sessions.drain(..some));
        // What is left is another's.
        let idle = if due.sessions.is_empty() { None } else { due.idle.pop() };
        drop(due);
        idle.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }
}

/// What is to be done about a session that something is owed to.
enum FlushBy {
    /// It is for a teller.
    FlushQueue,
    /// Its task has to see to it.
    WakeReason(Waker),
    /// Somebody sees to it already.
    Known,
}

impl PendingState {
    fn announced(&mut self) -> FlushBy {
        if self.line.is_some() && self.is_tellable() {
            let is_new = !std::mem::replace(&mut self.is_due, true);
            return if is_new { FlushBy::FlushQueue } else { FlushBy::Known };
        }
        self.sleeper.take().map_or(FlushBy::Known, FlushBy::WakeReason)
    }
}
