//! The writer: one task that owns the only connection that writes.
//!
//! It takes all waiting writes, commits them as one transaction, and hands the batch to the feed. Nobody is answered before
//! it is known whether the batch was committed. While the database is away the writes wait, and after
//! `store.write_timeout` they fail.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::messages::{BATCH, PgMessage, WriteBatch};
use super::pause::{PAUSE, part_of};
use super::pg_error::PgError;
use super::position::LogPosition;
use super::splicer::NumberedBatch;
use super::transaction::{CommittedBatch, TransactionFailure};
use super::writer_session::CommitVerdict;
use super::writer_state::{PgWriter, waited_to_the_end};
use crate::metrics::Kind;
use crate::store::{CommitBatch, PresenceRow, StoreError, WriteError, Written};

type Waiting = oneshot::Sender<Written>;

impl PgWriter {
    /// Runs until the inbox is closed and empty, or the history of the database is another.
    pub(super) async fn run(mut self) {
        while !self.lost {
            let messages = self.take().await;
            if messages.is_empty() {
                break;
            }
            self.round(messages).await;
        }
        // In this order: once the feed has ended, another gateway can open the database.
        self.connection.release().await;
        drop(self.own);
    }

    /// Takes the messages that wait, or waits for some; none once no more can come.
    async fn take(&mut self) -> Vec<PgMessage> {
        let mut messages: Vec<_> = self.backlog.drain(..self.backlog.len().min(BATCH)).collect();
        if messages.is_empty() && self.inbox.recv_many(&mut messages, BATCH).await > 0 {
            // Other callers may be about to write: they run first, and share the commit.
            tokio::task::yield_now().await;
        }
        while !messages.is_empty()
            && messages.len() < BATCH
            && let Ok(message) = self.inbox.try_recv()
        {
            messages.push(message);
        }
        messages
    }

    async fn round(&mut self, messages: Vec<PgMessage>) {
        let (mut writes, mut waiting, mut since) = (Vec::new(), Vec::new(), Instant::now());
        let (mut seen, mut noting, mut tasks, mut looks_again) = (Vec::new(), Vec::new(), Vec::new(), false);
        for message in messages {
            match message {
                PgMessage::Write(write, begun, answer) => {
                    writes.push(write);
                    waiting.push(answer);
                    since = since.min(begun);
                }
                PgMessage::Presence(rows, answer) => {
                    seen.extend(rows);
                    noting.push(answer);
                }
                PgMessage::Task(task, answer) => tasks.push((task, answer)),
                PgMessage::LookAgain => looks_again = true,
                PgMessage::StepDown(why) => {
                    let _ = self.report(Err::<(), _>(PgError::Lost(why)));
                }
                PgMessage::Close => self.inbox.close(),
            }
        }
        if looks_again {
            self.connection.drop_connection();
            let connected = self.session().await.map(drop);
            let _ = self.report(connected);
        }
        if self.lost {
            for waiting in waiting {
                let _ = waiting.send(Err(StoreError("this gateway ends; nothing was changed".into()).into()));
            }
            return;
        }
        let noted = if writes.is_empty() {
            if noting.is_empty() { Ok(()) } else { self.note(&seen).await }
        } else {
            self.commit(WriteBatch { writes, waiting }, &seen, since + self.write_timeout).await
        };
        for answer in noting {
            let _ = answer.send(noted.clone());
        }
        for (task, answer) in tasks {
            let done = self.carry_out(task).await;
            let _ = answer.send(self.report(done));
        }
    }

    /// Commits writes, and who came and went, and answers the writes.
    async fn commit(&mut self, mut asked: WriteBatch, seen: &[PresenceRow], until: Instant) -> Result<(), StoreError> {
        loop {
            let error = match self.attempt(&mut asked, seen).await {
                Ok(batch) => {
                    self.report(Ok(()))?;
                    self.publish(batch, asked.waiting).await;
                    return Ok(());
                }
                Err(TransactionFailure::NotDone(error)) => error,
                Err(TransactionFailure::InDoubt(batch, error)) => {
                    tracing::warn!(%error, "the answer to a commit was lost: the store finds out whether it was done");
                    match self.settle(batch.newest, until, &mut asked.waiting).await {
                        Ok(true) => {
                            self.report(Ok(()))?;
                            self.committed(&batch);
                            self.publish(*batch, asked.waiting).await;
                            return Ok(());
                        }
                        Ok(false) if !asked.waiting.is_empty() => continue,
                        Ok(false) => return Err(StoreError("the database was away".into())),
                        Err(error) => error,
                    }
                }
            };
            let error = match self.may_go_on(error, until) {
                Ok(()) => {
                    self.rest().await;
                    continue;
                }
                Err(error) => error,
            };
            for waiting in asked.waiting {
                let _ = waiting.send(Err(WriteError::Failed(error.clone())));
            }
            return Err(error);
        }
    }

    /// Returns an error if what failed is not to be tried again.
    fn may_go_on(&mut self, error: PgError, until: Instant) -> Result<(), StoreError> {
        let tries = error.may_pass() && Instant::now() < until && !self.closing.load(Ordering::Acquire);
        self.report(Err::<(), _>(error)).or_else(|error| if tries { Ok(()) } else { Err(error) })
    }

