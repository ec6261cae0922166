//! A backend that follows the feed of changes all along, through every fault, from a position of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::Method;
use parking_lot::Mutex;
use rosterd_client::Backend;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::API_KEY;
use crate::truth::Truth;

/// How long a follower waits before it tries again, and how often its state is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(10);
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);
const FIELDS: &str = "nick,alias";

/// A version, and the nick or alias that came with it.
type Held = (u64, String);

/// What it has, from the snapshot and the events since.
#[derive(Debug, Default)]
struct Copy {
    position: Option<String>,
    users: BTreeMap<String, Held>,
    edges: BTreeMap<(String, String), Held>,
    /// The change and the number of the last event.
    last: (u64, u64),
    events: u64,
    /// How many answers broke off.
    broken: u64,
}

/// A follower, and the task that reads for it.
pub struct Follower {
    copy: Arc<Mutex<Copy>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow the gateway whose server API is at the address, while there is one.
    pub fn begin(address: watch::Receiver<Option<SocketAddr>>) -> Self {
        let copy = Arc::new(Mutex::default());
        Self { task: tokio::spawn(follow(address, copy.clone())), copy }
    }

    /// Waits until it has everything up to a position, and compares it with what the store holds.
    pub async fn agrees(&self, head: &str, truth: &Truth) {
        let reached = timeout(PATIENCE, async {
            while self.copy.lock().position.as_deref() != Some(head) {
                assert!(!self.task.is_finished(), "the follower ended; why stands above");
                sleep(LOOK).await;
            }
        });
        assert!(reached.await.is_ok(), "{:?} was not reached, but {:?}", head, self.copy.lock().position);
        let copy = self.copy.lock();
        let users = truth.users.iter().map(|(account, user)| (account.clone(), (user.version, user.nick.clone())));
        assert_eq!(copy.users, users.collect(), "the users of a backend that follows the feed");
        let edges = truth.friends.iter().flat_map(|(owner, friends)| {
            friends.iter().map(|(peer, friend)| ((owner.clone(), peer.clone()), (friend.version, friend.alias.clone())))
        });
        assert_eq!(copy.edges, edges.collect(), "the friends of a backend that follows the feed");
    }

    /// How many events it has had, and how many answers broke off.
    pub fn figures(&self) -> (u64, u64) {
        let copy = self.copy.lock();
        (copy.events, copy.broken)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(mut address: watch::Receiver<Option<SocketAddr>>, copy: Arc<Mutex<Copy>>) {
    loop {
        let Ok(ops) = address.wait_for(Option::is_some).await.map(|ops| ops.unwrap()) else { return };
        if let Ok(mut backend) = Backend::connect(ops, API_KEY).await {
            while read(&mut backend, &copy).await.is_some() {}
            copy.lock().broken += 1;
        }
        sleep(LOOK).await;
    }
}

/// Reads the snapshot, or the next events; `None` if the answer broke off.
async fn read(backend: &mut Backend, copy: &Mutex<Copy>) -> Option<()> {
    let position = copy.lock().position.clone();
    let path = match &position {
        None => format!("/v1/snapshot?fields={FIELDS}"),
        Some(position) => format!("/v1/feed?after={position}&wait=5&fields={FIELDS}"),
    };
    let (status, body) = backend.send(Method::GET, &path, String::new()).await.ok()?;
    assert!(status == 200 || status == 503, "{path}: {status} {body}");
    let lines: Vec<Value> = body.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
    let mut copy = copy.lock();
    match (position, lines.split_last()) {
        (None, Some((end, records))) if end.get("end").is_some() => {
            for record in records {
                copy.record(record);
            }
            Some(())
        }
        (Some(_), Some((last, events))) => {
            let position = last["position"].as_str()?.to_owned();
            for event in events {
                copy.event(event);
            }
            copy.position = Some(position);
            Some(())
        }
        _ => None,
    }
}

fn held(record: &Value, text: &str) -> Held {
    (record["version"].as_u64().unwrap(), record[text].as_str().unwrap_or_default().to_owned())
}

fn ends(edge: &Value) -> (String, String) {
    (edge["owner"].as_str().unwrap().to_owned(), edge["peer"].as_str().unwrap().to_owned())
}

impl Copy {
    fn record(&mut self, record: &Value) {
        let (kind, record) = record.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "snapshot" => self.position = Some(record["position"].as_str().unwrap().to_owned()),
            "user" => drop(self.users.insert(record["account"].as_str().unwrap().to_owned(), held(record, "nick"))),
            "friend" => drop(self.edges.insert(ends(record), held(record, "alias"))),
            _ => {}
        }
    }

    fn event(&mut self, event: &Value) {
        // None twice, and each after the one before.
        let number = event["id"].as_str().and_then(|id| id.rsplit('-').next()?.parse().ok()).unwrap();
        let this = (event["stamp"].as_u64().unwrap(), number);
        assert!(this > self.last, "{event} came after {:?}", self.last);
        (self.last, self.events) = (this, self.events + 1);
        let data = &event["data"];
        match event["type"].as_str().unwrap() {
            "user.created" | "user.updated" => {
                let (user, account) = (&data["user"], data["user"]["account"].as_str().unwrap());
                newer(&mut self.users, account.to_owned(), held(user, "nick"));
            }
            "friend.added" => {
                for edge in data["edges"].as_array().unwrap() {
                    newer(&mut self.edges, ends(edge), held(edge, "alias"));
                }
            }
            "friend.updated" => newer(&mut self.edges, ends(&data["edge"]), held(&data["edge"], "alias")),
            "friend.removed" => {
                for edge in data["edges"].as_array().unwrap() {
                    // One that the snapshot has may have been made after this.
                    let ends = ends(edge);
                    if self.edges.get(&ends).is_some_and(|(version, _)| *version <= held(edge, "").0) {
                        self.edges.remove(&ends);
                    }
                }
            }
            _ => {}
        }
    }
}

fn newer<K: Ord>(records: &mut BTreeMap<K, Held>, key: K, held: Held) {
    if records.get(&key).is_none_or(|(version, _)| *version <= held.0) {
        records.insert(key, held);
    }
}
