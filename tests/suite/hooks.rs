//! Hooks: whole gateways that ask a server before a client's write, which allows, changes, denies, is slow, or broken.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use parking_lot::Mutex;
use rosterd::outbound::{SigningSecret, SigningSecrets};
use rosterd_client::{Client, ClientError};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::presence::now;
use crate::raw::{Raw, payload};
use crate::reload::reload;
use crate::status::{set, shows};
#[cfg(target_os = "linux")]
use crate::store_trouble::with_failing_sync;
use crate::support::{Gateway, PATIENCE, World, nick_command, open_requests, to};
use crate::webhooks::read_post;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const JSON: Encoding = Encoding::Json;
const ALLOW: &str = "{\"decision\":\"allow\"}";

/// What the server does with a question.
#[derive(Clone)]
enum Reaction {
    /// Answers 200 with this body.
    Say(String),
    /// Sends these bytes, and closes.
    Raw(Vec<u8>),
    /// Answers like `Say` once the test lets it.
    Gated(Arc<Semaphore>, String),
    /// Sends a body that has no end.
    Endless,
    /// Never answers.
    Hang,
}

/// A question that arrived.
#[derive(Debug, Clone)]
struct Asked {
    headers: Vec<(String, String)>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct HookState {
    asked: Vec<Asked>,
    /// For the next questions; those after them are allowed.
    reactions: VecDeque<Reaction>,
}

/// An HTTP server that decides.
struct HookServer {
    address: SocketAddr,
    state: Arc<Mutex<HookState>>,
    task: JoinHandle<()>,
}

impl Drop for HookServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HookServer {
    async fn start() -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn listen(listener: TcpListener) -> Self {
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<HookState>>::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state, task }
    }

    /// The section of the settings for it. Of keys that are there twice `more` has the say.
    fn section(&self, name: &str, more: &str) -> String {
        section(self.address, name, more)
    }

    fn next(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.state.lock().reactions.extend(reactions);
    }

    fn say(&self, answer: &Value) {
        self.next([Reaction::Say(answer.to_string())]);
    }

    fn asked(&self) -> Vec<Asked> {
        self.state.lock().asked.clone()
    }

    fn last(&self) -> Value {
        self.asked().last().unwrap().json()
    }

    /// Waits until so many questions have come.
    async fn until_asked(&self, times: usize) {
        let wait = async {
            while self.asked().len() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, wait).await.is_ok(), "{:#?}", self.asked());
    }
}

