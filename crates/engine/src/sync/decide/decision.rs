//! What a decision reads, and what it comes to.

use std::sync::Arc;

use crate::model::{
    Account, Answer, Block, ChosenPresence, Credential, Edge, Millis, Outcome, Profile, Reason, Request, RequestError,
    RequestSide, RequestState, Revision, Row, SeenPresence,
};

/// The rows that a decision needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The accounts whose profiles are read, where they exist.
    pub users: Vec<Account>,
    /// Two accounts whose edges, both copies of requests, and blocks are read, in both directions and with tombstones.
    pub pair: Option<(Account, Account)>,
    /// The accounts whose friends, open requests and blocks are counted.
    pub counts: Vec<Account>,
    /// The account whose live edges, open requests and live blocks, by it and of it, are all read. Of the edges of others,
    /// those of the accounts that it blocks are enough: any other has one the other way round.
    pub all_of: Option<Account>,
    /// The account whose presence is read.
    pub presence: Option<Account>,
    /// The owner and the peer of a block whose frozen copy is read.
    pub frozen: Option<(Account, Account)>,
    /// The account whose credential is read.
    pub credential: Option<Account>,
}

/// An account's presence as a store has noted it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StoredPresence {
    /// What it chose.
    pub chosen: ChosenPresence,
    /// What friends see, apart from those with a view of their own.
    pub seen: SeenPresence,
}

/// The numbers of an account's relations.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RelationCounts {
    /// Live edges.
    pub friends: u64,
    /// Open requests it made.
    pub sent: u64,
    /// Open requests to it, of accounts that it blocks too: a full inbox must not tell them from others.
    pub received: u64,
    /// Live blocks it owns.
    pub blocks: u64,
}

/// The rows that a store found for [`Reads`].
#[derive(Debug, Default)]
pub struct CurrentRows {
    /// The profiles asked for that exist.
    pub users: Vec<Arc<Profile>>,
    /// The edges asked for.
    pub edges: Vec<Edge>,
    /// The requests asked for.
    pub requests: Vec<Request>,
    /// The blocks asked for.
    pub blocks: Vec<Block>,
    /// The counts asked for.
    pub counts: Vec<(Account, RelationCounts)>,
    /// The presence asked for.
    pub presence: StoredPresence,
    /// The frozen copy asked for, if there is one.
    pub frozen: Option<Arc<Profile>>,
    /// The credential asked for.
    pub credential: Credential,
}

impl CurrentRows {
    pub(super) fn user(&self, account: &Account) -> Option<&Arc<Profile>> {
        self.users.iter().find(|p| p.account == *account)
    }

    pub(super) fn known(&self, account: &Account) -> Result<&Arc<Profile>, RequestError> {
        self.user(account).ok_or_else(|| RequestError::unknown_account(account))
    }

    pub(super) fn edge(&self, owner: &Account, peer: &Account) -> Option<&Edge> {
        self.edges.iter().find(|e| e.owner == *owner && e.peer == *peer && !e.removed)
    }

    /// The open request as its sender knows it.
    pub(super) fn open(&self, sender: &Account, receiver: &Account) -> Option<&Request> {
        self.copies(sender, receiver).find(|request| request.side == RequestSide::Sender)
    }

    /// The open request as its receiver knows it. It has none while it blocks the sender.
    pub(super) fn received(&self, sender: &Account, receiver: &Account) -> Option<&Request> {
        self.copies(sender, receiver).find(|request| request.side == RequestSide::Receiver)
    }

    /// The copies of the open request.
    pub(super) fn copies(&self, sender: &Account, receiver: &Account) -> impl Iterator<Item = &Request> {
        let open = |r: &&Request| r.sender == *sender && r.receiver == *receiver && r.state == RequestState::Open;
        self.requests.iter().filter(open)
    }

    pub(super) fn blocks(&self, owner: &Account, peer: &Account) -> Option<&Block> {
        self.blocks.iter().find(|b| b.owner == *owner && b.peer == *peer && !b.removed)
    }

    /// The block that ended last, if its tombstone is still there.
    pub(super) fn ended_block(&self, owner: &Account, peer: &Account) -> Option<&Block> {
        self.blocks.iter().find(|b| b.owner == *owner && b.peer == *peer && b.removed)
    }

    pub(super) fn counts(&self, account: &Account) -> RelationCounts {
        self.counts.iter().find(|(a, _)| a == account).map(|(_, counts)| *counts).unwrap_or_default()
    }
}

/// The result of a command: the rows to write, none if nothing changes, and the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rows as they are after the write.
    pub rows: Vec<Row>,
    /// The answer once the rows are durable.
    pub answer: Answer,
    /// When friends saw the account of the profile in the rows last, if that is to be stored: no part of the history.
    pub last_seen: Option<Millis>,
}

impl Decision {
    pub(super) fn new(rows: Vec<Row>, outcome: Outcome) -> Self {
        Self { rows, answer: Answer { outcome, profile: None }, last_seen: None }
    }

    pub(super) fn unchanged() -> Self {
        Self::new(Vec::new(), Outcome::Unchanged)
    }
}

/// Refuses a command that rests on another version than the one held.
pub(super) fn expect_version(what: &str, held: u64, expected: Option<u64>) -> Result<(), RequestError> {
    match expected {
        Some(version) if version != held => {
            let message = format!("{what} has version {held}, not {version}");
            Err(RequestError::new(Reason::VersionMismatch, message).field("ifVersion"))
        }
        _ => Ok(()),
    }
}

/// The revision of a change, which becomes the version of its rows, and its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitPoint {
    pub(super) revision: Revision,
    pub(super) now: Millis,
}
