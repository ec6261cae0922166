//! What a decision reads, and what it comes to.

use std::sync::Arc;

use crate::model::{
    Account, Answer, Block, Credential, Edge, Millis, Outcome, Profile, Request, RequestError, RequestState, Revision,
    Row,
};

/// The rows a command is decided on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Profiles, where they exist.
    pub users: Vec<Account>,
    /// Everything between these two, in both directions: edges, requests and blocks, tombstones included.
    pub pair: Option<(Account, Account)>,
    /// How many friends, open requests and blocks these accounts have.
    pub counts: Vec<Account>,
    /// Every live edge and open request of this account, and the live blocks by it and of it.
    pub all_of: Option<Account>,
    /// The presence of this account.
    pub presence: Option<Account>,
    /// What is known of this account's tokens.
    pub credential: Option<Account>,
}

/// What is noted of an account's presence.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StoredPresence {
    /// Whether it hides that it is online.
    pub invisible: bool,
    /// Whether it is online.
    pub online: bool,
    /// When it came, or was last online.
    pub last_seen: Millis,
}

/// How much an account has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RelationCounts {
    /// Live edges.
    pub friends: u64,
    /// Open requests it made.
    pub sent: u64,
    /// Open requests it may answer; hidden ones are none.
    pub received: u64,
    /// Live blocks it owns.
    pub blocks: u64,
}

/// What the store found.
#[derive(Debug, Default)]
pub struct CurrentRows {
    /// The profiles asked for that exist.
    pub users: Vec<Arc<Profile>>,
    /// Edges.
    pub edges: Vec<Edge>,
    /// Requests.
    pub requests: Vec<Request>,
    /// Blocks.
    pub blocks: Vec<Block>,
    /// The counts asked for.
    pub counts: Vec<(Account, RelationCounts)>,
    /// The presence asked for.
    pub presence: StoredPresence,
    /// The tokens of the account asked for.
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

    pub(super) fn open(&self, sender: &Account, receiver: &Account) -> Option<&Request> {
        let open = |r: &&Request| r.sender == *sender && r.receiver == *receiver && r.state == RequestState::Open;
        self.requests.iter().find(open)
    }

    pub(super) fn blocks(&self, owner: &Account, peer: &Account) -> Option<&Block> {
        self.blocks.iter().find(|b| b.owner == *owner && b.peer == *peer && !b.removed)
    }

    pub(super) fn counts(&self, account: &Account) -> RelationCounts {
        self.counts.iter().find(|(a, _)| a == account).map(|(_, counts)| *counts).unwrap_or_default()
    }
}

/// What a command comes to: the rows to write (none means that nothing changes) and the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rows as they shall stand.
    pub rows: Vec<Row>,
    /// What the asker is told once they are durable.
    pub answer: Answer,
}

impl Decision {
    pub(super) fn new(rows: Vec<Row>, outcome: Outcome) -> Self {
        Self { rows, answer: Answer { outcome, profile: None } }
    }

    pub(super) fn unchanged() -> Self {
        Self::new(Vec::new(), Outcome::Unchanged)
    }
}

/// When a change is made: its place in commit order, which becomes the version of its rows, and the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitPoint {
    pub(super) revision: Revision,
    pub(super) now: Millis,
}
