//! Who lists whom.

use super::{Account, Millis};

/// The most friends one account may have (NIM's highest plan).
pub const FRIENDS: u64 = 10_000;

/// "`owner` lists `peer`". A friendship is two edges. A removed edge stays for a while as a tombstone, so
/// that clients that were away learn of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the friend object")]
pub struct Edge {
    pub owner: Account,
    pub peer: Account,
    pub removed: bool,
    /// The owner's own name for the peer; only the owner's clients learn it.
    pub alias: Box<str>,
    pub custom: Box<str>,
    pub create_time: Millis,
    pub update_time: Millis,
    /// Greater at every change, tombstones included.
    pub version: u64,
}

impl Edge {
    /// A fresh edge.
    #[must_use]
    pub fn new(owner: Account, peer: Account, version: u64, now: Millis) -> Self {
        let (alias, custom) = (Box::default(), Box::default());
        Self { owner, peer, removed: false, alias, custom, create_time: now, update_time: now, version }
    }

    /// The tombstone of an edge; what the owner noted about the peer goes with it.
    #[must_use]
    pub fn tombstone(owner: Account, peer: Account, version: u64, now: Millis) -> Self {
        Self { removed: true, ..Self::new(owner, peer, version, now) }
    }
}
