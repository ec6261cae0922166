//! One peer of an account's blocks.

use super::account_presence::ShownPresence;
use rosterd_engine::model::Block;

/// An account that another blocks, or has blocked.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) block: Block,
    /// What the peer sees of the owner's presence; `None` if it is what others see.
    pub(super) shown: Option<ShownPresence>,
}
