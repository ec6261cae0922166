//! The state of the writer, and what all its work needs: the connection, and what it says of failures.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::courier::Carrier;
use super::database::WriterLink;
use super::messages::PgMessage;
use super::pg_error::PgError;
use super::splicer::NumberedBatch;
use super::writer_session::WriterSession;
use crate::store::{RulesInForce, StoreClock, StoreError};
use rosterd_engine::model::SeenNumber;

/// The state of the writer.
pub(super) struct PgWriter {
    pub connection: WriterSession,
    pub inbox: mpsc::Receiver<PgMessage>,
    /// What came while the writer waited for the database.
    pub backlog: VecDeque<PgMessage>,
    pub clock: Option<StoreClock>,
    pub rules: RulesInForce,
    pub salt: Arc<[u8]>,
    pub keeps_log: bool,
    pub write_timeout: Duration,
    /// Read by the store, raised here.
    pub head: Arc<AtomicU64>,
    /// Read by the store, raised here.
    pub compacted: Arc<AtomicU64>,
    /// The number of the last presence transition that is durable, unless they get none.
    pub seen: Option<watch::Sender<SeenNumber>>,
    /// The number of this process in the log.
    pub writer: i64,
    /// Hands batches to other gateways besides the log, if there is a way.
    pub carrier: Option<Carrier>,
    /// Takes batches to the feed.
    pub own: mpsc::Sender<NumberedBatch>,
    /// Set before the store is closed: then nobody waits for a database that is away.
    pub closing: Arc<AtomicBool>,
    /// Whether the last transaction failed. It is logged when that begins and when it ends.
    pub failing: bool,
    pub pause: Duration,
    /// Set once this process may not write any more.
    pub lost: bool,
}

/// Tells followers of a number that is durable now; a lower one says nothing.
pub(super) fn raise_seen(known: Option<&watch::Sender<SeenNumber>>, last: SeenNumber) {
    if let Some(known) = known {
        known.send_if_modified(|known| std::mem::replace(known, last.max(*known)) < last);
    }
}

/// Returns an error if somebody cancelled the wait of the last commit for a standby: it is visible, and perhaps not replicated.
pub(super) fn waited_to_the_end(link: &dyn WriterLink) -> Result<(), PgError> {
    if link.warned() { Err(PgError::Away("a commit did not wait for the standby to the end".into())) } else { Ok(()) }
}

impl PgWriter {
    /// Returns the connection, a new one if need be.
    pub(super) async fn session(&mut self) -> Result<Arc<dyn WriterLink>, PgError> {
        if let Some(session) = self.connection.get() {
            return Ok(session);
        }
        let (_, standing) = self.connection.connect(None).await?;
        self.pause = Duration::ZERO;
        self.raise_seen(Some(standing.seen));
        self.connection.get().ok_or_else(|| PgError::Away("it broke off at once".into()))
    }

    /// Waits for an answer of the database for as long as a write may wait. A connection on which none came is given up: the
    /// server may hang, or wait for a standby.
    pub(super) async fn in_time<T>(&self, answer: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
        match timeout(self.write_timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(PgError::Silent(self.write_timeout)),
        }
    }

    /// Tells followers of a number that is durable now.
    pub(super) fn raise_seen(&self, seen: Option<SeenNumber>) {
        if let Some(last) = seen {
            raise_seen(self.seen.as_ref(), last);
        }
    }

    /// Logs once that transactions fail, and once that they succeed again.
    pub(super) fn report<T>(&mut self, outcome: Result<T, PgError>) -> Result<T, StoreError> {
        match &outcome {
            Err(PgError::Lost(why)) if !self.lost => {
                tracing::error!(why, "this gateway may not write to the database any more: it ends");
                self.lost = true;
            }
            Err(error) if !self.failing => tracing::error!(%error, "the store cannot write; it keeps trying"),
            Ok(_) if self.failing => tracing::info!("the store can write again"),
            _ => {}
        }
        self.failing = outcome.is_err();
        outcome.map_err(|error| StoreError(format!("cannot write the database: {error}")))
    }
}
