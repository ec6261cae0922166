//! Reads the database on a fixed number of connections, each of which a task of its own uses.
//!
//! A read that was begun runs to its end even if its caller stops waiting, so no connection is left in the middle of a
//! transaction. A connection that had an error is not used again.
//!
//! While the database is away most reads fail at once, so that who logs in learns when to come back. Those that a session
//! needs that is there already are tried again, for as long as a write waits: it stays, and lacks nothing.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::sleep;

use super::pause::{PAUSE, part_of};
use super::pg_error::{PgError, closed, within};
use super::rows::friend_lists::{self, AskedRows};
use super::rows::logins::{self, AskedLogin};
use super::rows::users::{self, BlocksOf};
use super::schema::random;
use super::session::{Connector, PgSession, SessionKind};
use crate::store::StoreError;
use rosterd_engine::model::Account;

/// The most reads that wait, as many as in a file's store.
const QUEUED: usize = 65_536;

/// How long a read may take. A server that hangs keeps the connection open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a read on a session, and returns whether the session is good for another.
type PgRead = Box<dyn FnOnce(Result<Arc<PgSession>, PgError>) -> BoxFuture<'static, bool> + Send>;

/// For how long a connection keeps its plans, while it is used. One that was made for a small table would read all of it once
/// it is large, and nothing says when that is.
const PLANS: Duration = Duration::from_secs(10);

/// How long until a read is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// The reads that wait. Each wakes one reader, and no reader another one: that would cost the read some time.
struct ReadQueue {
    reads: Mutex<VecDeque<PgRead>>,
    /// One for each of them; closed once no more may come.
    waiting: Semaphore,
}

impl ReadQueue {
    fn add(&self, read: PgRead) -> Result<(), StoreError> {
        let mut reads = self.reads.lock();
        if self.waiting.is_closed() {
            return Err(closed());
        }
        if reads.len() >= QUEUED {
            return Err(StoreError("too many reads wait".into()));
        }
        reads.push_back(read);
        drop(reads);
        self.waiting.add_permits(1);
        Ok(())
    }

    /// Waits for the next read; `None` once it is closed and all were taken.
    async fn next(&self) -> Option<PgRead> {
        if let Ok(permit) = self.waiting.acquire().await {
            permit.forget();
        }
        self.reads.lock().pop_front()
    }

    fn close(&self) {
        let _reads = self.reads.lock();
        self.waiting.close();
    }
}

/// The readers of a store.
pub(super) struct PgReaders {
    queue: Arc<ReadQueue>,
    /// Loses its senders when the last reader has ended.
    running: watch::Receiver<()>,
    /// Whether the last read failed.
    failing: Arc<AtomicBool>,
    /// For how long a read is tried again.
    retry: Duration,
    kind: SessionKind,
}

impl PgReaders {
    /// Starts readers on a runtime. Each connects at once, and again when it has something to read.
    pub(super) fn start(
        runtime: &Handle,
        connector: &Connector,
        kind: SessionKind,
        count: usize,
        retry: Duration,
    ) -> Self {
        let queue = Arc::new(ReadQueue { reads: Mutex::default(), waiting: Semaphore::new(0) });
        let pause = Arc::new(Mutex::new(Pause::default()));
        let (alive, running) = watch::channel(());
        let alive = Arc::new(alive);
        for _ in 0..count {
            let (connector, queue, alive) = (connector.clone(), queue.clone(), alive.clone());
            let pause = pause.clone();
            runtime.spawn(async move {
                read_on(connector, kind, &queue, &pause).await;
                drop(alive);
            });
        }
        Self { queue, running, failing: Arc::default(), retry, kind }
    }

