//! The client listener of a gateway: it accepts connections, and lives the life of each session.
//!
//! It is a crate of its own because it runs for every frame, while most of the gateway around it runs at the start or for
//! an operator: a first build optimizes the one and not the other. The table of modules in the gateway's own documentation
//! (`src/lib.rs`) says what each module owns and which others it may import.

use rosterd_service::{hub, metrics, service};

pub mod admission;
pub mod assets;
pub mod gateway;
pub mod lifecycle;
pub mod session;
pub mod tls;
