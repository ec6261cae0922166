//! Events that are about a delivery, and are in no change log.

use serde_json::json;

use super::events::rfc3339;
use rosterd_engine::model::{FeedPosition, LogHistory, Millis};

/// Why events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// They are not kept any more.
    Retention,
    /// The store is another, or was restored.
    History,
}

impl GapReason {
    /// Returns its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Retention => "RETENTION",
            Self::History => "HISTORY",
        }
    }
}

/// Encodes that the events between two positions are missing. The receiver can begin with a snapshot.
#[must_use]
pub fn gap_json(because: GapReason, from: FeedPosition, to: FeedPosition, time: Millis) -> String {
    json!({
        "specversion": "1.0",
        "id": format!("{}-{}-gap", to.history, to.revision),
        "source": format!("/rosterd/{}", to.history),
        "type": "feed.gap",
        "time": rfc3339(time),
        "data": {
            "because": because.word(),
            "from": from.to_string(),
            "to": to.to_string(),
            "snapshot": "/v1/snapshot",
        },
    })
    .to_string()
}

/// Encodes an event that an operator sends to try an endpoint.
#[must_use]
pub fn test_json(history: LogHistory, endpoint: &str, time: Millis) -> String {
    json!({
        "specversion": "1.0",
        "id": format!("{history}-{time}-test"),
        "source": format!("/rosterd/{history}"),
        "type": "webhook.test",
        "time": rfc3339(time),
        "data": {"endpoint": endpoint},
    })
    .to_string()
}
