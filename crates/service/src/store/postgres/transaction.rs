//! One batch of writes as one transaction: lock, read, decide, write, commit.
//!
//! Everything that only depends on the commands goes to the server in one round trip, and everything that the decisions
//! come to in a second one. The lock is held from before the first revision until the commit is visible.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::database::{BatchRows, FeedBatch, PresenceNotes, Standing, WriterLink};
use super::lock_times::LockTimes;
use super::messages::{BATCH, PgMessage, WriteBatch};
use super::pg_error::PgError;
use super::position::LogPosition;
use super::staged::Staged;
use super::waker::word;
use super::writer_state::{PgWriter, waited_to_the_end};
use crate::store::commit::{Abort, CommitContext, carry_out};
use crate::store::{PresenceRow, Write};
use rosterd_engine::model::{Account, Answer, Change, Millis, RequestError, Revision, Row, SeenNumber};

/// After how many batches, about, old rows of a log are dropped that is there for other gateways only.
const DROPPED_EVERY: i64 = 64;

/// The result of a transaction, with one entry for each write.
#[derive(Debug)]
pub(super) struct CommittedBatch {
    pub changes: Vec<Change>,
    /// The answers of each write, or the position of the refused command and its error.
    pub results: Vec<Result<Vec<Answer>, (usize, RequestError)>>,
    /// The revision before its first change.
    pub after: Revision,
    /// The last revision, and the nonce of its batch.
    pub newest: LogPosition,
    /// The last number of a presence transition, if it was raised.
    seen: Option<SeenNumber>,
}

/// Why a transaction has no result.
#[derive(Debug)]
pub(super) enum TransactionFailure {
    /// Nothing of it was done.
    NotDone(PgError),
    /// It was asked to commit, and no answer came, or one that does not say that it is on the standby.
    InDoubt(Box<CommittedBatch>, PgError),
}

impl From<PgError> for TransactionFailure {
    fn from(error: PgError) -> Self {
        Self::NotDone(error)
    }
}

impl PgWriter {
    /// Carries writes out, and stores who came and went before them: a block keeps the last time at which its peer was
    /// seen.
    pub(super) async fn attempt(
        &mut self,
        batch: &mut WriteBatch,
        seen: &[PresenceRow],
    ) -> Result<CommittedBatch, TransactionFailure> {
        let session = self.session().await?;
        let outcome = self.transact(&*session, batch, seen).await;
        match &outcome {
            Ok(batch) => {
                self.committed(batch);
                if !batch.changes.is_empty() || batch.seen.is_some() {
                    self.tell_others(&session, self.carry(batch));
                }
            }
            Err(TransactionFailure::NotDone(error)) => {
                self.connection.abandon(error).await;
                if error.is_lock_timeout() {
                    self.connection.end_stuck_writers().await;
                }
            }
            Err(TransactionFailure::InDoubt(..)) => self.connection.drop_connection(),
        }
        outcome
    }