fn section(address: SocketAddr, name: &str, more: &str) -> String {
    let on_failure = if more.contains("on_failure") { "" } else { "on_failure = \"deny\"\n" };
    let timeout = if more.contains("timeout") { "" } else { "timeout = \"5s\"\n" };
    format!("[hooks.{name}]\nurl = \"http://{address}/hook\"\nsecret = \"{SECRET}\"\n{on_failure}{timeout}{more}\n")
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<HookState>>) {
    let mut unread = Vec::new();
    while let Some((headers, body)) = read_post(&mut stream, &mut unread, "/hook").await {
        let reaction = {
            let mut state = state.lock();
            state.asked.push(Asked { headers, body });
            state.reactions.pop_front().unwrap_or_else(|| Reaction::Say(ALLOW.to_owned()))
        };
        let answer = match reaction {
            Reaction::Say(answer) => answer,
            Reaction::Gated(gate, answer) => {
                gate.acquire().await.unwrap().forget();
                answer
            }
            Reaction::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reaction::Endless => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                while stream.write_all(&[b"1000\r\n", &[b' '; 4096][..], b"\r\n"].concat()).await.is_ok() {}
                return;
            }
            Reaction::Hang => {
                // Until the other side gives up.
                let _ = stream.read_buf(&mut unread).await;
                return;
            }
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A gateway with these hooks, and users `ann`, `bob` and `cat`.
async fn started(world: &World) -> Gateway {
    started_with(world, &[]).await
}

async fn started_with(world: &World, overrides: &[&str]) -> Gateway {
    let gateway = world.start_with(overrides);
    gateway.populate(&["ann", "bob", "cat"], &[]).await;
    gateway
}

/// The error's code, word, detail and field.
fn why(error: &v1::Error) -> (u32, &str, Option<&str>, Option<&str>) {
    (error.code, &error.reason, error.detail.as_deref(), error.field.as_deref())
}

async fn calls(gateway: &Gateway, hook: &str, result: &str) -> f64 {
    let metrics = gateway.backend().await.send(Method::GET, "/metrics", String::new()).await.unwrap().1;
    let name = format!("rosterd_hook_calls_total{{hook=\"{hook}\",result=\"{result}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0.0, |value| value.parse().unwrap())
}

/// The status of the only hook.
async fn status(gateway: &Gateway) -> Value {
    let (status, body) = gateway.call(Method::GET, "/v1/hooks", "").await;
    assert_eq!((status, body["hooks"].as_array().unwrap().len()), (200, 1), "{body}");
    body["hooks"][0].clone()
}

async fn until_status(gateway: &Gateway, what: &str, good: impl Fn(&Value) -> bool) {
    let wait = async {
        while !good(&status(gateway).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "{what}: {}", status(gateway).await);
}

#[tokio::test]
async fn a_hook_allows_changes_or_denies_a_status_and_is_not_asked_about_its_end() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("status", ""));
    let gateway = started(&world).await;
    gateway.put("/v1/users/ann/friends/bob", json!({})).await;
    let mut bob = gateway.login("bob", JSON).await;
    for encoding in [JSON, Encoding::Protobuf] {
        let asked = hook.asked().len();
        let mut ann = gateway.login("ann", encoding).await;
        let until = now() + 60_000;
        ann.request(set("all right", Some(until))).await;
        bob.until(shows("ann", "all right")).await;
        assert_eq!(
            (hook.last()["hook"].as_str(), &hook.last()["set"]),
            (Some("status"), &json!({"status": "all right", "until": until}))
        );
        assert_eq!(hook.last()["user"]["account"], "ann");
        hook.say(&json!({"decision": "allow", "set": {"status": "****"}}));
        ann.request(set("N4zi", Some(until))).await;
        bob.until(shows("ann", "****")).await;
        assert_eq!(bob.replica.presence()["ann"].until, Some(until));
        hook.say(&json!({"decision": "deny", "detail": "NO", "field": "status"}));
        let error = ann.refused(set("N4zi", None)).await;
        assert_eq!(why(&error), (451, "REJECTED", Some("NO"), Some("status")));
        // Nobody is asked about what changes nothing, about an end, and about hiding.
        ann.request(set("****", Some(until))).await;
        ann.request(set("", None)).await;
        bob.until(shows("ann", "")).await;
        ann.hide(false).await;
        assert_eq!(hook.asked().len(), asked + 3);
        assert_eq!(calls(&gateway, "status", "deny").await, if encoding == JSON { 1.0 } else { 2.0 });
    }
}

#[tokio::test]
async fn a_hook_allows_changes_or_denies_a_change_of_the_profile() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("profile", ""));
    let gateway = started(&world).await;
    for encoding in [JSON, Encoding::Protobuf] {
        let mut ann = gateway.login("ann", encoding).await;
        assert_eq!(ann.nick(&format!("Ann {encoding:?}")).await.nick, format!("Ann {encoding:?}"));
        hook.say(&json!({"decision": "allow", "set": {"nick": "****"}}));
        assert_eq!(ann.nick("N4zi").await.nick, "****");
        assert_eq!(hook.last()["set"], json!({"nick": "N4zi"}));
        assert_eq!(hook.last()["before"]["nick"], format!("Ann {encoding:?}"));
        let said = "Please choose another name";
        hook.say(&json!({"decision": "deny", "detail": "NICK_NOT_ALLOWED", "message": said, "field": "nick"}));
        let error = ann.refused(nick_command("N4zi")).await;
        assert_eq!(why(&error), (451, "REJECTED", Some("NICK_NOT_ALLOWED"), Some("nick")));
        assert_eq!(error.message, said);
        assert_eq!(gateway.user("ann").await["nick"], "****");
        ann.agrees(&gateway, encoding).await;
    }
    for (result, times) in [("allow", 2.0), ("changed", 2.0), ("deny", 2.0)] {
        assert_eq!(calls(&gateway, "profile", result).await, times, "{result}");
    }
    assert_eq!(gateway.metric("rosterd_hook_seconds_count").await, 6.0);
    assert_eq!(gateway.metric("rosterd_hook_open").await, 0.0);
    let seen = status(&gateway).await;
    assert_eq!(
        (&seen["name"], &seen["state"], &seen["onFailure"]),
        (&json!("profile"), &json!("closed"), &json!("deny"))
    );
    assert_eq!(seen["calls"], json!({"allow": 2, "changed": 2, "deny": 2}));
    assert_eq!((&seen["lastCall"]["result"], &seen["inFlight"]), (&json!("deny"), &json!(0)));
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_hook_decides_about_own_fields() {
    let hook = HookServer::start().await;
    let fields = "[profile.fields.bio]\ntype = \"text\"\nmax_length = 9\n[profile.fields.level]\ntype = \"integer\"\n";
    let more = "fields = [\"nick\", \"fields\"]\nprofile_fields = [\"fields\"]\n";
    let world = World::with(&(hook.section("profile", more) + fields));
    let gateway = started(&world).await;
    let mut ann = gateway.login("ann", JSON).await;
    let set = |fields: Value| ClientCommand::UpdateMyInfo(serde_json::from_value(json!({"fields": fields})).unwrap());
    ann.nick("Ann").await;
    assert!(hook.asked().is_empty(), "it is asked about own fields alone");
    hook.say(&json!({"decision": "allow", "set": {"fields": {"bio": "***"}}}));
    let reply = ann.request(set(json!({"bio": "badword", "level": 3}))).await.update_my_info_reply.unwrap();
    assert_eq!(serde_json::to_value(&reply.user.unwrap().fields).unwrap(), json!({"bio": "***", "level": 3}));
    assert_eq!(hook.last()["set"], json!({"fields": {"bio": "badword", "level": 3}}));
    hook.say(&json!({"decision": "deny", "field": "fields.bio"}));
    let error = ann.refused(set(json!({"bio": "other", "level": null}))).await;
    assert_eq!(why(&error), (451, "REJECTED", None, Some("fields.bio")));
    assert_eq!(hook.last()["set"], json!({"fields": {"bio": "other", "level": null}}));
    assert_eq!(hook.last()["before"]["fields"], json!({"bio": "***", "level": 3}));
    // Neither another field, nor what is no value of the field: both are no decision, and deny.
    for fields in [json!({"level": 4}), json!({"bio": "far too long"}), json!({"bio": {"a": 1}}), json!([])] {
        hook.say(&json!({"decision": "allow", "set": {"fields": fields}}));
        assert_eq!(ann.refused(set(json!({"bio": "x"}))).await.code, 503, "{fields}");
    }
    assert_eq!(gateway.user("ann").await["fields"], json!({"bio": "***", "level": 3}));
}

#[tokio::test]
async fn a_question_is_signed_and_shows_what_the_settings_name() {
    let hook = HookServer::start().await;
    let old = "whsec_ZGlmZmVyZW50IGRpZmZlcmVudCBkaWZmZXJlbnQ=";
    let more =
        format!("previous_secret = \"{old}\"\nprevious_until = \"2999-01-01T00:00:00Z\"\nfields = [\"nick\", \"tel\"]");
    let world = World::with(&hook.section("profile", &more));
    let gateway = started(&world).await;
    let mut ann = gateway.login("ann", JSON).await;
    let change = v1::UpdateMyInfo {
        nick: Some("Ann".to_owned()),
        tel: Some("12".to_owned()),
        email: Some("ann@x.example".to_owned()),
        ..Default::default()
    };
    let reply = ann.request(ClientCommand::UpdateMyInfo(change)).await.update_my_info_reply.unwrap();
    assert_eq!(reply.user.unwrap().email, "ann@x.example", "what is not shown is written all the same");
    let asked = hook.asked().pop().unwrap();
    let question = asked.json();
    assert_eq!(question["set"], json!({"nick": "Ann", "tel": "12"}));
    assert_eq!((question["before"].get("email"), &question["before"]["account"]), (None, &json!("ann")));
    assert_eq!((&question["hook"], &question["account"]), (&json!("profile"), &json!("ann")));
    assert_eq!(
        (&question["id"], &question["session"]),
        (&json!(asked.header("webhook-id")), &json!(ann.reply.session))
    );
    assert_eq!((asked.header("rosterd-hook"), asked.header("content-type")), ("profile", "application/json"));
    let seconds: u64 = asked.header("webhook-timestamp").parse().unwrap();
    let secret = |text: &str| SigningSecret::parse(text).unwrap();
    let secrets = SigningSecrets { secret: secret(SECRET), previous: Some((secret(old), u64::MAX)) };
    let signature = secrets.header(asked.header("webhook-id"), seconds * 1000, asked.body.as_bytes());
    assert_eq!(asked.header("webhook-signature"), signature);
    let log = world.log();
    for hidden in [SECRET, old, "ann@x.example"] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}

#[tokio::test]
async fn a_hook_allows_changes_or_denies_a_request_and_a_friend() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("friend", ""));
    let gateway = started(&world).await;
    let (mut ann, mut bob) = (gateway.login("ann", JSON).await, gateway.login("bob", Encoding::Protobuf).await);
    let ask = |peer: &str| {
        let message = "call me".to_owned();
        ClientCommand::RequestFriend(v1::RequestFriend { account: peer.to_owned(), message })
    };
    hook.say(&json!({"decision": "deny", "detail": "TOO_NEW", "field": "message"}));
    let error = ann.refused(ask("bob")).await;
    assert_eq!(why(&error), (451, "REJECTED", Some("TOO_NEW"), Some("message")));
    let question = hook.last();
    assert_eq!((&question["command"], &question["message"]), (&json!("requestFriend"), &json!("call me")));
    assert_eq!((&question["account"], &question["peer"]), (&json!("ann"), &json!("bob")));
    assert_eq!((&question["user"]["nick"], &question["peerUser"]["nick"]), (&json!("ann"), &json!("bob")));
    hook.say(&json!({"decision": "allow", "set": {"message": "****"}}));
    ann.request(ask("bob")).await;
    bob.until(|replica| !open_requests(replica).is_empty()).await;
    assert_eq!(open_requests(&bob.replica), [("ann".to_owned(), true, "****".to_owned())]);
    // A right of the other side: it may accept without being asked about.
    bob.request(to::accept("ann")).await;
    bob.request(to::delete("ann")).await;
    bob.request(to::block("ann")).await;
    bob.request(to::unblock("ann")).await;
    assert_eq!(hook.asked().len(), 2);
    ann.request(to::add("cat")).await;
    assert_eq!(hook.last()["command"], "addFriend");
    ann.until(|replica| replica.friends().contains_key("cat")).await;
    for (result, times) in [("allow", 1.0), ("changed", 1.0), ("deny", 1.0)] {
        assert_eq!(calls(&gateway, "friend", result).await, times, "{result}");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_what_is_refused_or_changes_nothing_or_comes_from_the_backend() {
    let hook = HookServer::start().await;
    let world = World::with(&(hook.section("profile", "profile_fields = [\"nick\"]") + &hook.section("friend", "")));
    let gateway = started_with(&world, &["friends.policy=request"]).await;
    let mut ann = gateway.login("ann", JSON).await;
    assert_eq!(ann.nick("ann").await.nick, "ann");
    assert_eq!(ann.refused(nick_command(&"x".repeat(65))).await.code, 414);
    let stale = v1::UpdateMyInfo { nick: Some("x".to_owned()), if_version: Some(99), ..Default::default() };
    assert_eq!(ann.refused(ClientCommand::UpdateMyInfo(stale)).await.code, 412);
    for nick in [None, Some("ann".to_owned())] {
        let sign = Some(format!("with {nick:?}"));
        ann.request(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick, sign, ..Default::default() })).await;
    }
    for (command, code) in [(to::ask("zoe"), 404), (to::ask("ann"), 414), (to::add("bob"), 403)] {
        assert_eq!(ann.refused(command).await.code, code);
    }
    gateway.put("/v1/users/ann", json!({"nick": "of the backend"})).await;
    gateway.put("/v1/users/ann/requests/bob", json!({"message": "of the backend"})).await;
    gateway.populate(&["ann", "dan"], &[("ann", "dan")]).await;
    assert_eq!(hook.asked().len(), 0, "{:?}", hook.asked());
    ann.request(to::ask("cat")).await;
    ann.nick("Ann").await;
    assert_eq!(hook.asked().len(), 2);
}

