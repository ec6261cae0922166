//! Calls backends: events go to the endpoints of the settings, and hooks are asked before a client's write.

mod hook;
mod webhook;

pub use hook::{HookSettings, Hooks};
pub use webhook::{EndpointSettings, Webhooks};
