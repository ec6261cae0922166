//! The Rust client that stays connected, under applications, addresses, certificates and caches that are wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join;
use rosterd_client::{
    ClientChange, ClientOptions, ClientTrace, ConnectionPhase, RosterdClient, RosterdError, TokenError, TokenReason,
    Trust,
};
use rosterd_protocol::v1;
use tokio::time::timeout;

use crate::live_client::{change, connected, only_file, options};
use crate::ops_listener::with_tls;
use crate::support::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_source_that_fails_in_any_way_is_asked_again() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let source = move |why: TokenReason| {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => panic!("a bug of the application's"),
                1 => Err(TokenError::Failed("no network".to_owned())),
                2 => Ok(String::new()),
                _ => Ok(if why == TokenReason::Connect { "alice" } else { "nobody" }.to_owned()),
            }
        }
    };
    let client = RosterdClient::new(options(&gateway, "alice").token_source(source)).unwrap();
    let mut changes = client.changes();
    timeout(PATIENCE, client.connect()).await.expect("a connection in time").unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    for wanted in ["it panicked", "no network", "an empty text"] {
        let said =
            |change: &ClientChange| matches!(change, ClientChange::Error(error) if error.message.contains(wanted));
        let ClientChange::Error(error) = change(&mut changes, said).await else { unreachable!() };
        assert_eq!((error.code, error.reason.as_str()), (302, "NO_TOKEN"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_source_that_hangs_holds_nobody_up() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    let (begun, mut hangs) = tokio::sync::mpsc::unbounded_channel();
    let source = move |_| {
        let _ = begun.send(());
        std::future::pending::<Result<String, TokenError>>()
    };
    let client = RosterdClient::new(options(&gateway, "alice").token_source(source)).unwrap();
    let connecting = client.clone();
    let connecting = tokio::spawn(async move { connecting.connect().await });
    timeout(PATIENCE, hangs.recv()).await.expect("it is asked").unwrap();
    // Others go on, and so does this client: its calls wait for a connection, and it can be told to stop.
    let bob = connected(options(&gateway, "bob")).await;
    bob.update_my_info(v1::UpdateMyInfo { nick: Some("Bob".to_owned()), ..Default::default() }).await.unwrap();
    let both = join(client.update_my_info(v1::UpdateMyInfo::default()), client.disconnect());
    let (call, ()) = timeout(PATIENCE, both).await.expect("it stops in time");
    assert_eq!(call.unwrap_err().reason, "DISCONNECTED");
    assert_eq!(connecting.await.unwrap().unwrap_err().reason, "DISCONNECTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_may_call_the_client_and_may_panic() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let itself: Arc<OnceLock<RosterdClient>> = Arc::default();
    let (in_source, in_trace) = (itself.clone(), itself.clone());
    let source = move |_| {
        let client = in_source.get().expect("it is made before it is asked").clone();
        async move {
            // There is no connection before there is a token, so this call runs out of time.
            let error = client.get_sessions().await.unwrap_err();
            assert_eq!((error.reason.as_str(), client.snapshot().me.is_none()), ("TIMEOUT", true));
            Ok("alice".to_owned())
        }
    };
    let panics = Arc::new(AtomicUsize::new(0));
    let counter = panics.clone();
    let trace = move |happened: ClientTrace<'_>| {
        if let (ClientTrace::Received(_), Some(client)) = (happened, in_trace.get()) {
            drop(client.snapshot());
            // It asks something small, once: each answer comes by here.
            if counter.fetch_add(1, Ordering::Relaxed) == 0 {
                client.wake();
            }
            panic!("a bug of the application's");
        }
    };
    let options = options(&gateway, "alice").request_timeout(Duration::from_millis(200));
    let client = RosterdClient::new(options.token_source(source).trace(trace)).unwrap();
    itself.set(client.clone()).unwrap();
    timeout(PATIENCE, client.connect()).await.expect("a connection in time").unwrap();
    assert_eq!(client.get_user("alice", true).await.unwrap().nick, "alice");
    assert!(panics.load(Ordering::Relaxed) >= 3, "a reply to the login, records, and the end of the catch-up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_has_all_frames_in_order_and_no_token() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let (send, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let trace = move |happened: ClientTrace<'_>| {
        let line = match happened {
            ClientTrace::Sent(frame) => format!("sent {}", serde_json::to_string(frame).unwrap()),
            ClientTrace::Received(frame) => format!("received {}", serde_json::to_string(frame).unwrap()),
            ClientTrace::Connection(connection) => format!("{:?}", connection.phase),
            ClientTrace::Error(error) => format!("error {error}"),
        };
        let _ = send.send(line);
    };
    let client = connected(options(&gateway, "alice").token("alice").trace(trace)).await;
    client.disconnect().await;
    drop(client);
    let mut lines = Vec::new();
    while let Some(line) = timeout(PATIENCE, seen.recv()).await.expect("an end in time") {
        lines.push(line);
    }
    let at =
        |part: &str| lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {lines:?}"));
    let order = ["Connecting", "\"login\"", "\"loginReply\"", "Syncing", "\"synced\"", "Live", "Disconnected"].map(at);
    assert!(order.is_sorted(), "{lines:?}");
    assert!(lines[at("\"login\"")].contains("\"token\":\"\""), "{lines:?}");
}

/// What becomes of a client with these options that tries only once.
async fn once(options: ClientOptions) -> RosterdError {
    let client = RosterdClient::new(options.reconnect(false)).unwrap();
    let error = timeout(PATIENCE, client.connect()).await.expect("an end in time").unwrap_err();
    let connection = client.snapshot().connection.clone();
    assert_eq!((connection.phase, connection.last_error.as_ref()), (ConnectionPhase::Disconnected, Some(&error)));
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_an_error_that_says_so() {
    let world = World::new();
    let gateway = world.start();
    let url = gateway.url();
    for (url, reason, says) in [
        ("no address at all".to_owned(), "NO_CONNECTION", "is not an address like"),
        (url.replace("ws://", "http://"), "NO_CONNECTION", "is not an address like"),
        (String::new(), "NO_CONNECTION", "is not an address like"),
        (url.replace("/v1/ws", "/v1/other"), "CONNECTION_LOST", "no WebSocket there"),
        ("ws://127.0.0.1:1/v1/ws".to_owned(), "CONNECTION_LOST", "cannot connect to 127.0.0.1:1"),
        ("ws://no-such-host.invalid/v1/ws".to_owned(), "CONNECTION_LOST", "cannot connect to no-such-host.invalid:80"),
    ] {
        let error = once(ClientOptions::new(&url, "alice")).await;
        assert!(error.reason == reason && error.message.contains(says), "{url}: {error}");
    }
    let nobody = once(ClientOptions::new(&url, "nobody")).await;
    assert_eq!((nobody.code, nobody.reason.as_str()), (404, "NOT_FOUND"));
    let token = once(ClientOptions::new(&url, "nobody").token("no token")).await;
    assert_eq!((token.code, token.reason.as_str(), token.field.as_deref()), (302, "UNAUTHENTICATED", Some("token")));
    let empty = RosterdClient::new(ClientOptions::new(&url, "")).unwrap_err();
    assert_eq!((empty.code, empty.field.as_deref()), (414, Some("account")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_named_and_an_authority_helps() {
    let mut world = World::new();
    let certificate = with_tls(&mut world, "clients");
    let gateway = world.start();
    let url = gateway.url();
    let error = once(ClientOptions::new(&url, "nobody")).await;
    assert!(error.reason == "CONNECTION_LOST" && error.message.contains("certificate"), "{error}");
    let plain = once(ClientOptions::new(url.replace("wss:", "ws:"), "nobody")).await;
    assert!(plain.reason == "CONNECTION_LOST" && plain.message.contains("no WebSocket there"), "{plain}");
    let trust = |pem: &[u8]| Trust::authorities(pem, None);
    assert!(trust(b"no certificate").unwrap_err().contains("certificate"));
    // Whom it trusts, it speaks to: then the account is what is wrong.
    let trust = trust(&std::fs::read(certificate).unwrap()).unwrap();
    let error = once(ClientOptions::new(&url, "nobody").trust(trust)).await;
    assert_eq!(error.reason, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_of_a_newer_version_stays_as_it_is_and_the_client_goes_on() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let folder = world.path().join("cache");
    let client = connected(options(&gateway, "alice").cache(&folder)).await;
    client.disconnect().await;
    drop(client);
    let file = only_file(&folder);
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let before = std::fs::read(&file).unwrap();

    let client = RosterdClient::new(options(&gateway, "alice").cache(&folder)).unwrap();
    let mut changes = client.changes();
    timeout(PATIENCE, client.connect()).await.expect("a connection in time").unwrap();
    let said = |change: &ClientChange| matches!(change, ClientChange::Error(_));
    let ClientChange::Error(error) = change(&mut changes, said).await else { unreachable!() };
    assert!(error.reason == "STORE" && error.message.contains("a newer version"), "{error}");
    assert!(client.snapshot().friends.contains_key("bob"));
    client.disconnect().await;
    drop(client);
    assert_eq!(std::fs::read(only_file(&folder)).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_is_an_error_and_the_client_goes_on() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let file = world.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let client = RosterdClient::new(options(&gateway, "alice").cache(file.join("folder"))).unwrap();
    let mut changes = client.changes();
    timeout(PATIENCE, client.connect()).await.expect("a connection in time").unwrap();
    let said = |change: &ClientChange| matches!(change, ClientChange::Error(error) if error.reason == "STORE");
    change(&mut changes, said).await;
    assert!(client.snapshot().friends.contains_key("bob"));
}
