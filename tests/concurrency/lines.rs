//! Tellers and the session's own task, writing to one connection.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};

use futures::FutureExt;
use futures::channel::oneshot;
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread;

use crate::hub::feed::Feed;
use crate::hub::{Hub, Session, SessionHandle, SessionView, TakenMarks, WakeReason, WriteHandle};
use crate::marks::{account, change, hub, known, sleep};
use rosterd_engine::model::{CloseReason, Revision, SessionId};
use rosterd_protocol::Encoding;

const LAST: Revision = 4;

/// What one client was told: of each write the versions of two accounts, or that there was nothing new, and the cursor.
type Written = Arc<(Mutex<Vec<[Revision; 3]>>, Condvar)>;

/// A connection that takes something or not, and finds out whether two write at once.
#[derive(Debug)]
struct Out {
    written: Written,
    busy: Arc<AtomicBool>,
    /// Writes that are refused before one is taken.
    refuses: Mutex<usize>,
}

impl WriteHandle for Out {
    fn encoding(&self) -> Encoding {
        Encoding::Json
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut refuses = self.refuses.lock().unwrap();
        if *refuses > 0 {
            *refuses -= 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        write(&self.written, &self.busy, bytes);
        Ok(bytes.len())
    }
}

fn write(written: &Written, busy: &AtomicBool, bytes: &[u8]) {
    assert!(!busy.swap(true, Ordering::SeqCst), "two write at once");
    thread::yield_now();
    let frame: Vec<_> = bytes.chunks(8).map(|number| Revision::from_be_bytes(number.try_into().unwrap())).collect();
    written.0.lock().unwrap().push(frame.try_into().unwrap());
    written.1.notify_all();
    busy.store(false, Ordering::SeqCst);
}

/// The frame that tells this.
fn frame(view: SessionView<'_>, taken: &TakenMarks) -> Vec<u8> {
    let version = |n| {
        let marked = taken.marks.iter().map(|(user, _)| user).find(|user| *user.account() == account(n));
        marked.map_or(0, |user| view.entry(user).profile().unwrap().version)
    };
    [version(1), version(2), taken.horizon].into_iter().flat_map(Revision::to_be_bytes).collect()
}

fn tell(hub: &Arc<Hub>, mut end: oneshot::Receiver<()>) {
    let mut due: Vec<Arc<Session>> = Vec::new();
    loop {
        let some = block_on(poll_fn(|cx| {
            if end.poll_unpin(cx).is_ready() {
                return Poll::Ready(false);
            }
            hub.poll_flush_queue(cx, 1, &mut due).map(|()| true)
        }));
        if !some {
            return;
        }
        for session in due.drain(..) {
            let Some(turn) = hub.flush_permit(&session) else { continue };
            let (bytes, horizon) = (frame(turn.view(), turn.taken()), turn.taken().horizon);
            turn.write(&bytes, Some(horizon));
        }
    }
}

fn seat(hub: &Arc<Hub>, refuses: usize) -> (SessionHandle, Written, Arc<AtomicBool>) {
    let mut seat = hub.join(&account(0), SessionId(1), None);
    for n in [1, 2] {
        known(hub, &seat.add_friend(&account(n)));
    }
    let (written, busy) = (Written::default(), Arc::new(AtomicBool::new(false)));
    let out = Out { written: written.clone(), busy: busy.clone(), refuses: Mutex::new(refuses) };
    seat.hand_over(Some(Box::new(out)));
    (seat, written, busy)
}

/// The task: tells what it is woken for, and now and then looks up without being woken, as it does when the client speaks.
fn live(seat: &mut SessionHandle, written: &Written, busy: &AtomicBool) {
    let mut spoken = 2;
    loop {
        let wake = block_on(poll_fn(|cx| {
            let wake = ready!(seat.poll_resume(cx));
            if wake.is_some() || spoken > 0 {
                spoken = usize::saturating_sub(spoken, 1);
                return Poll::Ready(wake);
            }
            seat.poll_sleep(cx, false).map(Some)
        }));
        match wake {
            Some(WakeReason::End(_)) => return,
            Some(WakeReason::DirtyMarks) => {
                let taken = seat.take();
                write(written, busy, &frame(seat.view(), &taken));
                seat.set_delivered_up_to(taken.horizon);
            }
            // The client spoke: an answer would be written now.
            None => {
                assert!(!busy.load(Ordering::SeqCst), "a task that is up has its line to itself");
            }
        }
    }
}

fn check(written: &[[Revision; 3]]) {
    let mut told = [0, 0];
    let mut horizon = 0;
    for [one, two, cursor] in written {
        told = [told[0].max(*one), told[1].max(*two)];
        assert!(*cursor >= horizon, "the cursor goes back: {written:?}");
        horizon = *cursor;
        // Odd stamps are of one account, even ones of the other.
        for stamp in 1..=horizon {
            assert!(
                told[(stamp as usize + 1) % 2] >= stamp,
                "a cursor of {horizon} before {stamp} is told: {written:?}"
            );
        }
    }
    assert_eq!(told, [LAST - 1, LAST], "{written:?}");
}

fn run(refuses: usize) {
    let hub = hub();
    let (mut seat, written, busy) = seat(&hub, refuses);
    let session = seat.session().clone();
    let tellers = [0, 1].map(|_| {
        let (hub, (end, ended)) = (hub.clone(), oneshot::channel());
        (end, thread::spawn(move || tell(&hub, ended)))
    });
    let living = {
        let (written, busy) = (written.clone(), busy.clone());
        thread::spawn(move || live(&mut seat, &written, &busy))
    };
    let mut feed = Feed::new(hub.clone());
    for stamp in 1..=LAST {
        feed.apply(&[change(2 - stamp as usize % 2, stamp)]);
    }
    // Nobody sleeps through it: all is told in the end without anything else happening.
    let has = |told: &[[Revision; 3]], at: usize, stamp| told.iter().any(|frame| frame[at] == stamp);
    let up_to_date = |told: &[[Revision; 3]]| has(told, 0, LAST - 1) && has(told, 1, LAST);
    let mut told = written.0.lock().unwrap();
    while !up_to_date(&told) {
        told = written.1.wait(told).unwrap();
    }
    drop(told);
    session.end(CloseReason::Kicked);
    living.join().unwrap();
    for (end, teller) in tellers {
        end.send(()).unwrap();
        teller.join().unwrap();
    }
    check(&written.0.lock().unwrap());
}

pub fn all_is_told() {
    run(0);
}

pub fn the_task_sees_to_the_rest() {
    run(2);
}
