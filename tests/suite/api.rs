//! The server API: what a backend sees of each route, done right and done wrong.

use hyper::Method;
use rosterd_client::Backend;
use rosterd_protocol::Encoding;
use serde_json::{Value, json};

use crate::support::{Gateway, World};

/// A gateway with these users, and a connection to its server API.
pub async fn with_users(world: &World, users: &[&str]) -> (Gateway, Api) {
    let gateway = world.start();
    gateway.populate(users, &[]).await;
    let api = Api(gateway.backend().await);
    (gateway, api)
}

/// Requests in as few words as a test can do with.
pub struct Api(pub Backend);

impl Api {
    pub async fn send(&mut self, method: Method, path: &str, body: impl Into<String>) -> (u16, String) {
        self.0.send(method, path, body.into()).await.unwrap()
    }

    /// The status and the body, which is JSON.
    pub async fn json(&mut self, method: Method, path: &str, body: impl Into<String>) -> (u16, Value) {
        let (status, text) = self.send(method, path, body).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
    }

    pub async fn get(&mut self, path: &str) -> (u16, Value) {
        self.json(Method::GET, path, "").await
    }

    pub async fn put(&mut self, path: &str, body: impl Into<String>) -> (u16, Value) {
        self.json(Method::PUT, path, body).await
    }

    pub async fn patch(&mut self, path: &str, body: impl Into<String>) -> (u16, Value) {
        self.json(Method::PATCH, path, body).await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<String>) -> (u16, Value) {
        self.json(Method::POST, path, body).await
    }

    pub async fn delete(&mut self, path: &str) -> (u16, Value) {
        self.json(Method::DELETE, path, "").await
    }

    /// The accounts of a friend list.
    pub async fn friends(&mut self, account: &str) -> Vec<String> {
        let (status, page) = self.get(&format!("/v1/users/{account}/friends")).await;
        assert_eq!(status, 200, "{page}");
        let friends = page["friends"].as_array().unwrap();
        friends.iter().map(|friend| friend["account"].as_str().unwrap().to_owned()).collect()
    }
}

/// An error's status, code, word and field.
pub fn error((status, body): &(u16, Value)) -> (u16, u64, &str, Option<&str>) {
    let error = &body["error"];
    let text = |name: &str| error[name].as_str();
    assert!(text("message").is_some_and(|message| !message.is_empty()), "{status} {body}");
    (*status, error["code"].as_u64().unwrap(), text("reason").unwrap(), text("field"))
}

#[tokio::test]
async fn accounts_are_listed_in_pages_and_by_how_they_begin() {
    let world = World::new();
    let names = ["ann", "ann.b", "anna", "bob", "Ann", "zoe"];
    let (_gateway, mut api) = with_users(&world, &names).await;
    let mut listed = async |query: &str| {
        let (status, page) = api.get(&format!("/v1/users?{query}")).await;
        assert_eq!(status, 200, "{query}: {page}");
        let names = page["users"].as_array().unwrap().iter().map(|user| user["account"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), page["next"].as_str().map(str::to_owned))
    };
    let whole = |names: &[&str]| (names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), None);
    assert_eq!(listed("").await, whole(&["Ann", "ann", "ann.b", "anna", "bob", "zoe"]));
    assert_eq!(listed("prefix=ann").await, whole(&["ann", "ann.b", "anna"]));
    assert_eq!(listed("prefix=anna").await, whole(&["anna"]));
    assert_eq!(listed("prefix=.").await, whole(&[]));
    let (first, next) = listed("prefix=ann&limit=2").await;
    assert_eq!((first, next.as_deref()), (vec!["ann".to_owned(), "ann.b".to_owned()], Some("ann.b")));
    assert_eq!(listed("prefix=ann&limit=2&after=ann.b").await, whole(&["anna"]));
    for (query, field) in [("prefix=a%20b", "prefix"), ("after=a%20b", "after"), ("limit=0", "limit")] {
        assert_eq!(error(&api.get(&format!("/v1/users?{query}")).await).3, Some(field), "{query}");
    }
}