    async fn transact(
        &mut self,
        link: &dyn WriterLink,
        batch: &mut WriteBatch,
        seen: &[PresenceRow],
    ) -> Result<CommittedBatch, TransactionFailure> {
        let mut staged = Staged::new(self.salt.clone());
        let begun = Instant::now();
        let beginning = link.begin_batch(self.notes(seen), &batch.writes, &mut staged);
        let (standing, noted) = self.in_time(beginning).await?;
        let _lock = LockTimes::new(&self.connection.metrics, begun, standing.waited);
        self.connection.check(&standing)?;
        self.in_time(self.follow_rules(link, &standing)).await?;
        self.gather(link, batch, &mut staged).await?;
        let DecidedBatch { rows, batch: mut decided } = self.decide(staged, &batch.writes, &standing)?;
        if rows.is_empty() && seen.is_empty() {
            self.in_time(link.rollback()).await?;
            return Ok(decided);
        }
        let outcome = self.in_time(async { Ok(link.commit_batch(&rows).await) }).await;
        decided.changes = rows.changes;
        match outcome {
            Ok(Ok(Ok(numbered))) => decided.seen = numbered.or(noted),
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(Err(error))) if error.is_refusal() => return Err(error.into()),
            // Without an answer in time it may have been done, too.
            Ok(Ok(Err(error))) | Err(error) => return Err(TransactionFailure::InDoubt(Box::new(decided), error)),
        }
        match waited_to_the_end(link) {
            Ok(()) => Ok(decided),
            Err(error) => Err(TransactionFailure::InDoubt(Box::new(decided), error)),
        }
    }

    /// Takes in the writes that have come while this transaction waited for the lock, up to the first message that is none:
    /// nobody else writes meanwhile, and they need not wait for the lock once more.
    async fn gather(
        &mut self,
        link: &dyn WriterLink,
        batch: &mut WriteBatch,
        staged: &mut Staged,
    ) -> Result<(), PgError> {
        let first = batch.writes.len();
        while batch.writes.len() < BATCH
            && let Some(message) = self.backlog.pop_front().or_else(|| self.inbox.try_recv().ok())
        {
            let PgMessage::Write(write, _, answer) = message else {
                self.backlog.push_front(message);
                break;
            };
            batch.writes.push(write);
            batch.waiting.push(answer);
        }
        if batch.writes.len() == first {
            return Ok(());
        }
        self.in_time(link.read_more(&batch.writes[first..], staged)).await
    }

    /// Returns how who came and went is stored.
    pub(super) fn notes<'a>(&self, rows: &'a [PresenceRow]) -> PresenceNotes<'a> {
        PresenceNotes { rows, numbers: self.seen.is_some(), is_shared: self.connection.is_shared() }
    }

    /// Lets the engine decide every command on the rows.
    fn decide(&self, mut staged: Staged, writes: &[Write], standing: &Standing) -> Result<DecidedBatch, PgError> {
        let now = self.now(standing);
        let (nonce, rules) = (self.connection.database.random()?, self.rules.get());
        let mut changes: Vec<Change> = Vec::new();
        let mut results = Vec::with_capacity(writes.len());
        for write in writes {
            let head = standing.head + changes.len() as Revision;
            staged.begin();
            let context = CommitContext { head, now, visibility: &rules };
            results.push(match carry_out(&mut staged, write, context) {
                Ok(done) => {
                    changes.extend(done.changes);
                    Ok(done.answers)
                }
                Err(Abort::Refused { at, error }) => {
                    staged.take_back();
                    Err((at, error))
                }
                Err(Abort::Failed(never)) => match never {},
            });
        }
        let newest = match changes.last() {
            Some(change) => LogPosition { head: change.revision, nonce },
            None => LogPosition { head: standing.head, nonce: standing.nonce },
        };
        let kept = self.keeps_log || self.connection.is_shared();
        let feed = FeedBatch { epoch: standing.epoch, nonce, time: now, writer: self.writer, kept };
        let rows = BatchRows {
            numbered: if self.seen.is_some() { hidden_accounts(&changes) } else { Vec::new() },
            drops_old: !self.keeps_log && kept && nonce % DROPPED_EVERY == 0,
            staged,
            feed,
            changes,
        };
        let batch = CommittedBatch { changes: Vec::new(), results, after: standing.head, newest, seen: None };
        Ok(DecidedBatch { rows, batch })
    }

    /// Returns the time of a batch: that of a clock that was given, or the database's, but never before the last batch.
    fn now(&self, standing: &Standing) -> Millis {
        self.clock.as_ref().map_or(standing.clock.max(standing.time), |clock| clock())
    }

    /// Notes that a batch was committed.
    pub(super) fn committed(&mut self, batch: &CommittedBatch) {
        if !batch.changes.is_empty() {
            self.connection.position.raise(batch.newest);
            self.head.fetch_max(batch.newest.head, Ordering::AcqRel);
        }
        self.raise_seen(batch.seen);
    }

    /// Hands a batch to other gateways besides the log. Returns its last revision if they need not read it there: the number
    /// of a presence transition they do.
    fn carry(&self, batch: &CommittedBatch) -> Option<Revision> {
        let is_carried = self.carrier.as_ref()?.carry(&batch.changes, (batch.newest.nonce, self.rules.number()));
        (is_carried && batch.seen.is_none()).then_some(batch.newest.head)
    }

    /// Tells other gateways that there is something to read, or was handed over. Nobody waits for that: whom it does not reach
    /// looks anyway.
    pub(super) fn tell_others(&self, link: &Arc<dyn WriterLink>, carried: Option<Revision>) {
        if self.connection.is_shared() {
            let (link, word) = (link.clone(), word(self.writer, carried));
            tokio::spawn(async move {
                if let Err(error) = link.tell(word).await {
                    tracing::debug!(%error, "other gateways were not told of a batch");
                }
            });
        }
    }
}

/// What a batch comes to.
struct DecidedBatch {
    rows: BatchRows,
    batch: CommittedBatch,
}

/// Returns the accounts that began or ceased to hide, each once, in the order in which they did last.
fn hidden_accounts(changes: &[Change]) -> Vec<Account> {
    let mut hidden: Vec<Account> = Vec::new();
    for row in changes.iter().flat_map(|change| &change.rows) {
        if let Row::Presence { account, .. } = row {
            hidden.retain(|held| held != account);
            hidden.push(account.clone());
        }
    }
    hidden
}
