//! Presence for backends: the feed and webhooks say who comes and goes, as a state and not as a history.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use rosterd_client::Backend;
use rosterd_protocol::Encoding;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::devices::log_in;
use crate::feed::{Stream, backend, events, get, put, types};
use crate::support::{Gateway, PATIENCE, World};
use crate::webhooks::{Receiver, SECRETS, until_status};

const JSON: Encoding = Encoding::Json;

fn world(settings: &str) -> World {
    World::with(&format!("[feed]\npresence = true\n[presence]\nlinger = \"200ms\"\n{settings}"))
}

/// What a follower knows: who is online, out of the newest event of each account.
fn know(known: &mut BTreeMap<String, (bool, u64)>, events: &[Value]) {
    for event in events.iter().filter(|event| event["type"] == "presence.changed") {
        let (account, data) = (event["subject"].as_str().unwrap(), &event["data"]);
        assert_eq!(data["account"], account);
        known.insert(account.to_owned(), (data["online"].as_bool().unwrap(), data["seen"].as_u64().unwrap()));
    }
}

/// Follows the feed until an account is online or not, and returns the position then.
pub async fn until_known(reader: &mut Backend, from: &str, account: &str, online: bool) -> String {
    let (mut position, mut known, begun) = (from.to_owned(), BTreeMap::new(), Instant::now());
    while known.get(account).is_none_or(|(is_online, _)| *is_online != online) {
        assert!(begun.elapsed() < PATIENCE, "{account} is not {online}: {known:?}");
        let (found, next) = events(reader, &format!("after={position}&types=presence.*&wait=1")).await;
        know(&mut known, &found);
        position = next;
    }
    position
}

async fn snapshot_position(reader: &mut Backend) -> String {
    let (status, lines) = get(reader, "/v1/snapshot").await;
    assert_eq!(status, 200);
    lines[0]["snapshot"]["position"].as_str().unwrap().to_owned()
}

async fn hide(gateway: &Gateway, account: &str, hides: bool) {
    gateway.put(&format!("/v1/users/{account}/presence"), json!({"invisible": hides})).await;
}

#[tokio::test]
async fn a_reader_learns_who_comes_goes_and_hides() {
    let world = world("");
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "eve"], &[("ann", "bob")]).await;
    let mut reader = backend(&gateway).await;
    let (all, begin) = events(&mut reader, "").await;
    assert!(all.iter().all(|event| event["type"] != "presence.changed") && begin.ends_with("-0"), "{begin}");

    // One that waits is woken.
    let query = format!("after={begin}&wait=60&types=presence.*");
    let mut waiting = backend(&gateway).await;
    let waiting = tokio::spawn(async move { events(&mut waiting, &query).await });
    let bob = gateway.login("bob", JSON).await;
    let (came, position) = timeout(PATIENCE, waiting).await.expect("an event in time").unwrap();
    let history = begin.split('-').next().unwrap();
    assert_eq!(came.len(), 1, "{came:?}");
    assert_eq!(
        came[0],
        json!({
            "specversion": "1.0", "id": format!("{history}-p1"), "source": format!("/rosterd/{history}"),
            "type": "presence.changed", "time": came[0]["time"], "subject": "bob",
            "data": {"account": "bob", "online": true, "lastSeen": came[0]["data"]["lastSeen"], "seen": 1},
        })
    );
    assert!(came[0]["data"]["lastSeen"].as_u64() > Some(1_700_000_000_000));
    assert!(position.ends_with("-1"), "{position}");
    assert_eq!(events(&mut reader, &format!("after={position}")).await, (Vec::new(), position.clone()));

    // Hiding looks like leaving, and that it is one is only for those who ask.
    hide(&gateway, "bob", true).await;
    let position = until_known(&mut reader, &position, "bob", false).await;
    let ask = |fields: &str| format!("after={begin}&types=presence.*{fields}");
    let (plain, _) = events(&mut reader, &ask("")).await;
    let (private, _) = events(&mut reader, &ask("&fields=nick,invisible")).await;
    assert_eq!((plain.len(), plain[0]["data"].get("invisible")), (1, None));
    assert_eq!((private.len(), &private[0]["data"]["invisible"]), (1, &json!(true)));
    assert_eq!(plain[0]["id"], private[0]["id"]);
    hide(&gateway, "bob", false).await;
    let position = until_known(&mut reader, &position, "bob", true).await;
    // A status is in it for those who ask.
    gateway.put("/v1/users/bob/presence", json!({"status": "lunch"})).await;
    let (found, _) = events(&mut reader, &format!("after={position}&types=presence.*&wait=10&fields=status")).await;
    assert_eq!((found.len(), &found[0]["data"]["status"]), (1, &json!("lunch")), "{found:?}");
    let (plain, position) = events(&mut reader, &format!("after={position}&types=presence.*")).await;
    assert_eq!((plain.len(), plain[0]["data"].get("status")), (1, None));
    drop(bob);
    let position = until_known(&mut reader, &position, "bob", false).await;
    // Other accounts and types are moved over.
    for query in ["account=eve", "types=user.*"] {
        assert_eq!(
            events(&mut reader, &format!("after={begin}&{query}")).await,
            (Vec::new(), position.clone()),
            "{query}"
        );
    }
    let (_, now) = events(&mut reader, "after=now").await;
    assert_eq!(now, position);
    let ahead = format!("{}-99999", position.rsplit_once('-').unwrap().0);
    let (status, body) = get(&mut reader, &format!("/v1/feed?after={ahead}")).await;
    assert_eq!((status, &body[0]["error"]["reason"]), (410, &json!("CURSOR_FROM_FUTURE")));
    assert_eq!(gateway.terminate().await, Some(0));
}

