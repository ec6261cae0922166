//! `rosterd import`, straight into the store and beside a running gateway.

use std::process::Command as Process;
use std::time::Instant;

use rosterd_protocol::Encoding;
use serde_json::{Value, json};

use crate::support::{Gateway, World, finished};

/// Nobody listens here, so an import takes the store itself.
const OFFLINE: &str = "ops.listen=127.0.0.1:1";

fn user(account: &str, nick: &str) -> String {
    json!({"user": {"account": account, "nick": nick}}).to_string()
}

fn friendship(a: &str, b: &str) -> String {
    json!({"friendship": [a, b]}).to_string()
}

impl World {
    fn file(&self, lines: &[String]) -> String {
        self.file_of(lines.join("\n").as_bytes())
    }

    fn file_of(&self, bytes: &[u8]) -> String {
        let file = self.path().join("import.ndjson");
        std::fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Imports beside this gateway, or into the store.
    fn import(&self, gateway: Option<&Gateway>, file: &str) -> String {
        self.run_well(&["import", file, "--set", &at(gateway)])
    }

    fn import_badly(&self, gateway: Option<&Gateway>, file: &str) -> String {
        self.run_badly(&["import", file, "--set", &at(gateway)])
    }
}

fn at(gateway: Option<&Gateway>) -> String {
    gateway.map_or(OFFLINE.to_owned(), |gateway| format!("ops.listen={}", gateway.ops))
}

/// The accounts of these that exist, and their nicks.
async fn nicks(gateway: &Gateway, accounts: &[&str]) -> Vec<(String, String)> {
    let body = json!({"accounts": accounts}).to_string();
    let found = gateway.backend().await.request(hyper::Method::POST, "/v1/users:batchGet", body).await.unwrap();
    let text = |user: &Value, field: &str| user[field].as_str().unwrap().to_owned();
    found["users"].as_array().unwrap().iter().map(|user| (text(user, "account"), text(user, "nick"))).collect()
}

async fn friends(gateway: &Gateway, account: &str) -> Vec<String> {
    let path = format!("/v1/users/{account}/friends?limit=1000");
    let page = gateway.backend().await.request(hyper::Method::GET, &path, String::new()).await.unwrap();
    let friends = page["friends"].as_array().unwrap();
    friends.iter().map(|friend| friend["account"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn users_and_friendships_go_in_and_a_second_time_changes_nothing() {
    for running in [false, true] {
        let world = World::new();
        let beside = running.then(|| world.start());
        // Friendships before their users, blank lines, and a line end of the other kind.
        let lines = [friendship("ann", "bob"), String::new(), user("ann", "Ann") + "\r", user("bob", "Bob")];
        let file = world.file(&lines);
        let through = match &beside {
            Some(gateway) => format!("through the gateway at {}", gateway.ops),
            None => format!("into the store sqlite:{}", world.path().join("rosterd.db").display()),
        };
        let created = if running { "" } else { "; the store is new, this import created it" };
        let said = world.import(beside.as_ref(), &file);
        let first = format!("importing {through}\n3 lines imported {through}, 3 of them changed something{created}\n");
        assert_eq!(said, first);
        let said = world.import(beside.as_ref(), &file);
        assert_eq!(said, format!("importing {through}\n3 lines imported {through}, 0 of them changed something\n"));
        let gateway = beside.unwrap_or_else(|| world.start());
        assert_eq!(nicks(&gateway, &["ann", "bob"]).await, [("ann", "Ann"), ("bob", "Bob")].map(owned));
        assert_eq!(
            (friends(&gateway, "ann").await, friends(&gateway, "bob").await),
            (vec!["bob".into()], vec!["ann".into()])
        );
    }
}

fn owned((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[tokio::test]
async fn what_a_file_does_not_give_stays_as_it_is() {
    for running in [false, true] {
        let world = World::new();
        let first = world.start();
        first.populate(&["ann", "bob", "eve"], &[("ann", "eve")]).await;
        let mut ann = first.login("ann", Encoding::Json).await;
        ann.nick("Ann herself").await;
        let before = first.user("ann").await;
        let beside = if running {
            Some(first)
        } else {
            drop(first);
            None
        };
        let lines = [r#"{"user": {"account": "ann", "sign": "imported"}}"#.to_owned(), friendship("bob", "ann")];
        let said = world.import(beside.as_ref(), &world.file(&lines));
        assert!(said.contains("2 lines") && said.contains("2 of them changed"), "{said}");
        let gateway = beside.unwrap_or_else(|| world.start());
        let after = gateway.user("ann").await;
        assert_eq!((after["nick"].as_str(), after["sign"].as_str()), (Some("Ann herself"), Some("imported")));
        assert_eq!(after["createTime"], before["createTime"]);
        assert_eq!(friends(&gateway, "ann").await, ["bob", "eve"]);
    }
}

#[tokio::test]
async fn beside_a_gateway_connected_clients_get_it_live() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "new"], &[("ann", "bob")]).await;
    let (mut ann, mut bob) =
        (gateway.login("ann", Encoding::Json).await, gateway.login("bob", Encoding::Protobuf).await);
    let lines = [user("bob", "Robert"), friendship("ann", "new"), user("new", "New")];
    world.import(Some(&gateway), &world.file(&lines));
    let live = |account: &'static str, nick: &'static str| {
        move |replica: &rosterd_client::Replica| replica.users().get(account).is_some_and(|user| user.nick == nick)
    };
    ann.until(live("bob", "Robert")).await;
    ann.until(live("new", "New")).await;
    assert!(ann.replica.friends().contains_key("new"));
    bob.until(|replica| replica.me().is_some_and(|me| me.nick == "Robert")).await;
}

#[tokio::test]
async fn bad_lines_are_all_named_and_nothing_is_imported() {
    let world = World::new();
    let online = World::new();
    let gateway = online.start();
    let good = user("good", "Good");
    let file = world.file(&[
        good.clone(),
        "nonsense".to_owned(),
        String::new(),
        user("a b", "x"),
        json!({"user": {"account": "ann", "birth": "soon"}}).to_string(),
        json!({"user": {"account": "ann", "nick": 5}}).to_string(),
        json!({"user": {"nick": "nobody's"}}).to_string(),
        friendship("good", "good"),
        json!({"friendship": ["good"]}).to_string(),
        json!({"enemies": ["good", "ann"]}).to_string(),
        good,
    ]);
    for beside in [None, Some(&gateway)] {
        let said = world.import_badly(beside, &file);
        assert!(said.contains("nothing was imported, 8 bad line(s):"), "{said}");
        for line in [
            "line 2: not readable as JSON",
            "line 4: account must be",
            "line 5: birth must be",
            "line 6: nick: expected a string",
            "line 7: ",
            "line 8: \"good\" cannot be a friend of itself",
            "line 9: friendship: expected two accounts",
            "line 10: there is no field \"enemies\"; there are user, friendship, block",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(!said.contains("line 1:") && !said.contains("line 11:"), "{said}");
    }
    assert!(nicks(&gateway, &["good", "ann"]).await.is_empty());
    let gateway = world.start();
    assert!(nicks(&gateway, &["good", "ann"]).await.is_empty());
}

#[tokio::test]
async fn of_very_many_bad_lines_the_first_are_shown_and_the_others_counted() {
    let world = World::new();
    let lines: Vec<_> = (0..50).map(|_| "nonsense".to_owned()).collect();
    let said = world.import_badly(None, &world.file(&lines));
    assert!(said.contains("50 bad line(s)") && said.contains("line 20:"), "{said}");
    assert!(!said.contains("line 21:") && said.contains("and 30 more"), "{said}");
}

#[tokio::test]
async fn a_friend_that_nobody_made_is_named_with_the_line() {
    for running in [false, true] {
        let world = World::new();
        let beside = running.then(|| world.start());
        world.import(beside.as_ref(), &world.file(&[user("ann", "Ann")]));
        let lines =
            [user("bob", "Bob"), friendship("ann", "bob"), friendship("ann", "nobody"), friendship("noone", "bob")];
        let said = world.import_badly(beside.as_ref(), &world.file(&lines));
        assert!(said.contains("nothing was imported, 2 bad line(s):"), "{said}");
        assert!(said.contains("line 3: account \"nobody\" is neither in the file nor in the store"), "{said}");
        assert!(said.contains("line 4: account \"noone\" is neither"), "{said}");
        let gateway = beside.unwrap_or_else(|| world.start());
        assert_eq!(nicks(&gateway, &["ann", "bob"]).await, [("ann", "Ann")].map(owned));
        assert!(friends(&gateway, "ann").await.is_empty());
    }
}

#[tokio::test]
async fn files_that_hold_nothing_and_files_that_cannot_be_read_get_different_errors() {
    let world = World::new();
    for empty in [&b""[..], b"\n", b"\r\n\n  \n"] {
        let said = world.import(None, &world.file_of(empty));
        assert!(said.contains("\n0 lines imported into the store") && said.contains(", 0 of them changed"), "{said}");
    }
    let missing = world.path().join("missing.ndjson");
    let said = world.import_badly(None, missing.to_str().unwrap());
    assert!(said.contains("cannot read") && said.contains("missing.ndjson"), "{said}");
    let said = world.import_badly(None, world.path().to_str().unwrap());
    assert!(said.contains("cannot read"), "{said}");
    let mut bytes = user("ann", "Ann").into_bytes();
    bytes.extend(b"\n{\"user\": {\"account\": \"bob\", \"nick\": \"\xff\"}}\n");
    let said = world.import_badly(None, &world.file_of(&bytes));
    assert!(said.contains("nothing was imported, 1 bad line(s):") && said.contains("line 2: not UTF-8"), "{said}");
    assert!(nicks(&world.start(), &["ann", "bob"]).await.is_empty());
}

#[tokio::test]
async fn a_file_of_many_pieces_goes_in_whole() {
    for running in [false, true] {
        let world = World::new();
        let beside = running.then(|| world.start());
        // Every friendship stands before its users, and the last piece is not a full one.
        let names: Vec<_> = (0..1234).map(|n| format!("u{n:04}")).collect();
        let pairs = names.iter().skip(1).map(|name| friendship("u0000", name));
        let lines: Vec<_> = pairs.chain(names.iter().map(|name| user(name, name))).collect();
        let said = world.import(beside.as_ref(), &world.file(&lines));
        assert!(said.contains("\n2467 lines imported") && said.contains(" 2467 of them changed"), "{said}");
        let gateway = beside.unwrap_or_else(|| world.start());
        let first = gateway.login("u0000", Encoding::Protobuf).await;
        assert_eq!(first.replica.friends().len(), 1233);
        assert_eq!(first.replica.users()["u1233"].nick, "u1233");
        assert_eq!(friends(&gateway, "u1233").await, ["u0000"]);
    }
}

/// A piece goes through the gateway as one body, which has a limit of its own.
#[tokio::test]
async fn lines_as_long_as_they_can_be_go_in_through_a_gateway() {
    let world = World::new();
    let gateway = world.start();
    // JSON may write every character in up to twelve bytes.
    let escaped = "\\ud83d\\ude00".repeat(1024);
    let line =
        |n| format!("{{\"user\": {{\"account\": \"u{n}\", \"custom\": \"{escaped}\", \"avatar\": \"{escaped}\"}}}}");
    let lines: Vec<_> = (0..400).map(line).collect();
    assert!(lines.iter().map(String::len).sum::<usize>() > rosterd::api::IMPORT_BYTES);
    let said = world.import(Some(&gateway), &world.file(&lines));
    assert!(said.contains("\n400 lines imported"), "{said}");
    assert_eq!(gateway.user("u399").await["custom"].as_str().unwrap(), "😀".repeat(1024));
}

#[tokio::test]
async fn what_answers_must_be_a_gateway_that_knows_the_key() {
    let world = World::new();
    let gateway = world.start();
    let file = world.file(&[user("ann", "Ann"), friendship("ann", "bob")]);
    let ops = at(Some(&gateway));
    let said = world.run_badly(&["import", &file, "--set", &ops, "--set", "ops.api_key=another-key-of-16-bytes"]);
    assert!(said.contains("the server API needs the header"), "{said}");
    // The listener of clients is not what an import is for.
    let said = world.run_badly(&["import", &file, "--set", &format!("ops.listen={}", gateway.clients)]);
    assert!(said.contains("does not answer like rosterd"), "{said}");
    // And the store that a gateway has is not taken from it.
    let said = world.import_badly(None, &file);
    assert!(said.contains("is used by another rosterd process"), "{said}");
    assert!(nicks(&gateway, &["ann"]).await.is_empty());
}

/// What can be read only once is imported whole: users after friendships need a second reading.
#[tokio::test]
async fn pipes_and_standard_input_are_read_as_files_are() {
    let lines = [friendship("ann", "bob"), user("ann", "Ann"), user("bob", "Bob")].join("\n");
    let world = World::new();
    let file = world.file_of(lines.as_bytes());
    let binary = env!("CARGO_BIN_EXE_rosterd");
    let rest = format!("--config {} --set {OFFLINE}", world.config().display());
    for (number, script) in [
        format!("{binary} import - {rest} < {file}"),
        format!("cat {file} | {binary} import - {rest}"),
        format!("{binary} import <(cat {file}) {rest}"),
        format!("mkfifo {file}.fifo && (cat {file} > {file}.fifo &) && {binary} import {file}.fifo {rest}"),
        format!("cat {file} | {binary} import /dev/stdin {rest}"),
    ]
    .into_iter()
    .enumerate()
    {
        let output = finished(Process::new("bash").args(["-c", &script]));
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let changed = if number == 0 { 3 } else { 0 };
        assert!(output.status.success(), "{script}: {said}");
        assert!(
            said.contains("\n3 lines imported") && said.contains(&format!(" {changed} of them")),
            "{script}: {said}"
        );
    }
    let gateway = world.start();
    assert_eq!(nicks(&gateway, &["ann", "bob"]).await, [("ann", "Ann"), ("bob", "Bob")].map(owned));
    assert_eq!(friends(&gateway, "ann").await, ["bob"]);
}

#[tokio::test]
async fn own_fields_come_from_csv_by_their_types() {
    let world = World::with(
        "[profile.fields.level]\ntype = \"integer\"\nmax = 9\nwrite = \"backend\"\n[profile.fields.tags]\ntype = \"list\"\n\
         [profile.fields.pronouns]\ntype = \"text\"\n",
    );
    let write = |text: &str| {
        let file = world.path().join("accounts.csv");
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = "account,fields.level,fields.tags,fields.pronouns\nann,7,\"[\"\"a\"\"]\",she/her\nbob,,,\"\"\"7\"\"\"\n";
    let said = world.import(None, &write(good));
    assert!(said.contains("\n2 lines imported"), "{said}");
    for (bad, says) in [
        ("account,fields.level\nann,10\n", "line 2: fields.level"),
        ("account,fields.pronouns\nann,7\n", "line 2: fields.pronouns"),
        ("account,fields.lvl\nann,7\n", "line 2: "),
        ("account,fields.tags\nann,{}\n", "line 2: "),
    ] {
        let said = world.import_badly(None, &write(bad));
        assert!(said.contains(says), "{bad}: {said}");
    }
    let gateway = world.start();
    let fields = |user: Value| user["fields"].clone();
    let expected = json!({"level": 7, "tags": ["a"], "pronouns": "she/her"});
    assert_eq!(fields(gateway.user("ann").await), expected);
    assert_eq!(fields(gateway.user("bob").await), json!({"pronouns": "7"}));
}

#[tokio::test]
async fn accounts_and_friendships_come_from_csv_too() {
    for (ending, mark) in [("\n", ""), ("\r\n", "\u{feff}")] {
        let world = World::new();
        let write = |name: &str, lines: &[&str]| {
            let file = world.path().join(name);
            std::fs::write(&file, mark.to_owned() + &lines.join(ending)).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let accounts = write(
            "accounts.csv",
            &[
                "nick, account,sign,gender",
                "\"Ann, the first\",ann,\"says \"\"hi\"\"",
                "twice\",female",
                ",bob,,",
                "Eve,eve,,",
            ],
        );
        let said = world.import(None, &accounts);
        assert!(said.contains("\n3 lines imported") && said.contains(" 3 of them changed something"), "{said}");
        // Its name does not say that it is CSV, its header row does.
        let friendships = write("friendships.txt", &["account,friend", "ann,bob", "eve,ann", ""]);
        let said = world.import(None, &friendships);
        assert!(said.contains("\n2 lines imported") && said.contains(" 2 of them changed something"), "{said}");
        let json = write("users.ndjson", &[&user("dan", "Dan"), ""]);
        world.import(None, &json);
        for (name, lines, says) in [
            (
                "a.csv",
                &["account,nickname", "ann,Ann"][..],
                "line 1: there is no column \"nickname\"; did you mean nick?",
            ),
            ("b.csv", &["account;nick", "ann;Ann"], "begins with the names of its columns"),
            ("c.csv", &["account,nick,nick", "ann,Ann,A"], "the column \"nick\" is there twice"),
            (
                "d.csv",
                &["account,nick", "ann,Ann,A", "bob"],
                "line 2: it has 3 cells, and the header row has 2\n  line 3: it has 1",
            ),
            ("e.csv", &["account,birth", "ann,", "bob,soon"], "line 3: birth must be"),
            ("f.csv", &["friend,account", "ann,ann"], "line 2: \"ann\" cannot be a friend of itself"),
            ("g.csv", &["account,friend", "ann,nobody"], "line 2: account \"nobody\" is neither"),
            ("h.csv", &[""], "begins with the names of its columns"),
        ] {
            let said = world.import_badly(None, &write(name, lines));
            assert!(said.contains(says), "{name}: {said}");
        }
        let gateway = world.start();
        let ann = gateway.user("ann").await;
        let sign = format!("says \"hi\"{ending}twice");
        assert_eq!((ann["nick"].as_str(), ann["gender"].as_str()), (Some("Ann, the first"), Some("female")));
        assert_eq!(ann["sign"].as_str(), Some(sign.as_str()));
        assert_eq!(friends(&gateway, "ann").await, ["bob", "eve"]);
        assert_eq!(nicks(&gateway, &["bob", "dan"]).await, [("bob", ""), ("dan", "Dan")].map(owned));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_clients_go_on_beside_a_huge_import() {
    let world = World::new();
    let gateway = world.start();
    let names: Vec<_> = (0..160).map(|n| format!("u{n:03}")).collect();
    gateway.populate(&names.iter().map(String::as_str).chain(["ann"]).collect::<Vec<_>>(), &[]).await;
    let mut ann = gateway.login("ann", Encoding::Protobuf).await;
    // Every friendship there can be, in one request.
    let pairs = names.iter().enumerate().flat_map(|(n, a)| names[..n].iter().map(move |b| friendship(a, b)));
    let body = pairs.collect::<Vec<_>>().join("\n");
    let mut backend = gateway.backend().await;
    let importing = tokio::spawn(async move {
        let begun = Instant::now();
        let imported = backend.request(hyper::Method::POST, "/v1/import", body).await.unwrap();
        (imported["changed"].as_u64(), begun.elapsed())
    });
    let mut waits = Vec::new();
    while !importing.is_finished() {
        let begun = Instant::now();
        ann.nick(&format!("Ann {}", waits.len())).await;
        waits.push(begun.elapsed());
    }
    let (imported, took) = importing.await.unwrap();
    assert_eq!(imported, Some(160 * 159 / 2));
    let longest = waits.iter().max().unwrap();
    println!("{} writes during an import of {took:?}, the longest took {longest:?}", waits.len());
    // Behind one transaction, one write would have waited for nearly all of it.
    assert!(waits.len() >= 10 && *longest < took / 4, "{longest:?} of {took:?}, {} writes", waits.len());
}

#[tokio::test]
async fn a_line_that_is_refused_says_which_lines_before_it_stay() {
    let world = World::new();
    let gateway = world.start();
    let mut lines: Vec<_> = (0..250).map(|n| user(&format!("u{n:03}"), "x")).collect();
    lines.insert(230, friendship("u000", "nobody"));
    lines.insert(0, String::new());
    let (status, said) =
        gateway.backend().await.send(hyper::Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    assert_eq!(status, 404, "{said}");
    assert!(said.contains("line 232: ") && said.contains("the 200 lines before line 202 are imported"), "{said}");
    assert_eq!(nicks(&gateway, &["u199", "u200", "u229", "u231"]).await, [("u199", "x")].map(owned));
    // Short imports are all or nothing, and so is one with a line that cannot be read.
    lines.truncate(150);
    lines.push("nonsense".to_owned());
    let other = World::new();
    let gateway = other.start();
    for body in [lines.join("\n"), [&lines[..50], &[friendship("u000", "nobody")]].concat().join("\n")] {
        let (status, said) = gateway.backend().await.send(hyper::Method::POST, "/v1/import", body).await.unwrap();
        assert!(status >= 400 && !said.contains("imported"), "{status} {said}");
    }
    assert!(nicks(&gateway, &["u000", "u120"]).await.is_empty());
}
