//! A client that stays connected: it reconnects, catches up, repairs, renews its token and keeps a cache by itself.
//!
//! [`RosterdClient`] is a handle; a task does the work, and ends with the last handle. The task handles one event after the
//! other and publishes what it holds as immutable snapshots, so no caller ever waits for a lock of the client's.

use std::time::Duration;

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "cache")]
mod cache_writer;
mod calls;
mod changes;
mod edits;
mod effects;
mod error;
mod frames;
mod handle;
mod link;
mod options;
mod orders;
mod restored;
mod saver;
mod snapshot;
mod task;
mod tokens;
mod trace;
mod watch_list;
mod wire;

pub use changes::{ClientChange, ClientChanges, SnapshotChange};
pub use edits::UpdateOptions;
pub use error::RosterdError;
pub use handle::{FoundUsers, RosterdClient, SignalDelivery, WatchHold};
pub use options::{ClientOptions, TokenError, TokenReason};
pub use snapshot::{ClientSnapshot, ConnectionPhase, ConnectionState};
pub use trace::ClientTrace;

/// How long a connection may stay silent after a question before it counts as dead.
const PROBE: Duration = Duration::from_secs(5);
/// A time so long that nobody sees its end, and so short that clocks can add it.
const FAR: Duration = Duration::from_hours(24 * 365 * 10);
