//! Decides what a command does to the current rows.
//!
//! The store reads what [`reads`] asks for, calls [`decide`], and writes the rows it answers with, all in one
//! transaction. Every write of every origin passes here; nothing else makes rows. [`users`] decides what concerns one
//! account, [`tokens`] who is believed to be it, [`relations`] what is between two.

mod relations;
mod tokens;
mod users;

use std::sync::Arc;

use crate::model::{
    Account, Answer, Block, Command, Credential, Edge, Millis, Outcome, Profile, Request, RequestError, RequestState,
    Revision, Row, Visibility,
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
    fn user(&self, account: &Account) -> Option<&Arc<Profile>> {
        self.users.iter().find(|p| p.account == *account)
    }

    fn known(&self, account: &Account) -> Result<&Arc<Profile>, RequestError> {
        self.user(account).ok_or_else(|| RequestError::unknown_account(account))
    }

    fn edge(&self, owner: &Account, peer: &Account) -> Option<&Edge> {
        self.edges.iter().find(|e| e.owner == *owner && e.peer == *peer && !e.removed)
    }

    fn open(&self, sender: &Account, receiver: &Account) -> Option<&Request> {
        let open = |r: &&Request| r.sender == *sender && r.receiver == *receiver && r.state == RequestState::Open;
        self.requests.iter().find(open)
    }

    fn blocks(&self, owner: &Account, peer: &Account) -> Option<&Block> {
        self.blocks.iter().find(|b| b.owner == *owner && b.peer == *peer && !b.removed)
    }

    fn counts(&self, account: &Account) -> RelationCounts {
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
    fn new(rows: Vec<Row>, outcome: Outcome) -> Self {
        Self { rows, answer: Answer { outcome, profile: None } }
    }

    fn unchanged() -> Self {
        Self::new(Vec::new(), Outcome::Unchanged)
    }
}

/// When a change is made: its place in commit order, which becomes the version of its rows, and the time.
#[derive(Debug, Clone, Copy)]
struct CommitPoint {
    stamp: Revision,
    now: Millis,
}

/// The rows that [`decide`] needs for this command.
#[must_use]
pub fn reads(command: &Command) -> Reads {
    match command {
        Command::SetProfile { account, .. } => Reads { users: vec![account.clone()], ..Reads::default() },
        Command::SetInvisible { account, .. } => {
            Reads { users: vec![account.clone()], presence: Some(account.clone()), ..Reads::default() }
        }
        Command::DeleteUser { account } => Reads {
            users: vec![account.clone()],
            all_of: Some(account.clone()),
            credential: Some(account.clone()),
            ..Reads::default()
        },
        Command::RevokeTokens { account, .. } => Reads { credential: Some(account.clone()), ..Reads::default() },
        Command::SetToken { account, .. } => {
            Reads { users: vec![account.clone()], credential: Some(account.clone()), ..Reads::default() }
        }
        Command::Befriend { account, peer }
        | Command::AddFriend { account, peer, .. }
        | Command::RequestFriend { account, peer, .. }
        | Command::AcceptFriend { account, peer } => {
            Reads { counts: vec![account.clone(), peer.clone()], ..pair(account, peer) }
        }
        Command::Block { account, peer } => {
            Reads { counts: vec![account.clone()], presence: Some(account.clone()), ..pair(account, peer) }
        }
        Command::Unfriend { account, peer }
        | Command::RejectFriend { account, peer }
        | Command::CancelRequest { account, peer }
        | Command::ExpireRequest { sender: account, receiver: peer, .. }
        | Command::DeleteFriend { account, peer }
        | Command::UpdateFriend { account, peer, .. }
        | Command::Unblock { account, peer } => pair(account, peer),
    }
}

fn pair(account: &Account, peer: &Account) -> Reads {
    Reads {
        users: vec![account.clone(), peer.clone()],
        pair: Some((account.clone(), peer.clone())),
        ..Reads::default()
    }
}

/// Decides. `stamp` is the change's place in commit order and becomes the version of the rows: it is greater
/// than any before, so a key that is deleted and made again never goes back.
///
/// # Errors
/// The command cannot be carried out; nothing is to be written.
pub fn decide(
    current: &CurrentRows,
    command: &Command,
    stamp: Revision,
    now: Millis,
    visibility: &Visibility,
) -> Result<Decision, RequestError> {
    let at = CommitPoint { stamp, now };
    match command {
        Command::SetProfile { account, patch, create, if_version } => {
            users::set_profile(current, account, patch, *create, *if_version, at, visibility)
        }
        Command::SetInvisible { account, invisible } => users::set_invisible(current, account, *invisible),
        Command::DeleteUser { account } => users::delete(current, account, at),
        Command::RevokeTokens { account, before } => Ok(tokens::revoke(current, account, *before)),
        Command::SetToken { account, token } => tokens::set(current, account, *token, at),
        Command::Befriend { account, peer } => relations::befriend(current, account, peer, at),
        Command::AddFriend { account, peer, message } => relations::add(current, account, peer, message, at),
        Command::RequestFriend { account, peer, message } => relations::request(current, account, peer, message, at),
        Command::AcceptFriend { account, peer } => relations::accept(current, account, peer, at),
        Command::RejectFriend { account, peer } => relations::reject(current, account, peer, at),
        Command::CancelRequest { account, peer } => relations::cancel(current, account, peer, at),
        Command::ExpireRequest { sender, receiver, before } => {
            Ok(relations::expire(current, sender, receiver, *before, at))
        }
        Command::Unfriend { account, peer } => relations::unfriend(current, account, peer, at),
        Command::DeleteFriend { account, peer } => relations::delete(current, account, peer, at),
        Command::UpdateFriend { account, peer, note } => relations::note(current, account, peer, note, at),
        Command::Block { account, peer } => relations::block(current, account, peer, at),
        Command::Unblock { account, peer } => relations::unblock(current, account, peer, at),
    }
}

#[cfg(test)]
mod tests;
