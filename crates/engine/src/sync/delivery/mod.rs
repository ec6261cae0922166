//! Delivers the events of a change log to one endpoint: in order, at least once, one request at a time.
//!
//! The endpoint backs off, not the event: while it fails, there is one request of one event at the end of each wait,
//! however many events there are. Nothing is skipped, with two exceptions that are said: an event that the endpoint
//! refuses by itself becomes a dead letter, and events that the log has dropped become a gap.

mod algorithm;
mod state;

#[cfg(test)]
mod tests;

pub use algorithm::{BACKOFF_LIMIT, Delivery, DeliveryStep};
pub use state::{
    DeliveryBatch, DeliveryContent, DeliveryEffect, DeliveryOutcome, DeliveryState, EventKey, KeptDelivery,
};
