//! Carries one write out on an adapter's rows, or only says what it would come to: the loop around [`decide`] that every
//! adapter shares.
//!
//! This is the interface for implementers of a store. An adapter gives access to its rows with [`Rows`], calls
//! [`carry_out`] inside a transaction, and commits it. `carry_out` opens no transaction and undoes nothing: on an
//! [`Abort`] the adapter rolls back the rows that were put.

use crate::store::{AuditEntry, Rehearsal, Write};
use rosterd_engine::model::{Account, Answer, Change, Command, Millis, RequestError, Revision, Row, Visibility};
use rosterd_engine::sync::decide::{self, CurrentRows, Reads};

/// The rows of a store inside one transaction.
pub trait Rows {
    /// The error of the underlying database.
    type Error;

    /// Reads what a decision needs, including rows that were put earlier in the same transaction.
    fn current(&self, reads: Reads) -> Result<CurrentRows, Self::Error>;

    /// Inserts or replaces one row.
    fn put(&mut self, row: &Row) -> Result<(), Self::Error>;

    /// Stores when friends saw an account last. It is no part of the history.
    fn put_last_seen(&mut self, account: &Account, last_seen: Millis) -> Result<(), Self::Error>;

    /// Appends an entry to the audit log. A row that is put later and erases its account takes the account out of it.
    fn record(&mut self, entry: &AuditEntry) -> Result<(), Self::Error>;
}

/// The result of one write, to be published once its transaction is committed.
#[derive(Debug, Default)]
pub struct CommittedWrite {
    /// One for each command that changed something.
    pub changes: Vec<Change>,
    /// One for each command.
    pub answers: Vec<Answer>,
}

/// Why a write was given up half way.
#[derive(Debug)]
pub enum Abort<E> {
    /// A decision refused a command.
    Refused {
        /// The position of the command in the write.
        at: usize,
        /// The answer to the command.
        error: RequestError,
    },
    /// The rows could not be read or put.
    Failed(E),
}

/// The inputs of a decision besides rows.
#[derive(Clone, Copy)]
pub struct CommitContext<'a> {
    /// The last committed revision; the changes take the ones after it.
    pub head: Revision,
    /// The time of the write.
    pub now: Millis,
    /// Which fields of a profile each audience may see.
    pub visibility: &'a Visibility,
}

/// Carries out the commands of a write in order, and stops at the first that is refused.
///
/// # Errors
/// A command was refused, or the rows could not be read or put. Rows of earlier commands may have been put.
pub fn carry_out<R: Rows>(
    rows: &mut R,
    write: &Write,
    context: CommitContext<'_>,
) -> Result<CommittedWrite, Abort<R::Error>> {
    let CommitContext { head, now, visibility } = context;
    let mut done = CommittedWrite::default();
    for (at, command) in write.commands.iter().enumerate() {
        let revision = head + 1 + done.changes.len() as Revision;
        let current = rows.current(decide::reads(command)).map_err(Abort::Failed)?;
        let decision = decide::decide(&current, command, revision, now, visibility);
        let decision = decision.map_err(|error| Abort::Refused { at, error })?;
        if let Some(entry) = AuditEntry::of(&write.origin, command, now) {
            rows.record(&entry).map_err(Abort::Failed)?;
        }
        for row in &decision.rows {
            rows.put(row).map_err(Abort::Failed)?;
            if let (Row::Profile(profile), Some(last_seen)) = (row, decision.last_seen) {
                rows.put_last_seen(&profile.account, last_seen).map_err(Abort::Failed)?;
            }
        }
        if !decision.rows.is_empty() {
            let cause = decide::cause(&current, command, &decision.rows);
            let replaced = decide::replaced(&current, &decision.rows);
            let origin = write.origin.clone();
            done.changes.push(Change { revision, time: now, origin, cause, rows: decision.rows, replaced });
        }
        done.answers.push(decision.answer);
    }
    Ok(done)
}

/// Decides a command on the current rows, and puts nothing.
///
/// # Errors
/// The command would be refused, or the rows could not be read.
pub fn rehearse<R: Rows>(
    rows: &R,
    command: &Command,
    context: CommitContext<'_>,
) -> Result<Result<Rehearsal, RequestError>, R::Error> {
    let CommitContext { head, now, visibility } = context;
    let current = rows.current(decide::reads(command))?;
    let decision = decide::decide(&current, command, head + 1, now, visibility);
    Ok(decision.map(|decision| Rehearsal { answer: decision.answer, users: current.users }))
}
