//! What a client begins with, if it has a cache.

use std::sync::Arc;

use super::edits::KeptUpdate;
use super::error::RosterdError;
use crate::Replica;

/// What a cache held, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct RestoredCache {
    pub(super) replica: Option<Replica>,
    /// The changes of the own profile that wait for a connection.
    pub(super) kept: Arc<Vec<KeptUpdate>>,
    pub(super) errors: Vec<RosterdError>,
}
