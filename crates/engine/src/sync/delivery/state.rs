//! What a delivery has come to, what it sends, and what comes of that.

use crate::model::{FeedPosition, LogHistory, Millis, Revision, SeenNumber};

/// Whether events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// They are.
    Running,
    /// An operator wants none to be sent.
    Paused,
    /// The endpoint answered that it is gone. An operator resumes.
    Stopped,
    /// One dead letter followed the other. An operator resumes, since to skip everything would be loss.
    Held,
}

impl DeliveryState {
    /// All states, with their numbers as positions.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Stopped, Self::Held];

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Held => "held",
        }
    }

    /// Returns its number, by which it is stored and shown in metrics.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// What is kept of a delivery while the gateway does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDelivery {
    /// The endpoint has what comes up to here, or was told that it cannot have it.
    pub position: FeedPosition,
    /// Whether events are sent.
    pub state: DeliveryState,
    /// Since when that is so.
    pub since: Millis,
    /// The failures since the last success.
    pub failures: u32,
    /// The first of them; 0 if there is none.
    pub failing_since: Millis,
}

/// What names an event in one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKey {
    /// An event of a change.
    Change {
        /// The revision of the change.
        revision: Revision,
        /// Its place among the events of the change, from 0.
        index: u32,
    },
    /// The presence that an account has had since this transition.
    Presence(SeenNumber),
}

impl EventKey {
    /// Returns the id that receivers know the event by.
    #[must_use]
    pub fn id(self, history: LogHistory) -> String {
        match self {
            Self::Change { revision, index } => format!("{history}-{revision}-{index}"),
            Self::Presence(seen) => format!("{history}-p{seen}"),
        }
    }

    /// Reads an id.
    #[must_use]
    pub fn of_id(id: &str) -> Option<(LogHistory, Self)> {
        let mut parts = id.split('-');
        let (history, number) = (parts.next()?.parse().ok()?, parts.next()?);
        let key = match number.strip_prefix('p') {
            Some(seen) => Self::Presence(seen.parse().ok()?),
            None => Self::Change { revision: number.parse().ok()?, index: parts.next()?.parse().ok()? },
        };
        parts.next().is_none().then_some((history, key))
    }
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryContent {
    /// This many events, and the first of them.
    Events(usize, EventKey),
    /// That events are missing.
    Gap,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryBatch {
    /// What it carries.
    pub content: DeliveryContent,
    /// The position of an endpoint that has it.
    pub end: FeedPosition,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The endpoint has it.
    Accepted,
    /// The endpoint does not want this content.
    Refused,
    /// The endpoint cannot take any now, or there was no answer. It may have named a time to wait.
    Unavailable(Option<Millis>),
    /// The endpoint wants nothing any more.
    Gone,
}

impl DeliveryOutcome {
    /// Returns what the status of an answer means.
    #[must_use]
    pub fn of_status(status: u16, retry_after: Option<Millis>) -> Self {
        match status {
            200..=299 => Self::Accepted,
            410 => Self::Gone,
            // About the endpoint or the moment: nothing is wrong with the events.
            401 | 403 | 404 | 405 | 407 | 408 | 409 | 421 | 425 | 429 => Self::Unavailable(retry_after),
            400..=499 => Self::Refused,
            _ => Self::Unavailable(retry_after),
        }
    }
}

/// What the outcome of a request changes, for those who keep books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryEffect {
    /// The request was withdrawn meanwhile.
    Nothing,
    /// The endpoint has these.
    Delivered(DeliveryContent),
    /// The same events are tried again.
    Retried,
    /// This event is skipped.
    Dead(EventKey),
    /// No more events are sent. With it comes the event that is skipped, if one is.
    Ended(DeliveryState, Option<EventKey>),
}
