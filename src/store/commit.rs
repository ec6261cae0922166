//! Carries one write out on an adapter's rows: the loop around [`decide`] that every adapter shares.
//!
//! It opens no transaction and undoes nothing: the adapter takes back what was put when this does not end well.
//! Called by the adapters' writers.

use crate::store::Write;
use rosterd_engine::model::{Answer, Change, Millis, RequestError, Revision, Row, Visibility};
use rosterd_engine::sync::decide::{self, CurrentRows, Reads};

/// The rows of a store inside one transaction.
pub(super) trait Rows {
    /// Why a row could not be read or put.
    type Error;

    /// Reads what a decision needs, including what was put before.
    fn current(&self, reads: Reads) -> Result<CurrentRows, Self::Error>;

    /// Makes a row stand as it is given.
    fn put(&mut self, row: &Row) -> Result<(), Self::Error>;
}

/// What one write comes to, once its transaction is committed.
#[derive(Debug, Default)]
pub(super) struct CommittedWrite {
    /// One for each command that changed something.
    pub changes: Vec<Change>,
    /// One for each command.
    pub answers: Vec<Answer>,
}

/// Why a write was given up half way.
pub(super) enum Abort<E> {
    /// A decision said no.
    Refused { at: usize, error: RequestError },
    /// The rows could not be read or put.
    Failed(E),
}

/// What decisions rest on besides rows.
#[derive(Clone, Copy)]
pub(super) struct CommitContext<'a> {
    /// The last stamp given out: the changes take the ones after it.
    pub head: Revision,
    pub now: Millis,
    pub visibility: &'a Visibility,
}

/// Carries out the commands in order.
pub(super) fn carry_out<R: Rows>(
    rows: &mut R,
    write: &Write,
    when: CommitContext<'_>,
) -> Result<CommittedWrite, Abort<R::Error>> {
    let CommitContext { head, now, visibility } = when;
    let mut done = CommittedWrite::default();
    for (at, command) in write.commands.iter().enumerate() {
        let stamp = head + 1 + done.changes.len() as Revision;
        let current = rows.current(decide::reads(command)).map_err(Abort::Failed)?;
        let decision = decide::decide(&current, command, stamp, now, visibility);
        let decision = decision.map_err(|error| Abort::Refused { at, error })?;
        for row in &decision.rows {
            rows.put(row).map_err(Abort::Failed)?;
        }
        if !decision.rows.is_empty() {
            done.changes.push(Change { stamp, origin: write.origin, rows: decision.rows });
        }
        done.answers.push(decision.answer);
    }
    Ok(done)
}
