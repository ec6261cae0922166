//! Relations between two accounts: edges, requests and blocks.

use super::limits::{ALIAS_CHARS, FRIEND_CUSTOM_CHARS, MESSAGE_CHARS};
use super::profile::{length, text};
use super::{Account, Audience, LastChange, Millis, Profile, RequestError, SeenPresence};

/// How clients become friends. The backend may do either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FriendsPolicy {
    /// Only by accepted requests: nobody becomes a friend, and sees what friends see, without the other's consent.
    #[default]
    Request,
    /// Only by adding, without a request.
    Direct,
    /// By requests or by adding.
    Both,
}

/// "`owner` lists `peer`": one direction of a friendship.
///
/// A friendship is two edges. Only one is made by an account that adds another which blocks it; it ends with the block. A removed edge stays for a while as a tombstone, so that clients that were away learn of
/// the removal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the friend object")]
pub struct Edge {
    pub owner: Account,
    pub peer: Account,
    pub removed: bool,
    /// The owner's own name for the peer, which only the owner's clients receive.
    pub alias: Box<str>,
    pub custom: Box<str>,
    pub create_time: Millis,
    pub update_time: Millis,
    /// Greater at every change, tombstones included.
    pub version: u64,
}

impl Edge {
    /// Makes a new edge.
    #[must_use]
    pub fn new(owner: Account, peer: Account, version: u64, now: Millis) -> Self {
        let (alias, custom) = (Box::default(), Box::default());
        Self { owner, peer, removed: false, alias, custom, create_time: now, update_time: now, version }
    }

    /// Returns the names of the owner's notes that differ.
    #[must_use]
    pub fn changed_fields(&self, other: &Self) -> Vec<&'static str> {
        let fields = [("alias", &self.alias, &other.alias), ("custom", &self.custom, &other.custom)];
        fields.into_iter().filter(|(_, held, given)| held != given).map(|(name, ..)| name).collect()
    }

    /// Makes the tombstone of an edge, without the owner's notes about the peer.
    #[must_use]
    pub fn tombstone(owner: Account, peer: Account, version: u64, now: Millis) -> Self {
        Self { removed: true, ..Self::new(owner, peer, version, now) }
    }
}

/// An edge on a page of a friend list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEdge {
    /// The friend.
    pub peer: Account,
    /// Whether it is a tombstone.
    pub removed: bool,
    /// The version of the edge.
    pub version: u64,
    /// The whole edge; it may be missing if the reader has it.
    pub edge: Option<Box<Edge>>,
}

impl From<Edge> for ListedEdge {
    fn from(edge: Edge) -> Self {
        Self { peer: edge.peer.clone(), removed: edge.removed, version: edge.version, edge: Some(Box::new(edge)) }
    }
}

/// A change to the owner's notes about the peer of an edge.
///
/// `None` leaves a field as it is, an empty text clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FriendUpdate {
    alias: Option<Box<str>>,
    custom: Option<Box<str>>,
}

impl FriendUpdate {
    /// Checks both against their limits, which are NIM's.
    ///
    /// # Errors
    /// 414 with the first offending field.
    pub fn check(alias: Option<String>, custom: Option<String>) -> Result<Self, RequestError> {
        text("alias", alias.as_deref(), ALIAS_CHARS)?;
        length("custom", custom.as_deref(), FRIEND_CUSTOM_CHARS)?;
        Ok(Self { alias: alias.map(Into::into), custom: custom.map(Into::into) })
    }

    /// Returns the edge after the change, or `None` if nothing would differ.
    ///
    /// Version and times are the caller's.
    #[must_use]
    pub fn apply(&self, edge: &Edge) -> Option<Edge> {
        let mut next = edge.clone();
        if let Some(alias) = &self.alias {
            next.alias.clone_from(alias);
        }
        if let Some(custom) = &self.custom {
            next.custom.clone_from(custom);
        }
        (next != *edge).then_some(next)
    }
}

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RequestState {
    #[default]
    Open,
    Accepted,
    Rejected,
    Cancelled,
    Expired,
}

/// The side to which a copy of a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RequestSide {
    #[default]
    Sender,
    Receiver,
}

