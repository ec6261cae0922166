//! The change feed and the snapshot, as a backend uses them: over HTTP, with its own position.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use rosterd_client::Backend;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::raw::Raw;
use crate::support::{API_KEY, Gateway, PATIENCE, World, connect_with_small_buffer};

/// Reads lines of JSON.
pub async fn get(backend: &mut Backend, path: &str) -> (u16, Vec<Value>) {
    let (status, body) = backend.send(Method::GET, path, String::new()).await.unwrap();
    let lines = body.lines().filter(|line| !line.is_empty());
    (status, lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect())
}

pub async fn put(backend: &mut Backend, path: &str, body: Value) {
    let (status, answer) = backend.send(Method::PUT, path, body.to_string()).await.unwrap();
    assert!(status < 300, "{path}: {status} {answer}");
}

/// Reads the events after a position, and the next position.
pub async fn events(backend: &mut Backend, query: &str) -> (Vec<Value>, String) {
    let (status, mut lines) = get(backend, &format!("/v1/feed?{query}")).await;
    assert_eq!(status, 200, "{lines:?}");
    let last = lines.pop().expect("a last line");
    (lines, last["position"].as_str().expect("a position").to_owned())
}

pub fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

pub async fn backend(gateway: &Gateway) -> Backend {
    Backend::connect(gateway.ops, API_KEY).await.unwrap()
}

#[tokio::test]
async fn every_change_is_an_event_that_says_who_asked() {
    let world = World::new();
    let gateway = world.start();
    let mut backend = backend(&gateway).await;
    let (_, before) = events(&mut backend, "after=now").await;
    put(&mut backend, "/v1/users/ann", json!({"nick": "Ann", "email": "ann@x.example"})).await;
    put(&mut backend, "/v1/users/bob", json!({"nick": "Bob"})).await;
    put(&mut backend, "/v1/users/ann/requests/bob", json!({"message": "hi"})).await;
    let (status, _) = backend.send(Method::POST, "/v1/users/bob/requests/ann/accept", String::new()).await.unwrap();
    assert_eq!(status, 200);
    let mut ann = Raw::login(&gateway, "ann", Encoding::Json).await;
    for command in
        [json!({"id": 7, "updateMyInfo": {"nick": "Anna", "tel": "1"}}), json!({"id": 8, "block": {"account": "bob"}})]
    {
        let answer = ann.ask(command.to_string()).await;
        assert!(answer.error.is_none(), "{answer:?}");
    }
    let (status, _) = backend.send(Method::DELETE, "/v1/users/ann", String::new()).await.unwrap();
    assert_eq!(status, 200);

    let (found, position) = events(&mut backend, &format!("after={before}")).await;
    assert_eq!(
        types(&found),
        [
            "user.created",
            "user.created",
            "request.created",
            "request.accepted",
            "friend.added",
            "user.updated",
            "block.added",
            "user.deleted"
        ]
    );
    // The first is of an account that is gone by now.
    let created = &found[0];
    assert_eq!(
        (&created["specversion"], &created["subject"], &created["erased"]),
        (&json!("1.0"), &json!("ann"), &json!(true))
    );
    assert_eq!(created["data"]["user"]["nick"], "");
    assert_eq!(created["data"]["by"], json!({"kind": "key", "key": "default"}));
    assert_eq!(found[1]["data"]["user"]["nick"], "Bob");
    // Personal fields are given to those who ask for them.
    assert_eq!((found[1]["data"]["user"].get("email"), found[2]["data"]["request"].get("message")), (None, None));
    let (personal, _) = events(&mut backend, &format!("after={before}&fields=email,message")).await;
    assert_eq!(
        personal[1]["data"]["user"],
        json!({
            "account": "bob", "email": "", "createTime": found[1]["data"]["user"]["createTime"],
            "updateTime": found[1]["data"]["user"]["updateTime"], "version": found[1]["data"]["user"]["version"],
        })
    );
    // The two events of one change are told apart by their number.
    let id = |event: &Value| event["id"].as_str().unwrap().rsplit_once('-').map(|(change, _)| change.to_owned());
    assert_eq!((id(&found[3]), found[3]["stamp"].clone()), (id(&found[4]), found[4]["stamp"].clone()));
    assert_eq!(found[4]["data"]["accounts"].as_array().unwrap().len(), 2);
    assert_eq!(found[5]["data"]["by"]["kind"], "client");
    assert_eq!(found[5]["data"]["changed"], json!(["nick"]));
    assert_eq!(found.iter().map(|event| event["id"].as_str().unwrap()).collect::<BTreeSet<_>>().len(), found.len());
    assert_eq!(events(&mut backend, &format!("after={position}")).await, (Vec::new(), position.clone()));
    // In pieces they are the same.
    let (mut pieces, mut at) = (Vec::new(), before.clone());
    loop {
        let (some, next) = events(&mut backend, &format!("after={at}&limit=1")).await;
        if some.is_empty() {
            break;
        }
        pieces.extend(some);
        at = next;
    }
    assert_eq!((pieces, at), (found, position));
    let (only, _) = events(&mut backend, &format!("after={before}&types=friend.*,user.deleted&account=bob")).await;
    assert_eq!(types(&only), ["friend.added"]);
}

