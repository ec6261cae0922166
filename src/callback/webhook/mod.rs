//! Webhooks: a task for each endpoint reads the change log and posts events, as `sync::delivery` decides.
//!
//! The log is the queue: a task holds one request, and its position is in the store. A task never touches the hub's
//! locks, and the writer only for its position, so an endpoint that hangs costs nobody else anything.

mod driver;
mod endpoint;
mod redelivery;
mod report;
mod request;
mod settings;

pub use endpoint::Webhooks;
pub use settings::EndpointSettings;
