//! Several gateways on one PostgreSQL database: what a client is promised on one, it is promised on all of them together.

mod away;
mod deliveries;
mod ends;
mod measured;
mod moves;
#[cfg(feature = "nats")]
mod nats;
mod presence_feed;
mod rig;
mod rules;
mod versions;

use std::time::Duration;

use hyper::Method;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub use self::rig::SETTINGS;
use self::rig::{Cluster, until_sessions};
use crate::devices::log_in;
use crate::presence::{self, came};
use crate::status;
use crate::support::{API_KEY, Gateway, PATIENCE, Peer, to};

const JSON: Encoding = Encoding::Json;

/// Waits until a gateway lists so many that are ready.
async fn until_nodes(gateway: &Gateway, wanted: usize) {
    let listed = async {
        loop {
            let (_, body) = gateway.call(Method::GET, "/v1/nodes", "").await;
            let nodes = body["nodes"].as_array().unwrap();
            if nodes.len() == wanted {
                assert!(nodes.iter().all(|node| node["name"] == "somewhere" && node["phase"] == "ready"), "{body}");
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listed).await.expect("all of them in time");
}

/// Waits until a gateway lists so many sessions, wherever they are.
async fn until_listed(gateway: &Gateway, wanted: usize) {
    let listed = async {
        while gateway.call(Method::GET, "/v1/sessions", "").await.1["sessions"].as_array().map(Vec::len) != Some(wanted)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listed).await.expect("all of them in time");
}

/// What comes up to the next signal: the nicks of profiles before it, and what it says.
async fn heard(peer: &mut Peer) -> (Vec<String>, String) {
    let mut nicks = Vec::new();
    loop {
        let frame = peer.next().await;
        if let Some(signal) = frame.signal {
            return (nicks, signal.payload);
        }
        nicks.extend(frame.changes.into_iter().flat_map(|changes| changes.users).map(|user| user.nick));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn friends_on_two_gateways_see_each_other_as_on_one() {
    let Some(mut cluster) = Cluster::start(2, &["presence.linger=300ms"]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob", "cat"], &[("ann", "bob")]).await;
    for encoding in Encoding::ALL {
        let mut ann = one.login("ann", encoding).await;
        assert!(!ann.sees_online("bob"));
        let mut bob = other.login("bob", JSON).await;
        // Whoever comes second sees who is there, once this gateway has heard of it.
        bob.until(came("ann")).await;
        ann.until(came("bob")).await;
        let nick = format!("Bob {encoding:?}");
        let now = bob.nick(&nick).await;
        ann.until(|replica| replica.users()["bob"].nick == nick).await;
        assert_eq!(ann.replica.users()["bob"].version, now.version);
        // A status, on the other gateway and by the backend there, up to its end.
        bob.request(status::set("on the other", None)).await;
        ann.until(status::shows("bob", "on the other")).await;
        let (_, body) = one.call(Method::GET, "/v1/users/bob/presence", "").await;
        assert_eq!(body["status"], json!("on the other"));
        let fresh = one.login("ann", encoding).await;
        assert_eq!(fresh.replica.presence()["bob"], ann.replica.presence()["bob"]);
        drop(fresh);
        bob.request(status::set("for a moment", Some(presence::now() + 1500))).await;
        ann.until(status::shows("bob", "for a moment")).await;
        ann.until(status::shows("bob", "")).await;
        assert!(ann.sees_online("bob"));
        bob.request(status::set("until I go", None)).await;
        ann.until(status::shows("bob", "until I go")).await;
        // Hiding and showing, and what the store says of it to the backend, on the other gateway.
        bob.hide(true).await;
        ann.until(|replica| !replica.presence()["bob"].online).await;
        let fresh = one.login("ann", encoding).await;
        assert_eq!(fresh.replica.presence()["bob"], ann.replica.presence()["bob"]);
        drop(fresh);
        bob.hide(false).await;
        ann.until(came("bob")).await;
        let (_, body) = one.call(Method::GET, "/v1/users/bob/presence", "").await;
        assert_eq!((&body["online"], &body["invisible"]), (&json!(true), &json!(false)));
        drop(bob);
        ann.until(|replica| !replica.presence()["bob"].online).await;
        // Whoever looks on the other gateway sees the same, to the millisecond.
        let mut fresh = other.login("ann", encoding).await;
        fresh.until(|replica| !replica.presence()["bob"].online).await;
        assert_eq!(fresh.replica.presence()["bob"], ann.replica.presence()["bob"]);
        drop((fresh, ann));
        until_sessions(one, 0).await;
    }
    assert_metered(&cluster.gateways).await;
    assert_eq!(cluster.terminate().await, [Some(0), Some(0)]);
}

/// Two gateways that have changes of each other show how that went.
async fn assert_metered(gateways: &[Gateway]) {
    for gateway in gateways {
        assert_eq!(gateway.metric("rosterd_nodes").await, 2.0);
        for counted in ["feed_lag_seconds_count", "feed_read_rows_total", "store_lock_wait_seconds_count"] {
            assert!(gateway.metric(&format!("rosterd_{counted}")).await >= 1.0, "{counted}");
        }
        let held = gateway.metric("rosterd_store_lock_held_seconds_sum").await;
        assert!(held > 0.0 && held < PATIENCE.as_secs_f64(), "{held}");
        gateway.until_metric("rosterd_feed_lag_changes", "", |lag| lag == 0.0).await;
        assert_eq!(gateway.metric("rosterd_feed_holes_total").await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_on_one_gateway_looks_like_a_departure_on_the_other() {
    let Some(cluster) = Cluster::start(2, &["presence.linger=400ms"]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob", "cat"], &[("ann", "bob"), ("ann", "cat")]).await;
    let mut ann = one.login("ann", JSON).await;
    let (mut bob, mut cat) = (other.login("bob", JSON).await, other.login("cat", JSON).await);
    bob.until(came("ann")).await;
    cat.until(came("ann")).await;
    ann.request(to::block("bob")).await;
    bob.until(|replica| !replica.presence()["ann"].online).await;
    ann.nick("Anna").await;
    cat.until(|replica| replica.users()["ann"].nick == "Anna").await;
    assert!(cat.sees_online("ann"));
    assert_eq!(bob.replica.users()["ann"].nick, "ann");
    // Signals stop at once, and the answer is that of somebody who is not there.
    assert_eq!(bob.signal("ann", "are you there?").await, (0, 0));
    assert_eq!(cat.signal("ann", "it is me").await, (1, 0));
    assert_eq!(heard(&mut ann).await.1, "it is me");
    // The same on the gateway where the block was made, and later.
    let seen = bob.replica.presence()["ann"].clone();
    let mut here = one.login("bob", JSON).await;
    // Each gateway looks by itself, and at other moments, whether a grace is over.
    here.until(|replica| !replica.presence()["ann"].online).await;
    assert_eq!(here.replica.presence()["ann"], seen);
    assert_eq!(here.replica.users()["ann"].nick, "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_and_hints_reach_sessions_on_every_gateway_after_the_newest_profile() {
    let Some(cluster) = Cluster::start(3, &[]) else { return };
    let [one, other, third] = &cluster.gateways[..] else { panic!("three") };
    one.populate(&["ann", "bob", "cat"], &[("ann", "bob")]).await;
    let mut phones = [other.login("ann", JSON).await, third.login("ann", Encoding::Protobuf).await];
    let mut bob = one.login("bob", JSON).await;
    let mut cat = one.login("cat", JSON).await;
    until_listed(one, 4).await;
    for turn in 0..20 {
        let (nick, text) = (format!("Bob {turn}"), format!("signal {turn}"));
        bob.nick(&nick).await;
        assert_eq!(bob.signal("ann", &text).await, (2, 0));
        for phone in &mut phones {
            // A change from before the login may come once more.
            let (nicks, said) = heard(phone).await;
            assert_eq!((nicks.last(), said), (Some(&nick), text.clone()));
        }
    }
    // A stranger gets the same answer whoever is there; the signal comes with the stranger's profile.
    assert_eq!(cat.signal("ann", "hello").await, (0, 0));
    for phone in &mut phones {
        assert_eq!(heard(phone).await, (vec!["cat".to_owned()], "hello".to_owned()));
    }
    let body = json!({"to": "ann", "payload": "news"}).to_string();
    let (status, answer) = third.call(Method::POST, "/v1/users/bob/signals", body).await;
    assert_eq!((status, answer), (200, json!({"delivered": 2, "dropped": 0})));
    for phone in &mut phones {
        assert_eq!(heard(phone).await.1, "news");
    }
    // Who was asked, answered.
    assert!(one.metric("rosterd_bus_sent_total").await >= 40.0);
    assert_eq!(one.metric("rosterd_bus_unanswered_total").await, 0.0);
    cat.nick("Cathy").await;
    one.backend()
        .await
        .request(Method::POST, "/v1/users/ann/hints", json!({"accounts": ["cat"]}).to_string())
        .await
        .unwrap();
    for phone in &mut phones {
        phone.until(|replica| replica.users().get("cat").is_some_and(|cat| cat.nick == "Cathy")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_on_several_gateways_know_and_end_each_other() {
    let Some(cluster) = Cluster::start(2, &["cluster.node=somewhere"]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob"], &[]).await;
    let mut phone = log_in(one, "ann", "ios", JSON).await;
    let mut laptop = log_in(other, "ann", "web", JSON).await;
    let bob = log_in(other, "bob", "web", JSON).await;
    let both = [phone.reply.session.clone(), laptop.reply.session.clone()];
    // The clocks of the two may differ by more than was between these logins.
    let by_device = |sessions: &[v1::Session]| {
        let mut listed: Vec<_> = sessions.iter().map(|session| session.session.clone()).collect();
        listed.sort_by_key(|session| both.iter().position(|known| known == session));
        listed
    };
    for peer in [&mut phone, &mut laptop] {
        peer.until(|replica| replica.sessions().len() == 2).await;
        assert_eq!(by_device(peer.replica.sessions()), both);
        let asked = peer.request(ClientCommand::GetSessions(v1::GetSessions {})).await.get_sessions_reply.unwrap();
        assert_eq!(asked.sessions, peer.replica.sessions());
        let tags: Vec<_> = asked.sessions.iter().map(|session| session.device.as_ref().unwrap().tag.as_str()).collect();
        assert!(tags.contains(&"my web"), "{tags:?}");
    }
    for gateway in &cluster.gateways {
        until_listed(gateway, 3).await;
        let (_, body) = gateway.call(Method::GET, "/v1/users/ann/sessions", "").await;
        assert_eq!(body["sessions"].as_array().unwrap().len(), 2);
        // All sessions, page by page.
        let (_, all) = gateway.call(Method::GET, "/v1/sessions", "").await;
        let ids: Vec<_> =
            all["sessions"].as_array().unwrap().iter().map(|s| s["session"].as_str().unwrap().to_owned()).collect();
        assert!(ids.len() == 3 && ids.is_sorted() && all.get("unreached").is_none(), "{all}");
        let (_, first) = gateway.call(Method::GET, "/v1/sessions?limit=2", "").await;
        let (_, rest) = gateway.call(Method::GET, &format!("/v1/sessions?limit=2&after={}", ids[1]), "").await;
        assert_eq!((&first["next"], &rest["sessions"][0]["session"]), (&json!(ids[1]), &json!(ids[2])));
        let (status, found) = gateway.call(Method::GET, &format!("/v1/sessions/{}", both[1]), "").await;
        assert_eq!((status, &found["account"]), (200, &json!("ann")));
        until_nodes(gateway, 2).await;
    }
    // One device ends the other; the backend ends the rest, from the gateway where it is not.
    let kick = v1::Kick { sessions: vec![both[1].clone(), bob.reply.session.clone()] };
    let kicked = phone.request(ClientCommand::Kick(kick)).await.kick_reply.unwrap().kicked;
    assert_eq!(kicked, both[1..]);
    assert_eq!(laptop.ended().await, (3503, "KICKED".to_owned()));
    phone.until(|replica| replica.sessions().len() == 1).await;
    let (status, body) = other.call(Method::DELETE, "/v1/users/ann/sessions", "").await;
    assert_eq!((status, body), (200, json!({"kicked": [both[0]]})));
    assert_eq!(phone.ended().await, (3503, "KICKED".to_owned()));
    let mut bob = bob;
    bob.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_for_sessions_holds_over_all_gateways() {
    let Some(cluster) = Cluster::start(2, &["sessions.policy=one_per_device_type", "sessions.max=3"]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann"], &[]).await;
    let mut web = log_in(one, "ann", "web", JSON).await;
    let mut ios = log_in(one, "ann", "ios", JSON).await;
    // Which of two sessions is older is told by the clocks of two gateways, which differ by what a message takes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut newer = log_in(other, "ann", "web", JSON).await;
    assert_eq!(web.ended().await, (3503, "KICKED".to_owned()));
    let mut tablet = log_in(other, "ann", "tablet", JSON).await;
    for peer in [&mut ios, &mut newer, &mut tablet] {
        peer.until(|replica| replica.sessions().len() == 3).await;
    }
    // One more than there may be: the oldest ends, which is on the other gateway.
    let mut desktop = log_in(other, "ann", "desktop", JSON).await;
    let (code, reason) = ios.ended().await;
    assert_eq!((code, reason.as_str()), (3504, "SESSION_LIMIT"));
    for peer in [&mut newer, &mut tablet, &mut desktop] {
        peer.until(|replica| replica.sessions().len() == 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_and_a_deletion_end_sessions_on_every_gateway() {
    let Some(cluster) = Cluster::start(2, &[]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut ann = other.login("ann", JSON).await;
    let mut bob = one.login("bob", JSON).await;
    one.delete("/v1/users/ann").await;
    assert_eq!(ann.ended().await.1, "ACCOUNT_DISABLED");
    bob.until(|replica| replica.friends().is_empty()).await;
    assert_eq!(other.call(Method::GET, "/v1/users/ann", "").await.0, 404);
    bob.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_do_not_go_together_refuse_to_start() {
    let Some(mut cluster) = Cluster::start(1, &[]) else { return };
    cluster.gateways[0].populate(&["ann"], &[]).await;
    let said = cluster.refused(&["cluster.enabled=false"]);
    assert!(said.contains("another gateway uses it") && said.contains("cluster.enabled"), "{said}");
    for (setting, told) in [
        ("presence.linger=3s", "presence.linger=3000ms"),
        ("sessions.max=3", "sessions.max=3"),
        ("profile.visibility.tel=self", "profile.visibility"),
    ] {
        let said = cluster.refused(&[setting]);
        assert!(said.contains(told) && said.contains("give all of them the same"), "{said}");
    }
    let said = cluster.refused(&["feed.presence=true"]);
    assert!(said.contains("feed.presence"), "{said}");
    let epoch = ["epoch", "new", "--set", &cluster.store()];
    let said = cluster.world(0).run_badly(&epoch);
    assert!(said.contains("stop all of them first") && !said.contains("secret"), "{said}");
    let ann = cluster.gateways[0].login("ann", JSON).await.replica;
    assert_eq!(cluster.terminate().await, [Some(0)]);
    // An operator says that this is not the database that clients know.
    assert!(cluster.world(0).run_well(&epoch).contains("sync in full"));
    cluster.restart(0);
    let back = cluster.gateways[0].resume("ann", JSON, ann).await;
    assert_eq!(back.reply.sync, v1::SyncMode::Full as i32);
    assert_eq!(cluster.terminate().await, [Some(0)]);
    // Alone again.
    let alone = cluster.world(0).start_with(&[&cluster.store(), "cluster.enabled=false"]);
    let said = cluster.refused(&[]);
    assert!(said.contains("another gateway uses it"), "{said}");
    assert_eq!(alone.terminate().await, Some(0));
}

/// A call of the server API with one header more; the status, the stamp if there is one, and the body.
async fn call_with(gateway: &Gateway, request: &str, header: &str, body: &str) -> (u16, Option<u64>, String) {
    let mut stream = TcpStream::connect(gateway.ops).await.unwrap();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\n\
         {header}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        gateway.ops,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let stamp = head.lines().find_map(|line| line.strip_prefix("rosterd-stamp: "));
    (status, stamp.map(|stamp| stamp.parse().unwrap()), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_names_what_it_has_seen_reads_nothing_older_on_any_gateway() {
    let Some(cluster) = Cluster::start(2, &[]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    // Somebody is interested, so the other gateway answers from memory.
    let bob = other.login("bob", JSON).await;
    let mut last = 0;
    for turn in 0..50 {
        let body = json!({"nick": format!("Ann {turn}")}).to_string();
        let (status, stamp, _) = call_with(one, "PATCH /v1/users/ann", "", &body).await;
        let stamp = stamp.unwrap();
        assert!(status == 200 && stamp > last, "{status} {stamp} after {last}");
        last = stamp;
        let (status, none, body) =
            call_with(other, "GET /v1/users/ann", &format!("Rosterd-After: {stamp}\r\n"), "").await;
        assert_eq!((status, none), (200, None));
        assert!(body.contains(&format!("\"Ann {turn}\"")), "{body}");
    }
    // A stamp that is not there yet, and what is none.
    let (status, _, body) =
        call_with(other, "GET /v1/users/ann", &format!("Rosterd-After: {}\r\n", last + 1000), "").await;
    assert_eq!((status, crate::support::reason(&body)), (503, "UNAVAILABLE".to_owned()));
    let (status, _, body) = call_with(other, "GET /v1/users/ann", "Rosterd-After: soon\r\n", "").await;
    assert!(status == 400 && body.contains("Rosterd-After"), "{status} {body}");
    // What is refused has no stamp, and nothing was changed by a write that did not get so far.
    let header = format!("Rosterd-After: {}\r\n", last + 1000);
    let (status, stamp, _) = call_with(one, "PATCH /v1/users/ann", &header, r#"{"nick": "never"}"#).await;
    assert_eq!((status, stamp), (503, None));
    assert_eq!(one.user("ann").await["nick"], "Ann 49");
    drop(bob);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_somebody_did_not_see_a_change_is_explained_over_all_gateways() {
    let Some(cluster) = Cluster::start(2, &[]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob", "cat"], &[("ann", "bob")]).await;
    let explain = async |field: &str| {
        let (status, body) = one.call(Method::GET, &format!("/v1/accounts/ann/explain?viewer=bob{field}"), "").await;
        assert_eq!(status, 200, "{body}");
        body
    };
    assert_eq!(explain("&field=nick").await["reasons"], json!(["OFFLINE"]));
    let (bob, here) = (other.login("bob", JSON).await, one.login("bob", JSON).await);
    let told = async {
        while explain("&field=nick").await["sessions"].as_array().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, told).await.expect("both sessions");
    drop(here);
    until_sessions(one, 0).await;
    let found = explain("&field=nick").await;
    let session = &found["sessions"][0];
    assert_eq!((session["account"].as_str(), &session["asFriend"]), (Some("bob"), &json!(true)), "{found}");
    assert_eq!(found["reasons"], json!([]), "{found}");
    // A gateway that does not answer is named, and nothing is said about what is there.
    let signal = |name: &str| {
        let pid = other.pid().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let found = explain("&field=nick").await;
    signal("-CONT");
    assert_eq!(
        (&found["reasons"], found["unreached"].as_array().unwrap().len()),
        (&json!(["UNREACHED"]), 1),
        "{found}"
    );
    drop(bob);
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_writes_comes_to_the_clients_of_the_other_over_nats() {
    let Some(nats) = crate::nats_server::NatsServer::start() else { return };
    let Some(mut cluster) = Cluster::start(2, &[&format!("cluster.nats={}", nats.url()), "cluster.poll=10s"]) else {
        return;
    };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    for (at, gateway) in cluster.gateways.iter().enumerate() {
        gateway.until_metric("rosterd_nats_connected", "", |connected| connected == 1.0).await;
        // It is said once the connection has lasted.
        let world = cluster.world(at);
        world.until_logged("over NATS").await;
        assert!(!world.log().contains("secret"), "{}", world.log());
    }
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let (mut ann, mut bob) = (one.login("ann", JSON).await, other.login("bob", JSON).await);
    let carried = one.metric("rosterd_nats_batches_total").await;
    for turn in 1..=5 {
        let nick = format!("Bob {turn}");
        bob.nick(&nick).await;
        ann.until(|replica| replica.users()["bob"].nick == nick).await;
    }
    // One may have been read in the moment in which it came.
    assert!(one.metric("rosterd_nats_batches_total").await >= carried + 4.0);
    drop((ann, bob));
    let refused = cluster.refused(&["cluster.nats=nats://rosterd:hunter2@"]);
    assert!(
        refused.contains("cannot be read as the URL of a NATS server") && !refused.contains("hunter2"),
        "{refused}"
    );
    assert_eq!(cluster.terminate().await, [Some(0), Some(0)]);
}
