//! A stop: every client is told, and nobody can hold the gateway up.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hyper::Method;
use rosterd::wire::{Command, Encoding, v1};
use tokio::net::TcpStream;

use crate::raw::{Frame, Raw, TEXT, payload, upgrade};
use crate::support::World;

/// Less than the default of `shutdown.deadline`, and than anything else a stop could wait for.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn every_client_is_told_to_come_back_later_and_the_process_ends_well() {
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
    assert!(delays.iter().all(|delay| (250..5000).contains(delay)), "{delays:?}");
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
    let told = alice.nick("Ally").await;
    assert_eq!(gateway.terminate().await, Some(0));
    let gateway = world.start();
    let back = gateway.resume("alice", Encoding::Protobuf, alice.replica).await;
    assert_eq!((back.reply.sync, back.replica.me()), (v1::SyncMode::Current as i32, Some(&told)));
}

#[tokio::test]
async fn a_client_that_does_not_close_is_left_and_meanwhile_probes_are_told() {
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
    assert_eq!(gateway.terminate().await, Some(0));
    assert!(world.log().contains("some sessions did not close before the deadline"), "{}", world.log());
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
async fn who_is_just_logging_in_is_told_as_well() {
    let world = World::new();
    let gateway = world.start_with(&["sessions.max=200"]);
    gateway.populate(&["alice"], &[]).await;
    let login = Command::Login(v1::Login { token: "alice".to_owned(), ..Default::default() });
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