/// "`sender` asks `receiver` for friendship", as one of the two knows it.
///
/// Each side has a copy with a version of its own, one for each ordered pair of accounts; another request replaces it.
/// Nearly always the two say the same. But while the receiver blocks the sender only the sender's copy is written, and
/// when the block ends only the receiver's is: neither side can see in its copy what happens at the other. A closed copy
/// stays for a while, so that clients that were away learn how the request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the request object")]
pub struct Request {
    pub sender: Account,
    pub receiver: Account,
    /// At most [`MESSAGE_CHARS`].
    pub message: Box<str>,
    pub state: RequestState,
    /// Whose copy this is.
    pub side: RequestSide,
    pub create_time: Millis,
    pub update_time: Millis,
    /// Greater at every change.
    pub version: u64,
}

impl Request {
    /// Checks a message that goes with a request.
    ///
    /// # Errors
    /// 414 if it is longer than [`MESSAGE_CHARS`] or holds U+0000.
    pub fn check(message: String) -> Result<Box<str>, RequestError> {
        text("message", Some(&message), MESSAGE_CHARS)?;
        Ok(message.into())
    }

    /// Returns the account to which this copy belongs. No other account sees it.
    #[must_use]
    pub fn owner(&self) -> &Account {
        match self.side {
            RequestSide::Sender => &self.sender,
            RequestSide::Receiver => &self.receiver,
        }
    }

    /// Returns the other account.
    #[must_use]
    pub fn peer(&self) -> &Account {
        match self.side {
            RequestSide::Sender => &self.receiver,
            RequestSide::Receiver => &self.sender,
        }
    }
}

/// "`owner` blocks `peer`", which only the owner learns.
///
/// A block that ended stays for a while as a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the block object")]
pub struct Block {
    pub owner: Account,
    pub peer: Account,
    pub removed: bool,
    /// The owner's presence as the peer sees it. A block looks like a departure: the peer sees the owner leave, and after
    /// the block come back. `None` in a block that ended once the peer sees what other friends see.
    pub presence: Option<SeenPresence>,
    /// In a block that ended: the last changes that the peer sees of the owner's profile, until there is a later one.
    /// `None` if they are those that everybody sees.
    pub views: Option<SeenChanges>,
    pub create_time: Millis,
    /// When it was made or ended.
    pub update_time: Millis,
    /// Greater at every change, tombstones included.
    pub version: u64,
}

impl Block {
    /// Returns the last change of the owner's profile as the peer sees it, if it is another than other accounts see.
    ///
    /// What the owner changed during the block reaches the peer as one change, made when the block ended. A profile that
    /// looks as it did before the block has not changed for the peer.
    #[must_use]
    pub fn last_change(&self, profile: &Profile, audience: Audience) -> Option<LastChange> {
        let views = self.views.filter(|_| self.removed && profile.last_change(audience).version <= self.version)?;
        match audience {
            Audience::Own => None,
            Audience::Friends => Some(views.friends),
            Audience::Everyone => Some(views.everyone),
        }
    }

    /// Whether the owner's profile looks to `audience` as if it had changed when the block ended.
    #[must_use]
    pub fn brings_profile(&self, audience: Audience) -> bool {
        self.views.is_some_and(|views| match audience {
            Audience::Own => false,
            Audience::Friends => views.friends.version == self.version,
            Audience::Everyone => views.everyone.version == self.version,
        })
    }
}

/// The last changes of the two views of a profile that others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenChanges {
    /// Of what friends see.
    pub friends: LastChange,
    /// Of what everyone sees.
    pub everyone: LastChange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_belongs_to_its_side() {
        let account = |name: &str| Account::parse(name, "account").unwrap();
        let (ann, bob) = (account("ann"), account("bob"));
        let sent = Request {
            sender: ann.clone(),
            receiver: bob.clone(),
            side: RequestSide::Sender,
            message: Box::default(),
            state: RequestState::Open,
            create_time: 1,
            update_time: 1,
            version: 1,
        };
        let received = Request { side: RequestSide::Receiver, ..sent.clone() };
        assert_eq!((sent.owner(), sent.peer()), (&ann, &bob));
        assert_eq!((received.owner(), received.peer()), (&bob, &ann));
    }
}
