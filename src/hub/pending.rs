//! What waits for one session.

use std::sync::Arc;
use std::task::Waker;

use super::user::UserRef;
use super::writer::WriteHandle;
use rosterd_engine::model::{CloseReason, Revision};
use rosterd_engine::sync::outbox::{DirtyMarks, Outbox, Queue, RecordKinds};

/// What a teller can tell: it is in the registry.
const TELLABLE: RecordKinds = RecordKinds::PROFILE.with(RecordKinds::PRESENCE);

/// What the session has yet to be told.
#[derive(Debug, Default)]
pub(super) struct PendingState {
    pub(super) marks: Outbox<UserRef>,
    /// When the oldest change that waits was committed, in microseconds of the hub's clock; 0 if none waits.
    pub(super) since: u64,
    pub(super) signals: Option<Box<Queue<Arc<Signal>>>>,
    pub(super) ended: Option<CloseReason>,
    /// There while the session's task sleeps with nothing owed; whoever has something for it takes it.
    pub(super) sleeper: Option<Waker>,
    /// There while the task sleeps, unless it keeps it or a teller has it.
    pub(super) line: Option<Box<dyn WriteHandle>>,
    /// What of a frame that a teller began is yet to be written, before anything else is.
    pub(super) rest: Option<Box<[u8]>>,
    /// Whether the session waits for a teller.
    pub(super) is_due: bool,
    /// Whether a teller has its line.
    pub(super) is_told: bool,
}

impl PendingState {
    pub(super) fn is_some(&self) -> bool {
        !self.marks.is_empty() || self.signals.is_some() || self.rest.is_some()
    }

    pub(super) fn put_back<'a>(&mut self, marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>, since: u64) {
        if since != 0 {
            self.since = since;
        }
        for (user, kinds) in marks {
            self.marks.mark(user.clone(), *kinds);
        }
    }

    pub(super) fn is_tellable(&self) -> bool {
        self.ended.is_none()
            && self.rest.is_none()
            && self.signals.is_none()
            && self.marks.marks().iter().all(|(_, kinds)| TELLABLE.has(*kinds))
    }

    /// What there is for the task.
    pub(super) fn wake(&self) -> Option<WakeReason> {
        self.ended.map(WakeReason::End).or(self.is_some().then_some(WakeReason::DirtyMarks))
    }
}

/// What a session is owed.
#[derive(Debug)]
pub struct TakenMarks {
    /// The stamp that a client may be promised once it was told all of this.
    pub horizon: Revision,
    /// [`SessionHandle::relations`] as it was then.
    pub relations: u32,
    /// The keys.
    pub marks: DirtyMarks<UserRef>,
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
pub enum WakeReason {
    /// Something is owed.
    DirtyMarks,
    /// The session is to end.
    End(CloseReason),
}