/// What the server may answer instead of a decision.
fn no_answers() -> Vec<(&'static str, Reaction)> {
    let status = |status: &str| {
        Reaction::Raw(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{ALLOW}", ALLOW.len()).into_bytes())
    };
    let say = |text: &str| Reaction::Say(text.to_owned());
    vec![
        ("another status", status("500 Internal Server Error")),
        ("another good status", status("201 Created")),
        ("a redirect", status("302 Found\r\nLocation: http://127.0.0.1:1/")),
        ("no JSON", say("allow")),
        ("an empty body", say("")),
        ("a decision that there is not", say("{\"decision\":\"maybe\"}")),
        ("a field that was not asked about", say("{\"decision\":\"allow\",\"set\":{\"sign\":\"x\"}}")),
        ("a field over its limit", say(&json!({"decision": "allow", "set": {"nick": "x".repeat(65)}}).to_string())),
        ("a field that is no text", say("{\"decision\":\"allow\",\"set\":{\"nick\":7}}")),
        ("a detail that is no word", say("{\"decision\":\"deny\",\"detail\":\"not this\"}")),
        ("more than 64 KiB", say(&format!("{ALLOW}{}", " ".repeat(64 * 1024)))),
        ("a body without an end", Reaction::Endless),
        ("an answer that breaks off", Reaction::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec())),
        ("a length that is none", Reaction::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}".to_vec())),
        ("no HTTP", Reaction::Raw(b"hello\r\n\r\n".to_vec())),
        ("no answer", Reaction::Raw(Vec::new())),
    ]
}

