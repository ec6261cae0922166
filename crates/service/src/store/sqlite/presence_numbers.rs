//! Gives presence transitions their numbers.

use rusqlite::{Result, Transaction};
use tokio::sync::watch;

use super::rows::profiles;
use rosterd_engine::model::{Change, Row, SeenNumber};

/// The numbers of presence transitions.
pub(super) struct PresenceNumbers {
    /// `None` if transitions get none.
    last: Option<SeenNumber>,
    /// Followers are told of each number once it is durable.
    durable: watch::Sender<SeenNumber>,
}

impl PresenceNumbers {
    /// Goes on after the last number, and returns how followers are told of later ones.
    pub(super) fn new(last: Option<SeenNumber>) -> (Self, Option<watch::Receiver<SeenNumber>>) {
        let (durable, told) = watch::channel(last.unwrap_or_default());
        (Self { last, durable }, last.map(|_| told))
    }

    /// Returns the last number, unless transitions get none.
    pub(super) fn last(&self) -> Option<SeenNumber> {
        self.last
    }

    /// Numbers whether accounts hide, and stores the last number that a transaction took.
    pub(super) fn finish(
        &self,
        tx: &Transaction<'_>,
        changes: &[Change],
        mut last: Option<SeenNumber>,
    ) -> Result<Option<SeenNumber>> {
        for row in changes.iter().flat_map(|change| &change.rows) {
            if let Row::Presence { account, .. } = row {
                profiles::put_number(tx, account, &mut last)?;
            }
        }
        if let Some(last) = last.filter(|_| last != self.last) {
            profiles::put_last_number(tx, last)?;
        }
        Ok(last)
    }

    /// Notes that the transaction was committed.
    pub(super) fn committed(&mut self, last: Option<SeenNumber>) {
        self.last = last;
        self.durable.send_if_modified(|durable| last.is_some_and(|last| std::mem::replace(durable, last) != last));
    }
}
