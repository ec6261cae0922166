//! Calls backends: events go to the endpoints of the settings.

mod webhook;

pub use webhook::{EndpointSettings, Webhooks};
