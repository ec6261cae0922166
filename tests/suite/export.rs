//! `rosterd export`, beside a running gateway and straight from the store, and the import of what it wrote.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::Method;
use rosterd_client::{Backend, Replica};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::feed::events;
use crate::presence_feed::until_known;
use crate::support::{API_KEY, Gateway, World, finished};

/// Nobody listens here, so a command takes the store itself.
const OFFLINE: &str = "ops.listen=127.0.0.1:1";

fn at(gateway: Option<&Gateway>) -> String {
    gateway.map_or(OFFLINE.to_owned(), |gateway| format!("ops.listen={}", gateway.ops))
}

impl World {
    fn place(&self, name: &str) -> (PathBuf, String) {
        let path = self.path().join(name);
        (path.clone(), path.to_str().unwrap().to_owned())
    }

    /// Exports into a new file, and returns its text.
    fn export(&self, gateway: Option<&Gateway>, name: &str) -> String {
        let (path, file) = self.place(name);
        let said = self.run_well(&["export", &file, "--set", &at(gateway)]);
        let from = gateway.map_or("the store sqlite:".to_owned(), |gateway| format!("the gateway at {}", gateway.ops));
        assert!(said.contains(&format!(" exported from {from}")), "{said}");
        std::fs::read_to_string(path).unwrap()
    }

    fn import_text(&self, gateway: Option<&Gateway>, text: &str) -> String {
        let (path, file) = self.place("import.ndjson");
        std::fs::write(path, text).unwrap();
        self.run_well(&["import", &file, "--set", &at(gateway)])
    }

    fn import_text_badly(&self, gateway: Option<&Gateway>, lines: &[&str]) -> String {
        let (path, file) = self.place("bad.ndjson");
        std::fs::write(path, lines.join("\n")).unwrap();
        self.run_badly(&["import", &file, "--set", &at(gateway)])
    }

    /// The names of files besides those of the store and of the settings.
    fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_str().unwrap().to_owned());
        names.filter(|name| !name.starts_with("rosterd.db") && name != "config.toml" && name != "log").collect()
    }
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The records of an export with its last line, as they come.
fn records(text: &str) -> Vec<Value> {
    let mut lines = parsed(text);
    assert!(lines.remove(0)["snapshot"]["rosterd"] == 1);
    assert!(lines.last().unwrap().get("end").is_some(), "{text}");
    lines
}

/// The same without what an import does not keep.
fn kept(text: &str) -> Vec<Value> {
    let mut lines = records(text);
    for record in lines.iter_mut().filter_map(|line| line.as_object_mut()?.values_mut().next()?.as_object_mut()) {
        record.remove("version");
        record.remove("updateTime");
    }
    lines
}

/// Makes something of every kind: notes, an open request, one that is hidden, a friendship that only one side has, a
/// block whose peer sees an older profile, one that hides, one that was seen.
async fn something_of_everything(gateway: &Gateway) {
    let mut reader = gateway.backend().await;
    let (_, begin) = events(&mut reader, "").await;
    gateway.populate(&["ann", "bob", "cat", "dan", "eve"], &[("ann", "bob"), ("ann", "cat")]).await;
    gateway.patch("/v1/users/ann", json!({"nick": "Ann", "email": "ann@x.example", "custom": "\u{0}{}"})).await;
    gateway.patch("/v1/users/ann/friends/bob", json!({"alias": "Bobby", "custom": "{\"group\":1}"})).await;
    gateway.put("/v1/users/dan/requests/ann", json!({"message": "let me in"})).await;
    // Cat sees the old Ann.
    gateway.put("/v1/users/ann/blocks/cat", Value::Null).await;
    gateway.patch("/v1/users/ann", json!({"nick": "Anna"})).await;
    gateway.put("/v1/users/eve/blocks/dan", Value::Null).await;
    gateway.put("/v1/users/dan/requests/eve", json!({"message": "why not"})).await;
    gateway.put("/v1/users/eve/blocks/bob", Value::Null).await;
    let mut bob = gateway.login("bob", Encoding::Json).await;
    let add = ClientCommand::AddFriend(v1::AddFriend { account: "eve".into(), message: String::new() });
    assert!(bob.request(add).await.error.is_none());
    bob.hide(true).await;
    drop(gateway.login("dan", Encoding::Json).await);
    drop(bob);
    // When they were last seen is stored a moment after their sessions have ended.
    for account in ["bob", "dan"] {
        until_known(&mut reader, &begin, account, false).await;
    }
}

