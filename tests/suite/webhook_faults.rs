//! What goes wrong around webhooks: outages, full disks, stops, reloads, erased accounts, and what logs and files must not
//! hold then.

use std::fs;
use std::time::Duration;

use hyper::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{API_KEY, Gateway, PATIENCE, World};
use crate::webhooks::{Reaction, Receiver, SECRETS, nick, post, stamps, unique, until_status, webhook};

/// Waits until the feed cannot be read on from a position, and returns the oldest one from which it can.
async fn until_expired(gateway: &Gateway, position: &str) -> String {
    let begun = Instant::now();
    loop {
        let (status, text) = gateway
            .backend()
            .await
            .send(Method::GET, &format!("/v1/feed?after={position}"), String::new())
            .await
            .unwrap();
        if status == 410 {
            let body: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(body["error"]["reason"], "CURSOR_EXPIRED", "{body}");
            return body["oldest"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < 3 * PATIENCE, "the log is not pruned: {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_for_longer_than_the_log_goes_back_is_told_and_gets_the_rest() {
    let receiver = Receiver::start().await;
    let world = World::with(&(receiver.section("crm", SECRETS[0], "") + "[feed]\nretention = \"1s\"\n"));
    let gateway = world.start();
    nick(&gateway, "before").await;
    receiver.until_nick("before").await;
    let position = until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0).await["position"].clone();
    receiver.always(Some(Reaction::Status(503)));
    for n in 0..20 {
        nick(&gateway, &format!("missed{n}")).await;
    }
    until_status(&gateway, "crm", |status| status["lastFailure"]["status"] == 503).await;
    // A position is good as long as the change after it is there: the last one of these goes, too.
    let position = position.as_str().unwrap();
    until_expired(&gateway, position).await;
    nick(&gateway, "after").await;
    receiver.always(None);
    post(&gateway, "crm/resume", "").await;
    let events = receiver.until_nick("after").await;
    let gaps: Vec<_> = events.iter().filter(|event| event["type"] == "feed.gap").collect();
    assert_eq!(gaps.len(), 1, "{events:?}");
    let data = &gaps[0]["data"];
    assert_eq!(
        (&data["because"], &data["from"], &data["snapshot"]),
        (&json!("RETENTION"), &json!(position), &json!("/v1/snapshot"))
    );
    // From the oldest that is kept, and nothing between is left out in silence.
    let oldest: u64 = data["to"].as_str().unwrap().split('-').nth(1).unwrap().parse().unwrap();
    assert!(oldest > 1, "{data}");
    let at = events.iter().position(|event| event["type"] == "feed.gap").unwrap();
    let rest = unique(stamps(&events[at + 1..]));
    assert_eq!(rest, (oldest + 1..=22).collect::<Vec<_>>());
    assert_eq!(gateway.metric("rosterd_webhook_gaps_total").await, 1.0);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn on_a_full_disk_an_event_stands_for_a_write_that_was_answered() {
    let receiver = Receiver::start().await;
    let mut world = World::with(&receiver.section("crm", SECRETS[0], "from = \"start\"\nfields = [\"nick\"]"));
    // A limit on the size of files simulates the disk. The signal at the limit would end the process.
    world.through = Some("trap '' XFSZ; ulimit -f 1024; exec \"$@\"".to_owned());
    let gateway = world.start();
    let (filler, mut answered, mut refused) = ("漢".repeat(1000), Vec::new(), 0);
    let mut backend = gateway.backend().await;
    for n in 0..2000 {
        let body = json!({"nick": format!("n{n}"), "custom": format!("{n} {filler}")}).to_string();
        match backend.send(Method::PUT, "/v1/users/ann", body).await.unwrap().0 {
            200 | 201 => answered.push(format!("n{n}")),
            503 => refused += 1,
            status => panic!("{status}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused == 5 && answered.len() > 10, "{refused} were refused, {} were answered", answered.len());
    // The position cannot be kept on this disk either.
    assert_eq!(gateway.terminate().await, Some(0));
    world.through = None;
    let gateway = world.start();
    nick(&gateway, "at last").await;
    let events = receiver.until_nick("at last").await;
    answered.push("at last".to_owned());
    assert_eq!(unique(stamps(&events)), (1..=answered.len() as u64).collect::<Vec<_>>());
    for event in &events {
        let stamp = event["stamp"].as_u64().unwrap() as usize;
        assert_eq!(event["data"]["user"]["nick"], answered[stamp - 1].as_str(), "{event}");
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

/// The row of an endpoint in the file: the revision up to which it has events.
fn row(world: &World, name: &str) -> Option<u64> {
    let file = Connection::open(world.path().join("rosterd.db")).unwrap();
    let row = file.query_row("SELECT stamp FROM webhook WHERE name = ?1", [name], |row| row.get::<_, i64>(0));
    row.ok().map(|stamp| u64::try_from(stamp).unwrap())
}

#[tokio::test]
async fn an_endpoint_that_a_reload_removes_ends_its_request_is_remembered_for_30_days_and_then_forgotten() {
    let receiver = Receiver::start().await;
    let mut world = World::with(&receiver.section("crm", SECRETS[0], "timeout = \"2s\""));
    let gateway = world.start();
    nick(&gateway, "a").await;
    receiver.until_nick("a").await;
    // A request is out when it is removed. It ends first, and is not repeated.
    receiver.next([Reaction::Late(Duration::from_secs(1), 200)]);
    nick(&gateway, "b").await;
    receiver.until("a request that is out", |receiver| receiver.received().len() == 2).await;
    let with = world.settings.clone();
    world.settings = String::new();
    world.config();
    gateway.hang_up();
    let gone = async {
        while gateway.call(Method::GET, "/v1/webhooks/crm", "").await.0 != 404 || row(&world, "crm") != Some(2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it ends with the position after its request");
    nick(&gateway, "c").await;
    // It comes back, and goes on where it was.
    world.settings = with;
    world.config();
    gateway.hang_up();
    let events = receiver.until_nick("c").await;
    assert_eq!(stamps(&events), [1, 2, 3]);
    until_status(&gateway, "crm", |status| status["behind"]["changes"] == 0).await;
    assert_eq!(gateway.terminate().await, Some(0));

    world.settings = String::new();
    let age = |days: u64| {
        let file = Connection::open(world.path().join("rosterd.db")).unwrap();
        file.execute("UPDATE webhook SET kept = kept - ?1", [(days * 24 * 3_600_000) as i64]).unwrap();
    };
    for (days, is_kept) in [(29, true), (2, false)] {
        age(days);
        assert_eq!(world.start().terminate().await, Some(0));
        assert_eq!(row(&world, "crm"), is_kept.then_some(3), "after {days} more days");
    }
}

#[tokio::test]
async fn a_stop_while_events_wait_keeps_the_position_and_the_rest_comes_after_the_next_start() {
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section("crm", SECRETS[0], "batch = 1"));
    let gateway = world.start();
    until_status(&gateway, "crm", |status| status["state"] == "running").await;
    receiver.next((0..5).map(|_| Reaction::Status(200)));
    receiver.always(Some(Reaction::Hang));
    for n in 1..=30 {
        nick(&gateway, &format!("n{n}")).await;
    }
    receiver.until("a request that hangs", |receiver| receiver.received().len() == 6).await;
    let begun = Instant::now();
    // It would hang for 15 s.
    assert_eq!(gateway.terminate().await, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "the stop took {:?}", begun.elapsed());
    assert_eq!((stamps(&receiver.events()), row(&world, "crm")), ((1..=5).collect(), Some(5)));
    receiver.always(None);
    let gateway = world.start();
    let events = receiver.until_nick("n30").await;
    assert_eq!(stamps(&events), (1..=30).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_replay_of_a_paused_endpoint_waits_until_it_is_resumed() {
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section("crm", SECRETS[0], ""));
    let gateway = world.start();
    nick(&gateway, "a").await;
    receiver.until_nick("a").await;
    post(&gateway, "crm/pause", "").await;
    post(&gateway, "crm/replay", "{\"since\": \"2026-01-01T00:00:00Z\"}").await;
    let status = webhook(&gateway, "crm").await;
    assert_eq!((&status["state"], &status["behind"]["changes"]), (&json!("paused"), &json!(1)), "{status}");
    // What is sent beside it shows that it could have come.
    post(&gateway, "crm/test", "").await;
    assert_eq!(receiver.received().len(), 2);
    post(&gateway, "crm/resume", "").await;
    receiver.until("it comes once more", |receiver| receiver.events().len() == 3).await;
    let last = receiver.received().pop().unwrap();
    assert_eq!((last.header("rosterd-replay"), stamps(&last.events())), ("1", vec![1]));
    assert_eq!(gateway.terminate().await, Some(0));
}

/// The names of the store's files that hold a text.
fn holding(world: &World, texts: &[&str]) -> Vec<String> {
    let files = fs::read_dir(world.path()).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("rosterd.db"));
    let mut found = Vec::new();
    for path in files {
        let Ok(held) = fs::read(&path) else { continue };
        for text in texts {
            if held.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(format!("{text} in {}", path.display()));
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_of_an_erased_account_is_in_the_database_or_its_log_after_a_pass() {
    const TEXTS: [&str; 5] =
        ["Annabel-the-nick", "annabel@x.example", "Annabel-the-message", "Annabel-the-alias", "Annabel-the-note"];
    let receiver = Receiver::start().await;
    let world = World::with(&receiver.section(
        "crm",
        SECRETS[0],
        "fields = [\"nick\", \"email\", \"message\", \"alias\", \"note\"]",
    ));
    let gateway = world.start();
    // The webhook refuses everything, so dead letters and positions of it are in the store as well.
    receiver.always(Some(Reaction::Status(503)));
    gateway.put("/v1/users/ann", json!({"nick": TEXTS[0], "email": TEXTS[1]})).await;
    for name in ["bob", "cat"] {
        gateway.put(&format!("/v1/users/{name}"), json!({"nick": "somebody"})).await;
    }
    gateway.put("/v1/users/ann/requests/bob", json!({"message": TEXTS[2]})).await;
    gateway.put("/v1/users/cat/friends/ann", Value::Null).await;
    gateway.patch("/v1/users/cat/friends/ann", json!({"alias": TEXTS[3], "custom": TEXTS[4]})).await;
    for text in TEXTS {
        assert!(!holding(&world, &[text]).is_empty(), "{text} was never there");
    }
    gateway.delete("/v1/users/ann").await;
    let begun = Instant::now();
    // The store is looked after every 10 s.
    loop {
        let left = holding(&world, &TEXTS);
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < 3 * PATIENCE, "{left:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The changes themselves are still there.
    let (_, text) = gateway.backend().await.send(Method::GET, "/v1/feed", String::new()).await.unwrap();
    assert!(text.contains("\"erased\":true") && text.contains("\"subject\":\"ann\""), "{text}");
    receiver.always(None);
    post(&gateway, "crm/resume", "").await;
    receiver
        .until("the deletion", |receiver| receiver.events().iter().any(|event| event["type"] == "user.deleted"))
        .await;
    let sent = serde_json::to_string(&receiver.events()).unwrap();
    assert!(TEXTS.iter().all(|text| !sent.contains(text)), "{sent}");
    assert_eq!(gateway.terminate().await, Some(0));
    assert_eq!(holding(&world, &TEXTS), [""; 0]);
}

#[tokio::test]
async fn no_level_of_the_log_has_personal_data_secrets_or_what_an_endpoint_answers() {
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    let fields = "fields = [\"nick\", \"email\", \"tel\", \"message\"]\nauthorization = \"Bearer of-the-receiver\"";
    let world = World::with(&(good.section("good", SECRETS[0], fields) + &bad.section("bad", SECRETS[1], fields)));
    let gateway = world.start_with(&["log.level=trace"]);
    let answer = "the-body-of-the-answer";
    let length = answer.len();
    bad.always(Some(Reaction::Raw(format!("HTTP/1.1 500 X\r\nContent-Length: {length}\r\n\r\n{answer}"))));
    gateway
        .put("/v1/users/ann", json!({"nick": "Annabel-the-nick", "email": "annabel@x.example", "tel": "+49-30-1234"}))
        .await;
    gateway.put("/v1/users/bob", json!({"nick": "Bob"})).await;
    gateway.put("/v1/users/ann/requests/bob", json!({"message": "Annabel-the-message"})).await;
    let (_, token) = gateway.call(Method::PUT, "/v1/users/ann/token", "").await;
    let token = token["token"].as_str().expect("a token").to_owned();
    good.until("the request", |good| good.events().iter().any(|event| event["type"] == "request.created")).await;
    assert!(serde_json::to_string(&good.events()).unwrap().contains("annabel@x.example"));
    until_status(&gateway, "bad", |status| status["lastFailure"]["text"] == answer).await;
    gateway.delete("/v1/users/ann").await;
    assert_eq!(gateway.terminate().await, Some(0));
    let log = world.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "nothing is logged at these levels: {log}");
    let short = |secret: &str| secret.trim_start_matches("whsec_").to_owned();
    for text in [
        "annabel@x.example",
        "+49-30-1234",
        "Annabel-the-nick",
        "Annabel-the-message",
        "of-the-receiver",
        answer,
        "key=1",
        API_KEY,
        &token,
        &short(SECRETS[0]),
        &short(SECRETS[1]),
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
        assert!(lines.is_empty(), "{text}: {lines:?}");
    }
}
