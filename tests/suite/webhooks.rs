//! Webhooks: whole gateways that post events to receivers, which refuse, hang, go away and come back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use parking_lot::Mutex;
use rosterd::outbound::{SigningSecret, SigningSecrets};
use rosterd_client::Backend;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::random::Random;
use crate::support::{API_KEY, Gateway, PATIENCE, World};

pub const SECRETS: [&str; 2] =
    ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "whsec_ZGlmZmVyZW50IGRpZmZlcmVudCBkaWZmZXJlbnQ="];

/// What a receiver does with a request.
#[derive(Clone)]
pub enum Reaction {
    Status(u16),
    /// A whole answer.
    Raw(String),
    /// Answers never.
    Hang,
    /// Answers with a status after a while.
    Late(Duration, u16),
    /// Refuses requests with this text in their body.
    Refuse(u16, String),
}

/// A request that arrived, with the status that it was answered with.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub status: u16,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn events(&self) -> Vec<Value> {
        serde_json::from_str(&self.body).unwrap()
    }
}

#[derive(Default)]
struct ReceiverState {
    received: Vec<Received>,
    /// How many events were taken, and the number of the newest change among them.
    taken: (usize, u64),
    /// For the next requests; those after them are taken.
    reactions: VecDeque<Reaction>,
    /// For all requests.
    always: Option<Reaction>,
}

