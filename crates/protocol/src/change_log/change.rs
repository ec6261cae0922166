//! The changes themselves: who asked for them, and what they were.

use prost::Message;

use super::malformed::MalformedChange;
use super::rows::{leave_out, put_back};
use crate::feed_v1 as log;
use rosterd_engine::model::{
    Added, Cause, Change, ChangedFields, LastChange, LoggedChange, Revision, SessionId, WriteOrigin,
};

/// The tag of a change in `Changes`: field 1, with its length.
const CHANGES: u8 = 1 << 3 | 2;
/// The bytes that a change usually takes.
const USUAL: usize = 192;

/// Encodes changes.
///
/// The frozen profile of a block and the hash of a token are left out.
#[must_use]
pub fn encode_changes(changes: &[Change]) -> Vec<u8> {
    in_a_row(changes.iter().map(|change| encoded(change, false)))
}

/// Encodes changes that were in a log.
#[must_use]
pub fn encode_logged(changes: &[LoggedChange]) -> Vec<u8> {
    in_a_row(changes.iter().map(|logged| encoded(&logged.change, logged.erased)))
}

/// Encodes changes as `Changes`, one after the other: a message that holds all of them would be built for nothing.
fn in_a_row(changes: impl ExactSizeIterator<Item = log::Change>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL * changes.len());
    for change in changes {
        bytes.push(CHANGES);
        // A vector takes any number of bytes.
        let _ = change.encode_length_delimited(&mut bytes);
    }
    bytes
}

/// Decodes what was encoded.
///
/// # Errors
/// The bytes are something else.
pub fn decode_changes(bytes: &[u8]) -> Result<Vec<LoggedChange>, MalformedChange> {
    let log::Changes { changes } = log::Changes::decode(bytes).map_err(|_| MalformedChange)?;
    changes.into_iter().map(decoded).collect()
}

fn encoded(change: &Change, erased: bool) -> log::Change {
    let last = LastChange { version: change.revision, time: change.time };
    let rows = change.rows.iter().zip(&change.replaced).map(|(row, replaced)| {
        let mut row = row.into();
        leave_out(&mut row, last);
        log::Row { replaced: *replaced, row: Some(row) }
    });
    log::Change {
        revision: change.revision,
        time: change.time,
        origin: Some((&change.origin).into()),
        cause: Some((&change.cause).into()),
        rows: rows.collect(),
        erased,
    }
}

fn decoded(change: log::Change) -> Result<LoggedChange, MalformedChange> {
    let mut rows = Vec::with_capacity(change.rows.len());
    let mut replaced: Vec<Revision> = Vec::with_capacity(change.rows.len());
    let last = LastChange { version: change.revision, time: change.time };
    for row in change.rows {
        replaced.push(row.replaced);
        let mut row = row.row.ok_or(MalformedChange)?;
        put_back(&mut row, last);
        rows.push(row.try_into()?);
    }
    let erased = change.erased;
    let change = Change {
        revision: change.revision,
        time: change.time,
        origin: change.origin.ok_or(MalformedChange)?.try_into()?,
        cause: change.cause.ok_or(MalformedChange)?.try_into()?,
        rows,
        replaced,
    };
    Ok(LoggedChange { change, erased })
}

impl From<&WriteOrigin> for log::Origin {
    fn from(origin: &WriteOrigin) -> Self {
        let of = |kind: log::OriginKind| Self { kind: kind as i32, ..Self::default() };
        match origin {
            WriteOrigin::Client(session) => Self { session: session.0, ..of(log::OriginKind::Client) },
            WriteOrigin::Login => of(log::OriginKind::Login),
            WriteOrigin::Key(name) => Self { key: name.to_string(), ..of(log::OriginKind::Key) },
            WriteOrigin::Import => of(log::OriginKind::Import),
            WriteOrigin::KeyImport(name) => Self { key: name.to_string(), ..of(log::OriginKind::Import) },
            WriteOrigin::Expiry => of(log::OriginKind::Expiry),
            WriteOrigin::Settings => of(log::OriginKind::Settings),
        }
    }
}

impl TryFrom<log::Origin> for WriteOrigin {
    type Error = MalformedChange;

