//! Writes what is kept of deliveries, in small transactions of its own.

use rusqlite::{Connection, Result, TransactionBehavior};

use super::rows::delivery;
use crate::store::DeadLetter;
use rosterd_engine::model::Millis;
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};

/// What is written about deliveries.
pub(super) enum DeliveryTask {
    /// Where one is, and an event that it skips.
    Put { name: String, kept: KeptDelivery, dead: Option<DeadLetter> },
    /// Forgets those of other names that were last written before a time.
    Forget { except: Vec<String>, before: Millis },
    /// Removes a dead letter, and answers whether it was there.
    RemoveDead { name: String, event: EventKey },
}

impl DeliveryTask {
    /// Carries it out without waiting for the disk: what a crash of the machine undoes is delivered again.
    pub(super) fn run(&self, conn: &mut Connection, now: Millis) -> Result<bool> {
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        let done = self.transact(conn, now);
        conn.pragma_update(None, "synchronous", "FULL")?;
        done
    }

    fn transact(&self, conn: &mut Connection, now: Millis) -> Result<bool> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = match self {
            Self::Put { name, kept, dead } => {
                delivery::put_delivery(&tx, (name, now), kept, dead.as_ref())?;
                true
            }
            Self::Forget { except, before } => {
                delivery::forget(&tx, except, *before)?;
                true
            }
            Self::RemoveDead { name, event } => delivery::remove(&tx, name, *event)?,
        };
        tx.commit()?;
        Ok(done)
    }
}
