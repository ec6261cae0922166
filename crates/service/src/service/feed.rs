//! Reads the change log for those who follow the changes of this gateway from outside.
//!
//! A reader is given what this node's hub has applied: whoever has an event and then asks this node reads nothing older.
//! It keeps its own position, so any number of readers costs nothing but their reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::login::CATCH_UP_WAIT;
use super::state::{STORE_RETRY_MS, Service, WAITING_READERS, unavailable};
use crate::store::{ChangeLog, LOG_PAGE, StoreError};
use rosterd_engine::model::{
    Account, FeedPosition, LogHistory, LoggedChange, Millis, NumberedPresence, Reason, RequestError, Revision,
    SeenNumber,
};
use rosterd_engine::sync::delivery::EventKey;
use rosterd_engine::sync::events::{ChangeEvent, events};
use rosterd_protocol::{EventFields, EventTypes, PRESENCE_CHANGED, event_json};

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
    /// What names it.
    pub key: EventKey,
    /// When its change was made; `None` for presence, which is state and no change.
    pub time: Option<Millis>,
    /// Whether personal data was taken out of it.
    pub erased: bool,
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
        Ok(FeedPosition { history, revision: *self.hub.applied().borrow(), index: None, seen: self.head_seen() })
    }

    /// Returns the number of the last presence transition; 0 if they get none.
    fn head_seen(&self) -> SeenNumber {
        self.seen().map_or(0, |seen| *seen.borrow())
    }

    /// Begins to read. A reader that may wait takes one of [`WAITING_READERS`] places until it is dropped.
    ///
    /// # Errors
    /// 503 if every place is taken, 403 if it asks for presence alone and that is not in the feed.
    pub fn feed_reader(self: Arc<Self>, query: FeedQuery, may_wait: bool) -> Result<FeedReader, FeedError> {
        if query.types.is_presence_alone() && self.seen().is_none() {
            // Silence would look like an account that never comes.
            let message = format!("there are no {PRESENCE_CHANGED} events: feed.presence is false");
            return Err(FeedError::Refused(RequestError::new(Reason::PermissionDenied, message)));
        }
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
            return Err(FeedError::Expired(FeedPosition { history, revision: extent.floor, index: None, ..position }));
        }
        Ok(())
    }

    async fn read_feed(&self, query: &FeedQuery, wait: Duration) -> Result<FeedEvents, FeedError> {
        let (log, history) = self.log().map_err(FeedError::Refused)?;
        let deadline = Instant::now() + wait;
        let mut news = FeedNews { applied: self.hub.applied(), seen: log.seen() };
        let mut reading = FeedReading {
            service: self,
            query,
            events: Vec::new(),
            bytes: 0,
            position: self.begin(log, query.start).await?,
        };
        for _ in 0..PAGES {
            let (head, seen) = news.look();
            let page = log.log_page(reading.position.after()).await.map_err(|error| failed(&error))?;
            if reading.position.after() < page.floor {
                let oldest = FeedPosition { history, revision: page.floor, index: None, ..reading.position };
                return Err(FeedError::Expired(oldest));
            }
            let mut is_last = page.changes.last().is_none_or(|last| last.change.revision >= head);
            let rest = page.changes.iter().filter(|logged| logged.change.revision <= head);
            let is_full = !rest.into_iter().all(|logged| reading.take(logged));
            if !is_full && page.changes.is_empty() {
                // Revisions without a change are none that a reader waits for.
                reading.position.revision = reading.position.revision.max(head);
            }
            if !is_full && is_last {
                is_last = reading.take_presence(log, head, seen).await.map_err(|error| failed(&error))?;
            }
            if is_full || !reading.events.is_empty() {
                break;
            }
            if is_last && (wait.is_zero() || timeout_at(deadline, news.wait(&query.types)).await.is_err()) {
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

    /// Waits, for a while, for what a reader has from another node that was ahead of this one.
    async fn reach(&self, position: FeedPosition, log: &dyn ChangeLog) {
        let reached = async {
            self.hub.until_applied(position.revision).await;
            if let Some(mut seen) = log.seen() {
                let _ = seen.wait_for(|seen| *seen >= position.seen).await;
            }
        };
        let _ = timeout(CATCH_UP_WAIT, reached).await;
    }

    async fn begin(&self, log: &dyn ChangeLog, start: FeedStart) -> Result<FeedPosition, FeedError> {
        let mut head = self.feed_head().map_err(FeedError::Refused)?;
        if let FeedStart::At(position) = start
            && position.history == head.history
            && self.shared.is_some()
        {
            self.reach(position, log).await;
            head = self.feed_head().map_err(FeedError::Refused)?;
        }
        match start {
            FeedStart::Now => Ok(head),
            FeedStart::Oldest => {
                let extent = log.log_extent().await.map_err(|error| failed(&error))?;
                Ok(FeedPosition { revision: extent.floor, seen: 0, ..head })
            }
            FeedStart::At(position) if position.history != head.history => Err(FeedError::Foreign),
            FeedStart::At(position) if position.revision > head.revision => Err(self.ahead(log, position).await),
            // Without numbers, those of the past are not looked at.
            FeedStart::At(position) if position.seen > head.seen && log.seen().is_some() => Err(FeedError::FromFuture),
            FeedStart::At(position) => Ok(position),
        }
    }

    /// Returns why a position is refused that is ahead of what is applied here. Where the log has it, a reader that began anew
    /// would do so for nothing: this node is late.
    async fn ahead(&self, log: &dyn ChangeLog, position: FeedPosition) -> FeedError {
        match log.log_page(position.revision - 1).await {
            Ok(page) if page.changes.last().is_some_and(|last| last.change.revision >= position.revision) => {
                failed(&StoreError("changes are not applied in time".into()))
            }
            Ok(_) => FeedError::FromFuture,
            Err(error) => failed(&error),
        }
    }
}

/// What a reader waits for.
struct FeedNews {
    applied: watch::Receiver<Revision>,
    /// `None` if presence transitions get no numbers.
    seen: Option<watch::Receiver<SeenNumber>>,
}

impl FeedNews {
    /// Returns up to where can be read.
    fn look(&mut self) -> (Revision, Option<SeenNumber>) {
        (*self.applied.borrow_and_update(), self.seen.as_mut().map(|seen| *seen.borrow_and_update()))
    }

    /// Waits for more of what a reader asks for.
    async fn wait(&mut self, types: &EventTypes) {
        match self.seen.as_mut().filter(|_| types.has_presence()) {
            Some(seen) => drop(tokio::select! { it = self.applied.changed() => it, it = seen.changed() => it }),
            None => drop(self.applied.changed().await),
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
    service: &'a Service,
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
            let position = FeedPosition { revision, index: Some(number), ..self.position };
            if self.wants(event) {
                if self.events.len() >= self.query.limit {
                    return false;
                }
                let json = event_json(history, logged, (index, event), &self.query.fields);
                if !self.events.is_empty() && self.bytes + json.len() > self.query.bytes {
                    return false;
                }
                self.bytes += json.len();
                let (key, time) = (EventKey::Change { revision, index: number }, Some(logged.change.time));
                let (event_type, erased) = (event.event_type(), logged.erased);
                self.events.push(FeedEvent { json, key, time, erased, event_type, position });
            }
            self.position = position;
        }
        self.position = FeedPosition { revision, index: None, ..self.position };
        true
    }

    /// Takes presence, once the reader has all changes up to `head`: it knows the accounts then, and one that it knows to be
    /// deleted is not found. Returns whether nothing is left of it now.
    async fn take_presence(
        &mut self,
        log: &dyn ChangeLog,
        head: Revision,
        seen: Option<SeenNumber>,
    ) -> Result<bool, StoreError> {
        let Some(seen) = seen.filter(|seen| *seen > self.position.seen) else { return Ok(true) };
        let mut is_last = true;
        if self.query.types.has_presence() {
            let page = log.seen_page(self.position.seen, seen, LOG_PAGE).await?;
            is_last = page.len() < LOG_PAGE;
            for found in page {
                // Its account was changed meanwhile, or made. That comes first.
                if found.revision > head || !self.take_one(&found) {
                    return Ok(true);
                }
            }
        }
        if is_last {
            self.position.seen = seen;
        }
        Ok(is_last)
    }

    /// Takes the presence of an account. Returns false once the answer is full.
    fn take_one(&mut self, found: &NumberedPresence) -> bool {
        let position = FeedPosition { seen: found.seen, ..self.position };
        if self.query.account.as_ref().is_none_or(|account| *account == found.account) {
            let json = self.service.presence_event(position.history, found, &self.query.fields);
            let is_over = !self.events.is_empty() && self.bytes + json.len() > self.query.bytes;
            if is_over || self.events.len() >= self.query.limit {
                return false;
            }
            self.bytes += json.len();
            let (key, event_type) = (EventKey::Presence(found.seen), PRESENCE_CHANGED);
            self.events.push(FeedEvent { json, key, time: None, erased: false, event_type, position });
        }
        self.position = position;
        true
    }

    fn wants(&self, event: &ChangeEvent) -> bool {
        let about = |account: &Account| event.subject() == account || event.peer() == Some(account);
        self.query.types.has(event) && self.query.account.as_ref().is_none_or(about)
    }
}
