//! Finds places in the change log, for those who deliver from it.

use tokio::sync::watch;

use super::feed::FeedError;
use super::state::{Service, unavailable};
use rosterd_engine::model::{FeedPosition, Millis, RequestError, Revision, SeenNumber};
use rosterd_engine::sync::delivery::EventKey;
use rosterd_engine::sync::events::events;
use rosterd_protocol::{EventFields, event_json};

impl Service {
    /// Returns the position before the oldest change that is kept.
    ///
    /// # Errors
    /// 403 if no log is kept, 503.
    pub async fn feed_oldest(&self) -> Result<FeedPosition, RequestError> {
        let (log, history) = self.log()?;
        let extent = log.log_extent().await.map_err(|error| unavailable(&error))?;
        Ok(FeedPosition { history, revision: extent.floor, index: None, seen: 0 })
    }

    /// Returns the revision up to which changes can be read, and notice of later ones.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Revision> {
        self.hub.applied()
    }

    /// Returns the number of the last presence transition that can be read, and notice of later ones. `None` if presence is
    /// not in the feed.
    #[must_use]
    pub fn seen(&self) -> Option<watch::Receiver<SeenNumber>> {
        self.log.as_ref().and_then(|log| log.seen())
    }

    /// Returns the position at a time: all that was changed since comes after it. Presence has no past, so the position is
    /// that of now there.
    ///
    /// # Errors
    /// The log does not go back so far; 403 if no log is kept, 503.
    pub async fn feed_position_at(&self, time: Millis) -> Result<FeedPosition, FeedError> {
        let refused = |error| FeedError::Refused(error);
        let (log, _) = self.log().map_err(refused)?;
        let extent = log.log_extent().await.map_err(|error| refused(unavailable(&error)))?;
        let mut position = FeedPosition { revision: extent.floor, index: None, ..self.feed_head().map_err(refused)? };
        if extent.floor > 0 && extent.since.is_none_or(|since| time < since) {
            return Err(FeedError::Expired(position));
        }
        // Halving instead of reading all of it: revisions and, but for a clock that jumped, times ascend.
        let (mut least, mut most) = (extent.floor, *self.hub.applied().borrow());
        while least < most {
            let middle = least.midpoint(most);
            let page = log.log_page(middle).await.map_err(|error| refused(unavailable(&error)))?;
            match page.changes.first() {
                Some(logged) if logged.change.time < time => least = logged.change.revision.max(middle + 1),
                _ => most = middle,
            }
        }
        position.revision = least;
        Ok(position)
    }

    /// Returns an event as JSON; `None` if the log does not have it any more, or the account has other presence since.
    ///
    /// # Errors
    /// 403 if no log is kept, 503.
    pub async fn event(&self, key: EventKey, fields: &EventFields) -> Result<Option<String>, RequestError> {
        let (log, history) = self.log()?;
        let (revision, index) = match key {
            EventKey::Change { revision, index } => (revision, index as usize),
            EventKey::Presence(seen) => {
                let found =
                    log.seen_page(seen.saturating_sub(1), seen, 1).await.map_err(|error| unavailable(&error))?;
                return Ok(found.first().map(|found| self.presence_event(history, found, fields)));
            }
        };
        let logged = log.log_change(revision).await.map_err(|error| unavailable(&error))?;
        let Some(logged) = logged else { return Ok(None) };
        let event = events(&logged.change).into_iter().nth(index);
        Ok(event.map(|event| event_json(history, &logged, (index, &event), fields)))
    }
}
