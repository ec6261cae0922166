//! The operator's console as seen from outside a browser: who gets in, what is covered, what is written down.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use hyper::Method;
use rosterd::keys::hash;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::with_users;
use crate::reload::reload;
use crate::support::{API_KEY, Gateway, World};

const VIEWER: &str = "rk_viewer_0123456789";
/// What the page sends with each request.
const MARK: &str = "rosterd-console: 1\r\nsec-fetch-site: same-origin\r\n";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The cookie as a browser sends it back.
    fn cookie(&self) -> String {
        let set = self.header("set-cookie").unwrap();
        format!("cookie: other=1; {}\r\n", set.split(';').next().unwrap())
    }
}

async fn ask(at: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{headers}");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

async fn log_in(gateway: &Gateway, key: &str, headers: &str) -> Answer {
    ask(gateway.ops, "POST", "/console/login", headers, &json!({"key": key}).to_string()).await
}

fn viewer(world_settings: &str) -> String {
    format!("{world_settings}[ops.keys.viewer]\nsha256 = \"{}\"\nscopes = [\"read\"]\n", hash(VIEWER.as_bytes()))
}

/// What is in the audit log: action, subject and detail.
async fn audited(gateway: &Gateway) -> Vec<(String, String, String)> {
    let page = gateway.backend().await.request(Method::GET, "/v1/audit?limit=1000", String::new()).await.unwrap();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = page["entries"].as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "action"), text(entry, "subject"), text(entry, "detail"))).collect()
}

