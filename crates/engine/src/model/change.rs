//! Writes: the commands that ask for them, the rows they make, and the committed change everyone hears of.

use std::sync::Arc;

use super::{
    Account, Block, Credential, Edge, FriendUpdate, Millis, Patch, Profile, Request, Revision, SessionId, TokenHash,
};

/// One write asked for, whoever asks: a client, the backend, or an import. Its parts are already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Change an account's profile.
    SetProfile {
        /// Whose.
        account: Account,
        /// What to change.
        patch: Patch,
        /// Make the account if it does not exist.
        create: bool,
        /// Change nothing unless the profile still has this version.
        if_version: Option<u64>,
    },
    /// Delete an account with its profile and every edge from and to it.
    DeleteUser {
        /// Whose.
        account: Account,
    },
    /// Make two accounts friends of each other, whatever stands between them; harmless if they are.
    Befriend {
        /// One of them.
        account: Account,
        /// The other.
        peer: Account,
    },
    /// The same, as one of them wants it: refused if they are friends, or one blocks the other.
    AddFriend {
        /// Who adds.
        account: Account,
        /// Who is added.
        peer: Account,
        /// Reaches the peer as an accepted request, unless it is empty.
        message: Box<str>,
    },
    /// Ask for friendship; if the peer asks too, they are friends.
    RequestFriend {
        /// Who asks.
        account: Account,
        /// Who is asked.
        peer: Account,
        /// What goes with it.
        message: Box<str>,
    },
    /// Accept the open request of the peer.
    AcceptFriend {
        /// Who was asked.
        account: Account,
        /// Who asks.
        peer: Account,
    },
    /// Reject the open request of the peer.
    RejectFriend {
        /// Who was asked.
        account: Account,
        /// Who asks.
        peer: Account,
    },
    /// Take back the open request to the peer.
    CancelRequest {
        /// Who asks.
        account: Account,
        /// Who was asked.
        peer: Account,
    },
    /// Close a request if it is still open and was made before this time.
    ExpireRequest {
        /// Who asks.
        sender: Account,
        /// Who was asked.
        receiver: Account,
        /// Requests made from then on stay open.
        before: Millis,
    },
    /// End a friendship as one of them wants it: refused if there is none.
    DeleteFriend {
        /// Who ends it.
        account: Account,
        /// The other.
        peer: Account,
    },
    /// Change what an account notes about a friend.
    UpdateFriend {
        /// Who notes.
        account: Account,
        /// About whom.
        peer: Account,
        /// What.
        note: FriendUpdate,
    },
    /// From now on the peer gets nothing more of the account; harmless if it is so.
    Block {
        /// Who blocks.
        account: Account,
        /// Whom.
        peer: Account,
    },
    /// End a block; harmless if there is none.
    Unblock {
        /// Who blocks.
        account: Account,
        /// Whom.
        peer: Account,
    },
    /// Show as offline, or no longer.
    SetInvisible {
        /// Who.
        account: Account,
        /// Whether.
        invisible: bool,
    },
    /// Accept no token of an account that was issued before a time. The account need not exist.
    RevokeTokens {
        /// Whose.
        account: Account,
        /// Tokens issued from then on are good.
        before: Millis,
    },
    /// Give an account another static token, or none.
    SetToken {
        /// Whose.
        account: Account,
        /// Of the new one.
        token: Option<TokenHash>,
    },
    /// End a friendship, in both directions.
    Unfriend {
        /// One of them.
        account: Account,
        /// The other.
        peer: Account,
    },
}

/// One row as it stands after a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A profile, made or changed.
    Profile(Arc<Profile>),
    /// A profile that is no more.
    Gone {
        /// Whose it was.
        account: Account,
        /// The version at which it went.
        version: u64,
    },
    /// An edge, made, changed or removed.
    Edge(Edge),
    /// A request, made or closed.
    Request(Request),
    /// A block, made or ended.
    Block {
        /// The block.
        block: Block,
        /// Of one that was made, the owner's profile as it then stood: what the peer sees from now on.
        frozen: Option<Arc<Profile>>,
    },
    /// Whether an account hides that it is online.
    Invisible {
        /// Whose.
        account: Account,
        /// Whether it does.
        invisible: bool,
    },
    /// What is known of an account's tokens.
    Credential {
        /// Whose.
        account: Account,
        /// All of it.
        credential: Credential,
    },
}

/// An account as a store has it: its profile, and what decides who is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The profile.
    pub profile: Arc<Profile>,
    /// Whether it hides that it is online.
    pub invisible: bool,
    /// When it was last online, or came online; 0 if it never was.
    pub last_seen: Millis,
    /// The blocks it owns, without those that ended.
    pub blocks: Vec<Block>,
}

/// An account that was noted as online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineAccount {
    /// Who.
    pub account: Account,
    /// Whether it hides that.
    pub invisible: bool,
    /// When it came, or was last seen before it hid.
    pub last_seen: Millis,
}

/// One committed write, as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position in commit order.
    pub revision: Revision,
    /// The session that asked for it, which gets an answer instead of a push.
    pub origin: Option<SessionId>,
    /// What it wrote; each row at most once.
    pub rows: Vec<Row>,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something new was made.
    Created,
    /// Something was changed or removed.
    Changed,
    /// All was so already; no version, no revision, no push.
    Unchanged,
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// For [`Command::SetProfile`], the profile as it now stands.
    pub profile: Option<Arc<Profile>>,
}
