//! A stop: every client gets a goodbye, and nobody can hold the gateway up.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hyper::Method;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::{Frame, Raw, TEXT, payload, upgrade};
use crate::support::{PATIENCE, World};

/// Less than the default of `shutdown.deadline`, and than anything else a stop could wait for.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn every_client_is_asked_to_come_back_later_and_the_process_ends_well() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let mut clients = Vec::new();
    for encoding in Encoding::ALL {
        for account in ["alice", "bob"] {
            clients.push(Raw::login(&gateway, account, encoding).await);
        }
        // Not logged in yet.
        clients.push(Raw::open(&gateway, encoding).await);
    }
    let begun = Instant::now();
    gateway.signal();
    let mut delays = Vec::new();
    for mut client in clients {
        let ending = client.ending().await;
        ending.assert(3000, "SHUTDOWN", "a stop");
        delays.push(ending.goodbye.unwrap().retry_after_ms.unwrap());
    }
    // After the two seconds of `shutdown.away`, and each in a slot of its own.
    assert!(delays.iter().all(|delay| (1000..5000).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay != delays[0]), "all come back at once: {delays:?}");
    assert_eq!(gateway.exit().await, Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(world.log().contains("stopping") && !world.log().contains("deadline"), "{}", world.log());
}

#[tokio::test]
async fn what_was_acknowledged_before_a_stop_is_there_afterwards() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let updated = alice.nick("Ally").await;
    assert_eq!(gateway.terminate().await, Some(0));
    let gateway = world.start();
    let back = gateway.resume("alice", Encoding::Protobuf, alice.replica).await;
    assert_eq!((back.reply.sync, back.replica.me()), (v1::SyncMode::Current as i32, Some(&updated)));
}

#[tokio::test]
async fn a_client_that_does_not_close_is_left_and_meanwhile_probes_see_the_drain() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut stubborn = Raw::login(&gateway, "alice", Encoding::Json).await;
    let mut backend = gateway.backend().await;
    let begun = Instant::now();
    gateway.signal();
    // It hears the goodbye, and keeps its side of the connection open.
    assert_eq!(stubborn.server().await.goodbye.unwrap().code, 3000);
    let (status, phase) = backend.send(Method::GET, "/readyz", String::new()).await.unwrap();
    assert_eq!((status, phase.as_str()), (503, "draining\n"));
    while TcpStream::connect(gateway.clients).await.is_ok() {
        assert!(begun.elapsed() < SOON, "new clients are still accepted");
    }
    assert_eq!(gateway.exit().await, Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    drop(stubborn);
}

#[tokio::test]
async fn the_deadline_ends_what_takes_too_long() {
    let world = World::new();
    let gateway = world.start_with(&["shutdown.deadline=200ms"]);
    gateway.populate(&["alice"], &[]).await;
    let stubborn = Raw::login(&gateway, "alice", Encoding::Json).await;
    assert_eq!(gateway.terminate().await, Some(1));
    assert!(world.log().contains("1 connections did not close before shutdown.deadline"), "{}", world.log());
    drop(stubborn);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_with_a_failure() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut stubborn = Raw::login(&gateway, "alice", Encoding::Json).await;
    gateway.signal();
    assert!(stubborn.server().await.goodbye.is_some());
    gateway.signal();
    assert_eq!(gateway.exit().await, Some(1));
    assert!(world.log().contains("stopped at once by a second signal"), "{}", world.log());
}

