//! Listens for clients, and takes each from a TCP connection to a WebSocket session.
//!
//! The gateway accepts, ends TLS, answers HTTP and upgrades; then the session's task takes over (`session`). `admission`
//! says who may connect.

mod assets;
mod listener;
mod shutdown;
mod state;
mod upgrade;

pub use self::state::{Gateway, GatewaySettings};
