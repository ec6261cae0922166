//! The records of a snapshot or an export, as JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::events::{BlockRecord, EdgeRecord, EventFields, RequestRecord, UserRecord};
use rosterd_engine::model::{Account, Block, Credential, Edge, Profile, Request, StaticToken};
use rosterd_engine::sync::decide::StoredPresence;

/// A record of a snapshot or an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRow {
    /// A profile, and how friends see the account.
    User(Arc<Profile>, StoredPresence),
    /// One direction of a friendship.
    Friend(Edge),
    /// An open request, and whether the receiver, who blocks the sender, does not see it.
    Request(Request, bool),
    /// A block, and the profile that the peer sees.
    Block(Block, Option<Arc<Profile>>),
    /// What is kept about an account's tokens; only in an export.
    Credential(Account, Credential),
}

impl SnapshotRow {
    /// Returns the two accounts that it is between; an account has an empty second one.
    #[must_use]
    pub fn key(&self) -> (Account, Account) {
        let (one, other) = match self {
            Self::User(profile, _) => (&profile.account, None),
            Self::Friend(edge) => (&edge.owner, Some(&edge.peer)),
            Self::Request(request, _) => (&request.sender, Some(&request.receiver)),
            Self::Block(block, _) => (&block.owner, Some(&block.peer)),
            Self::Credential(account, _) => (account, None),
        };
        (one.clone(), other.cloned().unwrap_or_else(Account::none))
    }
}

/// Encodes a record as a line of a snapshot.
///
/// # Panics
/// Never: a record is plain data.
#[must_use]
pub fn snapshot_json(row: &SnapshotRow, fields: &EventFields) -> String {
    serde_json::to_string(&SnapshotLine(row, fields)).expect("a record is plain data")
}

struct SnapshotLine<'a>(&'a SnapshotRow, &'a EventFields);

impl Serialize for SnapshotLine<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(row, fields) = self;
        let mut line = to.serialize_map(Some(1))?;
        match row {
            SnapshotRow::User(profile, presence) => {
                line.serialize_entry("user", &UserRecord { profile, presence: Some(presence), fields })?;
            }
            SnapshotRow::Friend(edge) => line.serialize_entry("friend", &EdgeRecord { edge, fields: Some(fields) })?,
            SnapshotRow::Request(request, hidden) => {
                line.serialize_entry("request", &RequestRecord { request, hidden: *hidden, fields })?;
            }
            SnapshotRow::Block(block, frozen) => {
                let seen = Some((frozen.as_deref(), *fields));
                line.serialize_entry("block", &BlockRecord { block, seen })?;
            }
            SnapshotRow::Credential(account, credential) => {
                line.serialize_entry("credential", &CredentialRecord(account, credential))?;
            }
        }
        line.end()
    }
}

/// What is kept about an account's tokens.
struct CredentialRecord<'a>(&'a Account, &'a Credential);

impl Serialize for CredentialRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(account, Credential { revoked_before, token }) = self;
        let mut record = to.serialize_map(None)?;
        record.serialize_entry("account", account.as_str())?;
        record.serialize_entry("revokedBefore", revoked_before)?;
        if let Some(StaticToken { hash, issued }) = token {
            let (salt, hash) = (hex(&hash.salt), hex(&hash.hash));
            record.serialize_entry("token", &serde_json::json!({"salt": salt, "hash": hash, "issued": issued}))?;
        }
        record.end()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
