//! Finds places in the change log, for those who deliver from it.

use tokio::sync::watch;

use super::feed::FeedError;
use super::state::{Service, unavailable};
use rosterd_engine::model::{FeedPosition, Millis, RequestError, Revision};
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
        Ok(FeedPosition { history, revision: extent.floor, index: None })
    }

    /// Returns the revision up to which changes can be read, and notice of later ones.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<Revision> {
        self.hub.applied()
    }

    /// Returns the position at a time: all that was changed since comes after it.
    ///
    /// # Errors
    /// The log does not go back so far; 403 if no log is kept, 503.
    pub async fn feed_position_at(&self, time: Millis) -> Result<FeedPosition, FeedError> {
        let refused = |error| FeedError::Refused(error);
        let (log, history) = self.log().map_err(refused)?;
        let extent = log.log_extent().await.map_err(|error| refused(unavailable(&error)))?;
        let mut position = FeedPosition { history, revision: extent.floor, index: None };
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

    /// Returns an event of the log as JSON; `None` if it is not there any more.
    ///
    /// # Errors
    /// 403 if no log is kept, 503.
    pub async fn event(&self, key: EventKey, fields: &EventFields) -> Result<Option<String>, RequestError> {
        let (log, history) = self.log()?;
        let page = log.log_page(key.revision.saturating_sub(1)).await.map_err(|error| unavailable(&error))?;
        let Some(logged) = page.changes.first().filter(|logged| logged.change.revision == key.revision) else {
            return Ok(None);
        };
        let event = events(&logged.change).into_iter().enumerate().nth(key.index as usize);
        Ok(event.map(|(index, event)| event_json(history, logged, (index, &event), fields)))
    }
}