#[tokio::test]
async fn everything_goes_out_through_a_gateway_or_from_the_store_and_comes_back() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=0s", "feed.presence=true"]);
    something_of_everything(&gateway).await;
    let beside = world.export(Some(&gateway), "beside.ndjson");
    let end = json!({"users": 5, "friends": 5, "requests": 2, "blocks": 3});
    assert_eq!(records(&beside).last().unwrap()["end"], end);
    let has = |text: &str| assert!(beside.contains(text), "{text}: {beside}");
    for text in [
        r#""email":"ann@x.example""#,
        r#""alias":"Bobby","custom":"{\"group\":1}""#,
        r#""message":"let me in""#,
        r#""hidden":true"#,
        r#""invisible":true"#,
        r#""frozen":{"nick":"Ann""#,
    ] {
        has(text);
    }
    gateway.terminate().await;
    let offline = world.export(None, "offline.ndjson");
    assert!(records(&beside) == records(&offline), "{beside}\n{offline}");
    assert_eq!(world.files().len(), 2, "{:?}", world.files());
    let mode = std::fs::metadata(world.place("offline.ndjson").0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has everybody's private fields");
    for running in [false, true] {
        let other = World::new();
        let beside = running.then(|| other.start());
        let said = other.import_text(beside.as_ref(), &offline);
        assert!(said.contains("\n15 lines imported"), "{said}");
        assert_eq!(kept(&other.export(beside.as_ref(), "again.ndjson")), kept(&offline));
        assert!(other.import_text(beside.as_ref(), &offline).contains(" 0 of them changed"));
        let gateway = beside.unwrap_or_else(|| other.start());
        // Who is blocked sees what it saw before, and no block.
        let cat = gateway.login("cat", Encoding::Json).await;
        assert_eq!(cat.replica.users()["ann"].nick, "Ann");
        assert_eq!(gateway.login("bob", Encoding::Json).await.replica.users()["ann"].nick, "Anna");
        gateway.delete("/v1/users/ann/blocks/cat").await;
        let mut cat = gateway.login("cat", Encoding::Json).await;
        cat.until(|replica| replica.users()["ann"].nick == "Anna").await;
    }
}

