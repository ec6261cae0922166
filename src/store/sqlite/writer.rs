//! The writer: one thread that owns the only connection that writes, and the last revision.
//!
//! It takes whatever is waiting, decides and writes all of it in one transaction with one sync to the disk, and
//! hands the batch to the feed. When a transaction fails nothing of it stands, everyone in it is told so, and the
//! next one is tried as if nothing had been. The thread ends, and lets go of the file, when nobody can ask any more.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::rows::{self, SqliteTables};
use crate::store::commit::{Abort, CommitContext, CommittedWrite, carry_out};
use crate::store::{COMPACTION_LIMIT, CommitBatch, PresenceRow, StoreClock, StoreError, Write, WriteError, Written};
use rosterd_engine::model::{Answer, Change, Millis, RequestError, Revision, Visibility};

/// Writes in one transaction at most; it bounds how long the first of them waits for the last.
pub(super) const BATCH: usize = 1000;

/// What the writer is asked to do.
pub(super) enum Message {
    /// Commit this.
    Write(Write, oneshot::Sender<Written>),
    /// Notes who came and went.
    PresenceRow(Vec<PresenceRow>, oneshot::Sender<std::result::Result<(), StoreError>>),
    /// Drop tombstones from before this time; answer how many.
    Compact(Millis, oneshot::Sender<std::result::Result<u64, StoreError>>),
    /// Take no more, finish what is waiting, and end.
    Close,
}

/// Everything the thread owns.
pub(super) struct Writer {
    pub conn: Connection,
    /// Held for as long as the connection is open.
    pub lock: File,
    pub clock: StoreClock,
    pub visibility: Visibility,
    /// The last revision committed. Only this thread gives revisions out.
    pub revision: Revision,
    /// Read by everyone, changed here.
    pub compacted: Arc<AtomicU64>,
    /// Whether the last transaction failed; a full disk is reported when it begins and when it ends.
    pub failing: bool,
    pub feed: mpsc::Sender<CommitBatch>,
    /// Dropped at the end, which is what `close` waits for.
    pub running: watch::Sender<()>,
}

type QueuedWrite = (Write, oneshot::Sender<Written>);

/// What a transaction came to, write by write.
struct Committed {
    changes: Vec<Change>,
    results: Vec<std::result::Result<Vec<Answer>, RefusedCommand>>,
}

/// The command that was refused, and why.
type RefusedCommand = (usize, RequestError);

