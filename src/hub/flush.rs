//! Telling sessions that sleep, without waking their tasks.
//!
//! A task that falls asleep leaves its line behind; whoever has the line may write. Sessions that are owed something
//! wait in a queue for a teller, which takes the line and what is owed in one step, writes, and puts the line back. What
//! a teller cannot tell stays owed, and the task is woken for it. So a line has one writer at any time, and what is
//! on its way counts as told only once it was written: a task that wakes meanwhile waits for its line.

use std::sync::Arc;
use std::task::Waker;

use super::pending::TakenMarks;
use super::registry::Hub;
use super::session::Session;
use super::session_view::SessionView;
use super::writer::WriteHandle;
use rosterd_engine::model::Revision;
use rosterd_protocol::Encoding;

/// A teller's turn with one session. Dropping it puts the line back, and what was not told.
#[derive(Debug)]
pub struct FlushPermit<'a> {
    hub: &'a Hub,
    session: &'a Arc<Session>,
    line: Option<Box<dyn WriteHandle>>,
    sleeper: Option<Waker>,
    taken: TakenMarks,
    since: u64,
    done: bool,
    rest: Option<Box<[u8]>>,
}

impl Hub {
    /// Begins a turn with a session that was due. `None` if its task is awake or has to be, which is seen to.
    #[must_use]
    pub fn flush_permit<'a>(&'a self, session: &'a Arc<Session>) -> Option<FlushPermit<'a>> {
        // Both before the marks, as in `SessionHandle::take`.
        let (horizon, relations) = (self.watermark(), session.relations_epoch());
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
        let taken = TakenMarks { horizon, relations, marks };
        Some(FlushPermit { hub: self, session, line, sleeper, taken, since, done: false, rest: None })
    }
}

impl FlushPermit<'_> {
    /// How the client is spoken to.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.line().encoding()
    }

    fn line(&self) -> &dyn WriteHandle {
        self.line.as_deref().expect("a turn has the line until it is dropped")
    }

    /// What is owed.
    #[must_use]
    pub fn taken(&self) -> &TakenMarks {
        &self.taken
    }

    /// What the session may see.
    #[must_use]
    pub fn view(&self) -> SessionView<'_> {
        self.hub.view(self.session)
    }

    /// Writes all that is owed, which may be nothing; with that, the client holds everything up to `horizon`. What the
    /// system does not take now is left to the session's task. Answers how much was written; if nothing was, all of it is
    /// owed still.
    pub fn write(mut self, bytes: &[u8], horizon: Option<Revision>) -> usize {
        // A relation that changed meanwhile may have taken the right to see some of it.
        if self.session.relations_epoch() != self.taken.relations {
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
            self.session.set_delivered_up_to(horizon);
        }
        self.hub.delivered(self.since);
        written
    }
}

impl Drop for FlushPermit<'_> {
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