#[tokio::test]
async fn connections_that_are_no_sessions_do_not_hold_it_up() {
    let world = World::new();
    let gateway = world.start();
    let silent = TcpStream::connect(gateway.clients).await.unwrap();
    // Half a request, and one that was answered and keeps the connection.
    let half = TcpStream::connect(gateway.clients).await.unwrap();
    half.try_write(b"GET /v1/ws HTTP/1.1\r\nHost: ").unwrap();
    let (kept, head) = Raw::request(gateway.clients, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let begun = Instant::now();
    assert_eq!(gateway.terminate().await, Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    drop((silent, half, kept));
}

/// Some of many logins are always under way when the signal comes.
#[tokio::test]
async fn a_client_that_is_just_logging_in_gets_a_goodbye_as_well() {
    let world = World::new();
    let gateway = world.start_with(&["sessions.max=200"]);
    gateway.populate(&["alice"], &[]).await;
    let login = ClientCommand::Login(v1::Login { token: "alice".to_owned(), ..Default::default() });
    let login = Frame::new(TEXT, payload(Encoding::Json, login, 1)).bytes();
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(Raw::request(gateway.clients, &upgrade("")).await.0);
    }
    let begun = Instant::now();
    for (at, raw) in streams.iter_mut().enumerate() {
        if at == 20 {
            gateway.signal();
        }
        raw.write(&login).await;
    }
    let endings = join_all(streams.iter_mut().map(Raw::ending)).await;
    for ending in endings {
        ending.assert(3000, "SHUTDOWN", "a login during a stop");
    }
    assert_eq!(gateway.exit().await, Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_lame_duck_says_that_it_stops_and_serves_as_before() {
    let world = World::new();
    let gateway = world.start_with(&["shutdown.lame_duck=10m"]);
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    gateway.signal();
    let mut backend = gateway.backend().await;
    while backend.send(Method::GET, "/readyz", String::new()).await.unwrap() != (503, "draining\n".to_owned()) {}
    assert_eq!(gateway.metric("rosterd_draining").await, 1.0);
    assert_eq!(backend.send(Method::GET, "/livez", String::new()).await.unwrap().0, 200);
    // Who was there stays, and who comes is taken in: a balancer may not have heard yet.
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let updated = bob.nick("Bobby").await;
    assert_eq!(alice.changes().await.users, [updated]);
    gateway.signal();
    assert_eq!(gateway.exit().await, Some(1));
}

#[tokio::test]
async fn after_the_lame_duck_sessions_are_closed() {
    let world = World::new();
    let gateway = world.start_with(&["shutdown.lame_duck=100ms", "shutdown.away=0s"]);
    gateway.populate(&["alice"], &[]).await;
    let mut alice = Raw::login(&gateway, "alice", Encoding::Json).await;
    gateway.signal();
    let ending = alice.ending().await;
    ending.assert(3000, "SHUTDOWN", "the end of the lame duck");
    // Others are there all the time, so it need not wait for this one.
    assert!(ending.goodbye.unwrap().retry_after_ms.unwrap() < 1000);
    assert_eq!(gateway.exit().await, Some(0));
    assert!(world.log().contains("lame duck") && world.log().contains("closing sessions"), "{}", world.log());
}

/// Every client comes back to a gateway that has nothing new for it, and friends saw nobody leave.
#[tokio::test]
async fn pending_updates_go_before_the_goodbye() {
    const FRIENDS: usize = 20;
    let world = World::new();
    let gateway = world.start();
    let names: Vec<_> = (0..FRIENDS).map(|n| format!("f{n:02}")).collect();
    let users: Vec<_> = names.iter().map(String::as_str).chain(["slow"]).collect();
    let pairs: Vec<_> = names.iter().map(|name| ("slow", name.as_str())).collect();
    gateway.populate(&users, &pairs).await;
    let (mut slow, mut replica) = gateway.login_with_small_buffer("slow").await;
    // It reads nothing until something waits for it that does not fit the system's buffers.
    let mut backend = gateway.backend().await;
    let (mut round, mut pending) = (0, 0);
    while pending < FRIENDS as u64 {
        let user = |account: &String| json!({"account": account, "custom": format!("{round:>1000}")});
        let body = json!({"users": names.iter().map(user).collect::<Vec<_>>()}).to_string();
        backend.request(Method::POST, "/v1/users:batchUpdate", body).await.unwrap();
        let there = backend.request(Method::GET, "/v1/sessions", String::new()).await.unwrap();
        pending = there["sessions"][0]["pending"].as_u64().unwrap();
        round += 1;
    }
    gateway.signal();
    let goodbye = loop {
        let frame = timeout(PATIENCE, slow.next()).await.expect("a frame in time").unwrap();
        if let Some(goodbye) = frame.goodbye {
            break goodbye;
        }
        replica.apply(&frame).unwrap();
    };
    assert_eq!(goodbye.code, 3000);
    let newest = format!("{:>1000}", round - 1);
    assert!(names.iter().all(|name| replica.users()[name].custom == newest), "something was not delivered");
    assert_eq!(gateway.exit().await, Some(0));
    let gateway = world.start();
    let back = gateway.resume("slow", Encoding::Json, replica).await;
    assert_eq!(back.reply.sync, v1::SyncMode::Current as i32);
}

/// Closing is no leaving: whoever comes back in time to the next process was online all along.
#[tokio::test]
async fn nobody_is_seen_to_leave_while_sessions_are_closed() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=500ms", "shutdown.rate=1", "shutdown.deadline=30s"]);
    let names = ["alice", "bob", "carol"];
    gateway.populate(&names, &[("alice", "bob"), ("bob", "carol"), ("carol", "alice")]).await;
    let mut peers = Vec::new();
    for name in names {
        peers.push(gateway.login(name, Encoding::Json).await);
    }
    gateway.signal();
    // One each second, so that the linger of the first is over long before the last is closed.
    for peer in &mut peers {
        loop {
            let frame = timeout(PATIENCE, peer.client.next()).await.expect("a frame in time").unwrap();
            let mut seen = frame.presence.iter().flat_map(|presence| &presence.users);
            assert!(seen.all(|user| user.online), "someone was seen to leave: {frame:?}");
            if frame.goodbye.is_some() {
                break;
            }
        }
    }
    assert_eq!(gateway.exit().await, Some(0));
}