#[tokio::test]
async fn what_is_no_decision_is_a_failure_and_the_operator_says_what_it_means() {
    for allows in [false, true] {
        let hook = HookServer::start().await;
        let on_failure = format!("on_failure = \"{}\"", if allows { "allow" } else { "deny" });
        let world = World::with(&hook.section("profile", &on_failure));
        let gateway = started(&world).await;
        let mut ann = gateway.login("ann", JSON).await;
        for (at, (what, reaction)) in no_answers().into_iter().enumerate() {
            hook.next([reaction]);
            let nick = format!("n{at}");
            if allows {
                assert_eq!(ann.nick(&nick).await.nick, nick, "{what}");
            } else {
                let error = ann.refused(nick_command(&nick)).await;
                assert_eq!((error.code, error.retry_after_ms), (503, Some(1000)), "{what}");
                assert_eq!(gateway.user("ann").await["nick"], "ann", "{what}");
            }
            assert_eq!(hook.asked().len(), at + 1, "{what}: it is tried once");
            let last = status(&gateway).await["lastCall"].clone();
            assert_eq!(last["result"], "error", "{what}: {last}");
            assert_ne!(last["text"], "", "{what}");
        }
        assert_eq!(status(&gateway).await["calls"], json!({"error": no_answers().len()}));
        assert!(calls(&gateway, "profile", "error").await > 0.0);
        // And the server is none the worse for it.
        assert_eq!(ann.nick("good").await.nick, "good");
    }
}

