//! What a change means to a backend: events, derived from the rows of the change.
//!
//! Each event has whole records with their versions, so a receiver that keeps the newer version is right under
//! duplicates and in any order. Every row whose version moved is in an event, except that the deletion of an account
//! implies the end of all its relations. The events of one change are numbered from 0; the numbers do not depend on who
//! reads.

use std::sync::Arc;

use crate::model::{
    Account, Added, Block, Cause, Change, ChangedFields, Edge, Millis, Profile, Request, RequestSide, RequestState,
    Row, WriteOrigin,
};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeEvent {
    /// An account was made.
    UserCreated(Arc<Profile>),
    /// A profile was changed; the names of the fields.
    UserUpdated(Arc<Profile>, ChangedFields),
    /// An account was deleted, and with it its friendships, requests and blocks.
    UserDeleted {
        /// The account.
        account: Account,
        /// The version of the deletion.
        version: u64,
    },
    /// Two accounts became friends. One that was added by an account that it blocks has no edge.
    FriendAdded(Vec<Edge>, Added),
    /// Two accounts are friends no more.
    FriendRemoved(Vec<Edge>),
    /// What an account notes about a friend was changed; the names of the fields.
    FriendUpdated(Edge, ChangedFields),
    /// A request was made or closed, or it reached its receiver after a block.
    Request {
        /// The newest copy.
        request: Request,
        /// Whether the receiver, who blocks the sender, does not see it.
        hidden: bool,
    },
    /// A block was made or ended.
    Block(Block),
    /// The tokens of an account issued before a time were revoked.
    TokensRevoked(Account, Millis),
    /// An account got a static token.
    TokenSet(Account),
    /// An account lost its static token.
    TokenRemoved(Account),
}

impl ChangeEvent {
    /// The names of all types, in the order of the documentation.
    pub const TYPES: [&'static str; 16] = [
        "user.created",
        "user.updated",
        "user.deleted",
        "friend.added",
        "friend.removed",
        "friend.updated",
        "request.created",
        "request.accepted",
        "request.rejected",
        "request.cancelled",
        "request.expired",
        "block.added",
        "block.removed",
        "tokens.revoked",
        "token.set",
        "token.removed",
    ];

    /// Returns the name of its type.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::UserCreated(_) => "user.created",
            Self::UserUpdated(..) => "user.updated",
            Self::UserDeleted { .. } => "user.deleted",
            Self::FriendAdded(..) => "friend.added",
            Self::FriendRemoved(_) => "friend.removed",
            Self::FriendUpdated(..) => "friend.updated",
            Self::Request { request, .. } => match request.state {
                RequestState::Open => "request.created",
                RequestState::Accepted => "request.accepted",
                RequestState::Rejected => "request.rejected",
                RequestState::Cancelled => "request.cancelled",
                RequestState::Expired => "request.expired",
            },
            Self::Block(block) if block.removed => "block.removed",
            Self::Block(_) => "block.added",
            Self::TokensRevoked(..) => "tokens.revoked",
            Self::TokenSet(_) => "token.set",
            Self::TokenRemoved(_) => "token.removed",
        }
    }

    /// Returns the account that it is about: the user, who blocks, who asks, who is a friend of the other.
    #[must_use]
    pub fn subject(&self) -> &Account {
        match self {
            Self::UserCreated(profile) | Self::UserUpdated(profile, _) => &profile.account,
            Self::UserDeleted { account, .. }
            | Self::TokensRevoked(account, _)
            | Self::TokenSet(account)
            | Self::TokenRemoved(account) => account,
            Self::FriendAdded(edges, _) | Self::FriendRemoved(edges) => &edges[0].owner,
            Self::FriendUpdated(edge, _) => &edge.owner,
            Self::Request { request, .. } => &request.sender,
            Self::Block(block) => &block.owner,
        }
    }

    /// Returns the other account, if it is about two.
    #[must_use]
    pub fn peer(&self) -> Option<&Account> {
        match self {
            Self::FriendAdded(edges, _) | Self::FriendRemoved(edges) => Some(&edges[0].peer),
            Self::FriendUpdated(edge, _) => Some(&edge.peer),
            Self::Request { request, .. } => Some(&request.receiver),
            Self::Block(block) => Some(&block.peer),
            _ => None,
        }
    }
}