/// An HTTP server that takes events.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<ReceiverState>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<ReceiverState>>::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, state, task }
    }

    /// The section of the settings for it.
    pub fn section(&self, name: &str, secret: &str, more: &str) -> String {
        format!("[webhooks.{name}]\nurl = \"http://{}/hook?key=1\"\nsecret = \"{secret}\"\n{more}\n", self.address)
    }

    pub fn next(&self, reactions: impl IntoIterator<Item = Reaction>) {
        self.state.lock().reactions.extend(reactions);
    }

    pub fn always(&self, reaction: Option<Reaction>) {
        self.state.lock().always = reaction;
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
    }

    /// The events of the requests that were taken, in order.
    pub fn events(&self) -> Vec<Value> {
        let taken = self.received().into_iter().filter(|received| received.status < 300);
        taken.flat_map(|received| received.events()).collect()
    }

    /// How many events were taken, and the number of the newest change among them. To read them all takes long once there are
    /// very many.
    fn taken(&self) -> (usize, u64) {
        self.state.lock().taken
    }

    /// Waits until something is true of what was received.
    pub async fn until(&self, what: &str, good: impl Fn(&Self) -> bool) {
        self.until_within(PATIENCE, what, good).await;
    }

    pub async fn until_within(&self, patience: Duration, what: &str, good: impl Fn(&Self) -> bool) {
        let wait = async {
            while !good(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = timeout(patience, wait).await;
        assert!(waited.is_ok(), "{what}: {:#?}", self.received().iter().rev().take(3).collect::<Vec<_>>());
    }

    /// Waits for an event about this account with this nick, and returns all.
    pub async fn until_nick(&self, nick: &str) -> Vec<Value> {
        let has = |events: &[Value]| events.iter().any(|event| event["data"]["user"]["nick"] == nick);
        self.until(nick, |receiver| has(&receiver.events())).await;
        self.events()
    }
}

/// The next request to a path: its headers and its body. `None` once the connection has ended.
pub async fn read_post(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    path: &str,
) -> Option<(Vec<(String, String)>, String)> {
    let head = loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break unread.drain(..end + 4).collect::<Vec<_>>();
        }
        stream.read_buf(unread).await.ok().filter(|read| *read > 0)?;
    };
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
    let headers: Vec<_> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
    let headers: Vec<_> = headers.into_iter().map(|(key, value)| (key.to_lowercase(), value.to_owned())).collect();
    let length = headers.iter().find(|(key, _)| key == "content-length").unwrap().1.parse().unwrap();
    while unread.len() < length {
        stream.read_buf(unread).await.ok().filter(|read| *read > 0)?;
    }
    let body = String::from_utf8(unread.drain(..length).collect()).unwrap();
    Some((headers, body))
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<ReceiverState>>) {
    let mut unread = Vec::new();
    while let Some((headers, body)) = read_post(&mut stream, &mut unread, "/hook?key=1").await {
        let reaction = {
            let mut state = state.lock();
            let next = state.reactions.pop_front();
            next.or_else(|| state.always.clone()).unwrap_or(Reaction::Status(200))
        };
        let (status, answer) = match &reaction {
            Reaction::Status(status) | Reaction::Late(_, status) => (*status, String::new()),
            Reaction::Raw(answer) => (answer[9..12].parse().unwrap(), answer.clone()),
            Reaction::Hang => (999, String::new()),
            Reaction::Refuse(status, text) if body.contains(text) => (*status, String::new()),
            Reaction::Refuse(..) => (200, String::new()),
        };
        let received = Received { headers, body, status };
        let events = if status < 300 { received.events() } else { Vec::new() };
        {
            let mut state = state.lock();
            let newest = events.iter().filter_map(|event| event["stamp"].as_u64()).fold(state.taken.1, u64::max);
            state.taken = (state.taken.0 + events.len(), newest);
            state.received.push(received);
        }
        if let Reaction::Late(wait, _) = reaction {
            tokio::time::sleep(wait).await;
        }
        if matches!(reaction, Reaction::Hang) {
            // Until the other side gives up.
            let _ = stream.read_buf(&mut unread).await;
            return;
        }
        let answer =
            if answer.is_empty() { format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok") } else { answer };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

pub async fn nick(gateway: &Gateway, nick: &str) {
    gateway.put("/v1/users/ann", json!({"nick": nick})).await;
}

pub async fn webhook(gateway: &Gateway, name: &str) -> Value {
    let (status, body) = gateway.call(Method::GET, &format!("/v1/webhooks/{name}"), "").await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Waits until something is true of an endpoint's status.
pub async fn until_status(gateway: &Gateway, name: &str, good: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            // It is 503 until the endpoint's task has begun.
            let (status, body) = gateway.call(Method::GET, &format!("/v1/webhooks/{name}"), "").await;
            if status == 200 && good(&body) {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if let Ok(status) = timeout(PATIENCE, wait).await {
        return status;
    }
    panic!("{}", webhook(gateway, name).await)
}

pub async fn post(gateway: &Gateway, path: &str, body: &str) -> Value {
    let (status, answer) = gateway.call(Method::POST, &format!("/v1/webhooks/{path}"), body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// The numbers of the changes of events, in order.
pub fn stamps(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["stamp"].as_u64().unwrap()).collect()
}

pub fn unique(stamps: Vec<u64>) -> Vec<u64> {
    let mut seen = std::collections::BTreeSet::new();
    stamps.into_iter().filter(|stamp| seen.insert(*stamp)).collect()
}

#[tokio::test]
async fn events_come_in_order_signed_and_with_the_fields_that_were_asked_for() {
    let (all, thin) = (Receiver::start().await, Receiver::start().await);
    let settings = all.section("all", SECRETS[0], "events = [\"*\"]\nfields = [\"nick\", \"email\", \"message\"]")
        + &thin.section(
            "thin",
            SECRETS[1],
            "events = [\"request.*\"]\nfields = []\nformat = \"cloudevents\"\nauthorization = \"Bearer of-mine\"",
        );
    let world = World::with(&settings);
    let gateway = world.start();
    until_status(&gateway, "thin", |status| status["state"] == "running").await;
    until_status(&gateway, "all", |status| status["state"] == "running").await;
    gateway.put("/v1/users/ann", json!({"nick": "Ann", "email": "ann@x.example", "sign": "of-ann"})).await;
    gateway.put("/v1/users/bob", json!({"nick": "Bob"})).await;
    gateway.put("/v1/users/ann/requests/bob", json!({"message": "hi"})).await;
    let (status, _) = gateway.call(Method::POST, "/v1/users/bob/requests/ann/accept", "").await;
    assert_eq!(status, 200);
    gateway.put("/v1/users/ann/token", Value::Null).await;
    all.until("the last event", |all| all.events().iter().any(|event| event["type"] == "token.set")).await;
    let events = all.events();
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["user.created", "user.created", "request.created", "request.accepted", "friend.added", "token.set"]
    );
    assert!(stamps(&events).is_sorted());
    let user = &events[0]["data"]["user"];
    assert_eq!((&user["nick"], &user["email"], user.get("sign")), (&json!("Ann"), &json!("ann@x.example"), None));
    assert_eq!(events[2]["data"]["request"]["message"], "hi");
    // They are those of the feed.
    let (_, text) = (
        0,
        gateway.backend().await.send(Method::GET, "/v1/feed?fields=nick,email,message", String::new()).await.unwrap().1,
    );
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[..lines.len() - 1], events);

    thin.until("two events", |thin| thin.events().len() == 2).await;
    assert_eq!(thin.events()[0]["data"]["request"].get("message"), None);
    let received = [all.received(), thin.received()].concat();
    for request in &received {
        let (name, secret) =
            if request.header("rosterd-endpoint") == "all" { ("all", SECRETS[0]) } else { ("thin", SECRETS[1]) };
        let (first, count) = (request.events()[0]["id"].as_str().unwrap().to_owned(), request.events().len());
        assert_eq!(request.header("webhook-id"), format!("{first}_{count}"));
        let timestamp: u64 = request.header("webhook-timestamp").parse().unwrap();
        let secrets = SigningSecrets { secret: SigningSecret::parse(secret).unwrap(), previous: None };
        let signature = secrets.header(request.header("webhook-id"), timestamp * 1000, request.body.as_bytes());
        assert_eq!(request.header("webhook-signature"), signature);
        let (content, authorization) = match name {
            "all" => ("application/json", ""),
            _ => ("application/cloudevents-batch+json", "Bearer of-mine"),
        };
        assert_eq!((request.header("content-type"), request.header("authorization")), (content, authorization));
        assert!(request.header("user-agent").starts_with("rosterd/"));
    }
    // No secret and nothing personal is in the log.
    let log = world.log();
    for secret in [SECRETS[0], SECRETS[1], "of-mine", "ann@x.example", "key=1"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

/// What is asked of an endpoint right after the gateway is ready is done: it need not have read where it was left.
#[tokio::test]
async fn an_endpoint_can_be_controlled_as_soon_as_the_gateway_is_ready() {
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section("crm", SECRETS[0], ""));
    for _ in 0..4 {
        let gateway = world.start();
        post(&gateway, "crm/pause", "").await;
        gateway.kill();
    }
    let gateway = world.start();
    assert_eq!(webhook(&gateway, "crm").await["state"], "paused");
}

#[tokio::test]
async fn an_endpoint_that_fails_gets_one_event_at_a_time_and_then_all_in_order() {
    let receiver = Receiver::start().await;
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned();
    receiver.next([
        Reaction::Status(503),
        Reaction::Raw(redirect),
        Reaction::Raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned()),
    ]);
    receiver.always(Some(Reaction::Status(500)));
    let world = World::with(&receiver.section("crm", SECRETS[0], "timeout = \"1s\""));
    let gateway = world.start();
    for n in 0..50 {
        nick(&gateway, &format!("n{n}")).await;
    }
    let status = until_status(&gateway, "crm", |status| status["lastFailure"]["status"] == 500).await;
    assert_eq!(status["lastFailure"]["text"], "ok");
    assert!(status["nextTry"].is_u64() && status["behind"]["changes"].as_u64() >= Some(50), "{status}");
    assert_eq!(status["url"], format!("http://{}/hook", receiver.address));
    assert!(receiver.events().iter().all(|event| event["stamp"] == 1), "an answer that broke off is none");
    receiver.always(None);
    let before = receiver.received().len();
    let events = receiver.until_nick("n49").await;
    assert_eq!(unique(stamps(&events)), (1..=50).collect::<Vec<_>>());
    let sizes: Vec<_> = receiver.received()[before..].iter().map(|request| request.events().len()).collect();
    assert_eq!(sizes[0], 1, "{sizes:?}");
    assert!(sizes.len() <= 8, "{sizes:?}");
    until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0 && status["nextTry"].is_null()).await;
    let metrics = gateway.backend().await.send(Method::GET, "/metrics", String::new()).await.unwrap().1;
    for line in [
        "rosterd_webhook_events_total{endpoint=\"crm\",result=\"delivered\"} 50",
        "rosterd_webhook_state{endpoint=\"crm\"} 0",
        "rosterd_webhook_requests_total{endpoint=\"crm\",result=\"failed\"}",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn an_endpoint_that_hangs_costs_writes_and_others_nothing() {
    let (hung, other) = (Receiver::start().await, Receiver::start().await);
    hung.always(Some(Reaction::Hang));
    let settings = hung.section("hung", SECRETS[0], "timeout = \"1s\"") + &other.section("other", SECRETS[1], "");
    let world = World::with(&settings);
    let gateway = world.start();
    nick(&gateway, "first").await;
    hung.until("a request that hangs", |hung| !hung.received().is_empty()).await;
    nick(&gateway, "second").await;
    other.until_nick("second").await;
    let status = until_status(&gateway, "hung", |status| !status["lastFailure"].is_null()).await;
    assert_eq!(
        status["lastFailure"],
        json!({"time": status["lastFailure"]["time"], "status": null, "text": "no answer in 1s"})
    );
    hung.always(None);
    let events = hung.until_nick("second").await;
    assert_eq!(stamps(&events), [1, 2]);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_refused_event_is_skipped_listed_and_can_be_sent_once_more() {
    let receiver = Receiver::start().await;
    receiver.always(Some(Reaction::Refuse(422, "poison".to_owned())));
    let world = World::with(&receiver.section("crm", SECRETS[0], ""));
    let gateway = world.start();
    for name in ["a", "b", "poison", "c", "d"] {
        nick(&gateway, name).await;
    }
    // Half a minute passes before it is skipped.
    let is_last = |receiver: &Receiver| receiver.events().iter().any(|event| event["data"]["user"]["nick"] == "d");
    receiver.until_within(4 * PATIENCE, "the last event", is_last).await;
    let events = receiver.until_nick("d").await;
    assert_eq!(unique(stamps(&events)), [1, 2, 4, 5]);
    let status = until_status(&gateway, "crm", |status| status["dead"] == 1).await;
    assert_eq!(status["state"], "running");
    let (_, page) = gateway.call(Method::GET, "/v1/webhooks/crm/dead?limit=10", "").await;
    assert_eq!((page["dead"][0]["status"].as_u64(), page.get("next")), (Some(422), None));
    let id = page["dead"][0]["event"].as_str().unwrap();
    assert!(id.ends_with("-3-0"), "{id}");
    let metrics = gateway.backend().await.send(Method::GET, "/metrics", String::new()).await.unwrap().1;
    assert!(metrics.contains("rosterd_webhook_events_total{endpoint=\"crm\",result=\"dead\"} 1"));
    // It is refused again, and then taken.
    let before = receiver.received().len();
    post(&gateway, "crm/replay", "{\"dead\": true}").await;
    receiver.until("another try", |receiver| receiver.received().len() > before).await;
    assert_eq!(webhook(&gateway, "crm").await["dead"], 1);
    receiver.always(None);
    post(&gateway, "crm/replay", "{\"dead\": true}").await;
    let again = receiver.until_nick("poison").await;
    assert_eq!(
        (again.last().unwrap()["id"].as_str(), receiver.received().last().unwrap().header("rosterd-replay")),
        (Some(id), "1")
    );
    until_status(&gateway, "crm", |status| status["dead"] == 0).await;
    let (status, _) = gateway.call(Method::DELETE, &format!("/v1/webhooks/crm/dead/{id}"), "").await;
    assert_eq!(status, 200, "it is gone already");
    let (status, _) = gateway.call(Method::DELETE, "/v1/webhooks/crm/dead/1", "").await;
    assert_eq!(status, 400);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn an_operator_pauses_resumes_tests_and_replays() {
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section("crm", SECRETS[0], ""));
    let gateway = world.start();
    nick(&gateway, "a").await;
    receiver.until_nick("a").await;
    let (_, all) = gateway.call(Method::GET, "/v1/webhooks", "").await;
    assert_eq!(all["webhooks"][0]["name"], "crm");
    post(&gateway, "crm/pause", "").await;
    nick(&gateway, "b").await;
    assert_eq!(post(&gateway, "crm/test", "").await, json!({"status": 200, "text": "ok"}));
    let test = receiver.received().last().unwrap().clone();
    assert_eq!(
        (&test.events()[0]["type"], &test.events()[0]["data"]),
        (&json!("webhook.test"), &json!({"endpoint": "crm"}))
    );
    // It stays paused over a restart.
    assert_eq!(gateway.terminate().await, Some(0));
    let gateway = world.start();
    let status = until_status(&gateway, "crm", |status| status["state"] == "paused").await;
    assert_eq!(status["behind"]["changes"], 1);
    let is_b = |receiver: &Receiver| receiver.events().iter().any(|event| event["data"]["user"]["nick"] == "b");
    assert!(!is_b(&receiver));
    post(&gateway, "crm/resume", "").await;
    receiver.until_nick("b").await;
    let position = until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0).await["position"].clone();
    let history = position.as_str().unwrap().split('-').next().unwrap().to_owned();
    let count = receiver.events().len();
    post(&gateway, "crm/replay", &json!({"after": format!("{history}-0-0")}).to_string()).await;
    receiver.until("both once more", |receiver| receiver.events().len() == count + 2).await;
    assert!(receiver.received().last().unwrap().header("rosterd-replay") == "1");
    post(&gateway, "crm/replay", "{\"since\": \"2026-01-01T00:00:00Z\"}").await;
    receiver.until("both a third time", |receiver| receiver.events().len() == count + 4).await;
    for (body, status, word) in [
        ("{}", 400, "give one of"),
        ("{\"after\": \"x\"}", 400, "no position"),
        ("{\"since\": \"soon\"}", 400, "no time"),
        ("{\"since\": \"9999-01-01T00:00:00Z\"}", 400, "future"),
        ("{\"after\": \"000000000000000a-1-0\"}", 410, "CURSOR_FOREIGN"),
        (&json!({"after": format!("{history}-99999-0")}).to_string(), 410, "CURSOR_FOREIGN"),
        ("{\"afterr\": \"x\"}", 400, "after"),
    ] {
        let (found, answer) = gateway.call(Method::POST, "/v1/webhooks/crm/replay", body).await;
        assert!(found == status && answer.to_string().contains(word), "{body}: {found} {answer}");
    }
    for (method, path) in [
        (Method::GET, "nobody"),
        (Method::POST, "nobody/pause"),
        (Method::POST, "nobody/resume"),
        (Method::POST, "nobody/test"),
        (Method::GET, "nobody/dead"),
        (Method::DELETE, "nobody/dead/000000000000000a-1-0"),
    ] {
        let (status, answer) = gateway.call(method, &format!("/v1/webhooks/{path}"), "").await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
    // Each is in the audit log, and what was refused or about no endpoint is not.
    let (_, page) = gateway.call(Method::GET, "/v1/audit", "").await;
    let entries = page["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..2], ["webhook.paused", "webhook.tested"]);
    assert!(["webhook.resumed", "webhook.replayed"].iter().all(|action| actions.contains(action)), "{actions:?}");
    assert!(entries.iter().all(|entry| entry["detail"] == "webhook=crm" && entry["subject"] == ""), "{page}");
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn events_of_an_account_that_was_deleted_meanwhile_have_keys_and_versions_alone() {
    let receiver = Receiver::start().await;
    let fields = "fields = [\"nick\", \"email\", \"message\"]";
    let world = World::with(&receiver.section("crm", SECRETS[0], fields));
    let gateway = world.start();
    until_status(&gateway, "crm", |status| status["state"] == "running").await;
    post(&gateway, "crm/pause", "").await;
    gateway.put("/v1/users/ann", json!({"nick": "Annabel-the-nick", "email": "annabel@x.example"})).await;
    gateway.put("/v1/users/bob", json!({"nick": "Bob"})).await;
    gateway.put("/v1/users/ann/requests/bob", json!({"message": "Annabel-the-message"})).await;
    gateway.delete("/v1/users/ann").await;
    post(&gateway, "crm/resume", "").await;
    let is_last = |receiver: &Receiver| receiver.events().iter().any(|event| event["type"] == "user.deleted");
    receiver.until("the deletion", is_last).await;
    let count = receiver.events().len();
    // A replay brings the same once more.
    post(&gateway, "crm/replay", "{\"since\": \"2026-01-01T00:00:00Z\"}").await;
    receiver.until("all once more", |receiver| receiver.events().len() == 2 * count).await;
    let events = receiver.events();
    assert_eq!(events[..count], events[count..]);
    let text = serde_json::to_string(&events).unwrap();
    assert!(!text.contains("Annabel-the") && !text.contains("annabel@") && text.contains("Bob"), "{text}");
    let erased: Vec<_> =
        events[..count].iter().map(|event| (event["type"].as_str().unwrap(), event.get("erased"))).collect();
    let yes = json!(true);
    assert_eq!(
        erased,
        [("user.created", Some(&yes)), ("user.created", None), ("request.created", Some(&yes)), ("user.deleted", None)]
    );
    assert_eq!(events[0]["data"]["user"]["version"], 1);
    assert_eq!(
        (&events[2]["data"]["request"]["message"], &events[2]["data"]["request"]["version"]),
        (&json!(""), &json!(3))
    );
    until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0 && status["replay"].is_null()).await;
    let metrics = gateway.backend().await.send(Method::GET, "/metrics", String::new()).await.unwrap().1;
    for line in [
        "rosterd_webhook_events_total{endpoint=\"crm\",result=\"delivered\"} 4",
        "rosterd_webhook_events_total{endpoint=\"crm\",result=\"erased\"} 4",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

/// How often the gateway is killed: `ROSTERD_WEBHOOK_KILLS`, or a few times.
fn kills() -> usize {
    std::env::var("ROSTERD_WEBHOOK_KILLS").map_or(4, |text| text.parse().expect("ROSTERD_WEBHOOK_KILLS is a number"))
}

/// Writes nicks of an account, as fast as they are answered, until the gateway is gone. Returns the last one that was
/// answered.
async fn write_until_killed(ops: SocketAddr, account: String, from: u64) -> u64 {
    let mut last = from;
    let Ok(mut backend) = Backend::connect(ops, API_KEY).await else { return last };
    while let Ok((200 | 201, _)) = {
        let body = json!({"nick": (last + 1).to_string()}).to_string();
        backend.send(Method::PUT, &format!("/v1/users/{account}"), body).await
    } {
        last += 1;
    }
    last
}

#[tokio::test]
async fn after_a_kill_nothing_is_missing_and_first_arrivals_are_in_order() {
    const WRITERS: usize = 4;
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section("crm", SECRETS[0], "from = \"start\"\nbatch = 20"));
    let (mut answered, mut random) = ([0; WRITERS], 7_u64);
    for _ in 0..kills() {
        let (newest, gateway) = (receiver.taken().1, world.start());
        let writers: Vec<_> =
            (0..WRITERS).map(|n| tokio::spawn(write_until_killed(gateway.ops, format!("w{n}"), answered[n]))).collect();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Under load, and at another moment each time.
        let enough = newest + 1 + (random >> 33) % 300;
        receiver.until("events of this gateway", |receiver| receiver.taken().1 >= enough).await;
        gateway.kill();
        for (last, writer) in answered.iter_mut().zip(writers) {
            *last = writer.await.unwrap();
        }
    }
    let gateway = world.start();
    nick(&gateway, "last").await;
    let head = gateway.user("ann").await["version"].as_u64().unwrap();
    let patience = PATIENCE + Duration::from_millis(10 * head);
    receiver.until_within(patience, "the last event", |receiver| receiver.taken().1 == head).await;
    let events = receiver.events();
    let (all, first) = (receiver.taken().0, unique(stamps(&events)));
    assert_eq!(first, (1..=head).collect::<Vec<_>>(), "each change, and first arrivals in order");
    // What was answered is among them.
    for (n, last) in answered.iter().enumerate() {
        let of_writer = events.iter().filter(|event| event["subject"] == format!("w{n}"));
        let newest = of_writer.filter_map(|event| event["data"]["user"]["nick"].as_str()?.parse::<u64>().ok()).max();
        assert!(*last > 0 && newest >= Some(*last), "w{n}: {newest:?} came, {last} was answered");
    }
    println!("{} kills, {head} events, 0 missing, {} repeats", kills(), all as u64 - head);
    until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0).await;
    assert_eq!(gateway.terminate().await, Some(0));
    // A stop keeps the position: nothing comes again.
    let (before, gateway) = (receiver.taken(), world.start());
    nick(&gateway, "after all").await;
    receiver.until("one more event", |receiver| receiver.taken().1 > before.1).await;
    assert_eq!(receiver.taken(), (before.0 + 1, before.1 + 1));
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn after_a_restore_the_gap_is_said() {
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section("crm", SECRETS[0], ""));
    let gateway = world.start();
    nick(&gateway, "a").await;
    receiver.until_nick("a").await;
    let copy = world.path().join("copy.db");
    world.run_well(&["backup", copy.to_str().unwrap()]);
    nick(&gateway, "lost").await;
    assert_eq!(gateway.terminate().await, Some(0));
    world.run_well(&["restore", copy.to_str().unwrap()]);
    // The gap is retried like any event.
    receiver.next([Reaction::Status(503)]);
    let gateway = world.start();
    nick(&gateway, "after").await;
    let events = receiver.until_nick("after").await;
    let at = events.iter().position(|event| event["type"] == "feed.gap").expect("a gap");
    assert_eq!(
        (&events[at]["data"]["because"], &events[at]["data"]["snapshot"]),
        (&json!("HISTORY"), &json!("/v1/snapshot"))
    );
    assert_eq!(events.iter().filter(|event| event["type"] == "feed.gap").count(), 1);
    assert_eq!(events[at + 1]["data"]["user"]["nick"], "after");
    assert_ne!(events[at]["data"]["from"], events[at]["data"]["to"]);
    assert_eq!(gateway.metric_of("rosterd_webhook_gaps_total", "").await, 1.0);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn what_the_log_dropped_is_a_gap_and_the_rest_follows() {
    let receiver = Receiver::start().await;
    let world = World::with(&(receiver.section("crm", SECRETS[0], "") + "[feed]\nmax_bytes = 1048576\n"));
    let gateway = world.start();
    nick(&gateway, "a").await;
    receiver.until_nick("a").await;
    let position = until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0).await["position"].clone();
    post(&gateway, "crm/pause", "").await;
    // Texts that compression makes not much smaller.
    let random = Random::new(7);
    let custom = || (0..1000).map(|_| char::from(b'0' + random.below(64) as u8)).collect::<String>();
    for batch in 0..16 {
        let users: Vec<_> =
            (0..100).map(|n| json!({"account": format!("u{batch}x{n}"), "create": true, "custom": custom()})).collect();
        let (status, answer) =
            gateway.call(Method::POST, "/v1/users:batchUpdate", json!({"users": users}).to_string()).await;
        assert_eq!(status, 200, "{answer}");
    }
    nick(&gateway, "z").await;
    // Until the log is pruned.
    let expired = async {
        loop {
            let (status, answer) =
                gateway.call(Method::POST, "/v1/webhooks/crm/replay", json!({"after": position}).to_string()).await;
            if status == 410 {
                assert_eq!(answer["error"]["reason"], "CURSOR_EXPIRED");
                return answer["oldest"].clone();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let oldest = timeout(PATIENCE, expired).await.unwrap();
    post(&gateway, "crm/resume", "").await;
    let events = receiver.until_nick("z").await;
    let gap = events.iter().position(|event| event["type"] == "feed.gap").expect("a gap");
    assert_eq!(
        events[gap]["data"],
        json!({"because": "RETENTION", "from": position, "to": oldest, "snapshot": "/v1/snapshot"})
    );
    assert!(stamps(&events[gap + 1..]).is_sorted());
    let (status, _) =
        gateway.call(Method::POST, "/v1/webhooks/crm/replay", "{\"since\": \"2020-01-01T00:00:00Z\"}").await;
    assert_eq!(status, 410);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_reload_adds_changes_and_removes_endpoints() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let mut world = World::with(&first.section("crm", SECRETS[0], ""));
    let gateway = world.start();
    nick(&gateway, "a").await;
    first.until_nick("a").await;
    // The same endpoint elsewhere, and another beside it.
    world.settings = second.section("crm", SECRETS[1], "") + &first.section("extra", SECRETS[0], "enabled = false");
    world.config();
    gateway.hang_up();
    world.until_logged("webhooks.crm.url").await;
    until_status(&gateway, "extra", |status| status["enabled"] == false).await;
    nick(&gateway, "b").await;
    let events = second.until_nick("b").await;
    assert_eq!(stamps(&events), [2]);
    assert_eq!(first.events().len(), 1);
    // A bad one changes nothing.
    let good = world.settings.clone();
    world.settings = good.replace("enabled = false", "batch = 0");
    world.config();
    gateway.hang_up();
    world.until_logged("webhooks.extra.batch: is 0, must be 1 to 1000").await;
    world.settings = second.section("crm", SECRETS[1], "");
    world.config();
    gateway.hang_up();
    let gone = async {
        while gateway.call(Method::GET, "/v1/webhooks/extra", "").await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    nick(&gateway, "c").await;
    second.until_nick("c").await;
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn an_address_that_is_never_called_is_an_error_that_is_named_and_410_stops() {
    let receiver = Receiver::start().await;
    let metadata = format!(
        "[webhooks.evil]\nurl = \"http://169.254.169.254/latest\"\nplain = true\nsecret = \"{}\"\n",
        SECRETS[1]
    );
    let world = World::with(&(receiver.section("gone", SECRETS[0], "") + &metadata));
    let gateway = world.start();
    receiver.next([Reaction::Status(410)]);
    nick(&gateway, "a").await;
    let status = until_status(&gateway, "evil", |status| !status["lastFailure"].is_null()).await;
    assert!(status["lastFailure"]["text"].as_str().unwrap().contains("link-local, which is never called"), "{status}");
    until_status(&gateway, "gone", |status| status["state"] == "stopped").await;
    nick(&gateway, "b").await;
    assert_eq!(receiver.received().len(), 1);
    post(&gateway, "gone/resume", "").await;
    let events = receiver.until_nick("b").await;
    assert_eq!(stamps(&events), [1, 2]);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[test]
fn a_secret_is_made_on_the_command_line() {
    let world = World::new();
    let (one, other) = (world.run_well(&["webhook", "secret"]), world.run_well(&["webhook", "secret"]));
    assert!(SigningSecret::parse(one.trim()).is_ok() && one != other, "{one}");
}
