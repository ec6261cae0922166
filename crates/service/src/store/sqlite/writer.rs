//! The writer: one thread that owns the only connection that writes, and the last revision.
//!
//! It takes all waiting writes, decides and writes them in one transaction with one sync to the disk, and hands the
//! batch to the feed. When a transaction fails, nothing of it stands, each of its callers gets the error, and the next
//! transaction is tried as usual. The thread ends and closes the file once no more messages can come.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rusqlite::ffi::SQLITE_IOERR_FSYNC;
use rusqlite::{Connection, Result, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::delivery_writer::DeliveryTask;
use super::log::WriteAheadLog;
use super::log_writer::{LogTask, LogWriter};
use super::presence_numbers::PresenceNumbers;
use super::rows::{self, SqliteTables};
use crate::store::commit::{Abort, CommitContext, CommittedWrite, carry_out};
use crate::store::{
    AuditEntry, COMPACTION_LIMIT, CommitBatch, PresenceRow, RulesInForce, StoreClock, StoreError, Write, WriteError,
    Written,
};
use rosterd_engine::model::{Answer, Change, Millis, RequestError, Revision, Row, Visibility};

/// The most writes in one transaction; it bounds how long the first of them waits for the last.
pub(super) const BATCH: usize = 1000;

/// Rules that are to be kept in the place of others.
pub(super) struct QueuedRules {
    pub rules: Visibility,
    pub instead_of: Arc<Visibility>,
    pub answer: oneshot::Sender<std::result::Result<bool, StoreError>>,
}

/// A message to the writer.
pub(super) enum Message {
    /// Commits a write.
    Write(Write, oneshot::Sender<Written>),
    /// Stores which accounts came online and went offline.
    Presence(Vec<PresenceRow>, oneshot::Sender<std::result::Result<(), StoreError>>),
    /// Drops tombstones from before this time, and answers how many.
    Compact(Millis, oneshot::Sender<std::result::Result<u64, StoreError>>),
    /// Does a part of what is to be done to the change log, and answers whether there was something to do.
    Log(LogTask, oneshot::Sender<std::result::Result<bool, StoreError>>),
    /// Keeps an action in the audit log.
    Record(AuditEntry, oneshot::Sender<std::result::Result<(), StoreError>>),
    /// Drops entries of the audit log from before a time or beyond a number, and answers whether there were any.
    PruneAudit(Millis, u64, oneshot::Sender<std::result::Result<bool, StoreError>>),
    /// Writes something about deliveries, and answers whether there was something to do.
    Delivery(DeliveryTask, oneshot::Sender<std::result::Result<bool, StoreError>>),
    /// Decides by other rules, and keeps them.
    Rules(QueuedRules),
    /// Removes what was erased from the write-ahead log.
    Purge(oneshot::Sender<std::result::Result<(), StoreError>>),
    /// Takes no further messages, finishes those that wait, and ends.
    Close,
}

/// The state of the thread.
pub(super) struct Writer {
    pub conn: Connection,
    /// Locked as long as the connection is open.
    pub lock: File,
    pub clock: StoreClock,
    pub rules: RulesInForce,
    /// The last revision committed. Only this thread assigns revisions.
    pub revision: Revision,
    /// Read by the store, raised here.
    pub head: Arc<AtomicU64>,
    /// Read by the store, raised here.
    pub compacted: Arc<AtomicU64>,
    pub log: WriteAheadLog,
    pub change_log: LogWriter,
    pub presence_numbers: PresenceNumbers,
    /// Whether the last transaction failed. A full disk is logged when it begins and when it ends.
    pub failing: bool,
    pub feed: mpsc::Sender<CommitBatch>,
    /// Dropped at the end; `close` waits for that.
    pub running: watch::Sender<()>,
}

type QueuedWrite = (Write, oneshot::Sender<Written>);
type QueuedPresence = (Vec<PresenceRow>, oneshot::Sender<std::result::Result<(), StoreError>>);

/// The messages that are carried out together.
#[derive(Default)]
struct WriterRound {
    writes: Vec<QueuedWrite>,
    presence: Vec<QueuedPresence>,
    compactions: Vec<(Millis, oneshot::Sender<std::result::Result<u64, StoreError>>)>,
    log_tasks: Vec<(LogTask, oneshot::Sender<std::result::Result<bool, StoreError>>)>,
    audit: Vec<AuditTask>,
    delivery_tasks: Vec<(DeliveryTask, oneshot::Sender<std::result::Result<bool, StoreError>>)>,
    rules: Vec<QueuedRules>,
    purges: Vec<oneshot::Sender<std::result::Result<(), StoreError>>>,
}

/// What is to be done to the audit log besides what writes do to it.
enum AuditTask {
    Record(AuditEntry, oneshot::Sender<std::result::Result<(), StoreError>>),
    Prune(Millis, u64, oneshot::Sender<std::result::Result<bool, StoreError>>),
}

/// The result of a transaction, with one entry for each write.
struct Committed {
    changes: Vec<Change>,
    results: Vec<std::result::Result<Vec<Answer>, RefusedCommand>>,
}

/// Whether a transaction that failed may be found to be committed after a crash: everything of it was written, and only
/// the disk did not confirm it. This process goes on without it, and the next commit overwrites it.
fn is_in_doubt(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_FSYNC)
}

