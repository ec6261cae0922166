//! The live state of one node: the registry of users that someone connected is interested in, and the sessions.
//!
//! It makes no decisions and reads no store: [`feed`] applies what was committed, and each connection's task holds a
//! [`SessionHandle`], which follows accounts. Only this module has locks.
//!
//! Invariants:
//! - A user is in the registry exactly while a session follows it or is logged in as it, or while it counts as online, or
//!   until its last presence transition is stored.
//! - Every dirty mark is delivered, or its session ends.
//! - The watermark passes a change only once all of its watchers are marked.
//!
//! Lock order: session table, registry shard, one user; then one of: offline grace, presence transitions, presence sweeps,
//! one session's pending state, flush queue, other nodes, kinds of the sessions here.

mod account_presence;
mod account_sessions;
mod announce;
mod device_kinds;
mod elsewhere;
pub mod feed;
mod flush;
mod flush_queue;
mod flush_state;
mod holders;
mod offline_grace;
mod peer;
mod peers;
mod pending;
mod presence;
mod presence_sweep;
mod registry;
mod session;
mod session_handle;
mod session_view;
mod shared_accounts;
mod shown_kinds;
mod shown_status;
mod status_ends;
#[cfg(test)]
mod tests;
mod transitions;
mod user;
mod writer;

pub use account_presence::PresenceTransition;
pub use account_sessions::{Delivered, SessionsLimit};
pub use elsewhere::{Elsewhere, OwnSession};
pub use flush::FlushPermit;
pub use flush_state::FlushState;
pub use pending::{Signal, TakenMarks, WakeReason};
pub use presence::PresenceView;
pub use registry::{Hub, HubSettings, ShownDevices};
pub use session::Session;
pub use session_handle::SessionHandle;
pub use session_view::{SessionView, VisibleProfile};
pub use shared_accounts::SharedRules;
pub use user::UserRef;
pub use writer::WriteHandle;
