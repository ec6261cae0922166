//! The writer's connection, and what it has to find at each new one: the history that this process knows.

use std::sync::Arc;
use std::time::Duration;

use super::options::Failover;
use super::pg_error::PgError;
use super::rows::values::value;
use super::schema::{GATEWAY_LOCK, LOCK, STANDING, Standing, is_lossless, random, system};
use super::session::{Connector, PgSession, SessionKind, call};

/// The last batch that this process knows to be committed, and what its history rests on.
#[derive(Debug, Clone)]
pub(super) struct KnownHistory {
    pub head: u64,
    pub nonce: i64,
    pub epoch: i64,
    /// Which server, database and schema it is.
    pub system: String,
    pub timeline: String,
}

/// A batch whose answer was lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct DoubtfulBatch {
    pub head: u64,
    pub nonce: i64,
}

/// What is found at a new connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CommitVerdict {
    /// The history is the one that is known, without the batch in doubt.
    NotDone,
    /// The batch in doubt was committed.
    Done,
}

/// Which session of the server is the writer's own.
type WriterBackend = (i32, String);

/// The connection of the writer.
pub(super) struct WriterSession {
    connector: Connector,
    failover: Failover,
    open: Option<Arc<PgSession>>,
    backend: Option<WriterBackend>,
    pub known: KnownHistory,
}

impl WriterSession {
    pub(super) fn new(connector: Connector, failover: Failover, session: PgSession, known: KnownHistory) -> Self {
        Self { connector, failover, open: Some(Arc::new(session)), backend: None, known }
    }

    /// Notes which session of the server this is, to be able to end it once it is out of reach.
    pub(super) async fn note_backend(&mut self) -> Result<(), PgError> {
        if let Some(session) = &self.open {
            self.backend = Some(backend(session).await?);
        }
        Ok(())
    }

    /// Returns the connection if there is one.
    pub(super) fn get(&mut self) -> Option<Arc<PgSession>> {
        if self.open.as_ref().is_some_and(|session| session.is_closed()) {
            self.open = None;
        }
        self.open.clone()
    }

    /// Ends what a failed transaction has left behind.
    pub(super) async fn abandon(&mut self, error: &PgError) {
        let Some(session) = self.get() else { return };
        if error.is_broken() || session.run("ROLLBACK").await.is_err() {
            self.open = None;
        }
    }

    /// Drops the connection.
    pub(super) fn drop_connection(&mut self) {
        self.open = None;
    }

    /// Gives the lock of the one gateway back, so that the next need not wait until the server notices.
    pub(super) async fn release(&mut self) {
        if let Some(session) = self.get() {
            let _ = session.query(call!("SELECT pg_advisory_unlock($1)", GATEWAY_LOCK)).await;
        }
        self.open = None;
    }

    /// Connects anew, waits until the session before is over, and looks at the history under the lock. With a batch in
    /// doubt it says whether that was committed.
    pub(super) async fn connect(
        &mut self,
        doubtful: Option<DoubtfulBatch>,
    ) -> Result<(CommitVerdict, Standing), PgError> {
        let session = self.connector.connect(SessionKind::Writer).await?;
        self.take_gateway_lock(&session).await?;
        let found = session.pipeline(&[call!("BEGIN"), call!(LOCK), call!(STANDING)]).await?;
        let standing = Standing::of(found[2].first())?;
        let is_same = system(&session).await? == self.known.system;
        let verdict = self.judge(&standing, doubtful).filter(|_| is_same);
        if verdict.is_none() {
            let lost = self.step_down(&session, &standing).await?;
            return Err(PgError::Lost(lost));
        }
        let identity = format!("{}/{}", self.known.system, standing.timeline);
        if standing.identity != identity {
            // A failover that lost nothing.
            session.query(call!("UPDATE meta SET identity = $1", identity.clone())).await?;
        }
        // Not a commit where nothing changed: even one that only locked a row waits for a standby.
        session.run(if standing.identity == identity { "ROLLBACK" } else { "COMMIT" }).await?;
        self.known.timeline.clone_from(&standing.timeline);
        self.backend = Some(backend(&session).await?);
        self.open = Some(Arc::new(session));
        Ok((verdict.unwrap_or(CommitVerdict::NotDone), standing))
    }

    /// Takes the lock of the one gateway. The session before may still have it if the network broke: then it is ended,
    /// unless it waits for a standby.
    async fn take_gateway_lock(&self, session: &PgSession) -> Result<(), PgError> {
        let lock = || session.query(call!("SELECT pg_advisory_lock($1)", GATEWAY_LOCK));
        let Err(error) = lock().await else { return Ok(()) };
        let Some((pid, started)) = self.backend.clone().filter(|_| error.code() == Some("55P03")) else {
            return Err(error);
        };
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid = $1 AND backend_start::text = $2 AND wait_event IS DISTINCT FROM 'SyncRep'";
        if session.query(call!(end, pid, started)).await?.is_empty() {
            return Err(PgError::Away(
                "another gateway has taken the database, or the last session still waits".into(),
            ));
        }
        tracing::warn!(pid, "ended the writer's last session, which the server still took for alive");
        lock().await.map(drop)
    }

    /// Compares the history with the known one; `None` if it is another.
    fn judge(&self, standing: &Standing, doubtful: Option<DoubtfulBatch>) -> Option<CommitVerdict> {
        let moved = standing.timeline != self.known.timeline;
        let identity = format!("{}/{}", self.known.system, standing.timeline);
        if standing.epoch != self.known.epoch || moved && !is_lossless(self.failover, &self.known.identity(), &identity)
        {
            return None;
        }
        let is_at = |head, nonce| standing.head == head && standing.nonce == nonce;
        match doubtful {
            Some(batch) if is_at(batch.head, batch.nonce) => Some(CommitVerdict::Done),
            _ => is_at(self.known.head, self.known.nonce).then_some(CommitVerdict::NotDone),
        }
    }

    /// Sees to it that the next gateway begins a new epoch if commits were lost, and says what happened.
    async fn step_down(&self, session: &PgSession, standing: &Standing) -> Result<String, PgError> {
        if standing.epoch != self.known.epoch {
            session.run("ROLLBACK").await?;
            return Ok("another gateway has begun a new epoch in the database".into());
        }
        if standing.head > self.known.head && standing.timeline == self.known.timeline {
            session.run("ROLLBACK").await?;
            return Ok("another gateway has written to the database".into());
        }
        session.query(call!("UPDATE meta SET epoch = $1, history = 0", random()?)).await?;
        session.run("COMMIT").await?;
        Ok("the database failed over or was restored, and may have lost commits: clients will sync in full".into())
    }

    /// Returns an error if the history under the lock is not the known one any more.
    pub(super) fn check(&self, standing: &Standing) -> Result<(), PgError> {
        let KnownHistory { head, nonce, epoch, timeline, .. } = &self.known;
        let same = standing.head == *head && standing.nonce == *nonce && standing.epoch == *epoch;
        if same && standing.timeline == *timeline {
            return Ok(());
        }
        // The next connection finds out what it is.
        Err(PgError::Away("the history in the database is not the known one".into()))
    }
}

impl KnownHistory {
    fn identity(&self) -> String {
        format!("{}/{}", self.system, self.timeline)
    }
}

async fn backend(session: &PgSession) -> Result<WriterBackend, PgError> {
    let sql = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let row = session.row(call!(sql)).await?;
    Ok((value(&row, 0)?, value(&row, 1)?))
}

/// How long the writer waits before it connects again, at first and at most.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