    /// Finds out whether a batch was committed. Until that is known nothing else is written; who waits for longer than
    /// the timeout learns that it is not known.
    async fn settle(
        &mut self,
        batch: LogPosition,
        until: Instant,
        waiting: &mut Vec<Waiting>,
    ) -> Result<bool, PgError> {
        loop {
            let error = match self.connection.connect(Some(batch)).await {
                Ok((verdict, standing)) => {
                    self.pause = Duration::ZERO;
                    let done = verdict == CommitVerdict::Done;
                    let confirmed = if done { self.confirm(until, waiting).await } else { Ok(()) };
                    let Err(error) = confirmed else {
                        self.raise_seen(Some(standing.seen));
                        let kind = if done { "DONE" } else { "NOT" };
                        self.connection.metrics.in_doubt.get_or_create(&Kind { kind }).inc();
                        tracing::info!(done, "it is known whether the commit in doubt was done");
                        return Ok(done);
                    };
                    self.connection.drop_connection();
                    error
                }
                Err(error) => error,
            };
            if self.gives_up(&error, until, waiting) {
                return Err(error);
            }
            let _ = self.report(Err::<(), _>(error));
            self.rest().await;
        }
    }

    /// Waits until a batch that was in doubt is on the standby, where commits wait for one: if the session was ended while it
    /// waited, the batch is in the database, and perhaps nowhere else. Another commit waits for the same.
    async fn confirm(&mut self, until: Instant, waiting: &mut Vec<Waiting>) -> Result<(), PgError> {
        let Some(link) = self.connection.get() else { return Err(PgError::Away("it broke off at once".into())) };
        let mut marker = link.write_marker();
        loop {
            tokio::select! {
                biased;
                written = &mut marker => {
                    written?;
                    match waited_to_the_end(&*link) {
                        Ok(()) => return Ok(()),
                        // This one neither.
                        Err(_) => marker = link.write_marker(),
                    }
                }
                () = self.rest() => {
                    let error = PgError::Away("it is in the database, and not yet on the standby".into());
                    if self.gives_up(&error, until, waiting) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Tells those who have waited for too long that it is not known whether this was done. Returns whether nobody will find
    /// out here any more.
    fn gives_up(&self, error: &PgError, until: Instant, waiting: &mut Vec<Waiting>) -> bool {
        let late = Instant::now() >= until;
        let is_over = matches!(error, PgError::Lost(_)) || late && self.closing.load(Ordering::Acquire);
        if is_over || late {
            let unknown = StoreError(format!("whether this was done is not known: {error}"));
            for waiting in waiting.drain(..) {
                let _ = waiting.send(Err(WriteError::Unknown(unknown.clone())));
            }
        }
        is_over
    }

    /// Stores who came and went. It is durable by the next commit, or at once where transitions have numbers: a follower
    /// must not have one that a crash of the machine gives to another.
    async fn note(&mut self, seen: &[PresenceRow]) -> Result<(), StoreError> {
        let done = self.try_note(seen).await;
        let done = match done {
            Err(PgError::Lost(_)) => done,
            // The connection may have been over for long.
            Err(error) if error.may_pass() => self.try_note(seen).await,
            done => done,
        };
        self.report(done)
    }

    /// Waits before the next connection. Writes that come meanwhile are told when they have waited for too long: they
    /// were not tried.
    async fn rest(&mut self) {
        self.pause = (self.pause * 2).clamp(PAUSE.0, PAUSE.1);
        let end = Instant::now() + part_of(self.pause, self.connection.database.random().unwrap_or(1));
        loop {
            match timeout_at(end, self.inbox.recv()).await {
                Ok(Some(message)) => self.backlog.push_back(message),
                Ok(None) => tokio::time::sleep_until(end).await,
                Err(_) => break,
            }
        }
        let (late, backlog) = self.backlog.drain(..).partition::<VecDeque<_>, _>(
            |message| matches!(message, PgMessage::Write(_, begun, _) if begun.elapsed() >= self.write_timeout),
        );
        self.backlog = backlog;
        for message in late {
            if let PgMessage::Write(_, _, answer) = message {
                let error = StoreError("the database has been away for too long; nothing was changed".into());
                let _ = answer.send(Err(error.into()));
            }
        }
    }

    /// Hands the batch over to the feed.
    ///
    /// Writes that changed nothing or were refused are answered through the feed too, because the reason may be a
    /// change of the same batch, or one of another gateway.
    async fn publish(&self, batch: CommittedBatch, waiting: Vec<Waiting>) {
        let results = batch.results.into_iter();
        let results = results.map(|result| result.map_err(|(at, error)| WriteError::Refused { at, error }));
        let answers = waiting.into_iter().zip(results).collect();
        let after = batch.after;
        let batch = CommitBatch { changes: batch.changes, answers, committed: std::time::Instant::now() };
        if let Err(mpsc::error::SendError(numbered)) = self.own.send(NumberedBatch { after, batch }).await {
            // No consumer is left to apply it, but it is durable.
            numbered.batch.answer();
        }
    }
}
