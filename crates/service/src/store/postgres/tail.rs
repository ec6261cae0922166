//! Reads what other gateways write to the log, as soon as they say so, and every now and then anyway: a wake-up may get lost.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::database::{Database, LogLink, LogTail};
use super::messages::PgMessage;
use super::pause::{PAUSE, part_of};
use super::pg_error::{PgError, PgResult};
use super::position::{KnownPosition, LogPosition};
use super::rules::take_rules;
use super::splicer::NumberedBatch;
use super::waker::Waker;
use super::writer_state::raise_seen;
use crate::metrics::DatabaseMetrics;
use crate::store::{CommitBatch, RulesInForce};
use rosterd_engine::model::{Revision, SeenNumber};

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the log.
pub(super) struct Tail {
    pub database: Arc<dyn Database>,
    /// The number of this process in the rows that it wrote.
    pub writer: i64,
    pub epoch: i64,
    /// The last revision that was read.
    pub read: Revision,
    pub known: Arc<KnownPosition>,
    pub head: Arc<AtomicU64>,
    pub compacted: Arc<AtomicU64>,
    pub rules: RulesInForce,
    /// The number of the last presence transition, unless they get none.
    pub seen: Option<watch::Sender<SeenNumber>>,
    /// Told when there may be something to read.
    pub waker: Waker,
    /// How often it looks without being told.
    pub poll: Duration,
    pub others: mpsc::Sender<NumberedBatch>,
    /// Asks the writer to look at the history.
    pub messages: mpsc::WeakSender<PgMessage>,
    /// Where the log did not go on, and the writer found its history in order.
    pub hole: Option<Revision>,
    pub metrics: DatabaseMetrics,
}

impl Tail {
    /// Runs until nobody takes what it reads.
    pub(super) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        let mut failing = false;
        while !self.others.is_closed() {
            let error = match self.follow(&mut failing).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if let PgError::Damaged(why) = &error {
                // To skip what it cannot read would be a change that nobody here hears of.
                let why = format!("{why}: it was written by a newer rosterd, or is damaged");
                return self.look_again(PgMessage::StepDown(why)).await;
            }
            if !failing {
                tracing::warn!(%error, "the changes of other gateways cannot be read; it is tried again");
                failing = true;
            }
            pause = (pause * 2).clamp(PAUSE.0, PAUSE.1);
            tokio::select! {
                biased;
                () = tokio::time::sleep(part_of(pause, self.database.random().unwrap_or(1))) => {}
                () = self.others.closed() => return,
            }
        }
    }

    /// Follows the log on one connection; `Ok` once nobody takes what it reads.
    async fn follow(&mut self, failing: &mut bool) -> PgResult<()> {
        let session = self.listen().await?;
        if *failing {
            // The server may be another, and lack what is known here. Without a write nobody else would notice.
            self.look_again(PgMessage::LookAgain).await;
        }
        let mut unwoken = false;
        loop {
            let before = self.metrics.feed_read_rows.get();
            while self.read_on(&*session).await?.is_continue() {}
            if std::mem::take(&mut unwoken) && self.metrics.feed_read_rows.get() > before {
                self.metrics.feed_unwoken.inc();
            }
            if std::mem::take(failing) {
                tracing::info!("the changes of other gateways can be read again");
            }
            tokio::select! {
                biased;
                () = self.waker.wake.notified() => {}
                () = tokio::time::sleep(self.poll) => unwoken = true,
                () = self.others.closed() => return Ok(()),
            }
        }
    }

    async fn listen(&self) -> PgResult<Arc<dyn LogLink>> {
        let session = self.database.listen(self.waker.clone()).await?;
        // What was said before is lost.
        self.waker.live.notify_one();
        Ok(session)
    }

    /// Reads the next rows; `Break` if there are no more for now.
    async fn read_on(&mut self, link: &dyn LogLink) -> PgResult<ControlFlow<()>> {
        let tail = match timeout(PATIENCE, link.tail(self.read, self.writer)).await {
            Ok(tail) => tail?,
            Err(_) => return Err(PgError::Silent(PATIENCE)),
        };
        if tail.epoch != self.epoch {
            return self.doubt().await;
        }
        self.compacted.fetch_max(tail.compacted, Ordering::AcqRel);
        raise_seen(self.seen.as_ref(), tail.seen);
        if tail.rules > self.rules.number() {
            // Before the rows after the change are known here.
            match timeout(PATIENCE, link.rules()).await {
                Ok(stored) => take_rules(&self.rules, &stored?)?,
                Err(_) => return Err(PgError::Silent(PATIENCE)),
            }
        }
        let LogTail { rows, is_full, .. } = tail;
        for row in rows {
            let is_own = row.writer == self.writer;
            if row.first != self.read + 1 || !is_own && row.changes.len() as u64 != row.last - self.read {
                return self.doubt().await;
            }
            self.known.raise(LogPosition { head: row.last, nonce: row.nonce });
            self.head.fetch_max(row.last, Ordering::AcqRel);
            // Its own the writer hands over with their answers.
            if !is_own {
                self.metrics.feed_read_rows.inc();
                self.metrics.feed_lag.observe(row.age.as_secs_f64());
                let changes = row.changes.into_iter().map(|logged| logged.change).collect();
                let batch = CommitBatch { changes, answers: Vec::new(), committed: Instant::now() };
                let batch = NumberedBatch { after: self.read, batch };
                if self.others.send(batch).await.is_err() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.read = row.last;
        }
        Ok(if is_full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// Has the writer find out under the lock what the history is. If the log does not go on afterwards either, there is no way
    /// to the changes that are missing.
    async fn doubt(&mut self) -> PgResult<ControlFlow<()>> {
        self.metrics.feed_holes.inc();
        let stays = self.hole.replace(self.read) == Some(self.read);
        let hole = || "the log in the database does not go on where this gateway has read it last".to_owned();
        self.look_again(if stays { PgMessage::StepDown(hole()) } else { PgMessage::LookAgain }).await;
        Err(PgError::Away("the log does not go on where it was read last".into()))
    }

    async fn look_again(&self, message: PgMessage) {
        if let Some(writer) = self.messages.upgrade() {
            let _ = writer.send(message).await;
        }
    }
}
