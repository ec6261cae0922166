//! Flushers and the session's own task, writing to one connection.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};

use futures::channel::{mpsc, oneshot};
use futures::{FutureExt, StreamExt};
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use crate::hub::SessionsLimit;
use crate::hub::feed::Feed;
use crate::hub::{Hub, Session, SessionHandle, SessionView, Signal, TakenMarks, UserRef, WakeReason, WriteHandle};
use crate::marks::{account, change, hub, known};
use rosterd_engine::model::{CloseReason, Revision, SessionId, SessionsPolicy};
use rosterd_protocol::Encoding;

const LAST: Revision = 4;
/// How many commands the client sends meanwhile.
const COMMANDS: usize = 2;
/// Three numbers.
const FRAME: usize = 24;

/// What makes a run special.
#[derive(Default, Clone, Copy)]
struct Run {
    /// Writes that the connection refuses before it takes one.
    refused: usize,
    /// Flushers' writes of which the connection takes only a part.
    split: usize,
    /// How often the task keeps its write handle while it sleeps.
    kept: usize,
    /// Signals that are sent meanwhile.
    signals: usize,
}

/// What the client has received.
#[derive(Default)]
struct Received {
    /// Of each frame the versions of two accounts, 0 where it has none, and the cursor.
    bytes: Mutex<Vec<u8>>,
    more: Condvar,
    /// Whether someone writes.
    busy: AtomicBool,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Received")
    }
}

impl Received {
    /// Takes bytes, and finds out whether two write at once.
    fn write(&self, bytes: &[u8]) {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two write at once");
        thread::yield_now();
        self.bytes.lock().unwrap().extend(bytes);
        self.more.notify_all();
        self.busy.store(false, Ordering::SeqCst);
    }
}

fn frames(bytes: &[u8]) -> Vec<[Revision; 3]> {
    let numbers = |frame: &[u8]| -> Vec<_> {
        frame.chunks(8).map(|number| Revision::from_be_bytes(number.try_into().unwrap())).collect()
    };
    bytes.chunks_exact(FRAME).map(|frame| numbers(frame).try_into().unwrap()).collect()
}

/// The write handle that the task hands over.
#[derive(Debug)]
struct Out {
    received: Arc<Received>,
    /// How many writes are refused, and of how many only a part is taken, from now on.
    left: Mutex<(usize, usize)>,
}

