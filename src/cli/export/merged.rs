//! Merges changes into the lines of a snapshot in passing: both are in the order of their records' keys.

use std::collections::{HashMap, btree_map};
use std::iter::Peekable;

use serde_json::Value;

use super::missed_changes::{MissedChanges, Newest};
use crate::cli::CliError;
use rosterd_protocol::{ArchiveLine, RecordCounts, RecordKey, archive_line};

/// The records of a snapshot as they are after the changes, one after the other.
pub(super) struct Merged<W> {
    /// Those that are later than what was merged.
    changes: Peekable<btree_map::IntoIter<RecordKey, Newest>>,
    /// The versions of deletions, which end all relations of the account.
    deleted: HashMap<String, u64>,
    counts: RecordCounts,
    write: W,
}

impl<W: FnMut(&str) -> Result<(), CliError>> Merged<W> {
    /// Begins to give lines to `write`.
    pub(super) fn new(changes: MissedChanges, write: W) -> Self {
        let MissedChanges { records, deleted } = changes;
        Self { changes: records.into_iter().peekable(), deleted, counts: RecordCounts::default(), write }
    }

    /// The records that were written.
    pub(super) fn counts(&self) -> RecordCounts {
        self.counts
    }

    /// Takes the next line of the snapshot.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CliError> {
        let Some(ArchiveLine::Record(key, version)) = archive_line(line) else {
            return (self.write)(line);
        };
        while let Some((earlier, newest)) = self.changes.next_if(|(changed, _)| *changed < key) {
            self.put(&earlier, newest)?;
        }
        match self.changes.next_if(|(changed, _)| *changed == key) {
            Some((_, (newer, record))) if newer > version => self.put(&key, (newer, with_presence(record, line))),
            _ if self.is_gone(&key, version) => Ok(()),
            _ => self.record(&key, line),
        }
    }

    /// Writes what comes after the last line, and returns the numbers of all records.
    pub(super) fn finish(mut self) -> Result<RecordCounts, CliError> {
        while let Some((later, newest)) = self.changes.next() {
            self.put(&later, newest)?;
        }
        Ok(self.counts)
    }

    fn put(&mut self, key: &RecordKey, (version, record): Newest) -> Result<(), CliError> {
        match record {
            Some(record) if !self.is_gone(key, version) => self.record(key, &record.to_string()),
            _ => Ok(()),
        }
    }

    fn record(&mut self, key: &RecordKey, line: &str) -> Result<(), CliError> {
        self.counts.add(key.kind);
        (self.write)(line)
    }

    /// Whether it ended with a later deletion of one of its accounts.
    fn is_gone(&self, key: &RecordKey, version: u64) -> bool {
        [&key.first, &key.second]
            .into_iter()
            .any(|account| self.deleted.get(&**account).is_some_and(|at| version < *at))
    }
}

/// Adds what is in no event to a user's record: how friends see the account.
fn with_presence(record: Option<Value>, line: &str) -> Option<Value> {
    let mut record = record?;
    let held: Value = serde_json::from_str(line).unwrap_or_default();
    if let (Some(user), Some(held)) = (record["user"].as_object_mut(), held["user"].as_object()) {
        for name in ["invisible", "lastSeen"] {
            user.extend(held.get(name).map(|value| (name.to_owned(), value.clone())));
        }
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::super::draft::Draft;
    use super::*;
    use serde_json::json;

    fn merged(lines: &[Value], events: &[Value]) -> (Vec<Value>, RecordCounts) {
        let mut changes = MissedChanges::default();
        for event in events {
            changes.event(event);
        }
        let mut written = Vec::new();
        let mut merged = Merged::new(changes, |line: &str| {
            written.push(serde_json::from_str(line).expect("a line of JSON"));
            Ok(())
        });
        let mut draft = Draft::new(tempfile::NamedTempFile::new().unwrap());
        for line in lines {
            draft.line(&line.to_string()).unwrap();
        }
        draft.read(|line| merged.line(line)).unwrap();
        let counts = merged.finish().unwrap();
        (written, counts)
    }

    fn user(account: &str, version: u64) -> Value {
        json!({"user": {"account": account, "version": version}})
    }

    fn friend(owner: &str, peer: &str, version: u64) -> Value {
        json!({"friend": {"owner": owner, "peer": peer, "version": version}})
    }

    fn event(kind: &str, data: &Value) -> Value {
        json!({"type": kind, "data": data})
    }

    #[test]
    fn the_newer_version_of_a_record_stays_and_new_ones_come_in_their_place() {
        let held = json!({"user": {"account": "c", "version": 3, "invisible": true, "lastSeen": 5}});
        let lines = [user("a", 1), held, user("d", 9), friend("a", "d", 4), friend("d", "a", 4)];
        let edges =
            json!({"edges": [{"owner": "a", "peer": "d", "version": 7}, {"owner": "d", "peer": "a", "version": 7}]});
        let events = [
            event("user.created", &user("b", 5)),
            event("user.updated", &user("c", 6)),
            event("friend.removed", &edges),
            // This one was read after it happened.
            event("user.updated", &user("d", 8)),
            event(
                "request.created",
                &json!({"request": {"sender": "b", "receiver": "a", "state": "open", "version": 9}}),
            ),
            event(
                "request.cancelled",
                &json!({"request": {"sender": "a", "receiver": "b", "state": "cancelled", "version": 9}}),
            ),
            event("tokens.revoked", &json!({"account": "a", "before": 1})),
        ];
        let (lines, counts) = merged(&lines, &events);
        let c = json!({"user": {"account": "c", "version": 6, "invisible": true, "lastSeen": 5}});
        let request = json!({"request": {"sender": "b", "receiver": "a", "state": "open", "version": 9}});
        assert_eq!(lines, [user("a", 1), user("b", 5), c, user("d", 9), request]);
        assert_eq!(counts, RecordCounts { users: 4, requests: 1, ..RecordCounts::default() });
    }

    #[test]
    fn a_deletion_takes_the_relations_before_it_and_not_those_of_a_later_account_of_the_name() {
        let lines = [user("a", 1), user("b", 2), friend("a", "b", 3), friend("b", "a", 3)];
        let block = |version: u64| json!({"block": {"owner": "b", "peer": "a", "version": version}});
        let deleted = [event("block.added", &block(4)), event("user.deleted", &json!({"account": "a", "version": 5}))];
        assert_eq!(merged(&lines, &deleted).0, [user("b", 2)]);
        let again = [&deleted[..], &[event("user.created", &user("a", 6)), event("block.added", &block(7))]].concat();
        assert_eq!(merged(&lines, &again).0, [user("a", 6), user("b", 2), block(7)]);
    }
}