#[tokio::test]
async fn an_import_through_a_key_is_told_from_its_other_writes() {
    let world = World::new();
    let gateway = world.start();
    let mut backend = backend(&gateway).await;
    let (_, before) = events(&mut backend, "after=now").await;
    let lines = [r#"{"user":{"account":"ann"}}"#, r#"{"user":{"account":"bob"}}"#, r#"{"friendship":["ann","bob"]}"#];
    backend.request(Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    let (found, _) = events(&mut backend, &format!("after={before}")).await;
    assert_eq!(types(&found), ["user.created", "user.created", "friend.added"]);
    for event in &found {
        assert_eq!(event["data"]["by"], json!({"kind": "key", "key": "default"}));
    }
    assert_eq!(found[2]["data"]["how"], "import");
}

#[tokio::test]
async fn a_reader_waits_for_the_next_event_and_no_longer_than_it_said() {
    let world = World::new();
    let gateway = world.start();
    let (mut reader, mut writer) = (backend(&gateway).await, backend(&gateway).await);
    let (_, now) = events(&mut reader, "after=now").await;
    let query = format!("after={now}&wait=60&types=user.updated");
    let waiting = tokio::spawn(async move { events(&mut reader, &query).await });
    // One that it did not ask for, and one that it did.
    put(&mut writer, "/v1/users/ann", json!({"nick": "Ann"})).await;
    put(&mut writer, "/v1/users/ann", json!({"nick": "Anna"})).await;
    let (found, position) = tokio::time::timeout(PATIENCE, waiting).await.expect("an event in time").unwrap();
    assert_eq!(types(&found), ["user.updated"]);
    let begun = Instant::now();
    let (none, same) = events(&mut writer, &format!("after={position}&wait=1")).await;
    assert_eq!((none, same), (Vec::new(), position));
    assert!(begun.elapsed().as_millis() >= 1000);
}

#[tokio::test]
async fn what_cannot_be_read_on_from_is_said() {
    let world = World::new();
    let gateway = world.start();
    let mut backend = backend(&gateway).await;
    put(&mut backend, "/v1/users/ann", json!({"nick": "Ann"})).await;
    let (_, now) = events(&mut backend, "after=now").await;
    let (history, _) = now.split_once('-').unwrap();
    for (query, status, word) in [
        ("after=xyz".to_owned(), 400, "INVALID_ARGUMENT"),
        ("limit=0".to_owned(), 400, "INVALID_ARGUMENT"),
        ("limit=5001".to_owned(), 400, "INVALID_ARGUMENT"),
        ("wait=61".to_owned(), 400, "INVALID_ARGUMENT"),
        ("types=foo.*".to_owned(), 400, "INVALID_ARGUMENT"),
        ("types=user.update".to_owned(), 400, "INVALID_ARGUMENT"),
        ("fields=nickname".to_owned(), 400, "INVALID_ARGUMENT"),
        ("account=a%20b".to_owned(), 400, "INVALID_ARGUMENT"),
        ("after=000000000000000a-0-0".to_owned(), 410, "CURSOR_FOREIGN"),
        (format!("after={history}-9999-0"), 410, "CURSOR_FROM_FUTURE"),
        (format!("after={history}-{}-0", u64::MAX), 410, "CURSOR_FROM_FUTURE"),
    ] {
        let (found, body) = get(&mut backend, &format!("/v1/feed?{query}")).await;
        assert_eq!((found, &body[0]["error"]["reason"]), (status, &json!(word)), "{query}: {body:?}");
        assert_eq!(body[0].get("snapshot").is_some(), status == 410, "{query}");
    }
    let (_, body) = get(&mut backend, "/v1/feed?types=user.update").await;
    assert!(body[0]["error"]["message"].as_str().unwrap().contains("did you mean user.updated?"), "{body:?}");
}

#[tokio::test]
async fn without_a_log_there_is_no_feed() {
    let world = World::new();
    let gateway = world.start_with(&["feed.retention=0s"]);
    let mut backend = backend(&gateway).await;
    for path in ["/v1/feed", "/v1/snapshot"] {
        let (status, body) = get(&mut backend, path).await;
        assert_eq!(status, 403, "{body:?}");
        assert!(body[0]["error"]["message"].as_str().unwrap().contains("feed.retention"), "{body:?}");
    }
}

/// What a consumer keeps: records by their key, with their versions.
#[derive(Debug, Default, PartialEq)]
struct Kept(BTreeMap<String, (u64, Option<Value>)>);

impl Kept {
    fn put(&mut self, key: String, version: u64, record: Option<Value>) {
        let held = self.0.entry(key).or_default();
        if version >= held.0 {
            *held = (version, record);
        }
    }

    /// Takes a line of a snapshot.
    fn line(&mut self, line: &Value) {
        let (kind, record) = line.as_object().unwrap().iter().next().unwrap();
        let text = |name: &str| record[name].as_str().unwrap_or_default();
        let key = match kind.as_str() {
            "user" => format!("user {}", text("account")),
            "friend" => format!("friend {} {}", text("owner"), text("peer")),
            "request" => format!("request {} {}", text("sender"), text("receiver")),
            "block" => format!("block {} {}", text("owner"), text("peer")),
            _ => return,
        };
        self.put(key, record["version"].as_u64().unwrap(), Some(record.clone()));
    }

    /// Takes an event.
    fn event(&mut self, event: &Value) {
        let (kind, data) = (event["type"].as_str().unwrap(), &event["data"]);
        let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
        match kind {
            "user.created" | "user.updated" => {
                let user = &data["user"];
                self.put(
                    format!("user {}", text(user, "account")),
                    user["version"].as_u64().unwrap(),
                    Some(user.clone()),
                );
            }
            "user.deleted" => {
                let (account, version) = (text(data, "account"), data["version"].as_u64().unwrap());
                let of_it: Vec<_> =
                    self.0.keys().filter(|key| key.split(' ').skip(1).any(|part| part == account)).cloned().collect();
                for key in of_it {
                    self.put(key, version, None);
                }
                self.put(format!("user {account}"), version, None);
            }
            "friend.added" | "friend.removed" => {
                for edge in data["edges"].as_array().unwrap() {
                    let key = format!("friend {} {}", text(edge, "owner"), text(edge, "peer"));
                    let record = (kind == "friend.added").then(|| edge.clone());
                    self.put(key, edge["version"].as_u64().unwrap(), record);
                }
            }
            "friend.updated" => {
                let edge = &data["edge"];
                let key = format!("friend {} {}", text(edge, "owner"), text(edge, "peer"));
                self.put(key, edge["version"].as_u64().unwrap(), Some(edge.clone()));
            }
            _ if kind.starts_with("request.") => {
                let request = &data["request"];
                let key = format!("request {} {}", text(request, "sender"), text(request, "receiver"));
                let record = (kind == "request.created").then(|| request.clone());
                self.put(key, request["version"].as_u64().unwrap(), record);
            }
            "block.added" | "block.removed" => {
                let block = &data["block"];
                let key = format!("block {} {}", text(block, "owner"), text(block, "peer"));
                let record = (kind == "block.added").then(|| block.clone());
                self.put(key, block["version"].as_u64().unwrap(), record);
            }
            _ => {}
        }
    }

    fn all(&mut self, events: &[Value]) {
        for event in events {
            self.event(event);
        }
    }

    /// What is there: without tombstones, and without the notes that an event of a friendship does not have.
    fn live(&self) -> BTreeMap<&str, Value> {
        let live = self.0.iter().filter_map(|(key, (_, record))| Some((key.as_str(), record.clone()?)));
        live.collect()
    }
}

/// Reads a snapshot to its end; the position that it begins with.
async fn snapshot(backend: &mut Backend) -> (Kept, String) {
    let (status, lines) = get(backend, "/v1/snapshot").await;
    assert_eq!(status, 200);
    let mut kept = Kept::default();
    for line in &lines {
        kept.line(line);
    }
    let end = &lines.last().expect("a last line")["end"];
    assert_eq!(end["users"].as_u64().unwrap(), kept.0.keys().filter(|key| key.starts_with("user ")).count() as u64);
    (kept, lines[0]["snapshot"]["position"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_snapshot_and_the_events_after_it_are_the_store() {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let world = World::new();
    let gateway = world.start();
    let (mut reader, mut writer) = (backend(&gateway).await, backend(&gateway).await);
    for name in NAMES {
        put(&mut writer, &format!("/v1/users/{name}"), json!({"nick": name})).await;
    }
    let writing = tokio::spawn(async move {
        let mut random = 7_u64;
        let mut next = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % n
        };
        for turn in 0..600 {
            let (a, b) = (NAMES[next(5)], NAMES[next(5)]);
            let (method, path, body) = match next(9) {
                0 | 1 => (Method::PUT, format!("/v1/users/{a}"), json!({"nick": turn.to_string()}).to_string()),
                2 => (Method::PUT, format!("/v1/users/{a}/friends/{b}"), String::new()),
                3 => (Method::DELETE, format!("/v1/users/{a}/friends/{b}"), String::new()),
                4 => (Method::PUT, format!("/v1/users/{a}/requests/{b}"), json!({"message": "x"}).to_string()),
                5 => (Method::POST, format!("/v1/users/{a}/requests/{b}/accept"), String::new()),
                6 => (Method::PUT, format!("/v1/users/{a}/blocks/{b}"), String::new()),
                7 => (Method::DELETE, format!("/v1/users/{a}/blocks/{b}"), String::new()),
                _ if turn % 5 == 0 => (Method::DELETE, format!("/v1/users/{a}"), String::new()),
                _ => (Method::DELETE, format!("/v1/users/{a}/requests/{b}"), String::new()),
            };
            // Many are refused, which is no change.
            writer.send(method, &path, body).await.unwrap();
        }
    });
    let (mut kept, mut position) = snapshot(&mut reader).await;
    while !writing.is_finished() {
        let (found, next) = events(&mut reader, &format!("after={position}&limit=3")).await;
        kept.all(&found);
        position = next;
    }
    writing.await.unwrap();
    loop {
        let (found, next) = events(&mut reader, &format!("after={position}")).await;
        kept.all(&found);
        position = next;
        if found.is_empty() {
            break;
        }
    }
    let (store, at) = snapshot(&mut reader).await;
    assert_eq!(at, position);
    assert_eq!(kept.live(), store.live());
    assert!(
        store.0.keys().any(|key| key.starts_with("friend ")) && store.0.keys().any(|key| key.starts_with("block "))
    );
    // From the very beginning it is the same.
    let (mut all, mut at) = (Kept::default(), String::new());
    loop {
        let query = if at.is_empty() { String::new() } else { format!("after={at}") };
        let (found, next) = events(&mut reader, &query).await;
        all.all(&found);
        if next == at {
            break;
        }
        at = next;
    }
    assert_eq!(all.live().keys().collect::<Vec<_>>(), store.live().keys().collect::<Vec<_>>());
}

/// Reads an answer that goes on, until it has what is looked for.
pub struct Stream {
    stream: TcpStream,
    text: String,
}

impl Stream {
    pub async fn open(gateway: &Gateway, path: &str, headers: &str) -> Self {
        let mut stream = connect_with_small_buffer(gateway.ops).await;
        // Without pieces, which HTTP/1.0 does not have.
        let request = format!("GET {path} HTTP/1.0\r\nAuthorization: Bearer {API_KEY}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    pub async fn until(&mut self, what: &str) -> &str {
        let mut bytes = [0; 4096];
        while !self.text.contains(what) {
            let read = timeout(PATIENCE, self.stream.read(&mut bytes)).await.expect(what).unwrap();
            assert!(read > 0, "the end, before {what:?}: {}", self.text);
            self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        &self.text
    }
}

#[tokio::test]
async fn server_sent_events_go_on_after_the_last_one_that_a_reader_has() {
    let world = World::new();
    let gateway = world.start();
    let mut backend = backend(&gateway).await;
    let (_, before) = events(&mut backend, "after=now").await;
    put(&mut backend, "/v1/users/ann", json!({"nick": "Ann"})).await;

    let path = format!("/v1/feed?after={before}&types=user.*");
    let accept = "Accept: text/event-stream\r\n";
    let mut first = Stream::open(&gateway, &path, accept).await;
    let text = first.until("event: position").await;
    assert!(text.contains("content-type: text/event-stream") && text.contains("event: user.created"), "{text}");
    // What is written later comes without being asked for.
    put(&mut backend, "/v1/users/ann", json!({"nick": "Anna"})).await;
    let text = first.until("event: user.updated").await;
    let updated =
        text[text.find("event: user.updated").unwrap()..].lines().find_map(|line| line.strip_prefix("data: "));
    let updated: Value = serde_json::from_str(updated.unwrap()).unwrap();
    assert_eq!(updated["data"]["user"]["nick"], "Anna");
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect::<Vec<_>>();
    let created = ids[0].to_owned();
    drop(first);

    let mut again = Stream::open(&gateway, &path, &format!("{accept}Last-Event-ID: {created}\r\n")).await;
    let text = again.until("event: position").await;
    assert!(text.contains("event: user.updated") && !text.contains("event: user.created"), "{text}");

    let foreign = format!("{accept}Last-Event-ID: 000000000000000a-1-0\r\n");
    let mut lost = Stream::open(&gateway, &path, &foreign).await;
    assert!(lost.until("/v1/snapshot").await.starts_with("HTTP/1.0 410"), "{}", lost.text);
    let mut bad = Stream::open(&gateway, &path, &format!("{accept}Last-Event-ID: xyz\r\n")).await;
    assert!(bad.until("CURSOR_MALFORMED").await.starts_with("HTTP/1.0 400"), "{}", bad.text);
}

#[tokio::test]
async fn a_snapshot_that_broke_off_goes_on_after_its_last_record() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cid", "dee"], &[("ann", "bob"), ("cid", "bob")]).await;
    let mut backend = backend(&gateway).await;
    put(&mut backend, "/v1/users/ann/requests/dee", json!({"message": "hi"})).await;
    put(&mut backend, "/v1/users/dee/blocks/cid", json!({})).await;
    let (_, whole) = get(&mut backend, "/v1/snapshot").await;
    let position = whole[0]["snapshot"]["position"].as_str().unwrap();
    let records = &whole[1..whole.len() - 1];
    assert_eq!(records.len(), 4 + 4 + 1 + 1, "{records:?}");
    for (n, record) in records.iter().enumerate() {
        let (kind, fields) = record.as_object().unwrap().iter().next().unwrap();
        let names = match kind.as_str() {
            "user" => vec!["account"],
            "request" => vec!["sender", "receiver"],
            _ => vec!["owner", "peer"],
        };
        let names: Vec<_> = names.into_iter().map(|name| fields[name].as_str().unwrap()).collect();
        let path = format!("/v1/snapshot?after={kind}:{}&position={position}", names.join(":"));
        let (status, rest) = get(&mut backend, &path).await;
        assert_eq!((status, &rest[0]["snapshot"]["position"]), (200, &json!(position)), "{path}");
        assert_eq!(rest[1..rest.len() - 1], records[n + 1..], "{path}");
        assert!(rest.last().unwrap()["end"].is_object(), "{path}");
    }
    let foreign = "000000000000000a-1-0";
    for (query, status) in [
        ("after=user:ann".to_owned(), 400),
        (format!("position={position}"), 400),
        (format!("after=user:ann:bob&position={position}"), 400),
        (format!("after=friend:ann&position={position}"), 400),
        (format!("after=ann&position={position}"), 400),
        ("after=user:ann&position=xyz".to_owned(), 400),
        (format!("after=user:ann&position={foreign}"), 410),
    ] {
        let (got, answer) = get(&mut backend, &format!("/v1/snapshot?{query}")).await;
        assert_eq!(got, status, "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn a_snapshot_under_way_does_not_make_room_for_other_connections() {
    let world = World::new();
    let gateway = world.start();
    let mut backend = backend(&gateway).await;
    let lines: Vec<_> = (0..3000)
        .map(|n| json!({"user": {"account": format!("user{n}"), "custom": "x".repeat(1000)}}).to_string())
        .collect();
    backend.request(Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    let mut snapshot = Stream::open(&gateway, "/v1/snapshot", "").await;
    snapshot.until("\"snapshot\"").await;
    // More than the listener has places for, and all have asked for something: those who do nothing make room.
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(gateway.ops).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        timeout(PATIENCE, stream.read_exact(&mut [0; 15])).await.expect("an answer").unwrap();
        held.push(stream);
    }
    let mut other = self::backend(&gateway).await;
    assert_eq!(other.send(Method::GET, "/readyz", String::new()).await.unwrap().0, 200);
    let text = snapshot.until("\"end\"").await;
    assert_eq!(text.matches("\"user\":").count(), 3000);
}

#[tokio::test]
async fn metrics_show_the_log_and_its_readers() {
    let world = World::new();
    let gateway = world.start();
    let mut backend = backend(&gateway).await;
    put(&mut backend, "/v1/users/ann", json!({"nick": "Ann"})).await;
    let (found, _) = events(&mut backend, "").await;
    assert_eq!((found.len(), gateway.metric("rosterd_feed_events_total").await), (1, 1.0));
    let mut stream = Stream::open(&gateway, "/v1/feed", "Accept: text/event-stream\r\n").await;
    stream.until("event: position").await;
    assert_eq!(gateway.metric("rosterd_feed_readers").await, 1.0);
    drop(stream);
    // It is noticed when the next event cannot be sent.
    let begun = Instant::now();
    while gateway.metric("rosterd_feed_readers").await > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "a reader that is gone keeps its place");
        put(&mut backend, "/v1/users/ann", json!({"nick": begun.elapsed().as_nanos().to_string()})).await;
    }
    gateway.until_metric("rosterd_feed_bytes", "", |bytes| bytes > 0.0).await;
}

/// The fixture was written by the release before the log; see its head.
#[tokio::test]
async fn a_store_from_before_the_log_is_taken_over_and_followed_from_then_on() {
    let world = World::new();
    // Nothing in it expires on the day on which this runs.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().to_string();
    let made = include_str!("fixtures/store-6.sql").replace("1796011", &now[..7]);
    let store = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
    store.execute_batch(&made).unwrap();
    drop(store);
    let gateway = world.start();

    // A client that was in sync has nothing to fetch.
    let mut ann = Raw::open(&gateway, Encoding::Json).await;
    let cursor = Some("ad2a4c4eb9492196-23".to_owned());
    let login = v1::Login { token: "ann".to_owned(), cursor, ..Default::default() };
    let reply = ann.command(ClientCommand::Login(login)).await;
    assert_eq!(reply.login_reply.map(|reply| reply.sync), Some(v1::SyncMode::Current as i32));
    let synced = loop {
        if let Some(synced) = ann.server().await.synced {
            break synced;
        }
    };
    assert_eq!((synced.cursor.as_str(), synced.count, synced.digest), ("ad2a4c4eb9492196-23", 1, 942_971_363));

    let mut backend = backend(&gateway).await;
    let (old, position) = events(&mut backend, "").await;
    assert_eq!(types(&old), Vec::<&str>::new(), "what was not logged");
    let (_, snapshot) = get(&mut backend, "/v1/snapshot?fields=nick,alias,message").await;
    let (end, records) = snapshot.split_last().unwrap();
    assert_eq!(end["end"], json!({"users": 8, "friends": 10, "requests": 1, "blocks": 1}));
    let note = records.iter().find(|record| record["friend"]["alias"] == "Bobby").expect("ann's note of bob");
    assert_eq!((&note["friend"]["owner"], &note["friend"]["version"]), (&json!("ann"), &json!(19)));

    let (status, _) = backend.send(Method::POST, "/v1/users/ann/requests/cid/accept", String::new()).await.unwrap();
    assert_eq!(status, 200);
    let (new, _) = events(&mut backend, &format!("after={position}")).await;
    assert_eq!(types(&new), ["request.accepted", "friend.added"]);
    assert_eq!(new[0]["stamp"], 24);
}
