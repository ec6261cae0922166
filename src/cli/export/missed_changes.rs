//! What the events say that was changed while a snapshot was read. Only these changes are in memory.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use rosterd_protocol::{RecordKey, RecordKind};

/// What became of a record: its version, and the record unless it is gone.
pub(super) type Newest = (u64, Option<Value>);

/// The changes, each record with its newest version.
#[derive(Default)]
pub(super) struct MissedChanges {
    pub(super) records: BTreeMap<RecordKey, Newest>,
    /// The versions of deletions, which end all relations of the account.
    pub(super) deleted: HashMap<String, u64>,
}

impl MissedChanges {
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
}
