//! The endpoints that are sent events, as the server API sees them.

use futures::future::BoxFuture;

use crate::store::DeadLetter;
use rosterd_engine::model::{FeedPosition, LogHistory, Millis, RequestError};
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};

/// A failed request to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFailure {
    /// When it failed.
    pub time: Millis,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What was wrong, or the beginning of the answer.
    pub text: String,
}

/// How far an endpoint has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Its name in the settings.
    pub name: String,
    /// Its URL without the query.
    pub url: String,
    /// Whether the settings want it to get events.
    pub enabled: bool,
    /// Its position and state.
    pub kept: KeptDelivery,
    /// The changes after its position.
    pub behind: u64,
    /// The age of the oldest event that it lacks, in milliseconds.
    pub behind_ms: Millis,
    /// The last request that it took.
    pub last_success: Option<Millis>,
    /// The last one that failed.
    pub last_failure: Option<EndpointFailure>,
    /// When the next request goes out, while it fails.
    pub next_try: Option<Millis>,
    /// The position up to which it gets events once more.
    pub replay_end: Option<FeedPosition>,
    /// The events that were skipped because it refused them.
    pub dead: u64,
}

/// Which events an endpoint gets once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Those after a position.
    After(FeedPosition),
    /// Those since a time.
    Since(Millis),
    /// Those that it refused.
    Dead,
}

/// Why there is no replay.
#[derive(Debug, Clone)]
pub enum ReplayError {
    /// The events are not kept any more; this is the oldest position.
    Expired(FeedPosition),
    /// The position is one of another log, or ahead of it.
    Foreign,
    /// Another reason.
    Refused(RequestError),
}

impl From<RequestError> for ReplayError {
    fn from(error: RequestError) -> Self {
        Self::Refused(error)
    }
}

/// What an endpoint answered to a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTest {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// What was wrong, or the beginning of the answer.
    pub text: String,
}

/// The endpoints of the settings. All answer 404 for a name that is not among them.
pub trait Endpoints: Send + Sync + 'static {
    /// Returns the status of each, by name.
    fn endpoints(&self) -> BoxFuture<'_, Result<Vec<EndpointStatus>, RequestError>>;

    /// Returns the status of one.
    fn endpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<EndpointStatus, RequestError>>;

    /// Stops sending events to it.
    fn pause<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RequestError>>;

    /// Sends events to it again.
    fn resume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RequestError>>;

    /// Sends it a test event, at once and beside all others.
    fn test<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<EndpointTest, RequestError>>;

    /// Sends it events once more.
    fn replay<'a>(&'a self, name: &'a str, replay: Replay) -> BoxFuture<'a, Result<(), ReplayError>>;

    /// Returns the log that dead letters are of, and those after an event.
    fn dead_letters<'a>(
        &'a self,
        name: &'a str,
        after: Option<EventKey>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(LogHistory, Vec<DeadLetter>), RequestError>>;

    /// Removes a dead letter, if it is there.
    fn remove_dead<'a>(&'a self, name: &'a str, event: EventKey) -> BoxFuture<'a, Result<(), RequestError>>;
}
