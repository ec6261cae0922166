//! Hooks: a server of the operator is asked before a client's write, and allows, changes or denies it.
//!
//! Nothing of the gateway waits for it but the one command. A call has a limit of time over everything, there are so many
//! calls at a time and no more, each is tried once, and a server that mostly fails is left alone for a while.

mod breaker_call;
mod hooks;
mod running_hook;
mod settings;

pub use hooks::Hooks;
pub use settings::HookSettings;
