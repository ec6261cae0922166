//! Telling sessions that sleep, without waking their tasks.
//!
//! A task that falls asleep leaves its line behind; whoever has the line may write. Sessions that are owed something
//! wait in a queue for a teller, which takes the line and what is owed in one step, writes, and puts the line back. What
//! a teller cannot tell stays owed, and the task is woken for it. So a line has one writer at any time, and what is
//! on its way counts as told only once it was written: a task that wakes meanwhile waits for its line.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::session::Owed;
use super::{Hub, Session, Taken, UserRef, View};
use rosterd_engine::model::Stamp;
use rosterd_engine::sync::outbox::{Kinds, Marked};
use rosterd_protocol::Encoding;

/// What a teller can tell: it is in the registry.
const TELLABLE: Kinds = Kinds::CARD.with(Kinds::PRESENCE);

/// A connection's way out.
pub trait Line: Debug + Send + Sync {
    /// How its client is spoken to.
    fn encoding(&self) -> Encoding;

    /// Writes as much as the system takes at once.
    ///
    /// # Errors
    /// It takes nothing now (`WouldBlock`), or the connection is broken.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Sessions that are owed something, the longest first; each once.
#[derive(Debug, Default)]
pub(super) struct Due {
    sessions: VecDeque<Arc<Session>>,
    /// Tellers that have nothing to do.
    idle: Vec<Waker>,
}

/// A teller's turn with one session. Dropping it puts the line back, and what was not told.
#[derive(Debug)]
pub struct Turn<'a> {
    hub: &'a Hub,
    session: &'a Arc<Session>,
    line: Option<Box<dyn Line>>,
    sleeper: Option<Waker>,
    taken: Taken,
    since: u64,
    done: bool,
    rest: Option<Box<[u8]>>,
}

impl Hub {
    /// Has sessions told of what they are owed: by a teller, or by their tasks, which are woken.
    pub(super) fn announce<'a>(&self, sessions: impl IntoIterator<Item = &'a Arc<Session>>) {
        let mut idle = None;
        for session in sessions {
            let announced = session.owed.lock().announced();
            match announced {
                Announced::Due => {
                    let mut due = self.due.lock();
                    due.sessions.push_back(session.clone());
                    idle = idle.or_else(|| due.idle.pop());
                }
                Announced::Wake(waker) => waker.wake(),
                Announced::Known => {}
            }
        }
        idle.into_iter().for_each(Waker::wake);
    }

    /// Marks a session for something that is not committed, and announces it.
    pub(super) fn mark(&self, session: &Arc<Session>, user: UserRef, kinds: Kinds) {
        if session.mark(user, kinds, 0) == Marked::First {
            self.announce([session]);
        }
    }

    /// Waits for sessions that are owed something; takes at most `most` of them.
    pub fn poll_due(&self, cx: &Context<'_>, most: usize, into: &mut Vec<Arc<Session>>) -> Poll<()> {
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

    /// Begins a turn with a session that was due. `None` if its task is awake or has to be, which is seen to.
    #[must_use]
    pub fn turn<'a>(&'a self, session: &'a Arc<Session>) -> Option<Turn<'a>> {
        // Both before the marks, as in `Seat::take`.
        let (horizon, relations) = (self.horizon(), session.relations());
        let mut owed = session.owed.lock();
        owed.is_due = false;
        if owed.ended.is_some() || !owed.is_some() || owed.line.is_none() {
            return None;
        }
        if !owed.is_tellable() {
            drop(owed);
            session.wake();
            return None;
        }
        owed.is_told = true;
        let (line, sleeper) = (owed.line.take(), owed.sleeper.take());
        let (marks, since) = (owed.marks.take(), std::mem::take(&mut owed.since));
        let taken = Taken { horizon, relations, marks };
        Some(Turn { hub: self, session, line, sleeper, taken, since, done: false, rest: None })
    }
}

/// What is to be done about a session that something is owed to.
enum Announced {
    /// It is for a teller.
    Due,
    /// Its task has to see to it.
    Wake(Waker),
    /// Somebody sees to it already.
    Known,
}

impl Owed {
    fn announced(&mut self) -> Announced {
        if self.line.is_some() && self.is_tellable() {
            let is_new = !std::mem::replace(&mut self.is_due, true);
            return if is_new { Announced::Due } else { Announced::Known };
        }
        self.sleeper.take().map_or(Announced::Known, Announced::Wake)
    }

    fn is_tellable(&self) -> bool {
        self.ended.is_none()
            && self.rest.is_none()
            && self.signals.is_none()
            && self.marks.marks().iter().all(|(_, kinds)| TELLABLE.has(*kinds))
    }
}

impl Turn<'_> {
    /// How the client is spoken to.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.line().encoding()
    }

    fn line(&self) -> &dyn Line {
        self.line.as_deref().expect("a turn has the line until it is dropped")
    }

    /// What is owed.
    #[must_use]
    pub fn taken(&self) -> &Taken {
        &self.taken
    }

    /// What the session may see.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        self.hub.view(self.session)
    }

    /// Writes all that is owed, which may be nothing; with that, the client holds everything up to `horizon`. What the
    /// system does not take now is left to the session's task. Answers how much was written; if nothing was, all of it is
    /// owed still.
    pub fn write(mut self, bytes: &[u8], horizon: Option<Stamp>) -> usize {
        // A relation that changed meanwhile may have taken the right to see some of it.
        if self.session.relations() != self.taken.relations {
            return 0;
        }
        if bytes.is_empty() {
            self.done = true;
            return 0;
        }
        let Ok(written @ 1..) = self.line().try_write(bytes) else {
            // A broken line is the task's business as well.
            return 0;
        };
        self.done = true;
        self.rest = Some(&bytes[written..]).filter(|rest| !rest.is_empty()).map(Box::from);
        if let Some(horizon) = horizon {
            self.session.tell(horizon);
        }
        self.hub.delivered(self.since);
        written
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut owed = self.session.owed.lock();
        owed.is_told = false;
        owed.line = self.line.take();
        if !self.done {
            owed.put_back(self.taken.marks.iter(), self.since);
        }
        owed.rest = self.rest.take();
        // The task looked in and left a waker of its own; or there is something for it.
        let waker = match owed.sleeper.take() {
            Some(waker) => Some(waker),
            None if owed.is_some() || owed.ended.is_some() => self.sleeper.take(),
            None => {
                owed.sleeper = self.sleeper.take();
                None
            }
        };
        drop(owed);
        waker.into_iter().for_each(Waker::wake);
    }
}