    fn try_from(origin: log::Origin) -> Result<Self, MalformedChange> {
        Ok(match log::OriginKind::try_from(origin.kind).map_err(|_| MalformedChange)? {
            log::OriginKind::Client => Self::Client(SessionId(origin.session)),
            log::OriginKind::Login => Self::Login,
            log::OriginKind::Key => Self::Key(origin.key.into()),
            log::OriginKind::Import if origin.key.is_empty() => Self::Import,
            log::OriginKind::Import => Self::KeyImport(origin.key.into()),
            log::OriginKind::Expiry => Self::Expiry,
            log::OriginKind::Settings => Self::Settings,
        })
    }
}

impl From<&Cause> for log::Cause {
    fn from(cause: &Cause) -> Self {
        use log::CauseKind as Kind;
        let mut of = Self::default();
        let kind = match cause {
            Cause::UserCreated => Kind::UserCreated,
            Cause::UserUpdated(fields) => {
                of.changed = fields.iter().map(ToString::to_string).collect();
                Kind::UserUpdated
            }
            Cause::UserDeleted => Kind::UserDeleted,
            Cause::FriendAdded(added) => {
                of.added = match added {
                    Added::Direct => log::Added::Direct,
                    Added::Request => log::Added::Request,
                    Added::Backend => log::Added::Backend,
                } as i32;
                Kind::FriendAdded
            }
            Cause::FriendRemoved => Kind::FriendRemoved,
            Cause::FriendUpdated(fields) => {
                of.changed = fields.iter().map(ToString::to_string).collect();
                Kind::FriendUpdated
            }
            Cause::RequestCreated => Kind::RequestCreated,
            Cause::RequestAccepted => Kind::RequestAccepted,
            Cause::RequestRejected => Kind::RequestRejected,
            Cause::RequestCancelled => Kind::RequestCancelled,
            Cause::RequestExpired => Kind::RequestExpired,
            Cause::BlockAdded => Kind::BlockAdded,
            Cause::BlockRemoved => Kind::BlockRemoved,
            Cause::TokensRevoked => Kind::TokensRevoked,
            Cause::TokenSet => Kind::TokenSet,
            Cause::TokenRemoved => Kind::TokenRemoved,
            Cause::PresenceSet => Kind::InvisibleSet,
            Cause::ViewsMoved => Kind::ViewsMoved,
        };
        Self { kind: kind as i32, ..of }
    }
}

impl TryFrom<log::Cause> for Cause {
    type Error = MalformedChange;

    fn try_from(cause: log::Cause) -> Result<Self, MalformedChange> {
        use log::CauseKind as Kind;
        let fields = |changed: Vec<String>| -> ChangedFields { changed.into_iter().map(Into::into).collect() };
        Ok(match Kind::try_from(cause.kind).map_err(|_| MalformedChange)? {
            Kind::UserCreated => Self::UserCreated,
            Kind::UserUpdated => Self::UserUpdated(fields(cause.changed)),
            Kind::UserDeleted => Self::UserDeleted,
            Kind::FriendAdded => {
                Self::FriendAdded(match log::Added::try_from(cause.added).map_err(|_| MalformedChange)? {
                    log::Added::Direct => Added::Direct,
                    log::Added::Request => Added::Request,
                    log::Added::Backend => Added::Backend,
                })
            }
            Kind::FriendRemoved => Self::FriendRemoved,
            Kind::FriendUpdated => Self::FriendUpdated(fields(cause.changed)),
            Kind::RequestCreated => Self::RequestCreated,
            Kind::RequestAccepted => Self::RequestAccepted,
            Kind::RequestRejected => Self::RequestRejected,
            Kind::RequestCancelled => Self::RequestCancelled,
            Kind::RequestExpired => Self::RequestExpired,
            Kind::BlockAdded => Self::BlockAdded,
            Kind::BlockRemoved => Self::BlockRemoved,
            Kind::TokensRevoked => Self::TokensRevoked,
            Kind::TokenSet => Self::TokenSet,
            Kind::TokenRemoved => Self::TokenRemoved,
            Kind::InvisibleSet => Self::PresenceSet,
            Kind::ViewsMoved => Self::ViewsMoved,
        })
    }
}