#[tokio::test]
async fn put_makes_an_account_or_replaces_the_whole_profile() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &[]).await;
    let whole = json!({
        "nick": "Ann", "avatar": "a.png", "sign": "hi", "gender": "female", "email": "ann@example.com",
        "birth": "1990-05-04", "tel": "+1 555", "custom": "{}",
    });
    let (status, made) = api.put("/v1/users/ann", whole.to_string()).await;
    assert_eq!(status, 201);
    for (field, value) in whole.as_object().unwrap() {
        assert_eq!(&made[field], value);
    }
    assert_eq!((made["account"].as_str(), made["createTime"] == made["updateTime"]), (Some("ann"), true));
    assert_eq!(api.get("/v1/users/ann").await, (200, made.clone()));
    // The same again is no change, and no new version.
    assert_eq!(api.put("/v1/users/ann", whole.to_string()).await, (200, made.clone()));

    let (status, replaced) = api.put("/v1/users/ann", r#"{"nick": "Anna"}"#).await;
    assert_eq!((status, replaced["nick"].as_str(), replaced["gender"].as_str()), (200, Some("Anna"), Some("unknown")));
    for cleared in ["avatar", "sign", "email", "birth", "tel", "custom"] {
        assert_eq!(replaced[cleared], "", "{cleared}");
    }
    assert!(replaced["version"].as_u64() > made["version"].as_u64());
    assert_eq!(replaced["createTime"], made["createTime"]);

    let stale = json!({"nick": "Late", "ifVersion": made["version"]}).to_string();
    assert_eq!(error(&api.put("/v1/users/ann", stale).await), (412, 412, "VERSION_MISMATCH", Some("ifVersion")));
    assert_eq!(api.get("/v1/users/ann").await, (200, replaced));
}

