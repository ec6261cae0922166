//! What is live: the registry of users that someone connected cares about, and the sessions.
//!
//! The only place with locks. It decides nothing and reads no store: the feed tells it what was committed
//! ([`feed`]), sessions sit down and follow ([`SessionHandle`]). Invariants: a user is in the registry exactly while a session
//! follows it or is logged in as it, or it counts as online; a mark that is set reaches the session or the session ends; the horizon
//! moves only past changes whose watchers are all marked.
//!
//! Lock order: session table, then registry shard, then one user, then those who departed, transitions, one outbox, or the
//! sessions that are due.

mod account_presence;
mod account_sessions;
mod announce;
pub mod feed;
mod flush;
mod flush_queue;
mod flush_state;
mod offline_grace;
mod pending;
mod presence;
mod registry;
mod session;
mod session_handle;
mod session_view;
mod user;
mod writer;

pub use account_presence::PresenceTransition;
pub use account_sessions::{Delivered, SessionsLimit};
pub use flush::FlushPermit;
pub use flush_state::FlushState;
pub use pending::{Signal, TakenMarks, WakeReason};
pub use presence::PresenceView;
pub use registry::{Hub, HubSettings};
pub use session::Session;
pub use session_handle::SessionHandle;
pub use session_view::{SessionView, VisibleProfile};
pub use user::UserRef;
pub use writer::WriteHandle;

#[cfg(test)]
mod tests;