    /// Runs a query.
    pub(super) async fn read<T, F>(
        &self,
        query: impl FnOnce(Arc<PgSession>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PgError>> + Send + 'static,
    {
        self.attempt(query).await?.map_err(|error| unreadable(&error))
    }

    /// Runs a query, and again while the database is away.
    pub(super) async fn read_again<T, F>(
        &self,
        query: impl FnOnce(Arc<PgSession>) -> F + Clone + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PgError>> + Send + 'static,
    {
        let until = Instant::now() + self.retry;
        loop {
            match self.attempt(query.clone()).await? {
                Err(error) if error.may_pass() && Instant::now() < until => {
                    sleep(part_of(AGAIN, random().unwrap_or(1))).await;
                }
                found => return found.map_err(|error| unreadable(&error)),
            }
        }
    }

    async fn attempt<T, F>(
        &self,
        query: impl FnOnce(Arc<PgSession>) -> F + Send + 'static,
    ) -> Result<Result<T, PgError>, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PgError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (failing, kind) = (self.failing.clone(), self.kind);
        let read: PgRead = Box::new(move |session| {
            Box::pin(async move {
                if answer.is_closed() {
                    return true;
                }
                let found = match session {
                    Ok(session) => within(PATIENCE, query(session)).await,
                    Err(error) => Err(error),
                };
                let is_good = found.is_ok();
                report(kind, &failing, found.as_ref().err());
                // Sending fails if the caller stopped waiting meanwhile.
                let _ = answer.send(found);
                is_good
            })
        });
        self.queue.add(read)?;
        answered.await.map_err(|_| broke_off())
    }

    /// Finishes the reads that wait, then closes every connection. Later reads fail.
    pub(super) async fn close(&self) {
        self.queue.close();
        let _ = self.running.clone().changed().await;
    }
}

impl Drop for PgReaders {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Says that nobody reads any more.
pub(super) fn broke_off() -> StoreError {
    StoreError("a read broke off".into())
}

/// Says that something could not be read.
pub(super) fn unreadable(error: &PgError) -> StoreError {
    StoreError(format!("cannot read the database: {error}"))
}

/// Logs once that reads fail, and once that they succeed again. Nobody else does: clients are not told what failed.
fn report(kind: SessionKind, failing: &AtomicBool, error: Option<&PgError>) {
    let what = if kind == SessionKind::Replica { "the replica" } else { "the store" };
    if failing.swap(error.is_some(), Ordering::Relaxed) != error.is_some() {
        if let Some(error) = error {
            tracing::error!(%error, "{what} cannot read; it keeps trying");
        } else {
            tracing::info!("{what} can read again");
        }
    }
}

/// Carries out reads until no more can come.
async fn read_on(connector: Connector, kind: SessionKind, queue: &ReadQueue, pause: &Mutex<Pause>) {
    // If it cannot, the first read will say so.
    let mut held = connect(&connector, kind, pause).await.map(Arc::new).ok();
    let mut planned = Instant::now();
    loop {
        let Some(read) = queue.next().await else { return };
        let session = match held.take().filter(|session| !session.is_closed()) {
            Some(session) => Ok(session),
            None => connect(&connector, kind, pause).await.map(Arc::new),
        };
        let opened = session.as_ref().ok().cloned();
        // A read that panics costs its caller and its connection, and not the reader.
        if AssertUnwindSafe(read(session)).catch_unwind().await.unwrap_or(false) {
            held = opened;
        }
        // Its answer is given: who waited for it does not wait for this.
        if keeps_plans(kind)
            && planned.elapsed() >= PLANS
            && let Some(session) = held.take()
        {
            planned = Instant::now();
            held = renew_plans(session).await;
        }
    }
}

fn keeps_plans(kind: SessionKind) -> bool {
    matches!(kind, SessionKind::Reader | SessionKind::Replica)
}

async fn open(connector: &Connector, kind: SessionKind) -> Result<PgSession, PgError> {
    let session = connector.connect(kind).await?;
    if keeps_plans(kind) {
        within(PATIENCE, make_plans(&session)).await?;
    }
    Ok(session)
}

/// Has the server make its plans again, for the tables as they are now. `None` if the connection does not answer.
async fn renew_plans(session: Arc<PgSession>) -> Option<Arc<PgSession>> {
    let renewed = async {
        session.run("DISCARD PLANS").await?;
        make_plans(&session).await
    };
    within(PATIENCE, renewed).await.ok().map(|()| session)
}

/// Has the server read its catalogs and make its plans: the first logins after a start do not wait for that.
async fn make_plans(session: &PgSession) -> Result<(), PgError> {
    let calls = [None, Some(0)].into_iter().flat_map(|since| {
        let rows = AskedRows { owner: Account::none(), after: None, since };
        [friend_lists::listed(&rows, 0), logins::logins(&[AskedLogin { rows, limit: 0, few: None }])]
    });
    let calls: Vec<_> = calls.chain([users::without_blocks(&[])]).collect();
    session.prepare(&calls).await?;
    session.pipeline(&calls).await?;
    users::with_blocks(session, &[], &BlocksOf::Followed(Account::none(), 0)).await.map(drop)
}

/// Keeps the readers from connecting again and again to a server that is away. The first that connects ends it for all.
#[derive(Default)]
struct Pause {
    length: Duration,
    /// Until when, and why.
    until: Option<(Instant, String)>,
}

async fn connect(connector: &Connector, kind: SessionKind, pause: &Mutex<Pause>) -> Result<PgSession, PgError> {
    let known = pause.lock().until.clone();
    if let Some((until, why)) = &known
        && Instant::now() < *until
    {
        return Err(PgError::Away(why.clone()));
    }
    let connected = open(connector, kind).await;
    let mut pause = pause.lock();
    match &connected {
        Ok(_) => *pause = Pause::default(),
        // Of several that try at once one counts.
        Err(error) if pause.until == known => {
            pause.length = (pause.length * 2).clamp(PAUSE.0, PAUSE.1);
            pause.until = Some((Instant::now() + part_of(pause.length, random().unwrap_or(1)), error.to_string()));
        }
        Err(_) => {}
    }
    connected
}
