//! Reads the change log for those who follow the changes of this gateway from outside.
//!
//! A reader is given what this node's hub has applied: whoever has an event and then asks this node reads nothing older.
//! It keeps its own position, so any number of readers costs nothing but their reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::state::{STORE_RETRY_MS, Service, WAITING_READERS, unavailable};
use crate::store::{ChangeLog, StoreError};
use rosterd_engine::model::{Account, FeedPosition, LogHistory, LoggedChange, Millis, Reason, RequestError};
use rosterd_engine::sync::events::{ChangeEvent, events};
use rosterd_protocol::{EventFields, EventTypes, event_json};

/// The most bytes of events in an answer to a reader of the feed, unless one event has more.
pub const FEED_BYTES: usize = 4 * 1024 * 1024;
/// The most pages that are read for an answer without events.
const PAGES: usize = 20;

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedStart {
    /// At the oldest change that is kept.
    Oldest,
    /// After the newest: it is only told its position.
    Now,
    /// After what it has.
    At(FeedPosition),
}

/// What a reader asks for.
#[derive(Debug, Clone)]
pub struct FeedQuery {
    /// Where it begins.
    pub start: FeedStart,
    /// The most events.
    pub limit: usize,
    /// The most bytes of events, unless one event has more.
    pub bytes: usize,
    /// The types of events.
    pub types: EventTypes,
    /// Only events about this account, or between it and another.
    pub account: Option<Account>,
    /// The fields in the events.
    pub fields: EventFields,
}

/// An event as it is sent.
#[derive(Debug, Clone)]
pub struct FeedEvent {
    /// The event as JSON.
    pub json: String,
    /// When its change was made.
    pub time: Millis,
    /// Its type.
    pub event_type: &'static str,
    /// The position of a reader that has it.
    pub position: FeedPosition,
}

/// Events, and how far the reader has come with them.
#[derive(Debug, Clone)]
pub struct FeedEvents {
    /// In commit order.
    pub events: Vec<FeedEvent>,
    /// Where to go on. It moves over what the reader did not ask for, too.
    pub position: FeedPosition,
    /// The newest position.
    pub head: FeedPosition,
}

/// Why a reader gets no events.
#[derive(Debug, Clone)]
pub enum FeedError {
    /// Its position is from before the oldest change that is kept; this is the oldest position.
    Expired(FeedPosition),
    /// Its position is one of another log: the store is another, or was restored.
    Foreign,
    /// Its position is ahead of all changes.
    FromFuture,
    /// Another reason.
    Refused(RequestError),
}

impl Service {
    /// Lets readers follow this change log.
    #[must_use]
    pub fn with_log(self, log: Arc<dyn ChangeLog>) -> Self {
        Self { log: Some(log), ..self }
    }

    pub(super) fn log(&self) -> Result<(&dyn ChangeLog, LogHistory), RequestError> {
        let log = self.log.as_deref().and_then(|log| Some((log, log.history()?)));
        log.ok_or_else(|| {
            RequestError::new(Reason::PermissionDenied, "there is no change log: feed.retention is \"0s\"")
        })
    }

    /// Returns the position after the newest change.
    ///
    /// # Errors
    /// 403 if no log is kept.
    pub fn feed_head(&self) -> Result<FeedPosition, RequestError> {
        let (_, history) = self.log()?;
        Ok(FeedPosition { history, revision: *self.hub.applied().borrow(), index: None })
    }

    /// Begins to read. A reader that may wait takes one of [`WAITING_READERS`] places until it is dropped.
    ///
    /// # Errors
    /// 503 if every place is taken.
    pub fn feed_reader(self: Arc<Self>, query: FeedQuery, may_wait: bool) -> Result<FeedReader, FeedError> {
        let place = if may_wait { Some(self.feed_place()?) } else { None };
        if place.is_some() {
            self.metrics.feed_readers.inc();
        }
        Ok(FeedReader { service: self, query, place })
    }

    /// Checks that nothing after a position is missing.
    ///
    /// # Errors
    /// The changes after it are not kept any more, or it is one of another log; 403 if no log is kept, 503.
    pub async fn check_position(&self, position: FeedPosition) -> Result<(), FeedError> {
        let (log, history) = self.log().map_err(FeedError::Refused)?;
        let position = self.begin(log, FeedStart::At(position)).await?;
        let extent = log.log_extent().await.map_err(|error| failed(&error))?;
        if position.after() < extent.floor {
            return Err(FeedError::Expired(FeedPosition { history, revision: extent.floor, index: None }));
        }
        Ok(())
    }

