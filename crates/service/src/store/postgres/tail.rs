//! Reads what other gateways write to the log, as soon as they say so, and every now and then anyway: a wake-up may get lost.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::batch_network::refuse;
use super::batch_seal::CarriedRow;
use super::courier::CarriedRows;
use super::database::{Database, LogLink, LogTail};
use super::messages::PgMessage;
use super::pause::{PAUSE, part_of};
use super::pg_error::{PgError, PgResult, within};
use super::position::{KnownPosition, LogPosition};
use super::rules::take_rules;
use super::splicer::NumberedBatch;
use super::waker::Waker;
use super::writer_state::raise_seen;
use crate::metrics::DatabaseMetrics;
use crate::store::log_rows::unpack;
use crate::store::{CommitBatch, RulesInForce};
use rosterd_engine::model::{Change, Revision, SeenNumber};

/// How long a read may take, and a connection until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what another gateway says that it has handed over may be on its way until it is read from the log.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// Why the log is to be read.
enum News {
    /// Another gateway says that there is something.
    Told,
    /// Nobody has said anything for long.
    Nothing,
    /// Nobody takes what is read.
    Closed,
}

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
    /// What others hand over besides the log, if they do.
    pub carried: Option<CarriedRows>,
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
                (failing, pause) = (true, Duration::ZERO);
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
            // Whatever was said or handed over by now is in the log, and is read with the rest.
            self.waker.told.store(0, Ordering::Release);
            self.carried.iter_mut().for_each(CarriedRows::clear);
            while self.read_on(&*session).await?.is_continue() {}
            if std::mem::take(&mut unwoken) && self.metrics.feed_read_rows.get() > before {
                self.metrics.feed_unwoken.inc();
            }
            if std::mem::take(failing) {
                tracing::info!("the changes of other gateways can be read again");
            }
            match self.news().await {
                News::Told => {}
                News::Nothing => unwoken = true,
                News::Closed => return Ok(()),
            }
        }
    }

    /// Waits until the log is to be read, and takes what others hand over meanwhile.
    async fn news(&mut self) -> News {
        let mut poll = std::pin::pin!(sleep(self.poll));
        let mut on_its_way = std::pin::pin!(sleep(Duration::MAX));
        let (mut waits, mut heard) = (false, false);
        loop {
            let carried = self.carried.as_mut();
            let is_connected = carried.as_ref().is_some_and(|carried| carried.is_connected());
            let message = async {
                match carried {
                    Some(carried) => carried.message().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.waker.wake.notified() => return News::Told,
                () = self.waker.soon.notified() => {
                    if !is_connected {
                        return News::Told;
                    }
                }
                () = &mut poll => return if heard { News::Told } else { News::Nothing },
                () = &mut on_its_way, if waits => return News::Told,
                () = self.others.closed() => return News::Closed,
                message = message => {
                    if self.take(&message).await.is_break() {
                        return News::Told;
                    }
                }
            }
            heard = true;
            let waited = std::mem::replace(&mut waits, self.misses());
            if waits && !waited {
                on_its_way.as_mut().reset(tokio::time::Instant::now() + ON_ITS_WAY);
            }
        }
    }

    /// Returns whether something that was handed over has not come, or not what is before it.
    fn misses(&self) -> bool {
        self.waker.told.load(Ordering::Acquire) > self.read || self.carried.as_ref().is_some_and(CarriedRows::waits)
    }

    /// Takes what another gateway has handed over, as far as it goes on where the log was read; `Break` if that is to be read
    /// from the log.
    async fn take(&mut self, message: &[u8]) -> ControlFlow<()> {
        let (epoch, read) = (self.epoch, self.read);
        if !self.carried.as_mut().is_some_and(|carried| carried.take(message, epoch, read)) {
            return ControlFlow::Continue(());
        }
        while let Some(row) = self.carried.as_mut().and_then(|carried| carried.next(self.read)) {
            let CarriedRow { writer, nonce, last, packed, rules, .. } = row;
            if rules > self.rules.number() {
                // The log says by which rules it is shown.
                return ControlFlow::Break(());
            }
            let is_own = writer == self.writer;
            let mut changes = Vec::new();
            if !is_own {
                // Too large to be carried.
                let Some(packed) = packed else { return ControlFlow::Break(()) };
                let Some(unpacked) = self.unpack(packed.format, &packed.bytes, last) else {
                    return ControlFlow::Break(());
                };
                changes = unpacked;
                self.metrics.nats_batches.inc();
            }
            if self.go_on(LogPosition { head: last, nonce }, (!is_own).then_some(changes)).await.is_break() {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Unpacks the changes up to a revision of a row that goes on where the log was read.
    fn unpack(&self, format: i64, bytes: &[u8], last: Revision) -> Option<Vec<Change>> {
        let changes = unpack(format, bytes).ok().map(|(changes, _)| changes);
        let changes = changes.filter(|changes| Some(changes.len() as u64) == last.checked_sub(self.read));
        if changes.is_none() {
            // It was written by a newer rosterd, say. The log has the last word.
            refuse(&self.metrics, "DAMAGED");
        }
        Some(changes?.into_iter().map(|logged| logged.change).collect())
    }

    async fn listen(&self) -> PgResult<Arc<dyn LogLink>> {
        let session = within(PATIENCE, self.database.listen(self.waker.clone())).await?;
        // What was said before is lost.
        self.waker.live.notify_one();
        Ok(session)
    }

    /// Reads the next rows; `Break` if there are no more for now.
    async fn read_on(&mut self, link: &dyn LogLink) -> PgResult<ControlFlow<()>> {
        let tail = within(PATIENCE, link.tail(self.read, self.writer)).await?;
        if tail.epoch != self.epoch {
            return self.doubt().await;
        }
        self.compacted.fetch_max(tail.compacted, Ordering::AcqRel);
        raise_seen(self.seen.as_ref(), tail.seen);
        if tail.rules > self.rules.number() {
            // Before the rows after the change are known here.
            take_rules(&self.rules, &within(PATIENCE, link.rules()).await?)?;
        }
        let LogTail { rows, is_full, .. } = tail;
        for row in rows {
            let is_own = row.writer == self.writer;
            if row.first != self.read + 1 || !is_own && row.changes.len() as u64 != row.last - self.read {
                return self.doubt().await;
            }
            if !is_own {
                self.metrics.feed_read_rows.inc();
                self.metrics.feed_lag.observe(row.age.as_secs_f64());
            }
            let changes = (!is_own).then(|| row.changes.into_iter().map(|logged| logged.change).collect());
            let position = LogPosition { head: row.last, nonce: row.nonce };
            if self.go_on(position, changes).await.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(if is_full { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// Goes on after a row, with its changes unless this gateway wrote it: the writer hands its own over with their answers.
    /// `Break` if nobody takes them any more.
    async fn go_on(&mut self, position: LogPosition, changes: Option<Vec<Change>>) -> ControlFlow<()> {
        self.known.raise(position);
        self.head.fetch_max(position.head, Ordering::AcqRel);
        if let Some(changes) = changes {
            let batch = CommitBatch { changes, answers: Vec::new(), committed: Instant::now() };
            let batch = NumberedBatch { after: self.read, batch };
            if self.others.send(batch).await.is_err() {
                return ControlFlow::Break(());
            }
        }
        self.read = position.head;
        ControlFlow::Continue(())
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
