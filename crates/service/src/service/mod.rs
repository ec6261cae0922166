//! The use cases, called by the gateway and the server API alike: log in, catch up, flush, change, look up.
//!
//! They read and write through the store and the hub, and alone turn the failures of both into answers. They know no
//! encoding and no socket.

mod accounts;
mod audit;
mod bulk;
mod catch_up;
mod clock;
mod cluster;
mod commits;
mod endpoints;
mod expiry;
mod explain;
mod feed;
mod feed_progress;
mod hooked_write;
mod hooks;
mod live;
mod log_lookup;
mod login;
mod presence;
mod profile;
mod record;
mod repair;
mod roster;
mod rules;
mod schema_cache;
mod sessions;
mod signal;
mod snapshot;
mod state;
mod tokens;
mod user_changes;
mod visible;
mod watch;

pub use self::bulk::{Export, IMPORT_SLICE};
pub use self::catch_up::CatchUp;
pub use self::cluster::{
    ClusterClock, ClusterSettings, ForwardHandler, ForwardedAnswer, ForwardedCall, NodeStatus, OtherNode, SharedNode,
    Unforwarded, follow_sessions, keep_beat, send_messages,
};
pub use self::commits::consume;
pub use self::endpoints::{EndpointFailure, EndpointStatus, EndpointTest, Endpoints, Replay, ReplayError};
pub use self::expiry::expire_requests;
pub use self::explain::{AskedField, ExplainedSession, Explanation, Obstacle, Relation};
pub use self::feed::{FEED_BYTES, FeedError, FeedEvent, FeedEvents, FeedQuery, FeedReader, FeedStart};
pub use self::hooked_write::{AskedWrite, HookStep, HookedWrite};
pub use self::hooks::{HookDecisions, HookKind, HookStatus, LastHookCall};
pub use self::login::LoggedIn;
pub use self::presence::{keep_presence, record as presence_record, restore_presence, sweep_presence};
pub use self::record::{Record, RecordPage};
pub use self::repair::Repair;
pub use self::roster::{BlocksPage, FriendsPage};
pub use self::rules::{ProfilesInLine, apply_rules};
pub use self::sessions::{Kicked, SessionFilter, SessionInfo, SessionStatus};
pub use self::signal::PostponedSignal;
pub use self::snapshot::Snapshot;
pub use self::state::{Interleave, NodeEnvironment, Service, ServiceSettings};
pub use self::tokens::keep_keys;
pub use self::user_changes::UserChanges;
pub use crate::store::{AuditQuery, SnapshotKind};
