//! What a rosterd gateway does, without its listeners: use cases, live state, store, authentication.
//!
//! It is a crate of its own so that its code is compiled beside that of the gateway. The table of modules in the gateway's
//! own documentation (`src/lib.rs`) says what each module owns and which others it may import.

pub mod auth;
pub mod hub;
mod locks;
pub mod metrics;
pub mod outbound;
pub mod service;
pub mod store;
