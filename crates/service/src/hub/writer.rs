//! The write handle of a connection, and who has it.

use std::fmt::Debug;
use std::io;
use std::mem;
use std::task::{Poll, Waker};

use rosterd_protocol::Encoding;

/// Writes to one connection.
pub trait WriteHandle: Debug + Send + Sync {
    /// The encoding that the client asked for.
    fn encoding(&self) -> Encoding;

    /// Writes as much as the system takes at once.
    ///
    /// # Errors
    /// The system takes nothing now (`WouldBlock`), or the connection is broken.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Says who may write to a session's connection, and whose waker is registered.
///
/// A connection has one writer at a time: the session's task, or the flusher that holds its write handle. A task that
/// goes idle hands over its write handle, and takes it back when it resumes.
///
/// | state | who may write |
/// |---|---|
/// | `Task` | the task. It runs, or it is idle and keeps its write handle, or has none (TLS) |
/// | `HandedOver` | nobody. Whoever comes first takes the write handle: the task, or a flusher if the session is queued |
/// | `Flusher` | the flusher that has the session's permit. A task that wants to resume waits |
/// | `Unfinished` | the task, which first writes the rest of a frame that a flusher began. It is awake or was woken |
///
/// Every transition happens under the lock of the session's pending state:
///
/// | event | in `Task` | in `HandedOver` | in `Flusher` | in `Unfinished` |
/// |---|---|---|---|---|
/// | the task resumes | goes on | → `Task`, with the write handle | registers its waker and waits | goes on, with the write handle |
/// | the task sleeps | → `HandedOver`, or keeps its write handle; its waker is registered | – | – | – : there is something to write |
/// | something is pending that a flusher can send | wakes the task | queues the session, once | wakes a waiting task | – |
/// | something is pending for the task, or it is to end | wakes the task | wakes the task; the write handle stays | wakes a waiting task | – |
/// | a flusher takes the session from the queue | is not queued any more | → `Flusher`; wakes the task instead if a flusher cannot send what is pending | – | – |
/// | the permit is dropped | – | – | → `HandedOver`, or `Unfinished` after half a frame; wakes a task that waits or has something to do | – |
/// | the task takes the rest of the frame | – | – | – | → `Task` |
///
/// To wake the task takes its waker, so each registration wakes it at most once. A task that was woken for another reason
/// leaves its waker registered while it runs.
///
/// `queued` says that the session is in the flush queue, or in what a flusher took from it and has not come to. It stays
/// when the task resumes: the flusher finds a session in `Task`, and leaves it alone.
#[derive(Debug)]
pub(super) enum WriterState {
    Task {
        waker: Option<Waker>,
        queued: bool,
    },
    HandedOver {
        handle: Box<dyn WriteHandle>,
        /// `None` once the task was woken.
        waker: Option<Waker>,
        queued: bool,
    },
    Flusher {
        /// Wakes the task that waits for the flusher. The one it slept with is in the permit.
        waker: Option<Waker>,
    },
    Unfinished {
        rest: Box<[u8]>,
        /// `None` once the task has resumed.
        handle: Option<Box<dyn WriteHandle>>,
    },
}

impl Default for WriterState {
    fn default() -> Self {
        Self::Task { waker: None, queued: false }
    }
}

impl WriterState {
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self, Self::Unfinished { .. })
    }

    pub(super) fn is_handed_over(&self) -> bool {
        matches!(self, Self::HandedOver { .. })
    }

    fn waker(&mut self) -> Option<&mut Option<Waker>> {
        match self {
            Self::Task { waker, .. } | Self::HandedOver { waker, .. } | Self::Flusher { waker } => Some(waker),
            Self::Unfinished { .. } => None,
        }
    }

    fn register(&mut self, new: &Waker) {
        match self.waker() {
            Some(Some(waker)) => waker.clone_from(new),
            Some(none) => *none = Some(new.clone()),
            None => {}
        }
    }

    /// Takes the task's waker; the caller wakes it once it has released the lock.
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.waker()?.take()
    }

    /// Resumes the task, and gives back its write handle if it was handed over. Pending while a flusher writes.
    pub(super) fn resume(&mut self, task: &Waker) -> Poll<Option<Box<dyn WriteHandle>>> {
        match mem::take(self) {
            Self::HandedOver { handle, waker, queued } => {
                *self = Self::Task { waker, queued };
                Poll::Ready(Some(handle))
            }
            Self::Unfinished { rest, handle } => {
                *self = Self::Unfinished { rest, handle: None };
                Poll::Ready(handle)
            }
            task @ Self::Task { .. } => {
                *self = task;
                Poll::Ready(None)
            }
            flusher @ Self::Flusher { .. } => {
                *self = flusher;
                self.register(task);
                Poll::Pending
            }
        }
    }

    /// Lets the task sleep, which has resumed before; hands over its write handle, if it gives one.
    pub(super) fn sleep(&mut self, task: &Waker, handle: Option<Box<dyn WriteHandle>>) {
        debug_assert!(matches!(self, Self::Task { .. }), "only a task that has resumed can go to sleep");
        self.register(task);
        if let Self::Task { waker, queued } = self
            && let Some(handle) = handle
        {
            let (waker, queued) = (waker.take(), *queued);
            *self = Self::HandedOver { handle, waker, queued };
        }
    }

    /// Notes that a flusher has come to the session.
    pub(super) fn unqueue(&mut self) {
        if let Self::Task { queued, .. } | Self::HandedOver { queued, .. } = self {
            *queued = false;
        }
    }

    /// Gives a flusher the write handle, and the waker of the task that sleeps. `None` if it was not handed over.
    pub(super) fn begin_flush(&mut self) -> Option<(Box<dyn WriteHandle>, Option<Waker>)> {
        match mem::take(self) {
            Self::HandedOver { handle, waker, .. } => {
                *self = Self::Flusher { waker: None };
                Some((handle, waker))
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// Takes the write handle back from a flusher, with the rest of a frame that it could not finish. Returns the waker of
    /// the task, if it waits for this.
    pub(super) fn end_flush(&mut self, handle: Box<dyn WriteHandle>, rest: Option<Box<[u8]>>) -> Option<Waker> {
        let waiting = self.take_waker();
        *self = match rest {
            Some(rest) => Self::Unfinished { rest, handle: Some(handle) },
            None => Self::HandedOver { handle, waker: None, queued: false },
        };
        waiting
    }

    /// Registers again the waker of a task that sleeps on after a flush.
    pub(super) fn sleep_on(&mut self, task: Option<Waker>) {
        if let Some(waker) = self.waker() {
            *waker = task;
        }
    }

    /// Takes the rest of a frame that a flusher began.
    pub(super) fn take_rest(&mut self) -> Option<Box<[u8]>> {
        match mem::take(self) {
            Self::Unfinished { rest, handle } => {
                if let Some(handle) = handle {
                    *self = Self::HandedOver { handle, waker: None, queued: false };
                }
                Some(rest)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}
