//! The writer's connection, and what it has to find at each new one: the history that this process knows.

use std::sync::Arc;

use super::options::{Failover, Sharing};
use super::pg_error::PgError;
use super::position::{KnownPosition, LogPosition};
use super::rows::change_log::position_at;
use super::rows::values::value;
use super::schema::{GATEWAY_LOCK, LOCK, STANDING, Standing, gateway_lock, is_lossless, random, system};
use super::session::{Connector, PgSession, SessionKind, call};
use crate::metrics::DatabaseMetrics;

/// What the history rests on that this process knows.
#[derive(Debug, Clone)]
pub(super) struct KnownHistory {
    pub epoch: i64,
    /// Which server, database and schema it is.
    pub system: String,
    pub timeline: String,
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
    sharing: Sharing,
    known: KnownHistory,
    pub position: Arc<KnownPosition>,
    pub metrics: DatabaseMetrics,
}

impl WriterSession {
    pub(super) fn new(
        connector: Connector,
        (failover, sharing, metrics): (Failover, Sharing, DatabaseMetrics),
        session: PgSession,
        (known, position): (KnownHistory, Arc<KnownPosition>),
    ) -> Self {
        Self { connector, failover, open: Some(Arc::new(session)), backend: None, sharing, known, position, metrics }
    }

    /// Returns whether other gateways use the database too.
    pub(super) fn is_shared(&self) -> bool {
        self.sharing.is_shared()
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
            let unlock = match self.sharing {
                Sharing::Alone => "SELECT pg_advisory_unlock($1)",
                Sharing::Shared { .. } => "SELECT pg_advisory_unlock_shared($1)",
            };
            let _ = session.query(call!(unlock, GATEWAY_LOCK)).await;
        }
        self.open = None;
    }

    /// Connects anew, waits until the session before is over, and looks at the history under the lock. With a batch in
    /// doubt it says whether that was committed.
    pub(super) async fn connect(
        &mut self,
        doubtful: Option<LogPosition>,
    ) -> Result<(CommitVerdict, Standing), PgError> {
        let session = self.connector.connect(SessionKind::Writer).await?;
        self.take_gateway_lock(&session).await?;
        let found = session.pipeline(&[call!("BEGIN"), call!(LOCK), call!(STANDING)]).await;
        if found.as_ref().is_err_and(PgError::is_lock_timeout) {
            self.end_stuck_writers().await;
        }
        let standing = Standing::of(found?[2].first())?;
        let is_same = system(&session).await? == self.known.system;
        let verdict = self.judge(&session, &standing, doubtful).await?.filter(|_| is_same);
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
        let lock = || session.query(call!(gateway_lock(self.sharing), GATEWAY_LOCK));
        let Err(error) = lock().await else { return Ok(()) };
        let Some((pid, started)) = self.backend.clone().filter(|_| error.is_lock_timeout()) else {
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

    /// Ends the sessions of writers that have held the lock for seconds without doing anything: their processes or networks
    /// stand still. One that waits for a standby is not ended, because its commit would be visible and not replicated.
    pub(super) async fn end_stuck_writers(&self) {
        if !self.is_shared() {
            return;
        }
        let sql = "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND usename = current_user
                       AND application_name = 'rosterd writer' AND state <> 'idle'
                       AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Client')
                       AND wait_event IS DISTINCT FROM 'SyncRep'
                       AND clock_timestamp() - state_change >= interval '3 s'";
        let ended = async { self.connector.connect(SessionKind::Reader).await?.query(call!(sql)).await };
        match ended.await {
            Ok(ended) => {
                for record in ended {
                    let pid: Option<i32> = record.get(0);
                    self.metrics.lock_holders_ended.inc();
                    tracing::warn!(pid, "ended the session of a gateway that held the lock and did nothing");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look who holds the lock"),
        }
    }

    /// Compares the history with the known one; `None` if it is another.
    async fn judge(
        &self,
        session: &PgSession,
        standing: &Standing,
        doubtful: Option<LogPosition>,
    ) -> Result<Option<CommitVerdict>, PgError> {
        if !self.goes_on(standing) || !has(session, self.position.get()).await? {
            return Ok(None);
        }
        let is_done = match doubtful {
            Some(batch) => has(session, batch).await?,
            None => false,
        };
        let newest = doubtful.filter(|_| is_done).unwrap_or_else(|| self.position.get());
        if !self.is_shared() && standing.head != newest.head {
            return Ok(None);
        }
        Ok(Some(if is_done { CommitVerdict::Done } else { CommitVerdict::NotDone }))
    }

    /// Returns whether the epoch is the known one, and no commit of it may have been lost since.
    fn goes_on(&self, standing: &Standing) -> bool {
        let identity = format!("{}/{}", self.known.system, standing.timeline);
        let moved = standing.timeline != self.known.timeline;
        standing.epoch == self.known.epoch && (!moved || is_lossless(self.failover, &self.known.identity(), &identity))
    }

    /// Sees to it that the next gateway begins a new epoch if commits were lost, and says what happened.
    async fn step_down(&self, session: &PgSession, standing: &Standing) -> Result<String, PgError> {
        let (known, is_same_line) = (self.position.get(), standing.timeline == self.known.timeline);
        let why = if standing.epoch != self.known.epoch {
            "another gateway has begun a new epoch in the database"
        } else if is_same_line && has(session, known).await? {
            "another gateway has written to the database"
        } else if is_same_line && position_at(session, known.head).await?.is_none() {
            "this gateway was away for longer than the log in the database goes back"
        } else {
            session.query(call!("UPDATE meta SET epoch = $1, history = 0", random()?)).await?;
            session.run("COMMIT").await?;
            return Ok(
                "the database failed over or was restored, and may have lost commits: clients will sync in full".into(),
            );
        };
        session.run("ROLLBACK").await?;
        Ok(why.into())
    }

    /// Returns an error if the history under the lock is not the known one any more.
    pub(super) fn check(&self, standing: &Standing) -> Result<(), PgError> {
        let (KnownHistory { epoch, timeline, .. }, known) = (&self.known, self.position.get());
        let is_same = standing.epoch == *epoch && standing.timeline == *timeline;
        let is_behind = standing.head == known.head && standing.nonce != known.nonce || standing.head < known.head;
        if is_same && !is_behind && (self.is_shared() || standing.head == known.head) {
            return Ok(());
        }
        // The next connection finds out what it is.
        Err(PgError::Away("the history in the database is not the known one".into()))
    }
}

/// Returns whether the database has a batch.
async fn has(session: &PgSession, position: LogPosition) -> Result<bool, PgError> {
    Ok(position_at(session, position.head).await? == Some(position))
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
