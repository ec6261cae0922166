//! What the writer is asked.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::store::{AuditEntry, DeadLetter, PresenceRow, StoreError, Write, Written};
use rosterd_engine::model::{Millis, NodeId, Visibility};
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};

/// The most messages in one round, and so the most writes in one transaction.
pub(super) const BATCH: usize = 500;

/// A message to the writer.
pub(super) enum PgMessage {
    /// Commits a write that waits since then.
    Write(Write, Instant, oneshot::Sender<Written>),
    /// Stores which accounts came online and went offline.
    Presence(Vec<PresenceRow>, oneshot::Sender<Result<(), StoreError>>),
    /// Does something else, and answers a number of things or whether there was something to do.
    Task(StoreTask, oneshot::Sender<Result<u64, StoreError>>),
    /// Looks whether the history of the database is still the known one.
    LookAgain,
    /// Ends, because the log cannot be read on, for this reason.
    StepDown(String),
    /// Takes no further messages, finishes those that wait, and ends.
    Close,
}

/// The writes of one transaction, and who waits for each; nobody does once they were told that the outcome is not known.
pub(super) struct WriteBatch {
    pub writes: Vec<Write>,
    pub waiting: Vec<oneshot::Sender<Written>>,
}

/// What is to be done.
#[derive(Debug)]
pub enum StoreTask {
    /// Drops tombstones from before this time, and answers how many.
    Compact(Millis),
    /// Drops changes of the log from before a time, and the oldest ones beyond a size.
    PruneLog {
        /// The time.
        before: Millis,
        /// The size in bytes.
        most: u64,
    },
    /// Takes the personal data of deleted accounts out of a part of the log.
    ScrubLog,
    /// Keeps an action in the audit log.
    Record(AuditEntry),
    /// Drops entries of the audit log from before a time or beyond a number.
    PruneAudit {
        /// The time.
        before: Millis,
        /// The number.
        most: u64,
    },
    /// Keeps where a delivery is, and an event that it skips.
    PutDelivery {
        /// Of the delivery.
        name: String,
        /// Where it is.
        kept: KeptDelivery,
        /// The event that it skips.
        dead: Option<DeadLetter>,
        /// The time.
        now: Millis,
    },
    /// Forgets the deliveries of other names that were last written before a time.
    ForgetDeliveries {
        /// The names that stay.
        except: Vec<String>,
        /// The time.
        before: Millis,
    },
    /// Removes some sessions of a dead gateway, and answers whether there are more.
    Bury(NodeId),
    /// Decides by other rules, and keeps them. Answers 0 if others hold by now than those that they replace, and otherwise
    /// their number.
    PutRules {
        /// The rules.
        rules: Visibility,
        /// Those that they replace.
        instead_of: Arc<Visibility>,
    },
    /// Removes a dead letter, and answers whether it was there.
    RemoveDead {
        /// Of the delivery.
        name: String,
        /// What it skipped.
        event: EventKey,
    },
}