impl WriteHandle for Out {
    fn encoding(&self) -> Encoding {
        Encoding::Json
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut left = self.left.lock().unwrap();
        if left.0 > 0 {
            left.0 -= 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let some = if left.1 > 0 { 5 } else { bytes.len() };
        left.1 = left.1.saturating_sub(1);
        self.received.write(&bytes[..some]);
        Ok(some)
    }
}

/// The frame for these marks.
fn frame(view: SessionView<'_>, taken: &TakenMarks) -> Vec<u8> {
    let version = |n| {
        let marked = taken.marks.iter().map(|(user, _)| user).find(|user| *user.account() == account(n));
        marked.map_or(0, |user| view.entry(user).profile().unwrap().version)
    };
    [version(1), version(2), taken.watermark].into_iter().flat_map(Revision::to_be_bytes).collect()
}

fn flusher(hub: &Arc<Hub>, mut end: oneshot::Receiver<()>) {
    let mut queued: Vec<Arc<Session>> = Vec::new();
    loop {
        let some = block_on(poll_fn(|cx| {
            if end.poll_unpin(cx).is_ready() {
                return Poll::Ready(false);
            }
            hub.poll_flush_queue(cx, 1, &mut queued).map(|()| true)
        }));
        if !some {
            return;
        }
        for session in queued.drain(..) {
            let Some(permit) = hub.flush_permit(&session) else { continue };
            let (bytes, watermark) = (frame(permit.view(), permit.taken()), permit.taken().watermark);
            permit.write(&bytes, Some(watermark));
        }
    }
}

fn join(hub: &Arc<Hub>, run: Run, received: &Arc<Received>) -> SessionHandle {
    let mut handle = hub.join(&account(0), SessionId(1), None);
    for n in [1, 2] {
        known(hub, &handle.add_friend(&account(n)));
    }
    hub.arrive(&handle, 1, SessionsLimit { policy: SessionsPolicy::All, max: 9 });
    drop(handle.take());
    let left = Mutex::new((run.refused, run.split));
    handle.hand_over(Some(Box::new(Out { received: received.clone(), left })));
    handle
}

/// The task: flushes when it is woken, and answers commands, for which its socket wakes it at any time. Returns how many
/// signals it got.
fn live(handle: &mut SessionHandle, run: Run, received: &Received, mut commands: mpsc::UnboundedReceiver<()>) -> usize {
    let (mut kept, mut signals) = (run.kept, 0);
    loop {
        let wake = block_on(poll_fn(|cx| {
            let wake = ready!(handle.poll_resume(cx));
            if wake.is_some() || matches!(commands.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                return Poll::Ready(wake);
            }
            let keeps_write_handle = kept > 0;
            kept = kept.saturating_sub(1);
            handle.poll_sleep(cx, keeps_write_handle).map(Some)
        }));
        if let Some(rest) = handle.take_rest() {
            received.write(&rest);
        }
        match wake {
            Some(WakeReason::End(_)) => return signals,
            // Woken for the rest of a frame, perhaps: then no more is pending.
            Some(WakeReason::DirtyMarks) => {
                let taken = handle.take();
                signals += std::iter::from_fn(|| handle.next_signal()).count();
                if !taken.marks.is_empty() {
                    received.write(&frame(handle.view(), &taken));
                    handle.set_delivered_up_to(taken.watermark);
                }
            }
            // An answer to the command would be written now.
            None => {
                assert!(!received.busy.load(Ordering::SeqCst), "a task that runs has its write handle to itself");
            }
        }
    }
}

fn check(frames: &[[Revision; 3]]) {
    let mut versions = [0, 0];
    let mut watermark = 0;
    for [one, two, cursor] in frames {
        versions = [versions[0].max(*one), versions[1].max(*two)];
        assert!(*cursor >= watermark, "the cursor goes back: {frames:?}");
        watermark = *cursor;
        // Odd revisions are of one account, even ones of the other.
        for revision in 1..=watermark {
            assert!(
                versions[(revision as usize + 1) % 2] >= revision,
                "a cursor of {watermark} before {revision} is sent: {frames:?}"
            );
        }
    }
    assert_eq!(versions, [LAST - 1, LAST], "{frames:?}");
}

fn run(run: Run) {
    let (hub, received) = (hub(), Arc::<Received>::default());
    let mut handle = join(&hub, run, &received);
    let session = handle.session().clone();
    let flushers = [0, 1].map(|_| {
        let (hub, (end, ended)) = (hub.clone(), oneshot::channel());
        (end, thread::spawn(move || flusher(&hub, ended)))
    });
    let (command, commands) = mpsc::unbounded();
    let living = {
        let received = received.clone();
        thread::spawn(move || {
            let signals = live(&mut handle, run, &received, commands);
            // What came last may still wait, as the end comes before all else.
            drop(handle.take());
            signals + std::iter::from_fn(|| handle.next_signal()).count()
        })
    };
    let client = thread::spawn(move || {
        for _ in 0..COMMANDS {
            thread::yield_now();
            command.unbounded_send(()).unwrap();
        }
        command
    });
    let mut feed = Feed::new(hub.clone());
    for revision in 1..=LAST {
        feed.apply(&[change(2 - revision as usize % 2, revision)]);
        if revision as usize <= run.signals {
            let signal = Arc::new(Signal { from: UserRef::detached(account(9)), payload: String::new() });
            assert_eq!(hub.signal(&account(0), None, &signal).delivered, 1);
        }
    }
    // Nobody sleeps through it: everything is sent in the end though nothing else happens.
    let has = |frames: &[[Revision; 3]], at: usize, revision| frames.iter().any(|frame| frame[at] == revision);
    let up_to_date = |bytes: &[u8]| has(&frames(bytes), 0, LAST - 1) && has(&frames(bytes), 1, LAST);
    let mut bytes = received.bytes.lock().unwrap();
    while !up_to_date(&bytes) {
        bytes = received.more.wait(bytes).unwrap();
    }
    drop(bytes);
    drop(client.join().unwrap());
    session.end(CloseReason::Kicked);
    assert_eq!(living.join().unwrap(), run.signals);
    for (end, flusher) in flushers {
        end.send(()).unwrap();
        flusher.join().unwrap();
    }
    let bytes = received.bytes.lock().unwrap();
    assert_eq!(bytes.len() % FRAME, 0, "half a frame");
    check(&frames(&bytes));
}

pub fn all_is_sent_in_order() {
    run(Run::default());
}

pub fn the_task_sends_what_is_refused() {
    run(Run { refused: 2, ..Run::default() });
}

pub fn the_task_finishes_a_frame() {
    run(Run { split: 2, ..Run::default() });
}

pub fn a_task_may_keep_its_write_handle() {
    run(Run { kept: 2, split: 1, ..Run::default() });
}

pub fn a_signal_comes_between() {
    run(Run { signals: 2, refused: 1, ..Run::default() });
}
