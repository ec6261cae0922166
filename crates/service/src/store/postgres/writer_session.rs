//! The writer's connection, and what it has to find at each new one: the history that this process knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::database::{Database, Standing, WriterBackend, WriterLink};
use super::options::{Failover, Sharing};
use super::pg_error::{PgError, within};
use super::position::{KnownPosition, LogPosition};
use crate::metrics::DatabaseMetrics;

/// How long it may take to connect and to look at the history. Each of the locks on the way is waited for for 3 s at most.
const CONNECTING: Duration = Duration::from_secs(20);

/// How long the end of a failed transaction, or of the connection, may take.
const ENDING: Duration = Duration::from_secs(3);

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

/// The connection of the writer.
pub(super) struct WriterSession {
    pub database: Arc<dyn Database>,
    failover: Failover,
    open: Option<Arc<dyn WriterLink>>,
    backend: Option<WriterBackend>,
    sharing: Sharing,
    known: KnownHistory,
    pub position: Arc<KnownPosition>,
    pub metrics: DatabaseMetrics,
}

impl WriterSession {
    pub(super) fn new(
        database: Arc<dyn Database>,
        (failover, sharing, metrics): (Failover, Sharing, DatabaseMetrics),
        link: Arc<dyn WriterLink>,
        (known, position): (KnownHistory, Arc<KnownPosition>),
    ) -> Self {
        Self { database, failover, open: Some(link), backend: None, sharing, known, position, metrics }
    }

    /// Returns whether other gateways use the database too.
    pub(super) fn is_shared(&self) -> bool {
        self.sharing.is_shared()
    }

    /// Notes which session of the server this is, to be able to end it once it is out of reach.
    pub(super) async fn note_backend(&mut self) -> Result<(), PgError> {
        if let Some(link) = &self.open {
            self.backend = Some(link.backend().await?);
        }
        Ok(())
    }

    /// Returns the connection if there is one.
    pub(super) fn get(&mut self) -> Option<Arc<dyn WriterLink>> {
        if self.open.as_ref().is_some_and(|link| link.is_closed()) {
            self.open = None;
        }
        self.open.clone()
    }

    /// Ends what a failed transaction has left behind.
    pub(super) async fn abandon(&mut self, error: &PgError) {
        let Some(link) = self.get() else { return };
        if error.is_broken() || within(ENDING, link.rollback()).await.is_err() {
            self.open = None;
        }
    }

    /// Drops the connection.
    pub(super) fn drop_connection(&mut self) {
        self.open = None;
    }

    /// Gives the lock of the one gateway back, so that the next need not wait until the server notices.
    pub(super) async fn release(&mut self) {
        if let Some(link) = self.get() {
            let _ = timeout(ENDING, link.release_gateway_lock(self.sharing)).await;
        }
        self.open = None;
    }

    /// Connects anew, waits until the session before is over, and looks at the history under the lock. With a batch in
    /// doubt it says whether that was committed.
    pub(super) async fn connect(
        &mut self,
        doubtful: Option<LogPosition>,
    ) -> Result<(CommitVerdict, Standing), PgError> {
        within(CONNECTING, self.look_at_history(doubtful)).await
    }

    async fn look_at_history(&mut self, doubtful: Option<LogPosition>) -> Result<(CommitVerdict, Standing), PgError> {
        let link = self.database.connect_writer().await?;
        link.take_gateway_lock(self.sharing, self.backend.clone()).await?;
        let found = link.begin().await;
        if found.as_ref().is_err_and(PgError::is_lock_timeout) {
            self.end_stuck_writers().await;
        }
        let standing = found?;
        let is_same = link.system().await? == self.known.system;
        let verdict = self.judge(&*link, &standing, doubtful).await?.filter(|_| is_same);
        if verdict.is_none() {
            let lost = self.step_down(&*link, &standing).await?;
            return Err(PgError::Lost(lost));
        }
        let identity = format!("{}/{}", self.known.system, standing.timeline);
        // Not a commit where nothing changed: even one that only locked a row waits for a standby.
        if standing.identity == identity {
            link.rollback().await?;
        } else {
            // A failover that lost nothing.
            link.put_identity(identity).await?;
            link.commit().await?;
        }
        self.known.timeline.clone_from(&standing.timeline);
        self.backend = Some(link.backend().await?);
        self.open = Some(link);
        Ok((verdict.unwrap_or(CommitVerdict::NotDone), standing))
    }

    /// Ends the sessions of writers that have held the lock for seconds without doing anything.
    pub(super) async fn end_stuck_writers(&self) {
        if !self.is_shared() {
            return;
        }
        match within(CONNECTING, self.database.end_stuck_writers()).await {
            Ok(ended) => {
                for pid in ended {
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
        link: &dyn WriterLink,
        standing: &Standing,
        doubtful: Option<LogPosition>,
    ) -> Result<Option<CommitVerdict>, PgError> {
        if !self.goes_on(standing) || !has(link, self.position.get()).await? {
            return Ok(None);
        }
        let is_done = match doubtful {
            Some(batch) => has(link, batch).await?,
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
        standing.epoch == self.known.epoch && (!moved || self.failover.loses_nothing(&self.known.identity(), &identity))
    }

    /// Sees to it that the next gateway begins a new epoch if commits were lost, and says what happened.
    async fn step_down(&self, link: &dyn WriterLink, standing: &Standing) -> Result<String, PgError> {
        let (known, is_same_line) = (self.position.get(), standing.timeline == self.known.timeline);
        let why = if standing.epoch != self.known.epoch {
            "another gateway has begun a new epoch in the database"
        } else if is_same_line && has(link, known).await? {
            "another gateway has written to the database"
        } else if is_same_line && link.position_at(known.head).await?.is_none() {
            "this gateway was away for longer than the log in the database goes back"
        } else {
            link.begin_epoch(self.database.random()?).await?;
            link.commit().await?;
            return Ok(
                "the database failed over or was restored, and may have lost commits: clients will sync in full".into(),
            );
        };
        link.rollback().await?;
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
async fn has(link: &dyn WriterLink, position: LogPosition) -> Result<bool, PgError> {
    Ok(link.position_at(position.head).await? == Some(position))
}

impl KnownHistory {
    fn identity(&self) -> String {
        format!("{}/{}", self.system, self.timeline)
    }
}