#[tokio::test]
async fn a_hook_that_hangs_is_given_its_time() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("profile", "timeout = \"200ms\"\nin_flight = 1"));
    let gateway = started(&world).await;
    let (mut ann, mut bob) = (gateway.login("ann", JSON).await, gateway.login("bob", JSON).await);
    hook.next([Reaction::Hang, Reaction::Hang]);
    let begun = Instant::now();
    // The time that a call waits for the other to end is part of its own.
    let (one, other) = tokio::join!(ann.refused(nick_command("x")), bob.refused(nick_command("x")));
    assert_eq!((one.code, other.code), (503, 503));
    assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < PATIENCE);
    assert_eq!(calls(&gateway, "profile", "timeout").await, 2.0);
    assert_eq!(gateway.metric("rosterd_hook_in_flight").await, 0.0);
}

/// The other session of the same account sees what the first is waiting for, and this one gets everything else.
#[tokio::test]
async fn while_a_hook_is_asked_the_session_gets_pushes_and_heartbeats_and_keeps_the_order_of_answers() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("profile", ""));
    let gateway = started_with(&world, &["clients.heartbeat=1s"]).await;
    gateway.populate(&[], &[("ann", "bob")]).await;
    let mut ann = Raw::login(&gateway, "ann", JSON).await;
    let mut bob = gateway.login("bob", JSON).await;
    // Who is online comes at any time.
    let gate = Arc::new(Semaphore::new(0));
    hook.next([Reaction::Gated(gate.clone(), ALLOW.to_owned())]);
    ann.message(payload(JSON, nick_command("Ann"), 71)).await;
    hook.until_asked(1).await;
    assert_eq!(status(&gateway).await["inFlight"], 1);
    assert_eq!(gateway.metric("rosterd_hook_in_flight").await, 1.0);
    gateway.patch("/v1/users/bob", json!({"nick": "Bob"})).await;
    let pushed = |frame: &v1::ServerFrame, nick: &str| {
        frame.changes.as_ref().is_some_and(|changes| changes.users.iter().any(|user| user.nick == nick))
    };
    while !pushed(&ann.server().await, "Bob") {}
    bob.signal("ann", "hi").await;
    while ann.server().await.signal.is_none() {}
    // A command that comes meanwhile waits its turn, and so does what is behind it; that is no silence.
    ann.message(payload(JSON, ClientCommand::GetSessions(v1::GetSessions {}), 72)).await;
    ann.message(payload(JSON, nick_command("Again"), 73)).await;
    let before = ann.heartbeats;
    for nick in 0.. {
        gateway.patch("/v1/users/bob", json!({"nick": format!("Bob {nick}")})).await;
        loop {
            let frame = ann.server().await;
            assert!(frame.id == 0, "an answer before its time: {frame:?}");
            if pushed(&frame, &format!("Bob {nick}")) {
                break;
            }
        }
        if ann.heartbeats >= before + 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(hook.asked().len(), 1, "the second change waits for the first");
    gate.add_permits(1);
    let mut answers = Vec::new();
    while answers.len() < 3 {
        let frame = ann.server().await;
        if frame.id != 0 {
            assert!(frame.error.is_none(), "{frame:?}");
            answers.push(frame.id);
        }
    }
    assert_eq!(answers, [71, 72, 73]);
    assert_eq!((gateway.user("ann").await["nick"].clone(), hook.asked().len()), (json!("Again"), 2));
}