#[tokio::test]
async fn the_page_is_served_and_loads_nothing_from_elsewhere() {
    let world = World::new();
    let gateway = world.start();
    for (path, kind) in
        [("/console", "text/html"), ("/console/console.js", "text/javascript"), ("/console/console.css", "text/css")]
    {
        let answer = ask(gateway.ops, "GET", path, "", "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with(kind), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    // Clients' browsers do not get it.
    assert_eq!(ask(gateway.clients, "GET", "/console", "", "").await.status, 404);
}

#[tokio::test]
async fn a_key_gives_a_cookie_that_ends_with_it() {
    let mut world = World::with(&viewer(""));
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let answer = log_in(&gateway, VIEWER, MARK).await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let set = answer.header("set-cookie").unwrap().to_owned();
    assert!(set.starts_with("rosterd-console=") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
    assert!(!set.contains(VIEWER) && !set.contains("Secure"), "{set}");
    // Over TLS, whoever ends it.
    let origin = format!("{MARK}origin: https://{}\r\n", gateway.ops);
    let secure = log_in(&gateway, VIEWER, &origin).await;
    let set = secure.header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-rosterd-console=") && set.ends_with("; Secure"), "{set}");
    let cookie = answer.cookie();
    for cookie in [&cookie, &secure.cookie()] {
        let me = ask(gateway.ops, "GET", "/v1/me", &format!("{MARK}{cookie}"), "").await;
        assert_eq!(me.json(), json!({"name": "viewer", "scopes": ["read"], "console": "cookie"}));
        assert_eq!(me.header("cache-control"), Some("no-store"));
    }
    // The key may read users, and nothing else.
    let kick = ask(gateway.ops, "DELETE", "/v1/users/ann/sessions", &format!("{MARK}{cookie}"), "").await;
    assert_eq!(kick.status, 403, "{}", kick.body);
    let private = format!("rosterd-console: private\r\nsec-fetch-site: same-origin\r\n{cookie}");
    let user = ask(gateway.ops, "GET", "/v1/users/ann", &private, "").await;
    assert!(user.status == 200 && user.json().get("email").is_none(), "{}", user.body);
    // Logging out ends that session alone.
    let out = ask(gateway.ops, "POST", "/console/logout", &format!("{MARK}{cookie}"), "").await;
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"), "{}", out.head);
    assert_eq!(ask(gateway.ops, "GET", "/v1/me", &format!("{MARK}{cookie}"), "").await.status, 401);
    assert_eq!(ask(gateway.ops, "GET", "/v1/me", &format!("{MARK}{}", secure.cookie()), "").await.status, 200);
    // A key that is taken away ends the others.
    world.settings = String::new();
    world.config();
    reload(&gateway).await;
    assert_eq!(ask(gateway.ops, "GET", "/v1/me", &format!("{MARK}{}", secure.cookie()), "").await.status, 401);
    let actions: Vec<_> = audited(&gateway).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["console.login", "console.login"]);
}

#[tokio::test]
async fn no_other_page_acts_in_an_operators_name() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let own = format!("rosterd-console: 1\r\norigin: http://{}\r\n", gateway.ops);
    let cookie = log_in(&gateway, API_KEY, &own).await.cookie();
    let write = async |headers: &str| {
        let body = json!({"nick": "Ann"}).to_string();
        ask(gateway.ops, "PATCH", "/v1/users/ann", &format!("{headers}{cookie}"), &body).await.status
    };
    for foreign in [
        // No mark; no word of who asks; another site; the same site on another port; a page in a sandbox.
        "sec-fetch-site: same-origin\r\n",
        "rosterd-console: 1\r\n",
        "rosterd-console: 1\r\nsec-fetch-site: cross-site\r\n",
        "rosterd-console: 1\r\nsec-fetch-site: same-site\r\n",
        "rosterd-console: 1\r\norigin: http://127.0.0.1:1\r\n",
        "rosterd-console: 1\r\norigin: null\r\n",
    ] {
        assert_eq!(write(foreign).await, 403, "{foreign}");
        assert_eq!(log_in(&gateway, API_KEY, foreign).await.status, 403, "{foreign}");
    }
    assert_eq!(
        ask(gateway.ops, "GET", "/v1/me", &format!("sec-fetch-site: cross-site\r\n{cookie}"), "").await.status,
        403
    );
    assert_eq!(gateway.user("ann").await["nick"], "ann");
    assert_eq!(write(MARK).await, 200);
    assert_eq!(write(&own).await, 200);
    assert_eq!(gateway.user("ann").await["nick"], "Ann");
}

#[tokio::test]
async fn wrong_keys_are_refused_written_down_and_limited() {
    let world = World::new();
    let gateway = world.start();
    for key in ["", "wrong", &API_KEY[1..], &format!("{API_KEY}x"), &"k".repeat(60_000)] {
        let answer = log_in(&gateway, key, MARK).await;
        assert_eq!(answer.status, 401, "{key}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let answer = log_in(&gateway, API_KEY, MARK).await;
    assert_eq!(answer.status, 429, "{}", answer.body);
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    let refused = ("console.refused".to_owned(), String::new(), "address=127.0.0.1".to_owned());
    assert_eq!(audited(&gateway).await, vec![refused; 5]);
}

#[tokio::test]
async fn private_fields_are_covered_until_they_are_asked_for_and_changes_are_written_down() {
    let world = World::new();
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    api.json(Method::PATCH, "/v1/users/ann", json!({"email": "ann@example.com"}).to_string()).await;
    let cookie = log_in(&gateway, API_KEY, MARK).await.cookie();
    let covered = format!("{MARK}{cookie}");
    let shown = format!("rosterd-console: private\r\nsec-fetch-site: same-origin\r\n{cookie}");
    for path in ["/v1/users/ann", "/v1/users?prefix=ann"] {
        let answer = ask(gateway.ops, "GET", path, &covered, "").await;
        assert!(answer.status == 200 && !answer.body.contains("ann@example.com"), "{}", answer.body);
    }
    let export = ask(gateway.ops, "GET", "/v1/users/ann/export", &covered, "").await;
    assert!(export.status == 403 && export.body.contains("written down"), "{}", export.body);
    for path in ["/v1/users/ann/changes?fields=email", "/v1/feed?after=now&fields=email"] {
        assert_eq!(ask(gateway.ops, "GET", path, &covered, "").await.status, 403, "{path}");
    }
    let user = ask(gateway.ops, "GET", "/v1/users/ann", &shown, "").await;
    assert_eq!(user.json()["email"], "ann@example.com");
    // A change of each kind: the console's own entry, and the one that every caller has.
    ask(gateway.ops, "PUT", "/v1/users/ann/friends/bob", &covered, "").await;
    ask(gateway.ops, "DELETE", "/v1/users/ann/sessions", &covered, "").await;
    let expected = [
        ("console.login", "", "address=127.0.0.1"),
        ("private.shown", "ann", "GET /v1/users/{account}"),
        ("console.changed", "ann", "PUT /v1/users/{account}/friends/{peer}"),
        ("sessions.ended", "ann", ""),
    ];
    let expected = expected.map(|(action, subject, detail)| (action.to_owned(), subject.to_owned(), detail.to_owned()));
    assert_eq!(audited(&gateway).await, expected);
    // With the key itself nothing is covered.
    assert_eq!(api.get("/v1/users/ann").await.1["email"], "ann@example.com");
}

#[tokio::test]
async fn without_a_key_it_opens_on_this_machine_alone() {
    let world = World::new();
    let gateway = world.start_with(&["ops.api_key=", "auth.mode=development"]);
    let own = format!("{MARK}origin: http://{}\r\n", gateway.ops);
    for headers in [MARK, &own] {
        let me = ask(gateway.ops, "GET", "/v1/me", headers, "").await;
        assert_eq!((me.status, &me.json()["console"]), (200, &json!("open")), "{}", me.body);
        let made = ask(gateway.ops, "PUT", "/v1/users/zoe", headers, "{\"email\": \"zoe@example.com\"}").await;
        assert!(made.status < 300 && !made.body.contains("zoe@example.com"), "{}", made.body);
    }
    let foreign = [
        "rosterd-console: 1\r\norigin: http://evil.example\r\n".to_owned(),
        "rosterd-console: 1\r\nsec-fetch-site: same-origin\r\norigin: http://evil.example\r\n".to_owned(),
        "rosterd-console: 1\r\nsec-fetch-site: cross-site\r\n".to_owned(),
    ];
    for foreign in &foreign {
        assert_eq!(ask(gateway.ops, "GET", "/v1/me", foreign, "").await.status, 403, "{foreign}");
    }
    // A name that somebody else pointed at this machine.
    let mut stream = TcpStream::connect(gateway.ops).await.unwrap();
    let rebound = "GET /v1/me HTTP/1.1\r\nhost: evil.example\r\norigin: http://evil.example\r\nsec-fetch-site: \
                   same-origin\r\nrosterd-console: 1\r\nconnection: close\r\n\r\n";
    stream.write_all(rebound.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
}

#[tokio::test]
async fn numbers_come_once_a_second_and_end_with_the_session() {
    let world = World::new();
    let gateway = world.start();
    let cookie = log_in(&gateway, API_KEY, MARK).await.cookie();
    let mut stream = TcpStream::connect(gateway.ops).await.unwrap();
    let request = format!(
        "GET /v1/live HTTP/1.1\r\nhost: {}\r\nconnection: close\r\naccept: text/event-stream\r\n{MARK}{cookie}\r\n",
        gateway.ops
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while text.matches("event: sample").count() < 2 {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert_eq!(text.matches("event: history").count(), 1);
    ask(gateway.ops, "POST", "/console/logout", &format!("{MARK}{cookie}"), "").await;
    // It ends by itself.
    while stream.read(&mut piece).await.unwrap() > 0 {}
    let once = gateway.call(Method::GET, "/v1/live", "").await.1;
    let once: Value = serde_json::from_str(&once.to_string()).unwrap();
    let (names, samples) = (once["names"].as_array().unwrap(), once["samples"].as_array().unwrap());
    assert!(samples.len() >= 2 && samples.iter().all(|sample| sample.as_array().unwrap().len() == names.len()));
}

#[tokio::test]
async fn streams_are_bounded() {
    let world = World::new();
    let gateway = world.start();
    let open = async || {
        let mut stream = TcpStream::connect(gateway.ops).await.unwrap();
        let request = format!(
            "GET /v1/live HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {API_KEY}\r\naccept: text/event-stream\r\n\r\n",
            gateway.ops
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 16];
        stream.read_exact(&mut head).await.unwrap();
        (String::from_utf8_lossy(&head).contains("200"), stream)
    };
    let mut streams = Vec::new();
    for _ in 0..32 {
        let (is_open, stream) = open().await;
        assert!(is_open);
        streams.push(stream);
    }
    assert!(!open().await.0);
    drop(streams);
    // Their places are free again once the gateway has noticed.
    tokio::time::timeout(crate::support::PATIENCE, async { while !open().await.0 {} }).await.unwrap();
}

#[tokio::test]
async fn settings_are_shown_with_their_source_and_without_secrets() {
    let world = World::with(&viewer(&format!("[friends]\npolicy = \"request\"\n{}", crate::operations::WEBHOOK)));
    let gateway = world.start_with(&["limits.connections=1234", "webhooks.crm.url=https://example.com/in?token=word"]);
    let (status, answer) = gateway.call(Method::GET, "/v1/settings", "").await;
    assert_eq!(status, 200);
    let of = |key: &str| {
        let settings = answer["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key}")).clone()
    };
    assert_eq!(
        of("limits.connections"),
        json!({"key": "limits.connections", "value": 1234, "source": "the command line"})
    );
    assert_eq!(of("friends.policy")["source"], json!(world.path().join("config.toml").display().to_string()));
    assert_eq!(of("presence.enabled"), json!({"key": "presence.enabled", "value": true, "source": "default"}));
    for secret in ["ops.api_key", "ops.keys.viewer.sha256", "webhooks.crm.secret"] {
        assert_eq!(of(secret)["value"], "set", "{secret}");
    }
    assert_eq!(of("webhooks.crm.url")["value"], "https://example.com/in?…");
    assert_eq!(of("auth.hs256_secret")["value"], "");
    assert!(!answer.to_string().contains(API_KEY));
}

#[tokio::test]
async fn a_gateway_without_the_console_serves_neither_its_page_nor_its_login() {
    let world = World::new();
    let gateway = world.start_with(&["ops.console.enabled=false"]);
    for path in ["/console", "/console/console.js", "/console/console.css"] {
        let answer = ask(gateway.ops, "GET", path, "", "").await;
        assert_eq!((answer.status, &answer.json()["error"]["reason"]), (404, &json!("NOT_FOUND")), "{path}");
    }
    let answer = log_in(&gateway, API_KEY, MARK).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (404, None));
    let (status, me) = gateway.call(Method::GET, "/v1/me", "").await;
    assert_eq!((status, &me["name"]), (200, &json!("default")), "{me}");
}

#[test]
fn the_address_is_printed_where_the_console_opens() {
    for enabled in [true, false] {
        let world = World::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rosterd"));
        command.arg("serve").arg("--config").arg(world.config());
        for pair in ["ops.api_key=", "auth.mode=development", &format!("ops.console.enabled={enabled}")] {
            command.arg("--set").arg(pair);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The last line names the demo users.
        let said: Vec<_> = lines.take_while(|line| !line.trim().starts_with("demo")).collect();
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(said.iter().any(|line| line.contains("is ready")), "{said:?}");
        assert_eq!(said.iter().any(|line| line.contains("/console shows")), enabled, "{said:?}");
    }
}

#[tokio::test]
async fn one_session_is_shown_until_it_ends() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", rosterd_protocol::Encoding::Json).await;
    let path = format!("/v1/sessions/{}", alice.reply.session);
    let (status, shown) = gateway.call(Method::GET, &path, "").await;
    assert_eq!((status, &shown["account"], &shown["pending"]), (200, &json!("alice"), &json!(0)), "{shown}");
    assert!(shown["session"] == alice.reply.session && shown["horizon"].is_u64(), "{shown}");
    assert_eq!(gateway.call(Method::DELETE, "/v1/users/alice/sessions", "").await.0, 200);
    alice.ended().await;
    // The gateway forgets it once its task has ended, a moment after its socket.
    let gone = async || gateway.call(Method::GET, &path, "").await;
    let mut answer = gone().await;
    while answer.0 == 200 {
        answer = gone().await;
    }
    assert_eq!((answer.0, &answer.1["error"]["field"]), (404, &json!("session")), "{}", answer.1);
    for bad in ["x", "00c0ffee", "00C0FFEE00C0FFEE"] {
        assert_eq!(gateway.call(Method::GET, &format!("/v1/sessions/{bad}"), "").await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn sessions_are_filtered_by_account_device_and_what_waits() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "alan", "bob"], &[]).await;
    let mut there = Vec::new();
    for account in ["alice", "alan", "bob"] {
        there.push(gateway.login(account, rosterd_protocol::Encoding::Json).await);
    }
    let accounts = async |query: &str| {
        let (status, page) = gateway.call(Method::GET, &format!("/v1/sessions?{query}"), "").await;
        assert_eq!(status, 200, "{page}");
        let sessions = page["sessions"].as_array().unwrap().iter();
        let mut accounts: Vec<_> = sessions.map(|session| session["account"].as_str().unwrap().to_owned()).collect();
        accounts.sort();
        accounts
    };
    assert_eq!(accounts("prefix=al").await, ["alan", "alice"]);
    assert_eq!(accounts("prefix=al&limit=1").await.len(), 1);
    assert_eq!(accounts("pending=1").await, [""; 0]);
    assert_eq!(accounts("device=toaster").await, [""; 0]);
    for bad in ["pending=-1", "pending=x", "prefix=a%20b"] {
        assert_eq!(gateway.call(Method::GET, &format!("/v1/sessions?{bad}"), "").await.0, 400, "{bad}");
    }
}