    async fn read_feed(&self, query: &FeedQuery, wait: Duration) -> Result<FeedEvents, FeedError> {
        let (log, history) = self.log().map_err(FeedError::Refused)?;
        let deadline = Instant::now() + wait;
        let mut applied = self.hub.applied();
        let mut reading =
            FeedReading { query, events: Vec::new(), bytes: 0, position: self.begin(log, query.start).await? };
        for _ in 0..PAGES {
            let head = *applied.borrow_and_update();
            let page = log.log_page(reading.position.after()).await.map_err(|error| failed(&error))?;
            if reading.position.after() < page.floor {
                return Err(FeedError::Expired(FeedPosition { history, revision: page.floor, index: None }));
            }
            let is_last = page.changes.last().is_none_or(|last| last.change.revision >= head);
            let rest = page.changes.iter().filter(|logged| logged.change.revision <= head);
            let is_full = !rest.into_iter().all(|logged| reading.take(logged));
            if !is_full && page.changes.is_empty() {
                // Revisions without a change are none that a reader waits for.
                reading.position.revision = reading.position.revision.max(head);
            }
            if is_full || !reading.events.is_empty() {
                break;
            }
            if is_last && (wait.is_zero() || timeout_at(deadline, applied.changed()).await.is_err()) {
                break;
            }
        }
        let head = self.feed_head().map_err(FeedError::Refused)?;
        Ok(FeedEvents { events: reading.events, position: reading.position, head })
    }

    fn feed_place(&self) -> Result<OwnedSemaphorePermit, FeedError> {
        self.feed_readers.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{WAITING_READERS} readers of the feed wait already");
            FeedError::Refused(RequestError::new(Reason::Unavailable, message).retry_after(STORE_RETRY_MS))
        })
    }

    async fn begin(&self, log: &dyn ChangeLog, start: FeedStart) -> Result<FeedPosition, FeedError> {
        let head = self.feed_head().map_err(FeedError::Refused)?;
        match start {
            FeedStart::Now => Ok(head),
            FeedStart::Oldest => {
                let extent = log.log_extent().await.map_err(|error| failed(&error))?;
                Ok(FeedPosition { revision: extent.floor, ..head })
            }
            FeedStart::At(position) if position.history != head.history => Err(FeedError::Foreign),
            FeedStart::At(position) if position.revision > head.revision => Err(FeedError::FromFuture),
            FeedStart::At(position) => Ok(position),
        }
    }
}

/// A reader of the feed.
pub struct FeedReader {
    service: Arc<Service>,
    query: FeedQuery,
    /// Set if it may wait.
    place: Option<OwnedSemaphorePermit>,
}

impl FeedReader {
    /// Reads the next events. Waits while there are none, for so long.
    ///
    /// # Errors
    /// The reader has missed changes, or is at another log; 403 if no log is kept, 503.
    pub async fn next(&mut self, wait: Duration) -> Result<FeedEvents, FeedError> {
        let found = self.service.read_feed(&self.query, wait).await?;
        self.query.start = FeedStart::At(found.position);
        self.service.metrics.feed_events.inc_by(found.events.len() as u64);
        Ok(found)
    }
}

impl Drop for FeedReader {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.service.metrics.feed_readers.dec();
        }
    }
}

fn failed(error: &StoreError) -> FeedError {
    FeedError::Refused(unavailable(error))
}

/// An answer under way.
struct FeedReading<'a> {
    query: &'a FeedQuery,
    events: Vec<FeedEvent>,
    bytes: usize,
    position: FeedPosition,
}

impl FeedReading<'_> {
    /// Takes the events of a change. Returns false once the answer is full.
    fn take(&mut self, logged: &LoggedChange) -> bool {
        let (history, revision) = (self.position.history, logged.change.revision);
        for (index, event) in events(&logged.change).iter().enumerate() {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            if self.position.has(revision, number) {
                continue;
            }
            let position = FeedPosition { history, revision, index: Some(number) };
            if self.wants(event) {
                if self.events.len() >= self.query.limit {
                    return false;
                }
                let json = event_json(history, logged, (index, event), &self.query.fields);
                if !self.events.is_empty() && self.bytes + json.len() > self.query.bytes {
                    return false;
                }
                self.bytes += json.len();
                let time = logged.change.time;
                self.events.push(FeedEvent { json, time, event_type: event.event_type(), position });
            }
            self.position = position;
        }
        self.position = FeedPosition { history, revision, index: None };
        true
    }

    fn wants(&self, event: &ChangeEvent) -> bool {
        let about = |account: &Account| event.subject() == account || event.peer() == Some(account);
        self.query.types.has(event) && self.query.account.as_ref().is_none_or(about)
    }
}