#[tokio::test]
async fn a_session_that_ends_meanwhile_writes_nothing() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("profile", ""));
    let gateway = started(&world).await;
    let gate = Arc::new(Semaphore::new(0));
    hook.next([Reaction::Gated(gate.clone(), ALLOW.to_owned())]);
    let mut ann = gateway.login("ann", JSON).await;
    ann.client.send(nick_command("Ann")).await.unwrap();
    hook.until_asked(1).await;
    drop(ann);
    gateway.until_metric("rosterd_sessions", "", |sessions| sessions == 0.0).await;
    gate.add_permits(1);
    gateway.until_metric("rosterd_hook_in_flight", "", |out| out == 0.0).await;
    assert_eq!(gateway.user("ann").await["nick"], "ann");
    // One that is asked about while the gateway stops ends with its session.
    hook.next([Reaction::Hang]);
    let mut ann = gateway.login("ann", JSON).await;
    ann.client.send(nick_command("Ann")).await.unwrap();
    hook.until_asked(2).await;
    let begun = Instant::now();
    assert_eq!(gateway.terminate().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_profile_that_changed_meanwhile_is_asked_about_again() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("profile", ""));
    let gateway = started(&world).await;
    let mut ann = gateway.login("ann", JSON).await;
    let gate = Arc::new(Semaphore::new(0));
    let gated = || Reaction::Gated(gate.clone(), ALLOW.to_owned());
    // Changes by another device while the hook is asked: as often as it is asked, or once less.
    for (changes, is_done) in [(3, true), (4, false)] {
        let asked = hook.asked().len();
        hook.next((0..4).map(|_| gated()));
        let (nick, if_version) = (Some(format!("Ann {changes}")), None);
        let command = ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick, if_version, ..Default::default() });
        let id = ann.client.send(command).await.unwrap();
        for change in 1..=4 {
            hook.until_asked(asked + change).await;
            if change <= changes {
                gateway.patch("/v1/users/ann", json!({"sign": format!("{changes} {change}")})).await;
            }
            gate.add_permits(1);
        }
        let answer = loop {
            let frame = ann.next_of_all().await;
            if frame.id == id {
                break frame;
            }
        };
        match answer.error {
            None => assert!(is_done),
            Some(error) => assert_eq!((error.code, error.retry_after_ms, is_done), (503, Some(1000), false)),
        }
        let versions: Vec<_> =
            hook.asked()[asked..].iter().map(|asked| asked.json()["before"]["version"].clone()).collect();
        assert_eq!(versions.len(), 4);
        assert!(versions.windows(2).all(|pair| pair[0].as_u64() < pair[1].as_u64()), "{versions:?}");
    }
    assert_eq!(gateway.user("ann").await["nick"], "Ann 3");
    // A client that names the version itself is told, and not asked about again.
    let asked = hook.asked().len();
    hook.next([gated()]);
    let version = gateway.user("ann").await["version"].as_u64();
    let command = v1::UpdateMyInfo { nick: Some("x".to_owned()), if_version: version, ..Default::default() };
    let change = async {
        hook.until_asked(asked + 1).await;
        gateway.patch("/v1/users/ann", json!({"sign": "last"})).await;
        gate.add_permits(1);
    };
    let (error, ()) = tokio::join!(ann.refused(ClientCommand::UpdateMyInfo(command)), change);
    assert_eq!((error.code, hook.asked().len()), (412, asked + 1));
}

