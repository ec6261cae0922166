//! Brings what was exported to one moment: what the events say that was changed meanwhile.
//!
//! Only the changes are in memory. A snapshot is in the order of its records' keys, so they are merged into it in passing.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::export_file::ExportFile;
use crate::cli::CliError;
use rosterd_protocol::{ArchiveLine, RecordCounts, RecordKey, RecordKind, archive_line};

/// What became of a record: its version, and the record unless it is gone.
type Newest = (u64, Option<Value>);

/// The changes, each record with its newest version.
#[derive(Default)]
pub(super) struct MissedChanges {
    records: BTreeMap<RecordKey, Newest>,
    /// The versions of deletions, which end all relations of the account.
    deleted: HashMap<String, u64>,
}

impl MissedChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.deleted.is_empty()
    }

    /// Takes an event of the feed, which come in order.
    pub(super) fn event(&mut self, event: &Value) {
        let data = &event["data"];
        match event["type"].as_str().unwrap_or_default() {
            "user.created" | "user.updated" => self.put(RecordKind::User, "user", &data["user"], true),
            "user.deleted" => {
                let account = data["account"].as_str().unwrap_or_default();
                let version = data["version"].as_u64().unwrap_or_default();
                self.deleted.insert(account.to_owned(), version);
                self.put(RecordKind::User, "user", &json!({"account": account, "version": version}), false);
            }
            kind @ ("friend.added" | "friend.removed") => {
                for edge in data["edges"].as_array().into_iter().flatten() {
                    let mut edge = edge.clone();
                    // The event of a friendship has notes only if there are any.
                    for note in ["alias", "custom"].into_iter().filter(|_| kind == "friend.added") {
                        if edge[note].is_null() {
                            edge[note] = "".into();
                        }
                    }
                    self.put(RecordKind::Friend, "friend", &edge, kind == "friend.added");
                }
            }
            "friend.updated" => self.put(RecordKind::Friend, "friend", &data["edge"], true),
            kind if kind.starts_with("request.") => {
                let request = &data["request"];
                self.put(RecordKind::Request, "request", request, request["state"] == "open");
            }
            kind if kind.starts_with("block.") => {
                self.put(RecordKind::Block, "block", &data["block"], kind == "block.added");
            }
            _ => {}
        }
    }

    fn put(&mut self, kind: RecordKind, name: &str, record: &Value, is_there: bool) {
        let (first, second) = match kind {
            RecordKind::User | RecordKind::Credential => ("account", ""),
            RecordKind::Friend | RecordKind::Block => ("owner", "peer"),
            RecordKind::Request => ("sender", "receiver"),
        };
        let [first, second] = [first, second].map(|field| record[field].as_str().unwrap_or_default());
        let version = record["version"].as_u64().unwrap_or_default();
        let newest = is_there.then(|| json!({name: record}));
        self.records.insert(RecordKey::new(kind, first, second), (version, newest));
    }

    /// Writes the records of `from` as they are after the changes, and returns their numbers.
    pub(super) fn merge(self, from: &mut ExportFile, to: &mut ExportFile) -> Result<RecordCounts, CliError> {
        let Self { records, deleted } = self;
        let is_gone = |key: &RecordKey, version: u64| {
            [&key.first, &key.second].into_iter().any(|account| deleted.get(&**account).is_some_and(|at| version < *at))
        };
        let mut merged = Merged { to, counts: RecordCounts::default() };
        let mut changes = records.into_iter().filter(|(key, (version, _))| !is_gone(key, *version)).peekable();
        for line in from.lines()? {
            let line = line.map_err(CliError::of)?;
            let Some(ArchiveLine::Record(key, version)) = archive_line(&line) else {
                merged.to.line(&line)?;
                continue;
            };
            while let Some((earlier, (_, record))) = changes.next_if(|(changed, _)| *changed < key) {
                merged.put(&earlier, record)?;
            }
            match changes.next_if(|(changed, _)| *changed == key) {
                Some((_, (newer, record))) if newer > version => merged.put(&key, with_presence(record, &line))?,
                _ if is_gone(&key, version) => {}
                _ => merged.record(&key, &line)?,
            }
        }
        for (later, (_, record)) in changes {
            merged.put(&later, record)?;
        }
        Ok(merged.counts)
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

/// Where merged records go.
struct Merged<'a> {
    to: &'a mut ExportFile,
    counts: RecordCounts,
}

impl Merged<'_> {
    fn put(&mut self, key: &RecordKey, record: Option<Value>) -> Result<(), CliError> {
        record.map_or(Ok(()), |record| self.record(key, &record.to_string()))
    }

    fn record(&mut self, key: &RecordKey, line: &str) -> Result<(), CliError> {
        self.counts.add(key.kind);
        self.to.line(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn merged(lines: &[Value], events: &[Value]) -> (Vec<Value>, RecordCounts) {
        let mut from = ExportFile::create(Path::new("-")).unwrap();
        for line in lines {
            from.line(&line.to_string()).unwrap();
        }
        let mut changes = MissedChanges::default();
        for event in events {
            changes.event(event);
        }
        let mut to = from.another().unwrap();
        let counts = changes.merge(&mut from, &mut to).unwrap();
        (to.lines().unwrap().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect(), counts)
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
