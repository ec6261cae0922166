//! The line between one process and the server: everything takes time on it, both ways, and it can be cut.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rosterd::store::postgres::{PgError, PgResult};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::server::{Server, SharedServer, notice_cut, watch_idle};
use crate::random::Random;

/// How long a writer waits for the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A process's way to the server. What it sends goes on by itself: a process that stands still or dies takes nothing back.
#[derive(Clone)]
pub struct Line {
    pub server: SharedServer,
    /// Which process it is.
    pub process: u64,
    cut: Arc<AtomicBool>,
    dead: Arc<AtomicBool>,
    /// How many questions wait for an answer that was lost.
    hanging: Arc<AtomicUsize>,
    pub random: Random,
}

impl Line {
    pub fn new(server: SharedServer, process: u64, random: Random) -> Self {
        Self { server, process, cut: Arc::default(), dead: Arc::default(), hanging: Arc::default(), random }
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed) || self.dead.load(Ordering::Relaxed)
    }

    /// Whether something was lost that the process has not given up yet.
    pub fn hangs(&self) -> bool {
        self.hanging.load(Ordering::Relaxed) > 0
    }

    pub fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        let cut = self.cut.clone();
        notice_cut(&self.server, self.process, move || cut.load(Ordering::Relaxed));
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::Relaxed);
    }

    /// The process is dead, and its system closes its connections.
    pub fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.server.lock().unwrap().end_all_of(self.process);
    }

    fn latency(&self) -> Duration {
        Duration::from_millis(if self.random.percent(60) { self.random.below(4) } else { 0 })
    }

    /// Has the server do something, and returns its answer.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Server) -> PgResult<T> + Send + 'static,
    ) -> PgResult<T> {
        self.send(move |line: Self| async move { work(&mut line.server.lock().unwrap()) }).await
    }

    /// The same for something that needs the lock first. The session is watched from then on.
    pub async fn ask_with_lock<T: Send + 'static>(
        &self,
        session: i32,
        work: impl FnOnce(&mut Server) -> PgResult<T> + Send + 'static,
    ) -> PgResult<T> {
        let locked = move |line: Self| async move {
            let lock = line.server.lock().unwrap().lock();
            let Ok(guard) = timeout(LOCK_TIMEOUT, lock.lock_owned()).await else {
                line.server.lock().unwrap().happened.push("a lock was waited for in vain");
                return Err(PgError::Refused { code: "55P03".into(), words: "lock timeout".into() });
            };
            let (since, found) = {
                let mut server = line.server.lock().unwrap();
                let since = server.hold(session, guard)?;
                (since, work(&mut server))
            };
            watch_idle(&line.server, session, since);
            found
        };
        self.send(locked).await
    }

    async fn send<T, F>(&self, work: impl FnOnce(Self) -> F + Send + 'static) -> PgResult<T>
    where
        T: Send + 'static,
        F: Future<Output = PgResult<T>> + Send,
    {
        let (answer, answered) = oneshot::channel();
        let line = self.clone();
        tokio::spawn(async move {
            sleep(line.latency()).await;
            let found = if line.is_cut() { None } else { Some(work(line.clone()).await) };
            sleep(line.latency()).await;
            match found {
                Some(found) if !line.is_cut() => drop(answer.send(found)),
                // Nothing comes, until the system gives the connection up.
                _ => {
                    line.hanging.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(line.random.below(3000))).await;
                    line.hanging.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
        answered.await.unwrap_or_else(|_| Err(PgError::Away("the connection broke".into())))
    }
}
