//! Writes the change log: in the transactions of the changes, and in small ones of its own for what is dropped or erased.

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use super::rows::change_log::{self, ScrubPass};
use super::rows::put_head;
use super::schema::Meta;
use rosterd_engine::model::{Change, Millis, Revision};

/// After how many commits `meta` is written again. Who opens the store adds up the rows since.
const NOTED_EVERY: u32 = 1000;

/// What is done to the log now and then. Each is a bounded part, and answers whether there was something to do.
pub(super) enum LogTask {
    /// Drops changes from before a time, and the oldest ones beyond a size.
    Prune { before: Millis, most: u64 },
    /// Takes out the personal data of deleted accounts.
    Scrub,
}

/// The state of the log.
pub(super) struct LogWriter {
    /// The epoch that goes with the changes; `None` if no log is kept.
    epoch: Option<i64>,
    /// The bytes of all changes in it.
    bytes: u64,
    /// How many commits `meta` is behind.
    unnoted: u32,
    /// The pass under way.
    scrub: Option<ScrubPass>,
}

impl LogWriter {
    pub(super) fn new(meta: &Meta) -> Self {
        let epoch = meta.history.map(|_| meta.epoch.0.cast_signed());
        Self { epoch, bytes: meta.log_bytes, unnoted: 0, scrub: None }
    }

    /// Appends the changes of a transaction, or notes the last revision elsewhere if no log is kept. Returns the size of the
    /// log after it, for [`LogWriter::committed`].
    pub(super) fn append(&self, tx: &Transaction<'_>, now: Millis, changes: &[Change]) -> Result<u64> {
        let Some(last) = changes.last() else { return Ok(self.bytes) };
        let bytes = match self.epoch {
            Some(epoch) => self.bytes + change_log::append(tx, epoch, now, changes)?,
            None => self.bytes,
        };
        if self.epoch.is_none() || self.unnoted + 1 >= NOTED_EVERY {
            put_head(tx, last.revision, bytes)?;
        }
        Ok(bytes)
    }

    /// Notes that the transaction was committed.
    pub(super) fn committed(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.unnoted = (self.unnoted + 1) % NOTED_EVERY;
    }

    /// Does a part of a task in a transaction of its own, after that of the last revision.
    pub(super) fn run(&mut self, conn: &mut Connection, task: &LogTask, head: Revision) -> Result<bool> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (more, grown) = match task {
            LogTask::Prune { before, most } => {
                let (rows, freed) = change_log::prune(&tx, *before, *most, self.bytes)?;
                (rows > 0, -freed.cast_signed())
            }
            LogTask::Scrub => self.scrub(&tx)?,
        };
        let bytes = self.bytes.saturating_add_signed(grown);
        if grown != 0 {
            put_head(&tx, head, bytes)?;
        }
        // What a pass has rewritten does not stand then.
        tx.commit().inspect_err(|_| self.scrub = None)?;
        self.bytes = bytes;
        Ok(more)
    }

    fn scrub(&mut self, tx: &Transaction<'_>) -> Result<(bool, i64)> {
        // A pass that fails begins anew.
        let pass = match self.scrub.take() {
            Some(pass) => Some(pass),
            None => ScrubPass::begin(tx)?,
        };
        let Some(mut pass) = pass else { return Ok((false, 0)) };
        let part = pass.some(tx)?;
        if !part.is_last {
            self.scrub = Some(pass);
        }
        Ok((true, part.grown))
    }
}
