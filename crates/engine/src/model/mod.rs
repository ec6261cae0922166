//! The vocabulary of all crates: accounts, profiles, friends, requests, blocks, cursors, changes, errors, close codes.
//!
//! Pure data and its rules: no I/O, no clock, no randomness. One concept has one name:
//! *account* a user's id · *profile* the user's fields · *own field* one that the operator added to all profiles · *view* the part of a profile that an audience sees ·
//! *edge* "owner lists peer" · *request* "sender asks receiver" · *block* "owner blocks peer" · *session* one logged-in
//! connection · *watcher* a session interested in an account · *change* one committed write · *revision* its
//! position in commit order · *node* one gateway of several · *watermark* the revision up to which every watcher of each change has been marked ·
//! *cursor* epoch and watermark, given to a client · *outbox* the dirty marks of one session, flushed later.

mod account;
mod audience;
mod change;
mod credential;
mod cursor;
mod device_kind;
mod error;
mod feed_position;
mod field_writer;
mod gender;
pub mod limits;
mod logged_change;
mod muted;
mod node;
mod origin;
mod own_fields;
mod own_schema;
mod presence;
mod profile;
mod profile_fields;
mod relation;
mod sessions_policy;
mod visibility;
mod write_rights;

pub use account::Account;
pub use audience::Audience;
pub use change::{Answer, Change, Command, OnlineAccount, Outcome, Row, User};
pub use credential::{Credential, StaticToken, TokenHash};
pub use cursor::{Cursor, Epoch, Lineage, SessionId};
pub use device_kind::DeviceKind;
pub use error::{CloseReason, Reason, RequestError};
pub use feed_position::FeedPosition;
pub use field_writer::FieldWriter;
pub use gender::Gender;
pub use logged_change::{LogHistory, LoggedChange};
pub use muted::Muted;
pub use node::NodeId;
pub use origin::{Added, Cause, ChangedFields, WriteOrigin};
pub use own_fields::{OWN_PREFIX, OwnChanges, OwnFields, OwnValue};
pub use own_schema::{OwnField, OwnKind, OwnSchema, nearest};
pub use presence::{ChosenPresence, GivenStatus, NumberedPresence, PresenceChange, SeenPresence, Status};
pub use profile::{Fields, LastChange, Patch, Profile, TextLimits};
pub use relation::{
    Block, Edge, FriendUpdate, FriendsPolicy, ListedEdge, Request, RequestSide, RequestState, SeenChanges,
};
pub use sessions_policy::SessionsPolicy;
pub use visibility::{RulesChange, Visibility};
pub use write_rights::WriteRights;

/// A change's position in commit order; the first is 1. Below 2^53, so that JSON numbers hold it.
pub type Revision = u64;

/// Counts the presence transitions of a store, as friends see them. An account has the number of its last one.
pub type SeenNumber = u64;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;
