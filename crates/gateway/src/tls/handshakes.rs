//! Does the costly part of TLS handshakes on threads of their own, so that no session waits for a signature.
//!
//! A handshake costs a signature, up to some milliseconds, as soon as a few hundred bytes have come. Whoever sends many of
//! those would otherwise keep the threads busy that serve the sessions. Here they can only fill a bounded queue.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The most handshakes that wait. With the slowest keys in use, that is about a second for one thread.
const WAITING: usize = 256;

/// How much these threads give way to those that serve sessions, when there is not enough for all.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

type Handshake = Box<dyn FnOnce() + Send>;

/// The threads of one listener. They end once this is dropped.
pub(super) struct HandshakeThreads(SyncSender<Handshake>);

impl HandshakeThreads {
    /// Starts a thread for every two processors.
    pub(super) fn start() -> io::Result<Self> {
        let (queue, waiting) = sync_channel::<Handshake>(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
        for _ in 0..threads {
            let waiting = waiting.clone();
            thread::Builder::new().name("rosterd-tls".into()).spawn(move || run(&waiting))?;
        }
        Ok(Self(queue))
    }

    /// Runs the costly part of a handshake. A caller that stops waiting before it has begun costs nothing.
    ///
    /// # Errors
    /// Too many others wait: `ResourceBusy`.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let handshake = move || {
            if !answer.is_closed() {
                // Sending fails if the caller stopped waiting meanwhile.
                let _ = answer.send(work());
            }
        };
        let queued = self.0.try_send(Box::new(handshake));
        queued.map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "too many TLS handshakes wait"))?;
        answered.await.map_err(|_| io::Error::other("a TLS handshake broke off"))
    }
}

fn run(waiting: &Mutex<Receiver<Handshake>>) {
    // On Linux this is about the thread. If it fails, handshakes only take a larger share.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
    loop {
        // The lock is held by the one thread that waits for the next.
        let next = waiting.lock().recv();
        let Ok(handshake) = next else { return };
        // The caller of one that panics gets an error.
        let _ = catch_unwind(AssertUnwindSafe(handshake));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded_and_what_panics_ends_no_thread() {
        let threads = HandshakeThreads::start().unwrap();
        assert_eq!(threads.run(|| 7).await.unwrap(), 7);
        for _ in 0..20 {
            assert!(threads.run(|| panic!("as a test of the threads")).await.is_err());
        }
        // The threads stand still until the gate opens, and the queue fills.
        let (shut, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut held = Vec::new();
        let refused = loop {
            let gate = gate.clone();
            let mut waits = Box::pin(threads.run(move || gate.lock().recv().is_ok()));
            match futures::poll!(&mut waits) {
                std::task::Poll::Ready(result) => break result,
                std::task::Poll::Pending => held.push(waits),
            }
            assert!(held.len() < 2 * WAITING);
        };
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert!(held.len() >= WAITING);
        drop(shut);
        for waits in held {
            waits.await.unwrap();
        }
        assert_eq!(threads.run(|| 8).await.unwrap(), 8);
    }
}