/// Follows the feed until an account is on these kinds of devices; returns the position then.
pub async fn until_devices(reader: &mut Backend, from: &str, account: &str, kinds: &[&str]) -> String {
    let (mut position, mut last, begun) = (from.to_owned(), Value::Null, Instant::now());
    loop {
        assert!(begun.elapsed() < PATIENCE, "{account} is not on {kinds:?}: {last}");
        let (found, next) = events(reader, &format!("after={position}&types=presence.*&wait=1&fields=devices")).await;
        position = next;
        if let Some(event) = found.into_iter().rfind(|event| event["subject"] == account) {
            let is_shown = event["data"].get("devices").map_or(kinds.is_empty(), |shown| *shown == json!(kinds));
            last = event;
            if is_shown {
                return position;
            }
        }
    }
}

#[tokio::test]
async fn the_kinds_of_devices_that_friends_see_are_for_those_who_ask() {
    let world = world("devices = true\n");
    let gateway = world.start();
    gateway.populate(&["bob"], &[]).await;
    let mut reader = backend(&gateway).await;
    let (_, begin) = events(&mut reader, "after=now").await;
    let phone = log_in(&gateway, "bob", "ios", JSON).await;
    let position = until_devices(&mut reader, &begin, "bob", &["ios"]).await;
    let laptop = log_in(&gateway, "bob", "web", JSON).await;
    let position = until_devices(&mut reader, &position, "bob", &["ios", "web"]).await;
    let (plain, _) = events(&mut reader, &format!("after={begin}&types=presence.*&fields=nick,status")).await;
    assert_eq!((plain.len(), plain[0]["data"].get("devices")), (1, None), "{plain:?}");
    drop(phone);
    let position = until_devices(&mut reader, &position, "bob", &["web"]).await;
    // One more of the same kind is no news.
    let tab = log_in(&gateway, "bob", "web", JSON).await;
    drop(laptop);
    hide(&gateway, "bob", true).await;
    let position = until_known(&mut reader, &position, "bob", false).await;
    let (found, _) = events(&mut reader, &format!("after={begin}&types=presence.*&fields=devices")).await;
    assert_eq!((found.len(), found[0]["data"].get("devices")), (1, None), "{found:?}");
    hide(&gateway, "bob", false).await;
    let position = until_devices(&mut reader, &position, "bob", &["web"]).await;
    // What was stored before a restart does not stay: bob is back in time, on no kind of device.
    drop(tab);
    gateway.kill();
    let gateway = world.start_with(&["presence.linger=20s"]);
    let mut reader = backend(&gateway).await;
    let _bob = gateway.login("bob", JSON).await;
    until_devices(&mut reader, &position, "bob", &[]).await;
}