/// Derives the events of a change.
///
/// A request that was accepted comes before the friendship that it made.
#[must_use]
pub fn events(change: &Change) -> Vec<ChangeEvent> {
    if change.cause == Cause::ViewsMoved {
        return Vec::new();
    }
    if let Some(gone) = change.rows.iter().find(|row| matches!(row, Row::Gone { .. })) {
        return gone_event(gone).into_iter().collect();
    }
    let mut events = Vec::new();
    events.extend(change.rows.iter().filter_map(|row| user_or_block(row, &change.cause)));
    events.extend(requests(&change.rows));
    events.extend(friendships(change));
    events.extend(change.rows.iter().filter_map(|row| tokens(row, &change.cause)));
    events
}

fn gone_event(row: &Row) -> Option<ChangeEvent> {
    match row {
        Row::Gone { account, version } => {
            Some(ChangeEvent::UserDeleted { account: account.clone(), version: *version })
        }
        _ => None,
    }
}

fn user_or_block(row: &Row, cause: &Cause) -> Option<ChangeEvent> {
    match (row, cause) {
        (Row::Profile(profile), Cause::UserUpdated(fields)) => {
            Some(ChangeEvent::UserUpdated(profile.clone(), fields.clone()))
        }
        (Row::Profile(profile), Cause::UserCreated) => Some(ChangeEvent::UserCreated(profile.clone())),
        (Row::Block { block, .. }, _) => Some(ChangeEvent::Block(block.clone())),
        _ => None,
    }
}

/// The two copies of a request are one record, which the receiver does not see if it has no copy of this version.
fn requests(rows: &[Row]) -> Vec<ChangeEvent> {
    let copies = || {
        rows.iter().filter_map(|row| match row {
            Row::Request(request) => Some(request),
            _ => None,
        })
    };
    let same = |a: &Request, b: &Request| a.sender == b.sender && a.receiver == b.receiver;
    let mut events = Vec::new();
    for copy in copies() {
        let other = copies().find(|other| other.side != copy.side && same(other, copy));
        match (copy.side, other) {
            // It is in the event of the sender's copy.
            (RequestSide::Receiver, Some(_)) => {}
            (side, other) => {
                let hidden = side == RequestSide::Sender && other.is_none();
                events.push(ChangeEvent::Request { request: copy.clone(), hidden });
            }
        }
    }
    events
}

/// The two edges of a friendship are one event.
fn friendships(change: &Change) -> Vec<ChangeEvent> {
    let mut edges: Vec<&Edge> = Vec::new();
    for row in &change.rows {
        if let Row::Edge(edge) = row {
            edges.push(edge);
        }
    }
    let mut events = Vec::new();
    while let Some(first) = (!edges.is_empty()).then(|| edges.remove(0)) {
        if let (Cause::FriendUpdated(fields), false) = (&change.cause, first.removed) {
            events.push(ChangeEvent::FriendUpdated(first.clone(), fields.clone()));
            continue;
        }
        let other = edges
            .iter()
            .position(|edge| edge.owner == first.peer && edge.peer == first.owner && edge.removed == first.removed);
        let pair: Vec<Edge> = std::iter::once(first).chain(other.map(|at| edges.remove(at))).cloned().collect();
        events.push(if first.removed {
            ChangeEvent::FriendRemoved(pair)
        } else {
            ChangeEvent::FriendAdded(pair, added(change))
        });
    }
    events
}

fn added(change: &Change) -> Added {
    match change.cause {
        Cause::FriendAdded(added) => added,
        // Whoever accepts a request becomes a friend by it.
        _ => Added::Request,
    }
}

fn tokens(row: &Row, cause: &Cause) -> Option<ChangeEvent> {
    let Row::Credential { account, credential } = row else { return None };
    Some(match cause {
        Cause::TokenSet => ChangeEvent::TokenSet(account.clone()),
        Cause::TokenRemoved => ChangeEvent::TokenRemoved(account.clone()),
        _ => ChangeEvent::TokensRevoked(account.clone(), credential.revoked_before),
    })
}

/// Returns how two accounts became friends, as an event says it: an import is told from the backend's other writes.
#[must_use]
pub fn how(added: Added, origin: &WriteOrigin) -> &'static str {
    match (added, origin) {
        (Added::Backend, WriteOrigin::Import | WriteOrigin::KeyImport(_)) => "import",
        (Added::Backend, _) => "backend",
        (Added::Direct, _) => "direct",
        (Added::Request, _) => "request",
    }
}
