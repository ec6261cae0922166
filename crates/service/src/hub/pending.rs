//! What is pending for one session.

use std::sync::Arc;

use super::user::UserRef;
use super::writer::WriterState;
use rosterd_engine::model::{CloseReason, Revision};
use rosterd_engine::sync::outbox::{DirtyMarks, Outbox, Queue, RecordKinds};

/// What a flusher can send: all of it is in the registry.
const FLUSHABLE: RecordKinds = RecordKinds::PROFILE.with(RecordKinds::PRESENCE);

/// What is pending for a session, and who may write it. Under one lock, so that both change together.
#[derive(Debug, Default)]
pub(super) struct PendingState {
    pub(super) marks: Outbox<UserRef>,
    /// When the oldest pending change was committed, in microseconds of the hub's clock; 0 if none is pending.
    pub(super) since: u64,
    pub(super) signals: Option<Box<Queue<Arc<Signal>>>>,
    pub(super) ended: Option<CloseReason>,
    pub(super) writer: WriterState,
}

impl PendingState {
    /// Whether there is something to write.
    pub(super) fn has_pending(&self) -> bool {
        !self.marks.is_empty() || self.signals.is_some() || self.writer.is_unfinished()
    }

    pub(super) fn put_back<'a>(&mut self, marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>, since: u64) {
        if since != 0 {
            self.since = since;
        }
        for (user, kinds) in marks {
            self.marks.mark(user.clone(), *kinds);
        }
    }

    /// Whether a flusher can write all that is pending.
    pub(super) fn is_flushable(&self) -> bool {
        self.ended.is_none()
            && !self.writer.is_unfinished()
            && self.signals.is_none()
            && self.marks.marks().iter().all(|(_, kinds)| FLUSHABLE.has(*kinds))
    }

    /// Why the task has to run, if it has to.
    pub(super) fn wake_reason(&self) -> Option<WakeReason> {
        self.ended.map(WakeReason::End).or(self.has_pending().then_some(WakeReason::DirtyMarks))
    }
}

/// The dirty marks that were taken from a session, to be written to its client.
#[derive(Debug)]
pub struct TakenMarks {
    /// The watermark before the marks were taken: a client that was sent all of this holds everything up to it.
    pub watermark: Revision,
    /// The session's relations epoch before the marks were taken.
    pub relations: u32,
    /// The dirty marks.
    pub marks: DirtyMarks<UserRef>,
}

/// A message between clients that is stored nowhere.
#[derive(Debug)]
pub struct Signal {
    /// The sender.
    pub from: UserRef,
    /// The payload, which the gateway does not read.
    pub payload: String,
}

/// Why a session's task was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeReason {
    /// Something is pending.
    DirtyMarks,
    /// The session is to end.
    End(CloseReason),
}
