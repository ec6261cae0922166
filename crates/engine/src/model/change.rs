//! Writes: the commands that ask for them, the rows they make, and the committed changes in the feed.

use std::sync::Arc;

use super::{
    Account, Block, Cause, ChosenPresence, Credential, Edge, FriendUpdate, Millis, Patch, PresenceChange, Profile,
    Request, Revision, TokenHash, WriteOrigin,
};

/// A write that a client, the backend or an import asks for.
///
/// Its parts are already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Changes an account's profile.
    SetProfile {
        /// The profile's account.
        account: Account,
        /// The fields to change.
        patch: Patch,
        /// Whether to make the account if it does not exist.
        create: bool,
        /// Changes nothing unless the profile still has this version.
        if_version: Option<u64>,
    },
    /// Deletes an account with its profile and every edge from and to it.
    DeleteUser {
        /// The account.
        account: Account,
    },
    /// Makes two accounts friends of each other, despite blocks and requests between them. Harmless if they are friends.
    Befriend {
        /// One of them.
        account: Account,
        /// The other.
        peer: Account,
    },
    /// Makes two accounts friends because one of them adds the other. Refused if they are friends, or one blocks the
    /// other.
    AddFriend {
        /// The account that adds.
        account: Account,
        /// The account that is added.
        peer: Account,
        /// Reaches the peer as an accepted request, unless it is empty.
        message: Box<str>,
    },
    /// Asks for friendship. If the peer asks too, they become friends.
    RequestFriend {
        /// The account that asks.
        account: Account,
        /// The account that is asked.
        peer: Account,
        /// The message that goes with it.
        message: Box<str>,
    },
    /// Accepts the open request of the peer.
    AcceptFriend {
        /// The account that was asked.
        account: Account,
        /// The account that asks.
        peer: Account,
    },
    /// Rejects the open request of the peer.
    RejectFriend {
        /// The account that was asked.
        account: Account,
        /// The account that asks.
        peer: Account,
    },
    /// Takes back the open request to the peer.
    CancelRequest {
        /// The account that asks.
        account: Account,
        /// The account that was asked.
        peer: Account,
    },
    /// Closes a request if it is still open and was made before a time.
    ExpireRequest {
        /// The account that asks.
        sender: Account,
        /// The account that was asked.
        receiver: Account,
        /// Requests made at this time or later stay open.
        before: Millis,
    },
    /// Ends a friendship because one of the two wants it. Refused if there is none.
    DeleteFriend {
        /// The account that ends it.
        account: Account,
        /// The other.
        peer: Account,
    },
    /// Changes what an account notes about a friend.
    UpdateFriend {
        /// The account that notes it.
        account: Account,
        /// The friend.
        peer: Account,
        /// The new notes.
        note: FriendUpdate,
        /// Changes nothing unless the edge still has this version.
        if_version: Option<u64>,
    },
    /// Blocks the peer, which from now on receives nothing more of the account. Harmless if it is blocked.
    Block {
        /// The account that blocks.
        account: Account,
        /// The account that is blocked.
        peer: Account,
        /// Makes no block unless the tombstone of the last one has this version; 0 if there is none.
        if_version: Option<u64>,
    },
    /// Ends a block. Harmless if there is none.
    Unblock {
        /// The account that blocks.
        account: Account,
        /// The account that is blocked.
        peer: Account,
        /// Ends no block but the one of this version.
        if_version: Option<u64>,
    },
    /// Makes an account mute another, or no longer. Harmless if it is so.
    SetMuted {
        /// The account that mutes.
        account: Account,
        /// The account that is muted.
        peer: Account,
        /// Whether it is muted.
        muted: bool,
        /// Changes nothing unless the profile of the account still has this version.
        if_version: Option<u64>,
    },
    /// Gives the views of a profile a new version if they look other than under the rules before. Harmless if none does.
    MoveViews {
        /// The profile's account.
        account: Account,
        /// An own field that there is no more, whose value goes.
        purges: Option<Box<str>>,
    },
    /// Does the same to the copy of a profile that an account sees which is blocked.
    MoveFrozenViews {
        /// The account that blocks.
        account: Account,
        /// The account that is blocked.
        peer: Account,
        /// An own field that there is no more, whose value goes.
        purges: Option<Box<str>>,
    },
    /// Makes an account show as offline, or no longer, and sets its status.
    SetPresence {
        /// The account.
        account: Account,
        /// What changes.
        set: PresenceChange,
        /// Changes nothing unless that still has this version; see [`ChosenPresence`].
        if_version: Option<u64>,
    },
    /// Revokes the tokens of an account that were issued before a time. The account need not exist.
    RevokeTokens {
        /// The tokens' account.
        account: Account,
        /// Tokens issued at this time or later are good.
        before: Millis,
    },
    /// Gives an account another static token, or none.
    SetToken {
        /// The token's account.
        account: Account,
        /// The hash of the new token.
        token: Option<TokenHash>,
    },
    /// Ends a friendship, in both directions. Harmless if there is none.
    Unfriend {
        /// One of them.
        account: Account,
        /// The other.
        peer: Account,
    },
    /// Makes an account as it was in another store. Of an account that exists, it changes what is given.
    AdoptUser {
        /// The account.
        account: Account,
        /// The fields of its profile.
        patch: Patch,
        /// When it was made. An account that exists keeps its time.
        create_time: Option<Millis>,
        /// Whether it shows as offline.
        invisible: Option<bool>,
        /// When friends saw it last. An account that exists keeps its time.
        last_seen: Option<Millis>,
    },
    /// Makes one direction of a friendship as it was in another store. The other direction comes with it if it is missing,
    /// unless the peer blocks the account.
    AdoptFriend {
        /// The account that lists the peer.
        account: Account,
        /// The friend.
        peer: Account,
        /// What the account notes about the friend.
        note: FriendUpdate,
        /// When it was made.
        create_time: Option<Millis>,
    },
    /// Makes an open request as it was in another store. Harmless if there is one in either direction, if the two are
    /// friends, or if the account blocks the peer.
    AdoptRequest {
        /// The account that asks.
        account: Account,
        /// The account that is asked.
        peer: Account,
        /// The message that goes with it.
        message: Box<str>,
        /// When it was made.
        create_time: Option<Millis>,
    },
    /// Makes a block as it was in another store. Harmless if there is one.
    AdoptBlock {
        /// The account that blocks.
        account: Account,
        /// The account that is blocked.
        peer: Account,
        /// When it was made.
        create_time: Option<Millis>,
        /// When the peer saw the account last.
        last_seen: Option<Millis>,
        /// The fields of the profile that the peer sees of the account; without them it is the profile as it is now.
        frozen: Option<Patch>,
    },
    /// Replaces what is kept about an account's tokens. The account need not exist.
    AdoptCredential {
        /// The tokens' account.
        account: Account,
        /// All of the facts.
        credential: Credential,
    },
}