/// The position of the refused command, and its error.
type RefusedCommand = (usize, RequestError);

impl Writer {
    /// Runs until the inbox is closed and empty.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH);
        while inbox.blocking_recv_many(&mut messages, BATCH) > 0 {
            // Other callers may be about to write and wait for this core: they run first, and share the commit. If none
            // waits, this takes no time.
            thread::yield_now();
            while messages.len() < BATCH
                && let Ok(message) = inbox.try_recv()
            {
                messages.push(message);
            }
            let mut round = WriterRound::default();
            for message in messages.drain(..) {
                match message {
                    Message::Write(write, answer) => round.writes.push((write, answer)),
                    Message::Presence(rows, answer) => round.presence.push((rows, answer)),
                    Message::Compact(before, answer) => round.compactions.push((before, answer)),
                    Message::Log(task, answer) => round.log_tasks.push((task, answer)),
                    Message::Record(entry, answer) => round.audit.push(AuditTask::Record(entry, answer)),
                    Message::PruneAudit(before, most, answer) => {
                        round.audit.push(AuditTask::Prune(before, most, answer));
                    }
                    Message::Delivery(task, answer) => round.delivery_tasks.push((task, answer)),
                    Message::Rules(rules) => round.rules.push(rules),
                    Message::Purge(answer) => round.purges.push(answer),
                    Message::Close => inbox.close(),
                }
            }
            self.carry_out(round);
        }
        self.release();
    }

    fn carry_out(&mut self, round: WriterRound) {
        let WriterRound { writes, presence, compactions, log_tasks, audit, delivery_tasks, rules, purges } = round;
        if writes.is_empty() && !presence.is_empty() {
            self.note(presence);
        } else if !writes.is_empty() {
            self.commit(writes, presence);
        }
        for (before, answer) in compactions {
            let dropped = self.compact(before);
            let _ = answer.send(self.report(dropped));
        }
        for (task, answer) in log_tasks {
            let done = self.change_log.run(&mut self.conn, &task, self.revision);
            if matches!(done, Ok(true)) {
                // Old states of what was dropped or rewritten are in the write-ahead log.
                self.log.erased();
            }
            let _ = answer.send(self.report(done));
        }
        for task in audit {
            self.audit(task);
        }
        for (task, answer) in delivery_tasks {
            let done = task.run(&mut self.conn, (self.clock)());
            let _ = answer.send(self.report(done));
        }
        for QueuedRules { rules, instead_of, answer } in rules {
            let put = self.put_rules(rules, &instead_of);
            let _ = answer.send(self.report(put));
        }
        for answer in purges {
            let purged = self.log.purge(&self.conn);
            let _ = answer.send(self.report(purged));
        }
    }

    /// Releases everything in this order, so that the file is closed and unlocked when the feed and `running` end.
    fn release(self) {
        drop(self.conn);
        drop(self.lock);
        drop(self.feed);
        drop(self.running);
    }

    /// Stores who came and went. It is durable by the next commit; to wait for the disk would keep that commit waiting.
    /// Where transitions have numbers it is durable at once: a follower must not have one that a crash of the machine gives
    /// to another.
    fn note(&mut self, presence: Vec<QueuedPresence>) {
        let (seen, waiting): (Vec<_>, Vec<_>) = presence.into_iter().unzip();
        let sync = if self.presence_numbers.last().is_some() { "FULL" } else { "NORMAL" };
        let noted = self.conn.pragma_update(None, "synchronous", sync);
        let noted = noted.and_then(|()| self.transact(&[], &seen).map(drop));
        let synced = self.conn.pragma_update(None, "synchronous", "FULL");
        let noted = self.report(noted.and(synced));
        for waiting in waiting {
            let _ = waiting.send(noted.clone());
        }
    }

    /// Commits the writes of a round, and who came and went, with one sync to the disk.
    fn commit(&mut self, queued: Vec<QueuedWrite>, presence: Vec<QueuedPresence>) {
        let (writes, waiting): (Vec<_>, Vec<_>) = queued.into_iter().unzip();
        let (seen, noting): (Vec<_>, Vec<_>) = presence.into_iter().unzip();
        let committed = self.transact(&writes, &seen);
        let is_in_doubt = committed.as_ref().is_err_and(is_in_doubt);
        let committed = self.report(committed);
        let noted = committed.as_ref().map(drop).map_err(Clone::clone);
        for noting in noting {
            let _ = noting.send(noted.clone());
        }
        match committed {
            Ok(committed) => self.publish(committed, waiting),
            Err(error) => {
                let error = if is_in_doubt { WriteError::Unknown(error) } else { WriteError::Failed(error) };
                for waiting in waiting {
                    let _ = waiting.send(Err(error.clone()));
                }
            }
        }
    }

    fn transact(&mut self, writes: &[Write], seen: &[Vec<PresenceRow>]) -> Result<Committed> {
        let now = (self.clock)();
        let rules = self.rules.get();
        let mut revision = self.revision;
        let mut committed = Committed { changes: Vec::new(), results: Vec::with_capacity(writes.len()) };
        let mut tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Presence goes first, because a block keeps the last time at which its peer was seen.
        let mut last_seen = self.presence_numbers.last();
        for seen in seen {
            rows::profiles::put_seen(&tx, seen, &mut last_seen)?;
        }
        for write in writes {
            let result = carry_out_whole(&mut tx, write, CommitContext { head: revision, now, visibility: &rules })?;
            committed.results.push(result.map(|done| {
                revision += done.changes.len() as Revision;
                committed.changes.extend(done.changes);
                done.answers
            }));
        }
        let log_bytes = self.change_log.append(&tx, now, &committed.changes)?;
        let last_seen = self.presence_numbers.finish(&tx, &committed.changes, last_seen)?;
        tx.commit()?;
        self.presence_numbers.committed(last_seen);
        self.revision = revision;
        self.change_log.committed(log_bytes);
        if committed.changes.iter().flat_map(|change| &change.rows).any(|row| matches!(row, Row::Gone { .. })) {
            self.log.erased();
        }
        self.head.store(revision, Ordering::Release);
        Ok(committed)
    }

    /// Hands the batch to the feed.
    ///
    /// Writes that changed nothing or were refused are answered through the feed too, because the reason may be a
    /// change of the same batch.
    fn publish(&self, committed: Committed, waiting: Vec<oneshot::Sender<Written>>) {
        let results = committed.results.into_iter();
        let results = results.map(|result| result.map_err(|(at, error)| WriteError::Refused { at, error }));
        let answers = waiting.into_iter().zip(results).collect();
        let batch = CommitBatch { changes: committed.changes, answers, committed: Instant::now() };
        if let Err(mpsc::error::SendError(batch)) = self.feed.blocking_send(batch) {
            // No consumer is left to apply it, but it is durable.
            batch.answer();
        }
    }

    /// Does what is to be done to the audit log, in a transaction of its own.
    fn audit(&mut self, task: AuditTask) {
        match task {
            AuditTask::Record(entry, answer) => {
                let kept = rows::audit::append(&self.conn, &entry);
                let _ = answer.send(self.report(kept));
            }
            AuditTask::Prune(before, most, answer) => {
                let pruned = self.prune_audit(before, most);
                let _ = answer.send(self.report(pruned));
            }
        }
    }

    fn prune_audit(&mut self, before: Millis, most: u64) -> Result<bool> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let pruned = rows::audit::prune(&tx, before, most)?;
        tx.commit()?;
        Ok(pruned)
    }

    /// Keeps the rules first: after a crash nothing may have been decided by rules that the file does not name.
    fn put_rules(&mut self, rules: Visibility, instead_of: &Arc<Visibility>) -> Result<bool> {
        if !self.rules.are(instead_of) {
            return Ok(false);
        }
        super::schema::keep_rules(&self.conn, &rules)?;
        self.rules.set(rules, 0);
        Ok(true)
    }

    fn compact(&mut self, before: Millis) -> Result<u64> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let dropped = rows::drop_tombstones(&tx, before, COMPACTION_LIMIT)?;
        let held = self.compacted.load(Ordering::Acquire);
        let compacted = dropped.iter().copied().fold(held, Revision::max);
        if compacted != held {
            rows::put_compacted(&tx, compacted)?;
        }
        tx.commit()?;
        self.compacted.store(compacted, Ordering::Release);
        if !dropped.is_empty() {
            self.log.erased();
        }
        Ok(dropped.len() as u64)
    }

    /// Logs once that transactions fail, and once that they succeed again: logs must not fill a full disk further.
    fn report<T>(&mut self, outcome: Result<T>) -> std::result::Result<T, StoreError> {
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
    context: CommitContext<'_>,
) -> Result<std::result::Result<CommittedWrite, RefusedCommand>> {
    // A single command is refused before its first row is put, so there is nothing to roll back.
    if write.commands.len() < 2 {
        return split_refusal(carry_out(&mut SqliteTables(tx), write, context));
    }
    let mut part = tx.savepoint()?;
    let outcome = split_refusal(carry_out(&mut SqliteTables(&part), write, context))?;
    if outcome.is_err() {
        part.rollback()?;
    }
    part.commit()?;
    Ok(outcome)
}

fn split_refusal(
    outcome: std::result::Result<CommittedWrite, Abort<rusqlite::Error>>,
) -> Result<std::result::Result<CommittedWrite, RefusedCommand>> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(Abort::Refused { at, error }) => Ok(Err((at, error))),
        Err(Abort::Failed(error)) => Err(error),
    }
}
