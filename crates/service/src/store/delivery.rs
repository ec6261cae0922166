//! How far the deliveries to endpoints have come, and the events that were skipped.

use futures::future::BoxFuture;

use super::error::StoreError;
use rosterd_engine::model::Millis;
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};

/// The most dead letters that are kept for an endpoint. Beyond them those of the lowest numbers are forgotten.
pub const DEAD_LETTERS: usize = 10_000;

/// An event that an endpoint refused by itself. It names the event in the change log and is no copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub event: EventKey,
    /// When it was skipped.
    pub time: Millis,
    /// The status of the last answer.
    pub status: u16,
}

/// Keeps deliveries, by the names of their endpoints.
pub trait DeliveryStore: Send + Sync + 'static {
    /// Returns what is kept of a delivery.
    fn delivery(&self, name: String) -> BoxFuture<'_, Result<Option<KeptDelivery>, StoreError>>;

    /// Keeps a delivery, and with it an event that it skips: both or neither. It may take until the next commit before a
    /// crash of the machine cannot undo it.
    fn put_delivery(
        &self,
        name: String,
        kept: KeptDelivery,
        dead: Option<DeadLetter>,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Forgets the deliveries that were last kept before a time, except those of these names.
    fn forget_deliveries(&self, except: Vec<String>, before: Millis) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns dead letters after an event, oldest event first.
    fn dead_letters(
        &self,
        name: String,
        after: Option<EventKey>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// Counts the dead letters.
    fn count_dead_letters(&self, name: String) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Removes a dead letter, and returns whether it was there.
    fn remove_dead_letter(&self, name: String, event: EventKey) -> BoxFuture<'_, Result<bool, StoreError>>;
}
