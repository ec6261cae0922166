//! One batch of writes as one transaction: lock, read, decide, write, commit.
//!
//! Everything that only depends on the commands goes to the server in one round trip, and everything that the decisions
//! come to in a second one. The lock is held from before the first revision until the commit is visible.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio_postgres::Row as Record;

use super::fetch::Fetch;
use super::lock_times::LockTimes;
use super::messages::{BATCH, PgMessage, WriteBatch};
use super::pg_error::PgError;
use super::position::LogPosition;
use super::rows::change_log::{self, FeedBatch};
use super::rows::values::number;
use super::rows::{audit, credentials, profiles, relations};
use super::schema::{LOCK, STANDING, Standing, random};
use super::session::{Call, PgSession, call};
use super::staged::Staged;
use super::writer_state::PgWriter;
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
    /// It was asked to commit, and no answer came.
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
        let outcome = self.transact(&session, batch, seen).await;
        match &outcome {
            Ok(batch) => {
                self.committed(batch);
                if !batch.changes.is_empty() || batch.seen.is_some() {
                    self.tell_others(&session);
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
        session: &PgSession,
        batch: &mut WriteBatch,
        seen: &[PresenceRow],
    ) -> Result<CommittedBatch, TransactionFailure> {
        let begun = Instant::now();
        let mut calls = vec![call!("BEGIN"), call!(LOCK), call!(STANDING)];
        let at = self.add_presence(seen, &mut calls);
        let first = calls.len();
        let fetch = fetch(&batch.writes, &mut calls);
        let mut found = self.in_time(session.pipeline(&calls)).await?;
        let standing = Standing::of(found[2].first())?;
        let _lock = LockTimes::new(&self.connection.metrics, begun, standing.waited);
        self.connection.check(&standing)?;
        let mut raised = at.map(|at| last_number(&found[at])).transpose()?;
        let mut staged = Staged::new(self.salt.clone());
        fetch.load_into(&mut staged, found.drain(first..))?;
        self.gather(session, batch, &mut staged).await?;
        let mut decided = self.decide(staged, &batch.writes, &standing)?;
        let mut calls = Vec::new();
        let at = self.add_rows(&mut decided, &mut calls);
        if calls.is_empty() && seen.is_empty() {
            session.run("ROLLBACK").await?;
            return Ok(decided.batch);
        }
        calls.push(call!("COMMIT"));
        session.prepare(&calls).await?;
        match self.in_time(session.pipeline(&calls)).await {
            Ok(found) => {
                raised = at.map(|at| last_number(&found[at])).transpose()?.or(raised);
                decided.batch.seen = raised;
            }
            Err(error) if error.is_refusal() => return Err(error.into()),
            Err(error) => return Err(TransactionFailure::InDoubt(Box::new(decided.batch), error)),
        }
        self.confirm_replicated(session).await;
        Ok(decided.batch)
    }

    /// Takes in the writes that have come while this transaction waited for the lock, up to the first message that is none:
    /// nobody else writes meanwhile, and they need not wait for the lock once more.
    async fn gather(
        &mut self,
        session: &PgSession,
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
        let mut calls = Vec::new();
        let fetch = fetch(&batch.writes[first..], &mut calls);
        if calls.is_empty() {
            return Ok(());
        }
        let found = self.in_time(session.pipeline(&calls)).await?;
        fetch.load_into(staged, found.into_iter())
    }

    /// Adds the calls that store who came and went. Returns which of them returns the last number.
    pub(super) fn add_presence(&self, seen: &[PresenceRow], calls: &mut Vec<Call>) -> Option<usize> {
        let numbers = self.seen.is_some();
        let at = profiles::put_seen(seen, numbers, self.connection.is_shared()).map(|call| {
            calls.push(call);
            calls.len() - 1
        });
        calls.extend(relations::put_seen(seen));
        at.filter(|_| numbers)
    }

    /// Lets the engine decide every command on the rows.
    fn decide(&self, mut staged: Staged, writes: &[Write], standing: &Standing) -> Result<DecidedBatch, PgError> {
        let now = self.now(standing);
        let (nonce, rules) = (random()?, self.rules.get());
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
        let batch = CommittedBatch { changes, results, after: standing.head, newest, seen: None };
        Ok(DecidedBatch { staged, feed, batch })
    }

    /// Adds the calls that write what was decided: each row once, as it is at the end. Returns which of them returns the
    /// last number of a presence transition.
    fn add_rows(&self, decided: &mut DecidedBatch, calls: &mut Vec<Call>) -> Option<usize> {
        let DecidedBatch { staged, feed, batch } = decided;
        if staged.is_clean() {
            return None;
        }
        add_staged(staged, calls);
        let hidden = hidden_accounts(&batch.changes);
        let at = (self.seen.is_some() && !hidden.is_empty()).then(|| {
            calls.push(profiles::put_numbers(&hidden));
            calls.len() - 1
        });
        change_log::append(*feed, &batch.changes, calls);
        if !self.keeps_log && feed.kept && feed.nonce % DROPPED_EVERY == 0 {
            calls.push(change_log::drop_old());
        }
        at
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

    /// Tells other gateways that there is something to read. Nobody waits for that: whom it does not reach looks anyway.
    pub(super) fn tell_others(&self, session: &Arc<PgSession>) {
        if self.connection.is_shared() {
            let (session, writer) = (session.clone(), self.writer.to_string());
            tokio::spawn(async move {
                if let Err(error) = session.query(call!("SELECT pg_notify('rosterd', $1)", writer)).await {
                    tracing::debug!(%error, "other gateways were not told of a batch");
                }
            });
        }
    }
}

/// What a batch comes to.
struct DecidedBatch {
    staged: Staged,
    feed: FeedBatch,
    batch: CommittedBatch,
}

/// Adds the calls that read what writes need.
fn fetch(writes: &[Write], calls: &mut Vec<Call>) -> Fetch {
    Fetch::of(writes.iter().flat_map(|write| &write.commands), calls)
}

/// Adds the calls that write the rows of a batch. What is erased comes first, as some of it may have been made again.
fn add_staged(staged: &Staged, calls: &mut Vec<Call>) {
    if !staged.gone.is_empty() {
        let gone: Vec<Account> = staged.gone.keys().cloned().collect();
        let below: Vec<_> = staged.gone.iter().map(|(account, version)| (account.clone(), *version)).collect();
        calls.push(change_log::erase_below(&below));
        calls.push(audit::erase(&gone, &staged.salt));
        calls.push(profiles::delete(&gone));
        calls.extend(relations::forget(&gone));
    }
    let mut add = |any: bool, call: &dyn Fn() -> Call| {
        if any {
            calls.push(call());
        }
    };
    let users = staged.users.puts();
    add(!users.is_empty(), &|| profiles::put(&users));
    let edges = staged.edges.puts();
    add(!edges.is_empty(), &|| relations::put_edges(&edges));
    let requests = staged.requests.puts();
    add(!requests.is_empty(), &|| relations::put_requests(&requests));
    let blocks = staged.blocks.puts();
    add(!blocks.is_empty(), &|| relations::put_blocks(&blocks));
    let (copies, thawed) = staged.frozen.changes();
    let copies: Vec<_> = copies.into_iter().map(|((viewer, _), profile)| (viewer, profile)).collect();
    add(!copies.is_empty(), &|| profiles::freeze(&copies));
    add(!thawed.is_empty(), &|| profiles::thaw(&thawed));
    let (kept, removed) = staged.credentials.changes();
    add(!kept.is_empty(), &|| credentials::put(&kept));
    add(!removed.is_empty(), &|| credentials::remove(&removed));
    add(!staged.audit.is_empty(), &|| audit::append(&staged.audit));
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

/// Reads the last number out of the result of a call that raised it.
pub(super) fn last_number(found: &[Record]) -> Result<SeenNumber, PgError> {
    found.first().map_or(Err(PgError::Damaged("there is no row in meta".into())), |record| number(record, 0))
}