impl Writer {
    /// Runs until the inbox is closed and empty.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH);
        while inbox.blocking_recv_many(&mut messages, BATCH) > 0 {
            // Others may be about to ask, and wait for this very core: they go first, and share the commit. Where nobody
            // waits for it this takes no time.
            thread::yield_now();
            while messages.len() < BATCH
                && let Ok(message) = inbox.try_recv()
            {
                messages.push(message);
            }
            let mut writes = Vec::with_capacity(messages.len());
            let (mut seen, mut compactions) = (Vec::new(), Vec::new());
            for message in messages.drain(..) {
                match message {
                    Message::Write(write, answer) => writes.push((write, answer)),
                    Message::PresenceRow(who, answer) => seen.push((who, answer)),
                    Message::Compact(before, answer) => compactions.push((before, answer)),
                    Message::Close => inbox.close(),
                }
            }
            // First: a block keeps what was seen before it.
            for (who, answer) in seen {
                let noted = self.note(&who);
                let _ = answer.send(self.watched(noted));
            }
            if !writes.is_empty() {
                self.commit(writes);
            }
            for (before, answer) in compactions {
                let dropped = self.compact(before);
                let _ = answer.send(self.watched(dropped));
            }
        }
        self.release();
    }

    /// In this order: whoever sees the end of the feed, or of `running`, finds the file closed and unlocked.
    fn release(self) {
        drop(self.conn);
        drop(self.lock);
        drop(self.feed);
        drop(self.running);
    }

    fn commit(&mut self, asked: Vec<QueuedWrite>) {
        let (writes, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let committed = self.transact(&writes);
        match self.watched(committed) {
            Ok(committed) => self.publish(committed, waiting),
            Err(error) => {
                for waiting in waiting {
                    let _ = waiting.send(Err(error.clone().into()));
                }
            }
        }
    }

    fn transact(&mut self, writes: &[Write]) -> Result<Committed> {
        let now = (self.clock)();
        let mut revision = self.revision;
        let mut committed = Committed { changes: Vec::new(), results: Vec::with_capacity(writes.len()) };
        let mut tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in writes {
            let result =
                carry_out_whole(&mut tx, write, CommitContext { head: revision, now, visibility: &self.visibility })?;
            committed.results.push(result.map(|done| {
                revision += done.changes.len() as Revision;
                committed.changes.extend(done.changes);
                done.answers
            }));
        }
        if revision != self.revision {
            rows::put_revision(&tx, revision)?;
        }
        tx.commit()?;
        self.revision = revision;
        Ok(committed)
    }

    /// Also what changed nothing, and what was refused, is answered by way of the feed: it may rest on a change of
    /// the same batch.
    fn publish(&self, committed: Committed, waiting: Vec<oneshot::Sender<Written>>) {
        let results = committed.results.into_iter();
        let results = results.map(|result| result.map_err(|(at, error)| WriteError::Refused { at, error }));
        let answers = waiting.into_iter().zip(results).collect();
        let batch = CommitBatch { changes: committed.changes, answers, committed: Instant::now() };
        if let Err(mpsc::error::SendError(batch)) = self.feed.blocking_send(batch) {
            // Nobody is left to apply it, but it is durable all the same.
            batch.answer();
        }
    }

    fn note(&mut self, seen: &[PresenceRow]) -> Result<()> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        rows::profiles::put_seen(&tx, seen)?;
        tx.commit()
    }

    fn compact(&mut self, before: Millis) -> Result<u64> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let dropped = rows::drop_tombstones(&tx, before, COMPACTION_LIMIT)?;
        let held = self.compacted.load(Ordering::Acquire);
        let compacted = dropped.iter().copied().fold(held, Revision::max);
        if compacted != held {
            rows::put_compacted(&tx, compacted)?;
        }
        // Before the commit: a reader that misses a tombstone and then asks for the compacted revision must find it raised.
        self.compacted.store(compacted, Ordering::Release);
        tx.commit().inspect_err(|_| self.compacted.store(held, Ordering::Release))?;
        Ok(dropped.len() as u64)
    }

    /// Says once that transactions fail, and once that they succeed again: a full disk must not be filled with it.
    fn watched<T>(&mut self, outcome: Result<T>) -> std::result::Result<T, StoreError> {
        match &outcome {
            Err(error) if !self.failing => tracing::error!(%error, "the store cannot write; it keeps trying"),
            Ok(_) if self.failing => tracing::info!("the store can write again"),
            _ => {}
        }
        self.failing = outcome.is_err();
        outcome.map_err(|error| StoreError(format!("cannot write the database: {error}")))
    }
}

/// Carries out one write so that a refusal leaves nothing of it behind.
fn carry_out_whole(
    tx: &mut Transaction<'_>,
    write: &Write,
    when: CommitContext<'_>,
) -> Result<std::result::Result<CommittedWrite, RefusedCommand>> {
    // The refusal of a single command comes before its first row: nothing to take back.
    if write.commands.len() < 2 {
        return refusal_apart(carry_out(&mut SqliteTables(tx), write, when));
    }
    let mut part = tx.savepoint()?;
    let outcome = refusal_apart(carry_out(&mut SqliteTables(&part), write, when))?;
    if outcome.is_err() {
        part.rollback()?;
    }
    part.commit()?;
    Ok(outcome)
}

fn refusal_apart(
    outcome: std::result::Result<CommittedWrite, Abort<rusqlite::Error>>,
) -> Result<std::result::Result<CommittedWrite, RefusedCommand>> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(Abort::Refused { at, error }) => Ok(Err((at, error))),
        Err(Abort::Failed(error)) => Err(error),
    }
}