#[tokio::test]
async fn patch_changes_what_is_given_and_makes_nothing() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &["ann"]).await;
    let (status, patched) = api.patch("/v1/users/ann", r#"{"sign": "hi", "tel": "5"}"#).await;
    assert_eq!((status, patched["nick"].as_str(), patched["sign"].as_str()), (200, Some("ann"), Some("hi")));
    let (_, cleared) = api.patch("/v1/users/ann", r#"{"tel": "", "sign": null}"#).await;
    assert_eq!((cleared["tel"].as_str(), cleared["sign"].as_str()), (Some(""), Some("hi")));
    // Nothing given, nothing changed.
    assert_eq!(api.patch("/v1/users/ann", "{}").await, (200, cleared));
    assert_eq!(error(&api.patch("/v1/users/bob", r#"{"nick": "x"}"#).await), (404, 404, "NOT_FOUND", None));
    assert_eq!(api.get("/v1/users/bob").await.0, 404);
}

#[tokio::test]
async fn delete_takes_the_account_and_its_friendships() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    gateway.populate(&[], &[("ann", "bob")]).await;
    let version = gateway.user("ann").await["version"].as_u64();
    assert_eq!(api.delete("/v1/users/ann").await, (200, json!({})));
    assert_eq!(error(&api.get("/v1/users/ann").await), (404, 404, "NOT_FOUND", None));
    assert_eq!(error(&api.delete("/v1/users/ann").await), (404, 404, "NOT_FOUND", None));
    assert!(api.friends("bob").await.is_empty());
    // Made again it is a new account, whose version does not go back.
    let (status, again) = api.put("/v1/users/ann", "{}").await;
    assert!(status == 201 && again["version"].as_u64() > version);
    assert!(api.friends("ann").await.is_empty());
}

#[tokio::test]
async fn batch_get_returns_what_exists_and_what_does_not() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    // One of them live, the other read from the store.
    let _ann = gateway.login("ann", Encoding::Json).await;
    let (status, found) = api.post("/v1/users:batchGet", r#"{"accounts": ["bob", "nobody", "ann", "bob"]}"#).await;
    let expected = [gateway.user("bob").await, gateway.user("ann").await];
    assert_eq!((status, &found["users"], &found["missing"]), (200, &json!(expected), &json!(["nobody"])));
    assert_eq!(api.post("/v1/users:batchGet", "{}").await, (200, json!({"users": [], "missing": []})));
    let many: Vec<_> = (0..151).map(|n| format!("u{n}")).collect();
    let too_many = api.post("/v1/users:batchGet", json!({"accounts": many}).to_string()).await;
    assert_eq!(error(&too_many), (422, 419, "LIMIT_EXCEEDED", Some("accounts")));
    let (status, found) = api.post("/v1/users:batchGet", json!({"accounts": many[..150]}).to_string()).await;
    assert_eq!((status, found["missing"].as_array().unwrap().len()), (200, 150));
}

#[tokio::test]
async fn friendships_are_made_and_ended_from_either_side_any_number_of_times() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    for (a, b) in [("ann", "bob"), ("bob", "ann")] {
        let path = format!("/v1/users/{a}/friends/{b}");
        assert_eq!(api.put(&path, "").await, (201, json!({})));
        assert_eq!((api.friends("ann").await, api.friends("bob").await), (vec!["bob".into()], vec!["ann".into()]));
        assert_eq!(api.put(&path, "").await, (200, json!({})));
        assert_eq!(api.put(&format!("/v1/users/{b}/friends/{a}"), "").await, (200, json!({})));
        let other_side = format!("/v1/users/{b}/friends/{a}");
        assert_eq!(api.delete(&other_side).await, (200, json!({})));
        assert_eq!((api.friends("ann").await.len(), api.friends("bob").await.len()), (0, 0));
        assert_eq!(api.delete(&path).await, (200, json!({})));
    }
    for method in [Method::PUT, Method::DELETE] {
        for (path, status, field) in [
            ("/v1/users/ann/friends/ann", 400, "peer"),
            ("/v1/users/ann/friends/nobody", 404, "peer"),
            ("/v1/users/nobody/friends/ann", 404, "account"),
            ("/v1/users/ann/friends/a%20b", 400, "peer"),
            ("/v1/users/a%20b/friends/ann", 400, "account"),
        ] {
            let answer = api.json(method.clone(), path, "").await;
            let (got, _, _, named) = error(&answer);
            assert_eq!((got, named), (status, Some(field)), "{method} {path}: {answer:?}");
            let culprit = if status == 404 { "nobody" } else { "" };
            assert!(answer.1["error"]["message"].as_str().unwrap().contains(culprit), "{answer:?}");
        }
    }
    assert!(api.friends("ann").await.is_empty());
}

#[tokio::test]
async fn a_friend_list_comes_in_pages_without_gaps_or_repeats() {
    let world = World::new();
    let names: Vec<_> = (0..25).map(|n| format!("friend{n:02}")).collect();
    let users: Vec<_> = ["ann"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let (gateway, mut api) = with_users(&world, &users).await;
    let pairs: Vec<_> = names.iter().map(|name| ("ann", name.as_str())).collect();
    gateway.populate(&[], &pairs).await;
    for limit in [1, 7, 24, 25, 26, 1000] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let (status, page) = api.get(&format!("/v1/users/ann/friends?limit={limit}{after}")).await;
            assert_eq!(status, 200, "{page}");
            let friends = page["friends"].as_array().unwrap();
            assert!(!friends.is_empty() && friends.len() <= limit);
            seen.extend(friends.iter().map(|friend| friend["account"].as_str().unwrap().to_owned()));
            match page.get("next") {
                Some(next) => after = format!("&after={}", next.as_str().unwrap()),
                None => break,
            }
        }
        assert_eq!(seen, names, "limit {limit}");
    }
    assert_eq!(api.get("/v1/users/friend00/friends?after=ann").await, (200, json!({"friends": []})));
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("after=a%20b", "after"),
        ("after=", "after"),
    ] {
        let answer = api.get(&format!("/v1/users/ann/friends?{query}")).await;
        assert_eq!(error(&answer), (400, 414, "INVALID_ARGUMENT", Some(field)), "{query}");
    }
    assert_eq!(error(&api.get("/v1/users/nobody/friends").await), (404, 404, "NOT_FOUND", None));
}

