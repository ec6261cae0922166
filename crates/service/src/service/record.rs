//! The records that a use case brings to a session.

use std::sync::Arc;

use rosterd_engine::model::{Account, Block, Edge, Request};
use rosterd_protocol::EncodedProfile;

/// A page of records for a session.
#[derive(Debug, Default)]
pub struct RecordPage {
    /// Friends, each with its whole profile.
    pub friends: Vec<(Edge, Arc<EncodedProfile>)>,
    /// Newer profiles of friends that the client has.
    pub profiles: Vec<Arc<EncodedProfile>>,
    /// Accounts that left the friend list.
    pub removed: Vec<Account>,
    /// Requests from and to the account.
    pub requests: Vec<Request>,
    /// Accounts that it blocks, or did.
    pub blocks: Vec<Block>,
}

/// One record for a session.
#[derive(Debug, Clone, Copy)]
pub enum Record<'a> {
    /// An account that left the friend list.
    Removed(&'a Account),
    /// A friend, with its whole profile.
    Friend(&'a Edge, &'a EncodedProfile),
    /// A newer profile.
    Profile(&'a EncodedProfile),
    /// A request.
    Request(&'a Request),
    /// A block.
    Block(&'a Block),
}

impl RecordPage {
    /// Returns all records, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let removed = self.removed.iter().map(Record::Removed);
        let friends = self.friends.iter().map(|(edge, profile)| Record::Friend(edge, profile));
        let profiles = self.profiles.iter().map(|profile| Record::Profile(profile));
        let requests = self.requests.iter().map(Record::Request);
        removed.chain(friends).chain(profiles).chain(requests).chain(self.blocks.iter().map(Record::Block))
    }
}