impl Command {
    /// Returns the place of a command in an import, of which those of lower places come first.
    ///
    /// Accounts come before what names them; blocks before friendships, because of one side alone only the block tells
    /// that it has no other; and friendships before requests, because friends have none.
    #[must_use]
    pub fn import_phase(&self) -> usize {
        match self {
            Self::AdoptBlock { .. } => 1,
            Self::Befriend { .. } | Self::Block { .. } | Self::AdoptFriend { .. } => 2,
            Self::AdoptRequest { .. } => 3,
            _ => 0,
        }
    }

    /// The number of places that [`Command::import_phase`] returns.
    pub const IMPORT_PHASES: usize = 4;
}

/// A row as it stands after a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A profile that was made or changed.
    Profile(Arc<Profile>),
    /// A profile that was deleted.
    Gone {
        /// The profile's account.
        account: Account,
        /// The version of the deletion.
        version: u64,
    },
    /// An edge that was made, changed or removed.
    Edge(Edge),
    /// A request that was made or closed.
    Request(Request),
    /// A block that was made or ended.
    Block {
        /// The block.
        block: Block,
        /// If the block was made: the owner's profile at that time, which the peer sees from now on.
        frozen: Option<Arc<Profile>>,
    },
    /// What an account chose about its presence.
    Presence {
        /// The account.
        account: Account,
        /// What it chose.
        chosen: ChosenPresence,
        /// When it began to hide or to show itself, if it did so with this.
        turned: Option<Millis>,
    },
    /// The stored facts about an account's tokens.
    Credential {
        /// The tokens' account.
        account: Account,
        /// All of the facts.
        credential: Credential,
    },
}

/// An account as a store holds it: its profile, and what decides which sessions receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The profile.
    pub profile: Arc<Profile>,
    /// What it chose about its presence.
    pub chosen: ChosenPresence,
    /// When friends saw it last, or saw it come online; 0 if it never was.
    pub last_seen: Millis,
    /// The blocks it owns, without those that ended.
    pub blocks: Vec<Block>,
    /// Whether it owns others that were not read.
    pub has_more_blocks: bool,
    /// The blocks that ended, and after which the peer still sees the account otherwise than others do.
    pub ended: Vec<Block>,
}

/// An account that friends saw online, as a store noted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineAccount {
    /// The account.
    pub account: Account,
    /// What it chose about its presence.
    pub chosen: ChosenPresence,
    /// When it came online.
    pub last_seen: Millis,
    /// Its blocks, ended ones included, whose peer has a view of its own and sees it online.
    pub blocks: Vec<Block>,
}

/// A committed write, as it is in the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position in commit order.
    pub revision: Revision,
    /// When it was decided, by the clock of the store.
    pub time: Millis,
    /// Who asked for it.
    pub origin: WriteOrigin,
    /// What it was.
    pub cause: Cause,
    /// The rows that it wrote, each at most once.
    pub rows: Vec<Row>,
    /// The version that each row replaced, in their order; 0 where there was none, where rows have no versions, and for the
    /// edges of others when an account is deleted.
    pub replaced: Vec<Revision>,
}

/// The effect of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something new was made.
    Created,
    /// Something was changed or removed.
    Changed,
    /// Everything was so already: no version, no revision and no push.
    Unchanged,
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The effect.
    pub outcome: Outcome,
    /// The profile after [`Command::SetProfile`].
    pub profile: Option<Arc<Profile>>,
}