#[tokio::test]
async fn one_who_came_and_went_ten_times_is_one_event_with_the_newest_state() {
    let world = world("");
    let gateway = world.start_with(&["presence.linger=0s"]);
    gateway.populate(&["bob", "cat"], &[]).await;
    let (mut reader, mut away) = (backend(&gateway).await, backend(&gateway).await);
    let (_, begin) = events(&mut reader, "after=now").await;
    let mut position = begin.clone();
    for _ in 0..10 {
        let bob = gateway.login("bob", JSON).await;
        position = until_known(&mut reader, &position, "bob", true).await;
        drop(bob);
        position = until_known(&mut reader, &position, "bob", false).await;
    }
    let _cat = gateway.login("cat", JSON).await;
    until_known(&mut reader, &position, "cat", true).await;
    let (found, _) = events(&mut away, &format!("after={begin}")).await;
    let states: Vec<_> = found.iter().map(|event| (event["subject"].as_str().unwrap(), &event["data"])).collect();
    assert_eq!(states.len(), 2, "{states:?}");
    assert_eq!((states[0].0, &states[0].1["online"], &states[0].1["seen"]), ("bob", &json!(false), &json!(20)));
    assert_eq!((states[1].0, &states[1].1["online"], &states[1].1["seen"]), ("cat", &json!(true), &json!(21)));
    // One at a time it is the same.
    let (mut pieces, mut at) = (Vec::new(), begin);
    loop {
        let (some, next) = events(&mut away, &format!("after={at}&limit=1")).await;
        if some.is_empty() {
            break;
        }
        assert_eq!(some.len(), 1);
        pieces.extend(some);
        at = next;
    }
    assert_eq!(pieces, found);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn whoever_begins_with_a_snapshot_learns_who_is_online() {
    let world = world("");
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cat"], &[]).await;
    let mut reader = backend(&gateway).await;
    let (_, begin) = events(&mut reader, "after=now").await;
    let bob = gateway.login("bob", JSON).await;
    let cat = gateway.login("cat", JSON).await;
    let position = until_known(&mut reader, &begin, "cat", true).await;
    drop(cat);
    until_known(&mut reader, &position, "cat", false).await;
    let position = snapshot_position(&mut reader).await;
    assert!(position.ends_with("-0"), "{position}");
    let (found, _) = events(&mut reader, &format!("after={position}")).await;
    let mut known = BTreeMap::new();
    know(&mut known, &found);
    let states: Vec<_> = known.iter().map(|(account, (online, _))| (account.as_str(), *online)).collect();
    assert_eq!(states, [("bob", true), ("cat", false)]);
    assert_eq!(found.len(), 2, "no record comes twice: {found:?}");
    drop(bob);
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn presence_is_of_accounts_that_the_reader_knows_and_not_of_deleted_ones() {
    let world = world("");
    let gateway = world.start_with(&["presence.linger=0s"]);
    let mut reader = backend(&gateway).await;
    let (_, mut position) = events(&mut reader, "after=now").await;
    let names: Vec<_> = (0..12).map(|n| format!("u{n}")).collect();
    let living = async {
        for turn in 0..4 {
            for name in &names {
                if turn % 2 == 0 {
                    gateway.put(&format!("/v1/users/{name}"), json!({"nick": "x"})).await;
                }
                let session = gateway.login(name, JSON).await;
                if turn % 2 == 1 {
                    gateway.delete(&format!("/v1/users/{name}")).await;
                }
                drop(session);
            }
        }
        put(&mut backend(&gateway).await, "/v1/users/last", json!({"nick": "last"})).await;
    };
    let following = async {
        let (mut known, mut presence, mut made) = (BTreeSet::new(), 0, 0);
        loop {
            let (found, next) = events(&mut reader, &format!("after={position}&limit=3&wait=5")).await;
            position = next;
            for event in found {
                let subject = event["subject"].as_str().unwrap().to_owned();
                match event["type"].as_str().unwrap() {
                    "user.created" if subject == "last" => return (presence, made),
                    "user.created" => {
                        made += 1;
                        known.insert(subject);
                    }
                    "user.deleted" => assert!(known.remove(&subject), "{subject}"),
                    "presence.changed" => {
                        presence += 1;
                        assert!(known.contains(&subject), "{event} is of nobody");
                    }
                    _ => {}
                }
            }
        }
    };
    let ((), (presence, made)) = tokio::join!(living, following);
    assert_eq!(made, 24);
    assert!(presence > 0, "no presence came");
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn server_sent_events_carry_presence_and_go_on_after_it() {
    let world = world("");
    let gateway = world.start();
    gateway.populate(&["bob", "cat"], &[]).await;
    let mut reader = backend(&gateway).await;
    let (_, begin) = events(&mut reader, "after=now").await;
    let (path, accept) = (format!("/v1/feed?after={begin}"), "Accept: text/event-stream\r\n");
    let mut first = Stream::open(&gateway, &path, accept).await;
    first.until("event: position").await;
    let _bob = gateway.login("bob", JSON).await;
    let text = first.until("event: presence.changed").await;
    let before = &text[..text.find("event: presence.changed").unwrap()];
    let id = before.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    assert!(id.ends_with("-1"), "{id}");
    drop(first);
    let _cat = gateway.login("cat", JSON).await;
    let mut again = Stream::open(&gateway, &path, &format!("{accept}Last-Event-ID: {id}\r\n")).await;
    let text = again.until("\"account\":\"cat\"").await;
    assert!(!text.contains("\"account\":\"bob\""), "{text}");
}

#[tokio::test]
async fn without_the_setting_there_is_none_and_whoever_asks_for_nothing_else_is_told() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=0s"]);
    gateway.populate(&["bob"], &[]).await;
    let mut reader = backend(&gateway).await;
    drop(gateway.login("bob", JSON).await);
    gateway.put("/v1/users/bob", json!({"nick": "Bobby"})).await;
    let (found, position) = events(&mut reader, "").await;
    assert_eq!(types(&found), ["user.created", "user.updated"]);
    assert!(position.ends_with("-0"), "{position}");
    let (status, body) = get(&mut reader, "/v1/feed?types=presence.*").await;
    assert_eq!(status, 403);
    assert!(body[0]["error"]["message"].as_str().unwrap().contains("feed.presence is false"), "{body:?}");
    // A position of the time when it was on is good.
    let later = format!("{}-77", position.rsplit_once('-').unwrap().0);
    assert_eq!(events(&mut reader, &format!("after={later}")).await, (Vec::new(), later.clone()));
    assert_eq!(gateway.terminate().await, Some(0));
}

/// The accounts that an endpoint believes to be online.
fn online(receiver: &Receiver) -> BTreeSet<String> {
    let mut known = BTreeMap::new();
    know(&mut known, &receiver.events());
    known.into_iter().filter(|(_, (online, _))| *online).map(|(account, _)| account).collect()
}

#[tokio::test]
async fn an_endpoint_converges_to_who_is_online_over_failures_stops_and_kills() {
    let receiver = Receiver::start().await;
    let section = receiver.section("crm", SECRETS[0], "events = [\"user.*\", \"presence.*\"]\nfrom = \"start\"");
    let world = world(&section);
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cat", "dan"], &[]).await;
    let ann = gateway.login("ann", JSON).await;
    let bob = gateway.login("bob", JSON).await;
    let both = BTreeSet::from(["ann".to_owned(), "bob".to_owned()]);
    receiver.until("both online", |receiver| online(receiver) == both).await;
    // It fails meanwhile, and one comes and goes.
    receiver.always(Some(crate::webhooks::Reaction::Status(503)));
    drop(gateway.login("cat", JSON).await);
    let status = until_status(&gateway, "crm", |status| status["lastFailure"]["status"] == 503).await;
    assert!(status["position"].as_str().unwrap().split('-').nth(2) >= Some("2"), "{status}");
    // Killed: bob does not come back, and dan comes for the first time.
    gateway.kill();
    drop((ann, bob));
    let gateway = world.start();
    let _ann = gateway.login("ann", JSON).await;
    let _dan = gateway.login("dan", JSON).await;
    receiver.always(None);
    let truth = BTreeSet::from(["ann".to_owned(), "dan".to_owned()]);
    receiver.until("the true state", |receiver| online(receiver) == truth).await;
    // A stop is no departure, and what came meanwhile is delivered after it.
    assert_eq!(gateway.terminate().await, Some(0));
    let gateway = world.start();
    let _dan = gateway.login("dan", JSON).await;
    let truth = BTreeSet::from(["dan".to_owned()]);
    receiver.until("ann is gone", |receiver| online(receiver) == truth).await;
    // In order of their numbers, but for what came again.
    let numbers = |event: &Value| event["data"]["seen"].as_u64();
    let mut first = BTreeSet::new();
    let arrivals: Vec<_> =
        receiver.events().iter().filter_map(numbers).filter(|number| first.insert(*number)).collect();
    assert!(arrivals.is_sorted(), "{arrivals:?}");
    let request =
        receiver.received().into_iter().rev().find(|request| request.events()[0]["type"] == "presence.changed");
    let request = request.expect("a request that begins with presence");
    let id = request.events()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(request.header("webhook-id"), format!("{id}_{}", request.events().len()));
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn presence_that_an_endpoint_refuses_is_a_dead_letter_until_there_is_newer() {
    let receiver = Receiver::start().await;
    receiver.always(Some(crate::webhooks::Reaction::Refuse(422, "\"subject\":\"bob\"".to_owned())));
    let world = world(&receiver.section("crm", SECRETS[0], "events = [\"presence.*\"]"));
    let gateway = world.start();
    gateway.populate(&["bob", "cat"], &[]).await;
    until_status(&gateway, "crm", |status| status["state"] == "running").await;
    let bob = gateway.login("bob", JSON).await;
    // Half a minute passes before it is skipped.
    receiver.until_within(4 * PATIENCE, "three refusals", |receiver| receiver.received().len() >= 3).await;
    let status = until_status(&gateway, "crm", |status| status["dead"] == 1).await;
    assert_eq!(status["state"], "running");
    let (_, page) = gateway.call(Method::GET, "/v1/webhooks/crm/dead", "").await;
    let id = page["dead"][0]["event"].as_str().unwrap().to_owned();
    assert!(id.ends_with("-p1"), "{id}");
    receiver.always(None);
    let post = |path: &'static str, body: &'static str| gateway.call(Method::POST, path, body);
    assert_eq!(post("/v1/webhooks/crm/replay", "{\"dead\": true}").await.0, 200);
    receiver.until("it comes once more", |receiver| online(receiver).contains("bob")).await;
    assert_eq!(receiver.events().last().unwrap()["id"], id.as_str());
    until_status(&gateway, "crm", |status| status["dead"] == 0).await;
    let (status, _) = gateway.call(Method::DELETE, &format!("/v1/webhooks/crm/dead/{id}"), "").await;
    assert_eq!(status, 200, "it is gone already");
    drop(bob);
    receiver.until("bob is gone", |receiver| online(receiver).is_empty()).await;
    assert_eq!(gateway.terminate().await, Some(0));
}
