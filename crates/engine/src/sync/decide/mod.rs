//! Decides what a command does to the current rows.
//!
//! In one transaction the store reads the rows that [`reads`] names, calls [`decide`], and writes the rows of the
//! decision. Every write of every origin passes through here; nothing else makes rows. `users` decides commands about
//! one account, `tokens` those about its tokens, `relations` those about two accounts.

mod relations;
mod tokens;
mod users;

use std::sync::Arc;

use crate::model::{
    Account, Answer, Block, Command, Credential, Edge, Millis, Outcome, Profile, Request, RequestError, RequestState,
    Revision, Row, Visibility,
};

/// The rows that a decision needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The accounts whose profiles are read, where they exist.
    pub users: Vec<Account>,
    /// Two accounts whose edges, requests and blocks are read, in both directions and with tombstones.
    pub pair: Option<(Account, Account)>,
    /// The accounts whose friends, open requests and blocks are counted.
    pub counts: Vec<Account>,
    /// The account whose live edges, open requests and live blocks, by it and of it, are all read.
    pub all_of: Option<Account>,
    /// The account whose presence is read.
    pub presence: Option<Account>,
    /// The account whose credential is read.
    pub credential: Option<Account>,
}

/// An account's presence as a store has noted it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StoredPresence {
    /// Whether it hides that it is online.
    pub invisible: bool,
    /// Whether it is online.
    pub online: bool,
    /// When it came online, or was last online.
    pub last_seen: Millis,
}

/// The numbers of an account's relations.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RelationCounts {
    /// Live edges.
    pub friends: u64,
    /// Open requests it made.
    pub sent: u64,
    /// Open requests it may answer, without hidden ones.
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
    /// The credential asked for.
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

/// The result of a command: the rows to write, none if nothing changes, and the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rows as they are after the write.
    pub rows: Vec<Row>,
    /// The answer once the rows are durable.
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

/// The revision of a change, which becomes the version of its rows, and its time.
#[derive(Debug, Clone, Copy)]
struct CommitPoint {
    revision: Revision,
    now: Millis,
}

/// Returns the rows that [`decide`] needs for a command.
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

/// Decides a command.
///
/// `revision` becomes the version of the rows. It is greater than any before, so the version of a key never goes back,
/// not even if the key is deleted and made again.
///
/// # Errors
/// The command cannot be carried out, and nothing may be written.
pub fn decide(
    current: &CurrentRows,
    command: &Command,
    revision: Revision,
    now: Millis,
    visibility: &Visibility,
) -> Result<Decision, RequestError> {
    let at = CommitPoint { revision, now };
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
        Command::UpdateFriend { account, peer, note } => relations::update(current, account, peer, note, at),
        Command::Block { account, peer } => relations::block(current, account, peer, at),
        Command::Unblock { account, peer } => relations::unblock(current, account, peer, at),
    }
}

#[cfg(test)]
mod tests;