#[tokio::test]
async fn in_jwt_mode_the_server_api_is_off_until_a_key_is_set() {
    let auth = "mode = \"jwt\"\nhs256_secret = \"0123456789abcdef0123456789abcdef\"";
    let world = World { auth: auth.to_owned(), ..World::new() };
    let gateway = world.start_with(&["ops.api_key="]);
    let mut api = Api(Backend::connect(gateway.ops, "").await.unwrap());
    let answer = api.get("/v1/users/ann").await;
    assert_eq!(error(&answer), (403, 403, "PERMISSION_DENIED", None));
    assert!(answer.1["error"]["message"].as_str().unwrap().contains("ops.api_key"));
    assert_eq!(api.send(Method::GET, "/readyz", "").await.0, 200);
}

#[tokio::test]
async fn a_body_that_is_wrong_is_named_and_changes_nothing() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann"]).await;
    let before = gateway.user("ann").await;
    let large = format!("{{\"custom\": \"{}\"}}", "x".repeat(64 * 1024));
    let invalid = |field| (400, 414, "INVALID_ARGUMENT", field);
    for method in [Method::PUT, Method::PATCH] {
        for (body, expected) in [
            ("", invalid(None)),
            ("nick=x", invalid(None)),
            (r#"{"nick": "x""#, invalid(None)),
            (r#"{"nick": "x"} {}"#, invalid(None)),
            ("[]", invalid(Some("body"))),
            ("null", invalid(Some("body"))),
            (r#"{"nick": 5}"#, invalid(Some("nick"))),
            (r#"{"nick": "x", "nick": "y"}"#, invalid(Some("nick"))),
            (r#"{"nick": "x", "gender": "other"}"#, invalid(Some("gender"))),
            (r#"{"nick": "x", "birth": "soon"}"#, invalid(Some("birth"))),
            (r#"{"nick": "x", "ifVersion": -1}"#, invalid(Some("ifVersion"))),
            (&large, (422, 419, "LIMIT_EXCEEDED", None)),
        ] {
            let answer = api.json(method.clone(), "/v1/users/ann", body).await;
            assert_eq!(error(&answer), expected, "{method} {body:.60}");
            assert_eq!(api.get("/v1/users/ann").await, (200, before.clone()), "{method} {body:.60}");
        }
    }
    for (body, field) in
        [("", None), (r#"{"accounts": "ann"}"#, Some("accounts")), (r#"{"accounts": [5]}"#, Some("accounts[0]"))]
    {
        assert_eq!(error(&api.post("/v1/users:batchGet", body).await), invalid(field), "{body}");
    }
    let bad_account = api.put("/v1/users/a%2Fb", "{}").await;
    assert_eq!(error(&bad_account), invalid(Some("account")));
}

#[tokio::test]
async fn a_field_that_nobody_reads_is_named_with_the_nearest_and_changes_nothing() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    gateway.populate(&[], &[("ann", "bob")]).await;
    let before = gateway.user("ann").await;
    for (method, path, body, field, says) in [
        (Method::PUT, "", r#"{"nickname": "x"}"#, "nickname", "did you mean nick?"),
        (Method::PATCH, "", r#"{"nick": "x", "ifversion": 1}"#, "ifversion", "did you mean ifVersion?"),
        (Method::PUT, "", r#"{"nick": "x", "colour": "red"}"#, "colour", "there are nick, avatar,"),
        (Method::PATCH, "/friends/bob", r#"{"aliass": "x"}"#, "aliass", "did you mean alias?"),
        (Method::PUT, "/requests/bob", r#"{"mesage": "x"}"#, "mesage", "did you mean message?"),
        (Method::PUT, "/presence", r#"{"visible": false}"#, "visible", "did you mean invisible?"),
        (Method::PUT, "/token", r#"{"sekret": "0123456789abcdef"}"#, "sekret", "did you mean secret?"),
        (Method::POST, "/tokens:revoke", r#"{"issued_before": 1}"#, "issued_before", "did you mean issuedBefore?"),
        (Method::POST, "/hints", r#"{"account": ["bob"]}"#, "account", "did you mean accounts?"),
        (Method::POST, "/signals", r#"{"to": "bob", "payload": "x", "ttl": 1}"#, "ttl", "there are to, payload"),
        (Method::POST, ":batchGet", r#"{"acounts": []}"#, "acounts", "did you mean accounts?"),
        (Method::POST, ":batchUpdate", r#"{"user": []}"#, "user", "did you mean users?"),
        (
            Method::POST,
            ":batchUpdate",
            r#"{"users": [{"account": "bob"}, {"account": "ann", "nik": "x"}]}"#,
            "users[1].nik",
            "did you mean nick?",
        ),
    ] {
        let path = if path.starts_with(':') { format!("/v1/users{path}") } else { format!("/v1/users/ann{path}") };
        let answer = api.json(method, &path, body).await;
        assert_eq!(error(&answer), (400, 414, "INVALID_ARGUMENT", Some(field)), "{path} {body}: {answer:?}");
        assert!(answer.1["error"]["message"].as_str().unwrap().contains(says), "{path} {body}: {answer:?}");
        assert_eq!(gateway.user("ann").await, before, "{path} {body}");
    }
    // What the document says may be absent may be null, and so may a body that may be left out.
    for (method, path, body) in [
        (Method::PATCH, "", r#"{"nick": null, "avatar": null, "gender": null, "birth": null, "ifVersion": null}"#),
        (Method::PATCH, "/friends/bob", r#"{"alias": null, "custom": null}"#),
        (Method::PUT, "/token", "null"),
        (Method::PUT, "/token", r#"{"secret": null}"#),
        (Method::POST, "/tokens:revoke", r#"{"issuedBefore": null}"#),
        (Method::POST, "/tokens:revoke", " null\n"),
    ] {
        let answer = api.json(method, &format!("/v1/users/ann{path}"), body).await;
        assert_eq!(answer.0, 200, "{path} {body}: {answer:?}");
    }
    let (status, _) = api.put("/v1/users/bob/requests/ann", "null").await;
    assert_eq!(status, 409, "they are friends");
    let (status, set) =
        api.post("/v1/users:batchUpdate", r#"{"users": [{"account": "ann", "create": null, "sign": null}]}"#).await;
    assert_eq!((status, &set["users"][0]), (200, &before));
}

#[tokio::test]
async fn an_import_goes_in_as_a_whole_or_not_at_all() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann"]).await;
    let before = gateway.user("ann").await;
    let good = r#"{"user": {"account": "ann", "nick": "Ann"}}"#;
    let new = r#"{"user": {"account": "new"}}"#;
    for (bad, status, says) in [
        ("nonsense", 400, "line 3: not readable as JSON"),
        (r#"{"user": {"account": "a b"}}"#, 400, "line 3: account must be"),
        (r#"{"user": {"account": "bob", "nick": 5}}"#, 400, "line 3: nick: expected a string"),
        (r#"{"friendship": ["ann", "ann"]}"#, 400, "line 3: \"ann\" cannot be a friend of itself"),
        (r#"{"friendship": ["ann", "nobody"]}"#, 404, "line 3: account \"nobody\" does not exist"),
        (
            r#"{"enemies": ["ann", "bob"]}"#,
            400,
            "line 3: there is no field \"enemies\"; there are user, friendship, block",
        ),
        (
            r#"{"user": {"account": "bob", "nickname": "x"}}"#,
            400,
            "line 3: there is no field \"nickname\"; did you mean nick?",
        ),
        (r#"{"user": {"account": "bob"}, "friendship": ["ann", "bob"]}"#, 400, "line 3: a line holds either"),
    ] {
        let answer = api.post("/v1/import", format!("{good}\n{new}\n{bad}\n{good}\n")).await;
        assert_eq!(error(&answer).0, status, "{bad}");
        let message = answer.1["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(says), "{bad}: {message}");
        assert_eq!(gateway.user("ann").await, before, "{bad}");
        assert_eq!(api.get("/v1/users/new").await.0, 404, "{bad}");
    }
    // Blank lines count for the numbers and are no lines; line ends of any kind.
    let lines = format!("\n{good}\r\n\n{new}\n{{\"friendship\": [\"ann\", \"new\"]}}");
    assert_eq!(api.post("/v1/import", lines.clone()).await, (200, json!({"lines": 3, "changed": 3})));
    assert_eq!(api.post("/v1/import", lines).await, (200, json!({"lines": 3, "changed": 0})));
    assert_eq!(api.post("/v1/import", "").await, (200, json!({"lines": 0, "changed": 0})));
    assert_eq!(api.friends("new").await, ["ann"]);
}

#[tokio::test]
async fn an_import_may_be_large_but_not_endless() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann"]).await;
    // More than other bodies may have.
    let line = |n: usize| json!({"user": {"account": format!("u{n}"), "custom": "x".repeat(1000)}}).to_string();
    let lines: Vec<_> = (0..300).map(line).collect();
    assert_eq!(api.post("/v1/import", lines.join("\n")).await, (200, json!({"lines": 300, "changed": 300})));
    let blank = "\n".repeat(rosterd::api::IMPORT_BYTES + 1);
    let mut other = Api(gateway.backend().await);
    assert_eq!(error(&other.post("/v1/import", blank).await), (422, 419, "LIMIT_EXCEEDED", None));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann"]).await;
    for path in ["/", "/v1/accounts", "/v1/users/", "/v1/users/ann/enemies", "/v2/users/ann", "/v1/ws"] {
        assert_eq!(error(&api.get(path).await), (404, 404, "NOT_FOUND", None), "{path}");
    }
    for (method, path) in [
        (Method::POST, "/v1/users/ann"),
        (Method::PUT, "/v1/users/ann/friends"),
        (Method::GET, "/v1/import"),
        (Method::GET, "/v1/users:batchGet"),
        (Method::POST, "/metrics"),
    ] {
        assert_eq!(api.send(method.clone(), path, "{}").await.0, 405, "{method} {path}");
    }
    // What cannot even be decoded does no harm.
    for path in ["/v1/users/%ff", "/v1/users/%00", "/v1/users/ann/friends?limit=1&limit=2"] {
        let (status, text) = api.send(Method::GET, path, "").await;
        assert_eq!(status, 400, "{path}: {text}");
    }
    assert_eq!(gateway.user("ann").await["account"], "ann");
}

#[tokio::test]
async fn health_and_metrics_show_what_goes_on() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    assert_eq!(api.send(Method::GET, "/livez", "").await, (200, "ok\n".to_owned()));
    assert_eq!(api.send(Method::GET, "/readyz", "").await, (200, "ready\n".to_owned()));
    gateway.populate(&[], &[("ann", "bob")]).await;
    let (mut ann, mut bob) =
        (gateway.login("ann", Encoding::Json).await, gateway.login("bob", Encoding::Protobuf).await);
    ann.nick("Ann").await;
    bob.changes().await;
    let (status, text) = api.send(Method::GET, "/metrics", "").await;
    assert_eq!(status, 200);
    let samples = samples(&text);
    let value =
        |name: &str| samples.iter().find(|(key, _)| key == name).unwrap_or_else(|| panic!("no {name}:\n{text}")).1;
    assert_eq!((value("rosterd_connections"), value("rosterd_sessions")), (2.0, 2.0));
    assert_eq!(value("rosterd_logins_total{kind=\"FULL\"}"), 2.0);
    assert_eq!(value("rosterd_commands_total{command=\"updateMyInfo\",result=\"OK\"}"), 1.0);
    assert_eq!(value("rosterd_watched_accounts"), 2.0);
    assert_eq!(value("rosterd_records_sent_total"), 1.0);
    assert_eq!(value("rosterd_store_failed_writes_total"), 0.0);
    assert!(value("process_cpu_seconds_total") > 0.0 && value("process_max_fds") >= value("process_open_fds"));
    assert!(value("rosterd_sent_bytes_total") > 0.0 && value("rosterd_store_commits_total") >= 3.0);
    // Metrics name no account, since others may scrape them.
    assert!(!text.contains("ann") && !text.contains("bob"), "{text}");
}

/// Reads the text format: every sample has a name of ours or one of the process, a number, and a type given before it.
fn samples(text: &str) -> Vec<(String, f64)> {
    let mut families = Vec::new();
    let mut samples = Vec::new();
    assert!(text.ends_with('\n'), "{text}");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.push(rest.split_once(' ').unwrap().0.to_owned());
        }
        if line.starts_with('#') {
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        assert!(key.starts_with("rosterd_") || key.starts_with("process_"), "{line}");
        assert!(families.iter().any(|family| key.starts_with(family.as_str())), "{line}");
        samples.push((key.to_owned(), value.parse().unwrap()));
    }
    samples
}
