//! The lines around the records of a snapshot or an export, and the keys of its records.

use std::borrow::Cow;

use rosterd_engine::model::Command;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The numbers of records, as the last line says them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words say it")]
pub struct RecordCounts {
    #[serde(default)]
    pub users: u64,
    #[serde(default)]
    pub friends: u64,
    #[serde(default)]
    pub requests: u64,
    #[serde(default)]
    pub blocks: u64,
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub credentials: u64,
}

impl RecordCounts {
    /// Counts a record.
    pub fn add(&mut self, kind: RecordKind) {
        *match kind {
            RecordKind::User => &mut self.users,
            RecordKind::Friend => &mut self.friends,
            RecordKind::Request => &mut self.requests,
            RecordKind::Block => &mut self.blocks,
            RecordKind::Credential => &mut self.credentials,
        } += 1;
    }

    /// Returns how many records there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.users + self.friends + self.requests + self.blocks + self.credentials
    }
}

/// The kinds of records, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words say it")]
pub enum RecordKind {
    User,
    Friend,
    Request,
    Block,
    Credential,
}

impl RecordKind {
    /// Returns the kind of record that a line of an import was, if it was one of an export.
    #[must_use]
    pub fn of(command: &Command) -> Option<Self> {
        match command {
            Command::SetProfile { .. } | Command::AdoptUser { .. } => Some(Self::User),
            Command::AdoptFriend { .. } => Some(Self::Friend),
            Command::AdoptRequest { .. } => Some(Self::Request),
            Command::AdoptBlock { .. } => Some(Self::Block),
            Command::AdoptCredential { .. } => Some(Self::Credential),
            _ => None,
        }
    }
}

/// Which record a line holds. Keys are in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey {
    /// Its kind.
    pub kind: RecordKind,
    /// The account, the owner or the sender.
    pub first: Box<str>,
    /// The peer or the receiver; empty if it is about one account.
    pub second: Box<str>,
}

impl RecordKey {
    /// Makes a key.
    #[must_use]
    pub fn new(kind: RecordKind, first: &str, second: &str) -> Self {
        Self { kind, first: first.into(), second: second.into() }
    }
}

/// A line of a snapshot or an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveLine {
    /// The first, with the position from which the feed can be followed, if a change log is kept.
    Begin(Option<String>),
    /// A record, with its version.
    Record(RecordKey, u64),
    /// The last.
    End(RecordCounts),
}

/// Reads what a line is, without checking all of a record; `None` if it is none of a snapshot.
#[must_use]
pub fn archive_line(line: &str) -> Option<ArchiveLine> {
    #[derive(Deserialize)]
    struct AnyLine<'a> {
        #[serde(borrow)]
        snapshot: Option<&'a RawValue>,
        #[serde(borrow)]
        user: Option<&'a RawValue>,
        #[serde(borrow)]
        friend: Option<&'a RawValue>,
        #[serde(borrow)]
        request: Option<&'a RawValue>,
        #[serde(borrow)]
        block: Option<&'a RawValue>,
        #[serde(borrow)]
        end: Option<&'a RawValue>,
    }
    let record = |kind, first: &str, second: &str, version| {
        Some(ArchiveLine::Record(RecordKey::new(kind, first, second), version))
    };
    let pair = |kind, body| {
        let OwnerKey { owner, peer, version } = object(body)?;
        record(kind, &owner, &peer, version)
    };
    match serde_json::from_str(line).ok()? {
        AnyLine { user: Some(body), .. } => {
            let OneKey { account, version } = object(body)?;
            record(RecordKind::User, &account, "", version)
        }
        AnyLine { friend: Some(body), .. } => pair(RecordKind::Friend, body),
        AnyLine { request: Some(body), .. } => {
            let SenderKey { sender, receiver, version } = object(body)?;
            record(RecordKind::Request, &sender, &receiver, version)
        }
        AnyLine { block: Some(body), .. } => pair(RecordKind::Block, body),
        AnyLine { snapshot: Some(body), .. } => {
            object::<BeginLine>(body).map(|begin| ArchiveLine::Begin(begin.position))
        }
        AnyLine { end: Some(body), .. } => object(body).map(ArchiveLine::End),
        _ => None,
    }
}

/// Reads an object; serde would also take a list, by position.
fn object<'a, T: Deserialize<'a>>(body: &'a RawValue) -> Option<T> {
    body.get().starts_with('{').then(|| serde_json::from_str(body.get()).ok())?
}

#[derive(Deserialize)]
struct BeginLine {
    position: Option<String>,
}

#[derive(Deserialize)]
struct OneKey<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(default)]
    version: u64,
}

#[derive(Deserialize)]
struct OwnerKey<'a> {
    #[serde(borrow)]
    owner: Cow<'a, str>,
    #[serde(borrow)]
    peer: Cow<'a, str>,
    #[serde(default)]
    version: u64,
}

#[derive(Deserialize)]
struct SenderKey<'a> {
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    receiver: Cow<'a, str>,
    #[serde(default)]
    version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_by_its_key() {
        let key = |kind, first, second| RecordKey::new(kind, first, second);
        for (line, expected) in [
            (
                r#"{"snapshot":{"position":"x-1-0","rosterd":1,"time":5}}"#,
                Some(ArchiveLine::Begin(Some("x-1-0".into()))),
            ),
            (r#"{"snapshot":{"rosterd":1}}"#, Some(ArchiveLine::Begin(None))),
            (
                r#"{"user":{"account":"a","nick":"\u0000","version":7}}"#,
                Some(ArchiveLine::Record(key(RecordKind::User, "a", ""), 7)),
            ),
            (
                r#"{"friend":{"owner":"a","peer":"b","version":8}}"#,
                Some(ArchiveLine::Record(key(RecordKind::Friend, "a", "b"), 8)),
            ),
            (
                r#"{"request":{"sender":"a","receiver":"b","version":9}}"#,
                Some(ArchiveLine::Record(key(RecordKind::Request, "a", "b"), 9)),
            ),
            (
                r#"{"end":{"users":1,"friends":2,"requests":3,"blocks":4}}"#,
                Some(ArchiveLine::End(RecordCounts { users: 1, friends: 2, requests: 3, blocks: 4, credentials: 0 })),
            ),
            (r#"{"friendship":["a","b"]}"#, None),
            (r#"{"block":["a","b"]}"#, None),
            (r#"{"user":{"acc"#, None),
        ] {
            assert_eq!(archive_line(line), expected, "{line}");
        }
        assert!(key(RecordKind::User, "z", "") < key(RecordKind::Friend, "a", "b"));
        assert!(key(RecordKind::Friend, "a", "b") < key(RecordKind::Friend, "a", "c"));
    }
}