/// The hook allowed it, and whether it was done is not known: the session is not told anything.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_write_that_the_disk_does_not_confirm_ends_the_session_as_without_a_hook() {
    let (hook, tools) = (HookServer::start().await, tempfile::tempdir().unwrap());
    let (through, fails) = with_failing_sync(tools.path());
    let world = World { through: Some(through), ..World::with(&hook.section("profile", "")) };
    let gateway = started_with(&world, &["presence.enabled=false"]).await;
    let mut ann = gateway.login("ann", JSON).await;
    std::fs::write(&fails, "").unwrap();
    let sent = ann.client.send(nick_command("Ann")).await.unwrap();
    let goodbye = loop {
        let frame = ann.next_of_all().await;
        assert_ne!(frame.id, sent, "{frame:?}");
        if let Some(goodbye) = frame.goodbye {
            break goodbye;
        }
    };
    assert_eq!((goodbye.code, hook.asked().len()), (3002, 1));
    assert_eq!(gateway.metric_of("rosterd_store_in_doubt_total", "UNKNOWN").await, 1.0);
    std::fs::remove_file(&fails).unwrap();
}

#[tokio::test]
async fn so_many_are_asked_about_and_so_many_wait_and_others_fail_at_once() {
    let hook = HookServer::start().await;
    let world = World::with(&hook.section("profile", "in_flight = 1\nwaiting = 1"));
    let gateway = started(&world).await;
    let gate = Arc::new(Semaphore::new(0));
    hook.next([Reaction::Gated(gate.clone(), ALLOW.to_owned())]);
    let mut clients = Vec::new();
    for account in ["ann", "bob", "cat"] {
        clients.push(gateway.login(account, JSON).await);
    }
    let [ann, bob, cat] = &mut clients[..] else { panic!("three") };
    let change = async |client: &mut Client, nick: &str| client.request(nick_command(nick)).await;
    let both = async { tokio::join!(change(&mut ann.client, "Ann"), change(&mut bob.client, "Bob")) };
    let others = async {
        until_status(&gateway, "one waits", |status| status["waiting"] == 1 && status["inFlight"] == 1).await;
        let error = cat.refused(nick_command("Cat")).await;
        assert_eq!((error.code, error.retry_after_ms), (503, Some(1000)));
        gate.add_permits(1);
    };
    let ((ann, bob), ()) = timeout(PATIENCE, async { tokio::join!(both, others) }).await.expect("answers in time");
    assert!(ann.is_ok() && bob.is_ok(), "{ann:?} {bob:?}");
    assert_eq!((calls(&gateway, "profile", "full").await, hook.asked().len()), (1.0, 2));
    until_status(&gateway, "nobody waits", |status| status["waiting"] == 0 && status["inFlight"] == 0).await;
}

