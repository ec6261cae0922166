//! Flushes pending updates to idle sessions without waking their tasks.
//!
//! A task that goes idle hands over its write handle. Sessions with something pending wait in a queue for a flusher, which
//! takes the write handle and the dirty marks in one step, writes, and puts the write handle back. What a flusher cannot
//! send stays pending, and the task is woken for it. So a connection has one writer at any time, and a change counts as
//! delivered only once it was written: a task that resumes meanwhile waits for its write handle. `WriterState` lists the
//! states.

use std::sync::Arc;
use std::task::Waker;

use super::pending::TakenMarks;
use super::registry::Hub;
use super::session::Session;
use super::session_view::SessionView;
use super::writer::WriteHandle;
use rosterd_engine::model::Revision;
use rosterd_protocol::Encoding;

/// Permits a flusher to write to one session. Dropping it puts back the write handle, and the marks that were not sent.
#[derive(Debug)]
pub struct FlushPermit<'a> {
    hub: &'a Hub,
    session: &'a Arc<Session>,
    /// There until the permit is dropped.
    handle: Option<Box<dyn WriteHandle>>,
    /// The waker of the task that sleeps.
    waker: Option<Waker>,
    taken: TakenMarks,
    /// When the oldest change among the marks was committed.
    since: u64,
    /// Whether all marks were sent.
    done: bool,
    /// The part of a frame that the system did not take.
    rest: Option<Box<[u8]>>,
}

impl Hub {
    /// Takes a session that was in the flush queue to write to it. `None` if a flusher cannot do it now: the session's task
    /// runs, or has been woken.
    #[must_use]
    pub fn flush_permit<'a>(&'a self, session: &'a Arc<Session>) -> Option<FlushPermit<'a>> {
        // Both before the marks, as in `SessionHandle::take`.
        let (watermark, relations) = (self.watermark(), session.relations_epoch());
        let mut pending = session.pending.lock();
        pending.writer.unqueue();
        if pending.ended.is_some() || !pending.has_pending() || !pending.writer.is_handed_over() {
            return None;
        }
        if !pending.is_flushable() {
            let waker = pending.writer.take_waker();
            drop(pending);
            waker.into_iter().for_each(Waker::wake);
            return None;
        }
        let (handle, waker) = pending.writer.begin_flush()?;
        let (marks, since) = (pending.marks.take(), std::mem::take(&mut pending.since));
        let taken = TakenMarks { watermark, relations, marks };
        Some(FlushPermit { hub: self, session, handle: Some(handle), waker, taken, since, done: false, rest: None })
    }
}

impl FlushPermit<'_> {
    /// The encoding that the client asked for.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.handle().encoding()
    }

    fn handle(&self) -> &dyn WriteHandle {
        self.handle.as_deref().expect("a permit has the write handle until it is dropped")
    }

    /// The dirty marks to send.
    #[must_use]
    pub fn taken(&self) -> &TakenMarks {
        &self.taken
    }

    /// The registry as the session may see it.
    #[must_use]
    pub fn view(&self) -> SessionView<'_> {
        self.hub.view(self.session)
    }

    /// Writes everything that the marks name, which may be nothing; the client then holds all changes up to `watermark`.
    /// The session's task writes what the system does not take now. Returns the number of bytes written; if it is 0, the
    /// marks stay pending.
    pub fn write(mut self, bytes: &[u8], watermark: Option<Revision>) -> usize {
        // The session may not see some of it any more if a relation has changed meanwhile.
        if self.session.relations_epoch() != self.taken.relations {
            return 0;
        }
        if bytes.is_empty() {
            self.done = true;
            return 0;
        }
        let Ok(written @ 1..) = self.handle().try_write(bytes) else {
            // The task also sees to a broken connection.
            return 0;
        };
        self.done = true;
        self.rest = Some(&bytes[written..]).filter(|rest| !rest.is_empty()).map(Box::from);
        if let Some(watermark) = watermark {
            self.session.set_delivered_up_to(watermark);
        }
        self.hub.delivered(self.since);
        written
    }
}

impl Drop for FlushPermit<'_> {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        let mut pending = self.session.pending.lock();
        if !self.done {
            pending.put_back(self.taken.marks.iter(), self.since);
        }
        let waiting = pending.writer.end_flush(handle, self.rest.take());
        let sleeping = self.waker.take();
        let waker = if waiting.is_some() {
            waiting
        } else if pending.wake_reason().is_some() {
            sleeping
        } else {
            pending.writer.sleep_on(sleeping);
            None
        };
        drop(pending);
        waker.into_iter().for_each(Waker::wake);
    }
}
