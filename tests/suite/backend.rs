//! The server API about relations, devices and presence: done right, wrong, and again; batches, export and erasure.

use hyper::Method;
use rosterd_protocol::Encoding;
use serde_json::{Value, json};

use crate::api::{Api, error, with_users};
use crate::support::{World, live_blocks, open_requests, to};

const OK: u16 = 200;
const CREATED: u16 = 201;

/// The accounts of a list of records.
fn accounts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|record| record["account"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn requests_are_made_taken_back_and_answered() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let ask = "/v1/users/ann/requests/bob";
    assert_eq!(api.put(ask, r#"{"message": "hi"}"#).await, (CREATED, json!({})));
    bob.until(|replica| open_requests(replica) == [("ann".to_owned(), true, "hi".to_owned())]).await;
    // Again it is open already, and what it says stays.
    assert_eq!(api.put(ask, r#"{"message": "again"}"#).await, (OK, json!({})));
    let (_, of_ann) = api.get("/v1/users/ann/requests").await;
    let (_, of_bob) = api.get("/v1/users/bob/requests").await;
    for (list, other, direction) in [(&of_ann, "bob", "out"), (&of_bob, "ann", "in")] {
        let [request] = &list["requests"].as_array().unwrap()[..] else { panic!("{list}") };
        assert_eq!((request["account"].as_str(), request["direction"].as_str()), (Some(other), Some(direction)));
        assert_eq!((request["message"].as_str(), request["state"].as_str()), (Some("hi"), Some("open")));
    }
    for _ in 0..2 {
        assert_eq!(api.delete(ask).await, (OK, json!({})));
        bob.until(|replica| open_requests(replica).is_empty()).await;
    }
    for (answer, friends) in [("reject", false), ("accept", true)] {
        assert_eq!(api.put(ask, "").await, (CREATED, json!({})));
        // Who asked cannot answer.
        let own = api.post(&format!("/v1/users/ann/requests/bob/{answer}"), "").await;
        assert_eq!(error(&own), (404, 404, "NOT_FOUND", Some("peer")), "{answer}");
        let path = format!("/v1/users/bob/requests/ann/{answer}");
        assert_eq!(api.post(&path, "").await, (OK, json!({})));
        let again = api.post(&path, "").await;
        let expected = if friends { (409, 417, "ALREADY_EXISTS") } else { (404, 404, "NOT_FOUND") };
        assert_eq!(error(&again), (expected.0, expected.1, expected.2, Some("peer")), "{answer}");
        assert_eq!(api.friends("ann").await.is_empty(), !friends);
        assert_eq!(api.get("/v1/users/ann/requests").await, (OK, json!({"requests": []})));
    }
    let friends = api.put(ask, "").await;
    assert_eq!(error(&friends), (409, 417, "ALREADY_EXISTS", Some("peer")));
    assert_eq!(api.delete(ask).await, (OK, json!({})));
    // Two who ask each other are friends.
    api.delete("/v1/users/ann/friends/bob").await;
    assert_eq!(api.put(ask, "").await.0, CREATED);
    assert_eq!(api.put("/v1/users/bob/requests/ann", "").await.0, CREATED);
    assert_eq!(api.friends("ann").await, ["bob"]);
}

#[tokio::test]
async fn blocks_are_made_and_ended_any_number_of_times_and_come_in_pages() {
    let world = World::new();
    let names: Vec<_> = (0..5).map(|n| format!("u{n}")).collect();
    let users: Vec<_> = names.iter().map(String::as_str).chain(["ann"]).collect();
    let (gateway, mut api) = with_users(&world, &users).await;
    let mut ann = gateway.login("ann", Encoding::Json).await;
    for name in &names {
        let path = format!("/v1/users/ann/blocks/{name}");
        assert_eq!(api.put(&path, "").await, (CREATED, json!({})));
        assert_eq!(api.put(&path, "").await, (OK, json!({})));
    }
    ann.until(|replica| live_blocks(replica) == names).await;
    for limit in [1, 2, 4, 5, 6] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (status, page) = api.get(&format!("/v1/users/ann/blocks?limit={limit}{after}")).await;
            assert!(status == OK && accounts(&page["blocks"]).len() <= limit, "{page}");
            seen.extend(accounts(&page["blocks"]).into_iter().map(str::to_owned));
            let Some(next) = page.get("next") else { break };
            after = format!("&after={}", next.as_str().unwrap());
        }
        assert_eq!(seen, names, "{limit}");
    }
    let wrong = api.get("/v1/users/ann/blocks?limit=0").await;
    assert_eq!(error(&wrong), (400, 414, "INVALID_ARGUMENT", Some("limit")));
    for _ in 0..2 {
        assert_eq!(api.delete("/v1/users/ann/blocks/u0").await, (OK, json!({})));
    }
    ann.until(|replica| live_blocks(replica) == names[1..]).await;
}

#[tokio::test]
async fn who_is_named_wrongly_is_named_by_every_route() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let pairs = [
        (Method::PATCH, "friends", "", "{\"alias\": \"x\"}"),
        (Method::PUT, "requests", "", ""),
        (Method::DELETE, "requests", "", ""),
        (Method::POST, "requests", "/accept", ""),
        (Method::POST, "requests", "/reject", ""),
        (Method::PUT, "blocks", "", ""),
        (Method::DELETE, "blocks", "", ""),
    ];
    for (method, kind, rest, body) in pairs {
        for (account, peer, status, field) in [
            ("nobody", "bob", 404, "account"),
            ("a%20b", "bob", 400, "account"),
            ("ann", "a%20b", 400, "peer"),
            ("ann", "nobody", 404, "peer"),
            ("ann", "ann", 400, "peer"),
        ] {
            // An end of what cannot be there is harmless.
            let nothing = method == Method::DELETE && peer == "nobody" && kind == "blocks";
            let path = format!("/v1/users/{account}/{kind}/{peer}{rest}");
            let answer = api.json(method.clone(), &path, body).await;
            if nothing {
                assert_eq!(answer, (OK, json!({})), "{path}");
                continue;
            }
            let (got, _, _, named) = error(&answer);
            assert_eq!((got, named), (status, Some(field)), "{method} {path}: {answer:?}");
        }
    }
    let ones = [
        (Method::GET, "export", ""),
        (Method::GET, "friends", ""),
        (Method::GET, "requests", ""),
        (Method::GET, "blocks", ""),
        (Method::GET, "sessions", ""),
        (Method::DELETE, "sessions", ""),
        (Method::DELETE, "sessions/0000000000000001", ""),
        (Method::GET, "presence", ""),
        (Method::PUT, "presence", "{\"invisible\": true}"),
        (Method::POST, "hints", "{}"),
        (Method::POST, "signals", "{\"to\": \"ann\", \"payload\": \"\"}"),
    ];
    for (method, what, body) in ones {
        for (account, status) in [("nobody", 404), ("a%20b", 400)] {
            let answer = api.json(method.clone(), &format!("/v1/users/{account}/{what}"), body).await;
            assert_eq!(error(&answer).0, status, "{method} {account} {what}: {answer:?}");
            assert!(answer.1["error"]["message"].as_str().unwrap().contains("account"), "{answer:?}");
        }
    }
    let session = api.delete("/v1/users/ann/sessions/mine").await;
    assert_eq!(error(&session), (400, 414, "INVALID_ARGUMENT", Some("session")));
    for (path, body, field) in
        [("signals", r#"{"to": "nobody", "payload": ""}"#, "to"), ("signals", r#"{"to": "a b", "payload": ""}"#, "to")]
    {
        assert_eq!(error(&api.post(&format!("/v1/users/ann/{path}"), body).await).3, Some(field), "{body}");
    }
}

/// A body, and the field that is named for it.
type Wrong<'a> = (&'a str, Option<&'a str>);

#[tokio::test]
async fn a_body_that_is_wrong_is_named_and_nothing_is_done() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob", "cat"]).await;
    gateway.populate(&[], &[("ann", "bob")]).await;
    let (long, longer) = ("x".repeat(257), "x".repeat(4097));
    let (message, custom) = (json!({"message": long}).to_string(), json!({"custom": long}).to_string());
    let payload = json!({"to": "bob", "payload": longer}).to_string();
    let cases: [(Method, &str, &[Wrong<'_>]); 6] = [
        (
            Method::PUT,
            "/v1/users/ann/requests/cat",
            &[("{", None), ("[]", Some("body")), (r#"{"message": 5}"#, Some("message")), (&message, Some("message"))],
        ),
        (
            Method::PATCH,
            "/v1/users/ann/friends/bob",
            &[
                ("", None),
                (r#"{"alias": []}"#, Some("alias")),
                (r#"{"alias": "x", "custom": 5}"#, Some("custom")),
                (&custom, Some("custom")),
            ],
        ),
        (
            Method::PUT,
            "/v1/users/ann/presence",
            &[
                ("", None),
                ("{}", Some("invisible")),
                (r#"{"invisible": "yes"}"#, Some("invisible")),
                (r#"{"invisible": null}"#, Some("invisible")),
            ],
        ),
        (
            Method::POST,
            "/v1/users/ann/hints",
            &[("", None), (r#"{"accounts": {}}"#, Some("accounts")), ("5", Some("body"))],
        ),
        (
            Method::POST,
            "/v1/users/ann/signals",
            &[
                ("{}", Some("body")),
                (r#"{"to": "bob"}"#, Some("body")),
                (r#"{"to": 5, "payload": ""}"#, Some("to")),
                (&payload, Some("payload")),
            ],
        ),
        (
            Method::POST,
            "/v1/users:batchUpdate",
            &[
                ("", None),
                ("{}", Some("body")),
                (r#"{"users": {}}"#, Some("users")),
                (r#"{"users": [5]}"#, Some("users[0]")),
            ],
        ),
    ];
    let before = api.get("/v1/users/ann/export").await;
    for (method, path, bodies) in cases {
        for (body, field) in bodies {
            let answer = api.json(method.clone(), path, *body).await;
            assert_eq!(error(&answer), (400, 414, "INVALID_ARGUMENT", *field), "{method} {path} {body:.60}");
        }
        if path == "/v1/users:batchUpdate" {
            continue;
        }
        let large = format!("{{\"x\": \"{}\"}}", "x".repeat(64 * 1024));
        let answer = Api(gateway.backend().await).json(method.clone(), path, large).await;
        assert_eq!(error(&answer), (422, 419, "LIMIT_EXCEEDED", None), "{method} {path}");
        assert_eq!(api.get("/v1/users/ann/export").await, before, "{method} {path}");
    }
}

#[tokio::test]
async fn a_batch_changes_all_of_its_users_or_none() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    gateway.populate(&[], &[("ann", "bob")]).await;
    let mut ann = gateway.login("ann", Encoding::Json).await;
    let before = [gateway.user("ann").await, gateway.user("bob").await];
    let good = json!({"account": "bob", "nick": "Bobby"});
    for (bad, status, code, field) in [
        (json!({"account": "nobody", "nick": "x"}), 404, 404, "users[1].account"),
        (json!({"account": "a b"}), 400, 414, "users[1].account"),
        (json!({"nick": "x"}), 400, 414, "users[1]"),
        (json!({"account": "ann", "birth": "soon"}), 400, 414, "users[1].birth"),
        (json!({"account": "ann", "nick": 5}), 400, 414, "users[1].nick"),
        (json!({"account": "bob", "sign": "x"}), 400, 414, "users[1].account"),
        (json!({"account": "ann", "nick": "x", "ifVersion": 1_000_000}), 412, 412, "users[1].ifVersion"),
        (json!({"account": "new", "create": "yes"}), 400, 414, "users[1].create"),
    ] {
        let answer = api.post("/v1/users:batchUpdate", json!({"users": [good, bad]}).to_string()).await;
        let (got, number, _, named) = error(&answer);
        assert_eq!((got, number, named), (status, code, Some(field)), "{bad}: {answer:?}");
        assert_eq!([gateway.user("ann").await, gateway.user("bob").await], before, "{bad}");
    }
    let many: Vec<_> = (0..151).map(|n| json!({"account": format!("u{n}"), "create": true})).collect();
    let answer = api.post("/v1/users:batchUpdate", json!({"users": many}).to_string()).await;
    assert_eq!(error(&answer), (422, 419, "LIMIT_EXCEEDED", Some("users")));
    ann.quiet().await;
    let version = before[0]["version"].as_u64();
    let users =
        json!([good, {"account": "ann", "sign": "hi", "ifVersion": version}, {"account": "new", "create": true}]);
    let (status, body) = api.post("/v1/users:batchUpdate", json!({"users": users}).to_string()).await;
    assert_eq!((status, accounts(&body["users"])), (OK, vec!["bob", "ann", "new"]), "{body}");
    ann.until(|replica| replica.users()["bob"].nick == "Bobby" && replica.me().unwrap().sign == "hi").await;
    // The same again, where nothing changes, answers the same.
    let again = json!({"users": [good, {"account": "ann", "sign": "hi"}, {"account": "new", "create": true}]});
    assert_eq!(api.post("/v1/users:batchUpdate", again.to_string()).await, (OK, body));
    ann.quiet().await;
    let (status, body) = api.post("/v1/users:batchUpdate", json!({"users": many[..150]}).to_string()).await;
    assert_eq!((status, accounts(&body["users"]).len()), (OK, 150));
    assert_eq!(api.post("/v1/users:batchUpdate", r#"{"users": []}"#).await, (OK, json!({"users": []})));
}

#[tokio::test]
async fn an_export_holds_everything_that_is_kept_and_an_erasure_leaves_nothing() {
    let world = World::new();
    let names: Vec<_> = (0..1100).map(|n| format!("u{n:04}")).collect();
    let users: Vec<_> = names.iter().map(String::as_str).chain(["ann", "bob", "cat", "dan", "eve"]).collect();
    let (gateway, mut api) = with_users(&world, &users).await;
    let pairs: Vec<_> = names.iter().map(|name| ("ann", name.as_str())).chain([("ann", "bob")]).collect();
    gateway.populate(&[], &pairs).await;
    let secret = json!({"alias": "a secret", "custom": "another secret"});
    for (method, path, body) in [
        (Method::PATCH, "/v1/users/ann", json!({"sign": "a secret"})),
        (Method::PATCH, "/v1/users/ann/friends/bob", secret.clone()),
        (Method::PATCH, "/v1/users/bob/friends/ann", secret),
        (Method::PUT, "/v1/users/ann/requests/cat", json!({"message": "a secret"})),
        (Method::PUT, "/v1/users/dan/requests/ann", json!({"message": "a secret"})),
        (Method::PUT, "/v1/users/ann/blocks/eve", Value::Null),
        (Method::PUT, "/v1/users/eve/blocks/ann", Value::Null),
        (Method::PUT, "/v1/users/ann/presence", json!({"invisible": true})),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        gateway.backend().await.request(method, path, body).await.unwrap();
    }
    let (_, export) = api.get("/v1/users/ann/export").await;
    assert_eq!(export["user"], gateway.user("ann").await);
    assert_eq!(accounts(&export["friends"]).len(), 1101);
    assert_eq!((export["friends"][0]["alias"].as_str(), accounts(&export["friends"])[0]), (Some("a secret"), "bob"));
    assert_eq!((accounts(&export["requests"]), accounts(&export["blocks"])), (vec!["cat", "dan"], vec!["eve"]));
    assert_eq!(export["presence"]["invisible"], true);

    let mut here = Vec::new();
    for account in ["ann", "bob", "cat", "dan", "eve"] {
        here.push(gateway.login(account, Encoding::Json).await);
    }
    let [ann, bob, cat, dan, eve] = &mut here[..] else { unreachable!() };
    eve.watch(&["ann"]).await;
    let (held, before) = (ann.replica.clone(), bob.replica.clone());
    assert_eq!(api.delete("/v1/users/ann").await, (OK, json!({})));
    assert_eq!(ann.ended().await, (3505, "ACCOUNT_DISABLED".to_owned()));
    bob.until(|replica| replica.friends().is_empty() && replica.users().is_empty()).await;
    cat.until(|replica| open_requests(replica).is_empty()).await;
    dan.until(|replica| open_requests(replica).is_empty()).await;
    eve.until(|replica| live_blocks(replica).is_empty()).await;
    for peer in [bob, cat, dan, &mut *eve] {
        peer.agrees(&gateway, Encoding::Protobuf).await;
        assert_eq!(peer.see("ann").await, None);
    }
    assert!(gateway.resume("bob", Encoding::Json, before).await.replica.friends().is_empty());
    for what in ["", "/export", "/friends", "/requests", "/blocks", "/sessions", "/presence"] {
        assert_eq!(error(&api.get(&format!("/v1/users/ann{what}")).await).0, 404, "{what}");
    }
    // Nothing of it is left in any file but the names, which is all that a tombstone needs.
    assert!(!left(&world).contains("secret"), "{}", left(&world));

    // Whoever is made under the name starts with nothing, also to a client of the one before.
    assert_eq!(api.put("/v1/users/ann", "{}").await.0, CREATED);
    let (_, export) = api.get("/v1/users/ann/export").await;
    let nothing = json!({"account": "ann", "online": false, "lastSeen": 0, "invisible": false, "version": 0});
    let kept = [&export["friends"], &export["requests"], &export["blocks"]].map(|list| list.as_array().unwrap().len());
    assert_eq!((kept, &export["presence"]), ([0, 0, 0], &nothing));
    for replica in [held, rosterd_client::Replica::default()] {
        let back = gateway.resume("ann", Encoding::Json, replica).await;
        assert!(back.replica.friends().is_empty() && live_blocks(&back.replica).is_empty());
        assert_eq!((open_requests(&back.replica), back.replica.presence().get("ann")), (vec![], None));
    }
    eve.until(|replica| replica.users().get("ann").is_some_and(|ann| ann.sign.is_empty())).await;
    eve.request(to::ask("ann")).await;
    assert_eq!(open_requests(&gateway.login("ann", Encoding::Json).await.replica).len(), 1);
}

/// Everything that the rows hold, as text.
fn left(world: &World) -> String {
    let file = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
    let mut text = String::new();
    for (table, columns) in [
        ("user", "nick || sign || CAST(custom AS TEXT)"),
        ("frozen", "nick || sign || CAST(custom AS TEXT)"),
        ("edge", "alias || CAST(custom AS TEXT)"),
        ("request", "CAST(message AS TEXT)"),
    ] {
        let mut select = file.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        text.extend(rows.map(|row| format!("{table}: {}\n", row.unwrap())).filter(|row| row.contains("secret")));
    }
    text
}