#[tokio::test]
async fn a_hook_that_is_dead_is_left_alone_until_it_is_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let world = World::with(&section(address, "profile", ""));
    let gateway = started(&world).await;
    let mut ann = gateway.login("ann", JSON).await;
    for _ in 0..20 {
        assert_eq!(ann.refused(nick_command("Ann")).await.code, 503);
    }
    let seen = status(&gateway).await;
    assert_eq!((&seen["state"], &seen["calls"]), (&json!("open"), &json!({"error": 20})), "{seen}");
    assert!(seen["opensInMs"].as_u64().is_some_and(|ms| ms <= 5000), "{seen}");
    assert_eq!(gateway.metric("rosterd_hook_open").await, 1.0);
    world.until_logged("the hook mostly fails").await;
    assert_eq!(ann.refused(nick_command("Ann")).await.code, 503);
    assert_eq!(calls(&gateway, "profile", "open").await, 1.0);
    // It comes back at the same address, and the next call that is let through finds it.
    let listener = TcpListener::bind(address).await.unwrap();
    let hook = HookServer::listen(listener);
    let back = async {
        loop {
            match ann.client.request(nick_command("Ann")).await {
                Ok(_) => break,
                Err(ClientError::Refused(error)) => assert_eq!(error.code, 503),
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("it is asked again in time");
    assert_eq!(hook.asked().len(), 1);
    assert_eq!(
        (status(&gateway).await["state"].clone(), gateway.metric("rosterd_hook_open").await),
        (json!("closed"), 0.0)
    );
    world.until_logged("the hook answers again").await;
}

#[tokio::test]
async fn a_reload_begins_changes_and_ends_hooks() {
    let hook = HookServer::start().await;
    let mut world = World::new();
    let gateway = started(&world).await;
    let mut ann = gateway.login("ann", JSON).await;
    ann.nick("one").await;
    assert_eq!(gateway.call(Method::GET, "/v1/hooks", "").await, (200, json!({"hooks": []})));
    world.settings = hook.section("profile", "");
    world.config();
    reload(&gateway).await;
    world.until_logged("hooks.profile.url").await;
    ann.nick("two").await;
    assert_eq!(hook.asked().len(), 1);
    world.settings = hook.section("profile", "fields = [\"sign\"]");
    world.config();
    reload(&gateway).await;
    ann.nick("three").await;
    assert_eq!((hook.asked().len(), &hook.last()["set"]), (2, &json!({})));
    // What cannot be used changes nothing.
    world.settings = hook.section("profile", "on_failure = \"\"");
    world.config();
    reload(&gateway).await;
    world.until_logged("hooks.profile.on_failure: is needed where url is set").await;
    ann.nick("four").await;
    assert_eq!(hook.asked().len(), 3);
    world.settings = String::new();
    world.config();
    reload(&gateway).await;
    ann.nick("five").await;
    assert_eq!(hook.asked().len(), 3);
    assert!(!world.log().contains("need a restart"), "{}", world.log());
}

#[test]
fn settings_that_leave_open_what_a_failure_means_are_refused() {
    let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
    for (more, says) in [
        ("on_failure = \"\"", "hooks.profile.on_failure: is needed where url is set"),
        ("on_failure = \"alow\"", "hooks.profile.on_failure: \"alow\" is no answer to a failure"),
        ("timeout = \"10s\"", "hooks.profile.timeout: is 10s, must be 50ms to 5s"),
        ("profile_fields = [\"nik\"]", "did you mean nick?"),
        ("on_failur = \"deny\"", "did you mean hooks.profile.on_failure?"),
    ] {
        let said = World::with(&section(address, "profile", more)).run_badly(&["config", "check"]);
        assert!(said.contains(says), "{more}: {said}");
    }
    let said = World::with("[hooks.login]\nurl = \"https://x.example/\"\n").run_badly(&["config", "check"]);
    assert!(said.contains("hooks.login"), "{said}");
}
