//! The client listener: from a TCP connection to a WebSocket session.
//!
//! It accepts, ends TLS, answers HTTP and upgrades; then the session's task takes over (`session`). Who may connect is
//! `admission`'s business.

mod assets;
mod listener;
mod shutdown;
mod state;
mod upgrade;

pub use self::state::{Gateway, GatewaySettings};