#[tokio::test]
async fn standard_output_is_a_file_like_any_other() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let there = world.export(Some(&gateway), "there.ndjson");
    let printed = world.run_well(&["export", "-", "--set", &at(Some(&gateway))]);
    assert_eq!(records(&printed), records(&there));
    let said = world.run_badly(&["export", &world.place("there.ndjson").1, "--set", &at(Some(&gateway))]);
    assert!(said.contains("exists already"), "{said}");
    let said = world.run_badly(&["export", "no/such/folder/x", "--set", &at(Some(&gateway))]);
    assert!(said.contains("cannot make a file in no/such/folder"), "{said}");
    // The pipeline that moves a store.
    let other = World::new();
    let binary = env!("CARGO_BIN_EXE_rosterd");
    let (from, to) = (world.config(), other.config());
    let export = format!("{binary} export - --config {} --set {}", from.display(), at(Some(&gateway)));
    let script = format!("{export} | {binary} import - --config {} --set {OFFLINE}", to.display());
    let output = finished(Process::new("bash").args(["-o", "pipefail", "-c", &script]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(kept(&other.export(None, "moved.ndjson")), kept(&there));
    assert!(World::new().run_badly(&["export", "x", "--set", OFFLINE]).contains("there is no store"));
}

/// Accounts come and go, and become friends, while the export is read; still each friendship has both its sides.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_under_writes_is_the_store_at_one_moment() {
    let world = World::new();
    let gateway = world.start();
    let lines: Vec<_> = (0..3000).map(|n| json!({"user": {"account": format!("m{n:04}")}}).to_string()).collect();
    let mut backend = gateway.backend().await;
    backend.request(Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = stop.clone();
    let writing = tokio::spawn(async move {
        let mut turns = 0_u32;
        while !stopping.load(Ordering::Relaxed) {
            turns += 1;
            // Names before and after all others, which are read already and not yet.
            for name in [format!("a{turns}"), format!("z{turns}")] {
                let friend = format!("m{:04}", turns % 3000);
                let lines = [
                    json!({"user": {"account": name, "nick": turns.to_string()}}),
                    json!({"friendship": [name, friend]}),
                    json!({"friend": {"owner": name, "peer": friend, "alias": "x"}}),
                    json!({"block": [format!("m{:04}", (turns + 7) % 3000), name]}),
                ];
                let lines = lines.map(|line| line.to_string()).join("\n");
                backend.request(Method::POST, "/v1/import", lines).await.unwrap();
                let before = turns.saturating_sub(3);
                let _ = backend.send(Method::DELETE, &format!("/v1/users/a{before}"), String::new()).await.unwrap();
                let path = format!("/v1/users/z{before}/friends/m{:04}", before % 3000);
                let _ = backend.send(Method::DELETE, &path, String::new()).await.unwrap();
            }
        }
        turns
    });
    let mut exports = Vec::new();
    for turn in 0..4 {
        exports.push(world.export(Some(&gateway), &format!("{turn}.ndjson")));
    }
    stop.store(true, Ordering::Relaxed);
    let turns = writing.await.unwrap();
    let sizes: Vec<_> = exports.iter().map(|text| text.lines().count()).collect();
    println!("{turns} turns, exports of {sizes:?} lines");
    assert!(turns > 10 && sizes[3] > sizes[0], "nobody wrote meanwhile");
    for text in &exports {
        let other = World::new();
        let said = other.import_text(None, text);
        assert!(said.contains(" lines imported"), "{said}");
        // What was made meanwhile comes from events, which do not have all of it.
        let known = |text: &str| {
            let mut lines = kept(text);
            for record in lines.iter_mut().filter_map(|line| line.as_object_mut()?.values_mut().next()?.as_object_mut())
            {
                record.retain(|name, _| !["invisible", "lastSeen", "frozen"].contains(&name.as_str()));
            }
            lines
        };
        assert!(known(&other.export(None, "again.ndjson")) == known(text), "{text}");
    }
    // In the end nobody writes, and both ways give the same.
    let quiet = world.export(Some(&gateway), "quiet.ndjson");
    gateway.terminate().await;
    assert!(records(&world.export(None, "store.ndjson")) == records(&quiet), "{quiet}");
}

/// A proxy that ends each connection after some bytes of the answer.
struct Cutting {
    address: std::net::SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Cutting {
    /// `bytes` of an answer pass on each connection, and all of it from the connection `whole_after` on.
    async fn before(gateway: &Gateway, bytes: usize, whole_after: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, ops) = (listener.local_addr().unwrap(), gateway.ops);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let number = counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut gateway = TcpStream::connect(ops).await.unwrap();
                    let (mut from_client, mut to_client) = client.split();
                    let (mut from_gateway, mut to_gateway) = gateway.split();
                    let answers = async {
                        let (mut left, mut block) = (bytes, vec![0; 4096]);
                        while let Ok(read @ 1..) = from_gateway.read(&mut block).await {
                            let some = if number < whole_after { read.min(left) } else { read };
                            let _ = to_client.write_all(&block[..some]).await;
                            left = left.saturating_sub(read);
                            if number < whole_after && left == 0 {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        () = answers => {}
                        _ = tokio::io::copy(&mut from_client, &mut to_gateway) => {}
                    }
                });
            }
        });
        Self { address, connections }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_goes_on_and_one_that_never_ends_leaves_no_file() {
    let world = World::new();
    let gateway = world.start();
    let names: Vec<_> = (0..400).map(|n| format!("u{n:03}")).collect();
    let users = names.iter().map(|name| json!({"user": {"account": name, "nick": name}}).to_string());
    let pairs = names.iter().skip(1).map(|name| json!({"friendship": ["u000", name]}).to_string());
    let lines: Vec<_> = users.chain(pairs).collect();
    gateway.backend().await.request(Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    let whole = world.export(Some(&gateway), "whole.ndjson");
    let cutting = Cutting::before(&gateway, 60_000, usize::MAX).await;
    let ops = format!("ops.listen={}", cutting.address);
    let (path, file) = world.place("pieces.ndjson");
    world.run_well(&["export", &file, "--set", &ops]);
    assert_eq!(records(&std::fs::read_to_string(path).unwrap()), records(&whole));
    assert!(cutting.connections.load(Ordering::Relaxed) >= 3, "nothing broke off");
    // Nothing but the head of an answer comes through.
    let cutting = Cutting::before(&gateway, 100, usize::MAX).await;
    let said = world.run_badly(&[
        "export",
        &world.place("never.ndjson").1,
        "--set",
        &format!("ops.listen={}", cutting.address),
    ]);
    assert!(said.contains("broke off again and again, nothing was exported"), "{said}");
    assert!(cutting.connections.load(Ordering::Relaxed) >= 6);
    // Nor does one for which there is no room.
    let (binary, config) = (env!("CARGO_BIN_EXE_rosterd"), world.config());
    let rest = format!("--config {} --set {}", config.display(), at(Some(&gateway)));
    for script in [
        format!("trap '' XFSZ; ulimit -f 8; {binary} export {} {rest}", world.place("large.ndjson").1),
        format!("{binary} export - {rest} > /dev/full"),
    ] {
        let output = finished(Process::new("bash").args(["-c", &script]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("cannot write"), "{script}: {said}");
    }
    let mut files = world.files();
    files.sort();
    assert_eq!(files, ["pieces.ndjson", "whole.ndjson"]);
}

#[tokio::test]
async fn an_export_through_a_gateway_needs_its_log_and_a_key_for_it() {
    let world = World::with("[ops.keys.backup]\nkey = \"a-key-for-backups\"\nscopes = [\"feed\", \"private\"]\n");
    let gateway = world.start_with(&["feed.retention=0s"]);
    gateway.populate(&["ann"], &[]).await;
    let said = world.run_badly(&["export", "x", "--set", &at(Some(&gateway))]);
    assert!(said.contains("feed.retention"), "{said}");
    gateway.terminate().await;
    let text = world.run_well(&["export", "-", "--set", OFFLINE, "--set", "feed.retention=0s"]);
    assert_eq!(parsed(&text)[0]["snapshot"].get("position"), None);
    assert_eq!(records(&text).last().unwrap()["end"]["users"], 1);
    let gateway = world.start();
    let text = world.run_well(&["export", "-", "--set", &at(Some(&gateway)), "--set", "ops.api_key="]);
    assert_eq!(records(&text).last().unwrap()["end"]["users"], 1);
    // Without a key that may do both there is none to send.
    let settings = "[ops.keys.index]\nkey = \"a-key-for-the-index\"\nscopes = [\"feed\"]\n";
    let indexes = World::with(settings);
    let said = indexes.run_badly(&["export", "-", "--set", &at(Some(&gateway)), "--set", "ops.api_key="]);
    assert!(said.contains("the server API needs the header"), "{said}");
}

#[tokio::test]
async fn token_hashes_never_go_over_http() {
    let world = World { auth: "mode = \"static\"".to_owned(), ..World::new() };
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let (status, made) = gateway.call(Method::PUT, "/v1/users/ann/token", "").await;
    assert!(status < 300, "{made}");
    let token = made["token"].as_str().unwrap().to_owned();
    gateway.backend().await.send(Method::POST, "/v1/users/bob/tokens:revoke", "{}".to_owned()).await.unwrap();
    assert!(!world.export(Some(&gateway), "plain.ndjson").contains("credential"));
    let said = world.run_badly(&["export", "x", "--credentials", "--set", &at(Some(&gateway))]);
    assert!(said.contains("is used by another rosterd process"), "{said}");
    gateway.terminate().await;
    let text = world.run_well(&["export", "-", "--credentials", "--set", OFFLINE]);
    let lines = records(&text);
    assert!(lines.last().unwrap()["end"]["credentials"].as_u64().unwrap() >= 1, "{text}");
    assert!(!text.contains(&token));
    let other = World { auth: "mode = \"static\"".to_owned(), ..World::new() };
    let beside = other.start();
    let all: Vec<_> = text.lines().collect();
    let said = other.import_text_badly(Some(&beside), &all);
    assert!(said.contains("nothing was imported") && said.contains("token hashes do not go over HTTP"), "{said}");
    let line = lines.iter().find(|line| line.get("credential").is_some()).unwrap().to_string();
    let (status, refused) = beside.call(Method::POST, "/v1/import", line).await;
    assert_eq!((status, refused["error"]["field"].as_str()), (403, Some("line 1")), "{refused}");
    beside.terminate().await;
    other.import_text(None, &text);
    assert_eq!(kept(&other.run_well(&["export", "-", "--credentials", "--set", OFFLINE])), kept(&text));
    let gateway = other.start();
    let mut replica = Replica::default();
    let reply = gateway.connect(Encoding::Json).await.login(&token, &mut replica).await.unwrap();
    assert_eq!(reply.account, "ann");
}

#[tokio::test]
async fn an_export_that_is_not_whole_is_not_imported() {
    let begin = r#"{"snapshot":{"position":"0000000000000001-1-0","rosterd":1,"time":1}}"#;
    let user = |name: &str| json!({"user": {"account": name, "createTime": 5, "version": 1}}).to_string();
    let friend = |a: &str, b: &str| json!({"friend": {"owner": a, "peer": b, "version": 1}}).to_string();
    let end = |users: u64, friends: u64| {
        json!({"end": {"users": users, "friends": friends, "requests": 0, "blocks": 0}}).to_string()
    };
    let (ann, bob, ab, ba) = (user("ann"), user("bob"), friend("ann", "bob"), friend("bob", "ann"));
    let (two, four) = (end(2, 0), end(2, 2));
    let world = World::new();
    let gateway = world.start();
    for (lines, says) in [
        (vec![begin, &ann, &bob], "line 3: the export is not whole, because its last line, \"end\", is missing"),
        (vec![begin], "line 1: the export is not whole"),
        (vec![begin, &ann, &ab[..20]], "line 3: not readable as JSON"),
        (vec![begin, &ann, &two], "line 3: the export is not whole: it says"),
        (vec![begin, &ann, &bob, &ab, &four], "line 5: the export is not whole: it says"),
        (vec![begin, &ann, &bob, &two, &ab], "line 5: the export ended at line 4"),
        (vec![begin, &ann, &bob, &two, &two], "line 5: the export ended at line 4"),
        (vec![begin, &ann, &bob, &two, begin], "line 5: an export begins here"),
        (vec![&ann, begin, &bob, &two], "line 2: an export begins here"),
        (vec![&ann, &bob, &two], "line 3: an export ends here that did not begin"),
        (vec![begin, "nonsense", &ann, &bob, &two], "line 2: not readable as JSON"),
        (vec![begin, r#"{"group":{"name":"x"}}"#, &ann, &bob, &two], "line 2: there is no field \"group\""),
        // With and without the lines around it.
        (vec![&ann, &bob, &ab], "line 3: \"ann\" lists \"bob\", but there is no line for the other direction"),
        (vec![begin, &ann, &bob, &ba, &end(2, 1)], "line 4: \"bob\" lists \"ann\", but there is no line"),
    ] {
        for beside in [None, Some(&gateway)] {
            let said = world.import_text_badly(beside, &lines);
            assert!(said.contains("nothing was imported") && said.contains(says), "{lines:?}: {said}");
        }
    }
    let (_, found) = gateway.call(Method::GET, "/v1/users", "").await;
    assert_eq!(found["users"], json!([]));
    // What there is of it goes in when asked for, without the line that is cut, and friendships have both sides.
    for (lines, count) in [(vec![begin, &ann, &bob, &ab, &ba[..20]], 3), (vec![begin, &ann, &bob, &ab, &four], 3)] {
        let world = World::new();
        let (path, file) = world.place("part.ndjson");
        std::fs::write(path, lines.join("\n")).unwrap();
        let said = world.run_well(&["import", &file, "--partial", "--set", OFFLINE]);
        assert!(said.contains(&format!("\n{count} lines imported")), "{said}");
        let end = records(&world.export(None, "x.ndjson")).pop().unwrap();
        assert_eq!(end["end"], json!({"users": 2, "friends": 2, "requests": 0, "blocks": 0}));
    }
}

/// The server API takes records one by one, and leaves the lines around them to the command.
#[tokio::test]
async fn the_server_api_takes_records_too() {
    let world = World::new();
    let gateway = world.start();
    let lines = [
        json!({"user": {"account": "ann", "nick": "Ann", "createTime": 5, "invisible": true, "lastSeen": 6}}),
        json!({"user": {"account": "bob", "createTime": 5}}),
        json!({"friend": {"owner": "ann", "peer": "bob", "alias": "B", "createTime": 7}}),
    ];
    let body = lines.map(|line| line.to_string()).join("\n");
    let (_, before) = gateway.call(Method::GET, "/v1/feed?after=now", "").await;
    let (status, said) = gateway.call(Method::POST, "/v1/import", body.as_str()).await;
    assert_eq!((status, &said["changed"]), (200, &json!(3)), "{said}");
    let mut backend = Backend::connect(gateway.ops, API_KEY).await.unwrap();
    let position = before["position"].as_str().unwrap();
    let path = format!("/v1/feed?after={position}&fields=nick,alias,note");
    let (_, text) = backend.send(Method::GET, &path, String::new()).await.unwrap();
    let events = parsed(&text);
    assert_eq!(events[2]["type"], "friend.added");
    assert_eq!(events[2]["data"]["by"], json!({"kind": "key", "key": "default"}));
    assert_eq!(events[2]["data"]["how"], "import");
    // Whoever follows the notes gets those that come with it.
    assert_eq!(events[2]["data"]["edges"][0]["alias"], "B");
    assert_eq!(events[2]["data"]["edges"][1].get("alias"), None);
    let (_, again) = gateway.call(Method::POST, "/v1/import", body).await;
    assert_eq!(again["changed"], 0);
    let ann = gateway.user("ann").await;
    assert_eq!(ann["createTime"], 5);
    for line in [r#"{"snapshot":{"rosterd":1}}"#, r#"{"end":{"users":0}}"#] {
        let (status, _) = gateway.call(Method::POST, "/v1/import", line).await;
        assert_eq!(status, 400);
    }
}
