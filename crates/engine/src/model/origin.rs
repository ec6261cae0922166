//! Who asked for a write, and what it was: kept with every change, for those who read the change log.

use std::borrow::Cow;
use std::sync::Arc;

use super::SessionId;

/// Who asked for a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOrigin {
    /// A client. Its session receives an answer instead of a push.
    Client(SessionId),
    /// A login with a good token, which made the account that it names.
    Login,
    /// The backend, by the name of its API key.
    Key(Arc<str>),
    /// An import straight into the store.
    Import,
    /// An import through the server API, by the name of its key.
    KeyImport(Arc<str>),
    /// The age of a request.
    Expiry,
    /// Other settings.
    Settings,
}

impl WriteOrigin {
    /// Returns the session that asked, if one did.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Client(session) => Some(*session),
            _ => None,
        }
    }
}

/// The names of changed fields, in the order of the fields.
pub type ChangedFields = Vec<Cow<'static, str>>;

/// What a change was, as far as its rows do not say it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Cause {
    UserCreated,
    UserUpdated(ChangedFields),
    UserDeleted,
    FriendAdded(Added),
    FriendRemoved,
    FriendUpdated(ChangedFields),
    RequestCreated,
    RequestAccepted,
    RequestRejected,
    RequestCancelled,
    RequestExpired,
    BlockAdded,
    BlockRemoved,
    TokensRevoked,
    TokenSet,
    TokenRemoved,
    PresenceSet,
    /// Who sees what was changed for all profiles. That is no event.
    ViewsMoved,
}

/// How two accounts became friends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Added {
    /// One of them added the other.
    Direct,
    /// Each asked the other.
    Request,
    /// The backend or an import made them friends.
    Backend,
}
