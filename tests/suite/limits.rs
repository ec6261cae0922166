//! Every limit from outside, by a client that behaves like the one it is meant for: it gets what is documented, others
//! notice nothing, and what it cost comes back.

use std::net::SocketAddr;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rosterd::auth::{AuthSettings, Authenticator};
use rosterd::hub::{Hub, HubSettings, SessionsLimit};
use rosterd::metrics::Metrics;
use rosterd::service::{Service, ServiceSettings};
use rosterd::store::{Opened, sqlite};
use rosterd_client::{Client, Replica};
use rosterd_engine::model::{Account, CloseReason, FriendsPolicy, Reason, RequestError, SessionsPolicy};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::auth::{token, with_secret};
use crate::raw::{CONTINUATION, Frame, PING, PONG, Raw, TEXT, header, payload, upgrade};
use crate::support::{Gateway, PATIENCE, World, connect_with_small_buffer, finished, nick_command};

const MIB: u64 = 1024 * 1024;

/// Someone who is logged in and must not notice anything.
struct Bystander(Raw);

impl Bystander {
    async fn of(gateway: &Gateway) -> Self {
        gateway.populate(&["by", "stander"], &[]).await;
        Self(Raw::login(gateway, "by", Encoding::Json).await)
    }

    /// Still served, and a new client as well.
    async fn is_served(&mut self, gateway: &Gateway) {
        self.0.assert_alive("a bystander").await;
        Raw::login(gateway, "stander", Encoding::Protobuf).await.assert_alive("one who comes").await;
    }
}

async fn until_refused(gateway: &Gateway, kind: &str, times: f64) {
    gateway.until_metric("rosterd_refused_total", kind, |refused| refused >= times).await;
}

/// Memory is back to about what it was.
///
/// Only the allocator that ships returns memory soon after a burst.
async fn comes_back(gateway: &Gateway, before: u64) {
    if !cfg!(feature = "jemalloc") {
        return;
    }
    let begun = Instant::now();
    while gateway.resident() > before + 12 * MIB {
        assert!(begun.elapsed() < PATIENCE, "{} MiB, {} before", gateway.resident() / MIB, before / MIB);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads to the end; what came.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut got)).await.expect("an end in time");
    got
}

#[tokio::test]
async fn who_sends_a_request_byte_by_byte_is_dropped_in_time() {
    let world = World::new();
    let gateway = world.start_with(&["limits.handshake_timeout=1s"]);
    let mut bystander = Bystander::of(&gateway).await;
    let request = upgrade(&"X-Padding: x\r\n".repeat(40));
    let drip = async |pause: u64| {
        let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
        let begun = Instant::now();
        for byte in request.chunks(1).cycle() {
            if stream.write_all(byte).await.is_err() || begun.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        let dropped = begun.elapsed();
        assert!(dropped >= Duration::from_millis(900) && dropped < PATIENCE, "{dropped:?}");
    };
    // Some send nothing at all.
    let silent = async || {
        let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    };
    let drips = join_all((0..50).map(|n| drip(20 + n)));
    let silents = join_all((0..50).map(|_| silent()));
    tokio::join!(drips, silents, bystander.is_served(&gateway));
    until_refused(&gateway, "HANDSHAKE_TIMEOUT", 100.0).await;
    bystander.is_served(&gateway).await;
}

#[tokio::test]
async fn thousands_of_idle_handshakes_end_in_time_and_leave_nothing_behind() {
    const EACH: usize = 1000;
    let world = World::new();
    let gateway = world.start_with(&["limits.handshake_timeout=3s", "limits.login_timeout=3s"]);
    let mut bystander = Bystander::of(&gateway).await;
    // Once, so that what is there once is there.
    join_all((0..200).map(|_| Raw::open(&gateway, Encoding::Json))).await;
    let before = gateway.resident();
    let (mut silent, mut upgraded) = (Vec::new(), Vec::new());
    for _ in 0..EACH / 50 {
        silent.extend(join_all((0..50).map(|_| TcpStream::connect(gateway.clients))).await);
        // Answered after the others were accepted: the system's queue is not what is tried here.
        upgraded.extend(join_all((0..50).map(|_| Raw::open(&gateway, Encoding::Json))).await);
    }
    bystander.is_served(&gateway).await;
    for stream in &mut silent {
        assert_eq!(rest(stream.as_mut().unwrap()).await, b"");
    }
    for raw in &mut upgraded {
        raw.ending().await.assert(3502, "LOGIN_TIMEOUT", "idle after the upgrade");
    }
    drop((silent, upgraded));
    bystander.is_served(&gateway).await;
    gateway.until_metric("rosterd_connections", "", |open| open == 1.0).await;
    comes_back(&gateway, before).await;
}

#[tokio::test]
async fn an_account_has_so_many_sessions_and_the_oldest_goes() {
    let world = World::new();
    let gateway = world.start_with(&["sessions.max=3"]);
    let mut bystander = Bystander::of(&gateway).await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(Raw::login(&gateway, "stander", Encoding::Json).await);
    }
    let stay = held.split_off(3);
    for mut oldest in held {
        oldest.ending().await.assert(3504, "SESSION_LIMIT", "the oldest");
    }
    for mut newest in stay {
        newest.assert_alive("one of the newest").await;
    }
    gateway.until_metric("rosterd_sessions_closed_total", "SESSION_LIMIT", |closed| closed == 3.0).await;
    bystander.0.assert_alive("of another account").await;
}

#[tokio::test]
async fn a_head_that_is_too_large_or_twisted_is_answered_or_dropped() {
    let world = World::new();
    let gateway = world.start_with(&["limits.header_bytes=4096", "limits.handshake_timeout=2s"]);
    let mut bystander = Bystander::of(&gateway).await;
    let large = |name: &str, bytes: usize| upgrade(&format!("{name}: {}\r\n", "x".repeat(bytes)));
    let line =
        |request: Vec<u8>, from: &str, to: &str| String::from_utf8(request).unwrap().replacen(from, to, 1).into_bytes();
    for (request, expected, what) in [
        (large("X-A", 3000), 101, "large, but not too large"),
        (large("X-A", 5000), 431, "one large header"),
        (large("Cookie", 100_000), 431, "a very large one"),
        (upgrade(&"X-A: x\r\n".repeat(70)), 431, "many headers"),
        (line(upgrade(""), "/v1/ws", &format!("/v1/ws?{}", "x".repeat(5000))), 431, "a long URL"),
        (line(upgrade(""), "Host: test\r\n", "Host : test\r\n"), 400, "a blank before the colon"),
        (upgrade("X-A: x\r\n folded: y\r\n"), 400, "a folded line"),
        (upgrade("X-A: a\0b\r\n"), 400, "a zero byte"),
        (upgrade("\r\n: x\r\n"), 101, "the end of the head, and a line after it"),
        (line(upgrade(""), "HTTP/1.1", "HTTP/3.7"), 400, "a version there is not"),
        (upgrade("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400, "two lengths"),
        (upgrade("Content-Length: 5\r\nContent-Length: 6\r\n"), 400, "two lengths that differ"),
        (upgrade("Sec-WebSocket-Protocol: \u{6f22}\u{5b57}\r\n"), 400, "a subprotocol beyond ASCII"),
        (upgrade("Sec-WebSocket-Protocol: \u{1}\r\n"), 400, "a subprotocol of a control character"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400, "TLS to a port without"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 0, "HTTP/2"),
        (b"\r\n\r\n\r\n".to_vec(), 0, "empty lines"),
    ] {
        let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
        let _ = stream.write_all(&request).await;
        if expected == 0 {
            assert_eq!(rest(&mut stream).await, b"", "{what}");
            continue;
        }
        let mut head = vec![0; 12];
        let status: u16 = match timeout(PATIENCE, stream.read_exact(&mut head)).await.expect(what) {
            Ok(_) => String::from_utf8_lossy(&head[9..]).parse().unwrap(),
            // A client that still sends may miss the answer and see the connection end.
            Err(_) => 0,
        };
        assert!(status == expected || status == 0 && request.len() > 50_000, "{what}: {status}");
        bystander.0.assert_alive(what).await;
    }
    until_refused(&gateway, "HEADER_BYTES", 3.0).await;
    bystander.is_served(&gateway).await;
}

#[tokio::test]
async fn a_message_in_too_many_pieces_ends_the_session() {
    let world = World::new();
    let gateway = world.start_with(&["limits.fragments=8"]);
    let mut bystander = Bystander::of(&gateway).await;
    let command = payload(Encoding::Json, nick_command("in pieces"), 7);
    let pieces = |n: usize| {
        let mut bytes = Frame::fragment(TEXT, &command[..1]).bytes();
        for at in 1..n - 1 {
            bytes.extend(Frame::new(PING, "").bytes());
            bytes.extend(Frame::fragment(CONTINUATION, &command[at..=at]).bytes());
        }
        bytes.extend(Frame::new(CONTINUATION, &command[n - 1..]).bytes());
        bytes
    };
    let mut by = Raw::login(&gateway, "stander", Encoding::Json).await;
    by.write(&pieces(8)).await;
    let mut pongs = 0;
    let reply = loop {
        let frame = by.frame().await.unwrap();
        match frame.opcode() {
            PONG => pongs += 1,
            _ => break String::from_utf8(frame.payload).unwrap(),
        }
    };
    assert!(reply.contains("in pieces") && pongs == 6, "{pongs} {reply}");
    by.write(&pieces(9)).await;
    by.ending().await.assert(3501, "MALFORMED_FRAME", "nine pieces");
    // Empty pieces without an end, as many as can be sent, before and after the login, and right behind the upgrade.
    let flood = Frame::fragment(CONTINUATION, "").bytes().repeat(10_000);
    let start = Frame::fragment(TEXT, "").bytes();
    for logged_in in [false, true] {
        let mut raw = if logged_in {
            Raw::login(&gateway, "stander", Encoding::Json).await
        } else {
            Raw::open(&gateway, Encoding::Json).await
        };
        raw.write(&start).await;
        let _ = raw.stream().write_all(&flood).await;
        raw.ending().await.assert(3501, "MALFORMED_FRAME", "empty pieces");
    }
    let mut at_once = upgrade("");
    at_once.extend(&start);
    at_once.extend(&flood[..6 * 100]);
    let (mut raw, head) = Raw::request(gateway.clients, &at_once).await;
    assert!(head.starts_with("HTTP/1.1 101"));
    raw.write(&flood[..6]).await;
    raw.ending().await.assert(3501, "MALFORMED_FRAME", "with the request");
    until_refused(&gateway, "FRAGMENTS", 4.0).await;
    bystander.is_served(&gateway).await;
}

#[tokio::test]
async fn giant_frames_cost_no_more_than_they_bring() {
    let world = World::new();
    let gateway = world.start_with(&["limits.login_timeout=20s"]);
    let mut bystander = Bystander::of(&gateway).await;
    join_all((0..200).map(|_| Raw::open(&gateway, Encoding::Json))).await;
    let before = gateway.resident();
    for length in [65_537, 1 << 24, 1 << 40, i64::MAX as u64, u64::MAX] {
        let mut raw = Raw::login(&gateway, "stander", Encoding::Json).await;
        raw.write(&[header(0x80 | TEXT, true, length), vec![0; 4]].concat()).await;
        raw.ending().await.assert(3501, "MALFORMED_FRAME", "a giant frame");
    }
    until_refused(&gateway, "FRAME_BYTES", 4.0).await;
    // Many who announce the most that is allowed, and bring a little of it.
    let mut half = Vec::new();
    for _ in 0..500 {
        let mut raw = Raw::open(&gateway, Encoding::Json).await;
        raw.write(&[header(0x80 | TEXT, true, 65_536), vec![0; 100]].concat()).await;
        half.push(raw);
    }
    bystander.is_served(&gateway).await;
    assert!(gateway.resident() < before + 32 * MIB, "{} MiB", (gateway.resident() - before) / MIB);
    drop(half);
    bystander.is_served(&gateway).await;
    comes_back(&gateway, before).await;
}

/// A gateway that believes this machine to be a proxy, so that a test may come from anywhere.
fn behind_a_proxy(world: &World, overrides: &[&str]) -> Gateway {
    world.start_with(&[&["clients.trusted_proxies=127.0.0.1"], overrides].concat())
}

fn from(address: &str) -> String {
    format!("X-Forwarded-For: 9.9.9.9, {address}\r\n")
}

#[tokio::test]
async fn logins_of_one_address_that_come_too_fast_are_put_off_before_their_tokens_are_looked_at() {
    let world = with_secret();
    let gateway = behind_a_proxy(&world, &["limits.logins_per_second=2", "limits.logins_burst=5"]);
    gateway.populate(&["ann"], &[]).await;
    let try_from = async |address: &str, token: &str| {
        let mut raw = Raw::try_open(gateway.clients, &from(address)).await.unwrap();
        let reply = raw.log_in(token).await;
        match reply.error {
            None => Ok(()),
            Some(error) => Err((error, raw.ending().await)),
        }
    };
    let good = token("ann", 600);
    let answers = join_all((0..40).map(|n| try_from("203.0.113.7", if n % 2 == 0 { "bad" } else { &good }))).await;
    let limited: Vec<_> =
        answers.iter().filter_map(|answer| answer.as_ref().err()).filter(|e| e.0.code == 416).collect();
    // A burst, and a few more while all this took its time.
    assert!((20..=35).contains(&limited.len()), "{} of 40", limited.len());
    for (error, ending) in &limited {
        assert_eq!(error.reason, "RATE_LIMITED");
        assert!((1..=20_000).contains(&error.retry_after_ms.unwrap()), "{error:?}");
        ending.assert(3003, "TOO_MANY_REQUESTS", "a login flood");
        assert!(ending.goodbye.as_ref().unwrap().retry_after_ms.is_some());
    }
    let refusals = limited.len();
    gateway.until_metric("rosterd_refused_total", "LOGINS", |refused| refused as usize >= refusals).await;
    // Others come in: those of another address, and who says nothing of where it comes from, as a proxy's own check does.
    assert!(try_from("203.0.113.8", &good).await.is_ok());
    assert!(try_from("2001:db8::1", &good).await.is_ok());
    for _ in 0..10 {
        assert!(Raw::try_open(gateway.clients, "").await.unwrap().log_in(&good).await.login_reply.is_some());
    }
    // What a client wrote itself, further to the left, is not believed: it is the same address.
    let mut spoofed = Raw::try_open(gateway.clients, &from("198.51.100.1, 203.0.113.7")).await.unwrap();
    let begun = Instant::now();
    let error = spoofed.log_in(&good).await.error;
    assert!(error.is_some_and(|error| error.code == 416) || begun.elapsed() > Duration::from_millis(400));
    // And who waits comes in.
    while try_from("203.0.113.7", &good).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let world = World::new();
    let gateway = behind_a_proxy(&world, &["limits.connections_per_address=3"]);
    let mut bystander = Bystander::of(&gateway).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Raw::try_open(gateway.clients, &from("203.0.113.7")).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(Raw::try_open(gateway.clients, &from("203.0.113.7")).await.err(), Some(429));
    }
    assert!(Raw::try_open(gateway.clients, &from("203.0.113.8")).await.is_ok());
    until_refused(&gateway, "CONNECTIONS_PER_ADDRESS", 3.0).await;
    bystander.is_served(&gateway).await;
    drop(held.pop());
    let begun = Instant::now();
    while Raw::try_open(gateway.clients, &from("203.0.113.7")).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held[0].assert_silent().await;
}

#[tokio::test]
async fn when_there_are_as_many_connections_as_there_may_be_one_more_is_turned_away_at_once() {
    let world = World::new();
    let gateway = world.start_with(&["limits.connections=20"]);
    let mut bystander = Bystander::of(&gateway).await;
    let mut held: Vec<_> = Vec::new();
    for _ in 0..19 {
        held.push(TcpStream::connect(gateway.clients).await.unwrap());
    }
    gateway.populate(&["late"], &[]).await;
    // The answer comes without a request; the burst is larger than what is answered at a time.
    let turned_away = async |gateway: SocketAddr| {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        rest(&mut stream).await
    };
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.extend(join_all((0..100).map(|_| turned_away(gateway.clients))).await);
    }
    let answered = answers.iter().filter(|answer| answer.starts_with(b"HTTP/1.1 503 Service Unavailable\r\n")).count();
    assert!(answered > 0 && answers.iter().all(|answer| answer.is_empty() || answer.starts_with(b"HTTP/1.1 503")));
    // One that asks gets the answer too.
    let begun = Instant::now();
    while Raw::try_open(gateway.clients, "").await.err() != Some(503) {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_refused(&gateway, "CONNECTIONS", 301.0).await;
    bystander.0.assert_alive("among those who are there").await;
    drop(held);
    let begun = Instant::now();
    while Raw::try_open(gateway.clients, "").await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bystander.is_served(&gateway).await;
}

/// A session of an account whose token is verified.
async fn log_in(gateway: &Gateway, account: &str, encoding: Encoding) -> Raw {
    let mut raw = Raw::open(gateway, encoding).await;
    assert!(raw.log_in(&token(account, 600)).await.login_reply.is_some());
    while raw.server().await.synced.is_none() {}
    raw
}

#[tokio::test]
async fn commands_that_come_too_fast_are_refused_and_who_goes_on_is_closed() {
    let world = with_secret();
    let gateway = world.start_with(&["limits.commands_per_second=5", "limits.commands_burst=20"]);
    gateway.populate(&["ann", "bob"], &[]).await;
    let mut bob = log_in(&gateway, "bob", Encoding::Json).await;
    for encoding in Encoding::ALL {
        let mut ann = log_in(&gateway, "ann", encoding).await;
        let mut wait = None;
        // The login was one. A client that is asked to wait, and does, goes on.
        for n in 0..25 {
            let reply = ann.command(nick_command(&format!("n{n}"))).await;
            if let Some(error) = reply.error {
                assert_eq!((error.code, error.reason.as_str()), (416, "RATE_LIMITED"), "{error:?}");
                assert!(n >= 19, "refused the {n}th");
                wait = error.retry_after_ms;
                break;
            }
        }
        let wait = wait.expect("it is refused in the end");
        assert!((1..=1000).contains(&wait), "{wait}");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert!(ann.command(nick_command("after a pause")).await.error.is_none());
        // One that does not: refused, refused, and out.
        let commands: Vec<u8> = (0..200)
            .flat_map(|n| {
                let opcode = if encoding == Encoding::Json { TEXT } else { crate::raw::BINARY };
                Frame::new(opcode, payload(encoding, nick_command("flood"), 1000 + n)).bytes()
            })
            .collect();
        ann.write(&commands).await;
        let ending = ann.ending().await;
        ending.assert(3003, "TOO_MANY_REQUESTS", "a flood of commands");
        assert!((250..5000).contains(&ending.goodbye.unwrap().retry_after_ms.unwrap()));
        assert_ne!(gateway.user("ann").await["nick"], "flood");
    }
    // What asks for nothing counts too, before a login as well.
    for (what, logged_in, frame) in [
        ("pings", true, Frame::new(PING, "x")),
        ("pongs", true, Frame::new(PONG, "")),
        ("heartbeats", true, Frame::new(TEXT, "{}")),
        ("pings", false, Frame::new(PING, "")),
        ("commands", false, Frame::new(TEXT, r#"{"id":1,"logout":{}}"#)),
        ("wrong commands", true, Frame::new(TEXT, r#"{"id":1,"frobnicate":{}}"#)),
    ] {
        let mut raw = if logged_in {
            log_in(&gateway, "ann", Encoding::Json).await
        } else {
            Raw::open(&gateway, Encoding::Json).await
        };
        let _ = raw.stream().write_all(&frame.bytes().repeat(300)).await;
        raw.ending().await.assert(3003, "TOO_MANY_REQUESTS", what);
    }
    until_refused(&gateway, "COMMANDS", 100.0).await;
    bob.assert_alive("someone else").await;
}

#[tokio::test]
async fn in_development_mode_a_load_test_is_not_held_up() {
    let world = World::new();
    let gateway = world.start_with(&["limits.commands_per_second=1", "limits.commands_burst=1"]);
    gateway.populate(&["ann"], &[]).await;
    let mut ann = Raw::login(&gateway, "ann", Encoding::Json).await;
    for n in 0..300 {
        assert!(ann.command(nick_command(&format!("n{n}"))).await.error.is_none());
    }
}

/// Profiles so large that a reply with all of them has about 200 KiB.
async fn large_profiles(gateway: &Gateway) -> Vec<String> {
    let names: Vec<_> = (0..20).map(|n| format!("large{n:02}")).collect();
    let lines = names.iter().map(|name| {
        serde_json::json!({"user": {"account": name, "custom": "漢".repeat(1024), "avatar": "漢".repeat(1024),
            "sign": "漢".repeat(256), "nick": "漢".repeat(64)}})
        .to_string()
    });
    let lines: Vec<_> = lines.collect();
    gateway.backend().await.request(hyper::Method::POST, "/v1/import", lines.join("\n")).await.unwrap();
    names
}

/// A client whose system takes little for it, logged in.
async fn slow_reader(gateway: &Gateway, account: &str) -> TcpStream {
    slow_reader_from(gateway, account, "").await
}

/// The same, with more header lines.
async fn slow_reader_from(gateway: &Gateway, account: &str, more: &str) -> TcpStream {
    let mut stream = connect_with_small_buffer(gateway.clients).await;
    stream.write_all(&upgrade(more)).await.unwrap();
    let login = ClientCommand::Login(v1::Login { token: account.to_owned(), ..Default::default() });
    stream.write_all(&Frame::new(TEXT, payload(Encoding::Json, login, 1)).bytes()).await.unwrap();
    let mut got = Vec::new();
    while !got.windows(8).any(|part| part == b"\"synced\"") {
        let mut some = [0; 1024];
        let read = timeout(PATIENCE, stream.read(&mut some)).await.expect("a login in time").unwrap();
        got.extend_from_slice(&some[..read]);
    }
    stream
}

fn ask_for(names: &[String], id: u64) -> Vec<u8> {
    let get = ClientCommand::GetUsers(v1::GetUsers { accounts: names.to_vec() });
    Frame::new(TEXT, payload(Encoding::Json, get, id)).bytes()
}

/// Reads until so many replies have begun, or the stream ends; how many.
async fn replies(stream: &mut TcpStream, most: usize) -> usize {
    const NAME: &[u8] = b"\"getUsersReply\"";
    let (mut begun, mut tail, mut some) = (0, Vec::new(), vec![0; 65536]);
    while begun < most {
        match timeout(PATIENCE, stream.read(&mut some)).await.expect("more in time") {
            Ok(read @ 1..) => tail.extend_from_slice(&some[..read]),
            Ok(0) | Err(_) => break,
        }
        begun += tail.windows(NAME.len()).filter(|part| *part == NAME).count();
        // Shorter than a name, which may be cut.
        tail.drain(..tail.len().saturating_sub(NAME.len() - 1));
    }
    begun
}

#[tokio::test]
async fn of_those_who_do_not_read_the_newest_go_when_too_much_is_held() {
    let world = World::new();
    let gateway = world.start_with(&["limits.outbound_bytes=1048576", "sessions.max=1000"]);
    let mut bystander = Bystander::of(&gateway).await;
    let names = large_profiles(&gateway).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = slow_reader(&gateway, "stander").await;
        stream.write_all(&ask_for(&names, 2)).await.unwrap();
        slow.push(stream);
    }
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held > 300_000.0).await;
    assert_eq!(gateway.metric_of("rosterd_refused_total", "OUTBOUND_BYTES").await, 0.0);
    let mut newest = Vec::new();
    for _ in 0..12 {
        let mut stream = slow_reader(&gateway, "stander").await;
        stream.write_all(&ask_for(&names, 2)).await.unwrap();
        newest.push(stream);
    }
    until_refused(&gateway, "OUTBOUND_BYTES", 5.0).await;
    assert!(gateway.metric("rosterd_outbound_bytes").await <= 1_048_576.0);
    gateway.until_metric("rosterd_sessions_closed_total", "OVERLOADED", |closed| closed >= 5.0).await;
    bystander.is_served(&gateway).await;
    // Who was there before gets what it asked for when it reads at last; of those who came last, the last did not.
    for stream in &mut slow {
        stream.write_all(&ask_for(&names[..1], 3)).await.unwrap();
        assert_eq!(replies(stream, 2).await, 2);
    }
    assert!(rest(newest.last_mut().unwrap()).await.len() < 200_000);
    drop(newest);
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held == 0.0).await;
    bystander.is_served(&gateway).await;
}

/// A connection from another address that has logged in, and has not read what comes then.
async fn first_sync(gateway: &Gateway, account: &str) -> TcpStream {
    let mut stream = connect_with_small_buffer(gateway.clients).await;
    stream.write_all(&upgrade(&from("198.51.100.1"))).await.unwrap();
    let login = ClientCommand::Login(v1::Login { token: account.to_owned(), ..Default::default() });
    stream.write_all(&Frame::new(TEXT, payload(Encoding::Json, login, 1)).bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn one_address_that_does_not_read_does_not_push_out_a_slow_client_of_another() {
    const ATTACKERS: u32 = 64;
    let world = World::new();
    let gateway = behind_a_proxy(&world, &["limits.outbound_bytes=1048576", "sessions.max=1000"]);
    let names = large_profiles(&gateway).await;
    let friends: Vec<_> = (0..2000).map(|n| format!("friend{n:04}")).collect();
    let users: Vec<_> = friends.iter().map(String::as_str).chain(["honest", "a0", "a1", "a2", "a3"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("honest", friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;
    // Of several accounts, and all there before the honest client comes.
    let attackers = (0..ATTACKERS).map(async |n| {
        let more = from("203.0.113.7");
        slow_reader_from(&gateway, &format!("a{}", n % 4), &more).await
    });
    let mut attackers = join_all(attackers).await;
    let mut honest = first_sync(&gateway, "honest").await;
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held > 0.0).await;
    for attacker in &mut attackers {
        attacker.write_all(&ask_for(&names, 2)).await.unwrap();
    }
    until_refused(&gateway, "OUTBOUND_BYTES", f64::from(ATTACKERS) / 2.0).await;
    assert!(gateway.metric("rosterd_outbound_bytes").await <= 1_048_576.0);
    // The honest client, whose batch was held all the while, reads on and is in sync.
    let mut got = Vec::new();
    while !got.windows(8).any(|part| part == b"\"synced\"") {
        let mut some = [0; 16384];
        let read = timeout(PATIENCE, honest.read(&mut some)).await.expect("more in time").unwrap();
        assert!(read > 0, "the honest client was cut off after {} bytes", got.len());
        got.extend_from_slice(&some[..read]);
    }
    let count = |name: &[u8]| got.windows(name.len()).filter(|part| *part == name).count();
    assert_eq!(count(b"\"nick\":\"friend"), friends.len());
    let overloaded = gateway.metric_of("rosterd_sessions_closed_total", "OVERLOADED").await;
    assert!(overloaded >= f64::from(ATTACKERS) / 2.0, "{overloaded}");
}

#[tokio::test]
async fn what_a_slow_client_has_taken_is_given_back_while_it_takes_the_rest() {
    let world = World::new();
    let gateway = world.start();
    let mut bystander = Bystander::of(&gateway).await;
    let names = large_profiles(&gateway).await;
    let mut stream = slow_reader(&gateway, "stander").await;
    stream.write_all(&ask_for(&names, 2)).await.unwrap();
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held > 100_000.0).await;
    let before = gateway.metric("rosterd_outbound_bytes").await;
    let mut some = vec![0; 100_000];
    timeout(PATIENCE, stream.read_exact(&mut some)).await.expect("more in time").unwrap();
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held > 0.0 && held < before - 50_000.0).await;
    bystander.is_served(&gateway).await;
}

#[tokio::test]
async fn a_client_that_takes_next_to_nothing_for_too_long_is_given_up() {
    let world = World::new();
    let gateway = world.start_with(&["clients.stall_timeout=10s"]);
    let mut bystander = Bystander::of(&gateway).await;
    let names = large_profiles(&gateway).await;
    let mut stream = slow_reader(&gateway, "stander").await;
    // About as much as the system holds for it, and a little more.
    stream.write_all(&ask_for(&names[..14], 2)).await.unwrap();
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held > 0.0).await;
    let held = gateway.metric("rosterd_outbound_bytes").await;
    let begun = Instant::now();
    let (mut some, mut taken) = ([0; 1024], 0);
    // It takes something all the time, so it is never silent for the whole of `stall_timeout`.
    while let Ok(read @ 1..) = stream.read(&mut some).await {
        taken += read;
        assert!(begun.elapsed() < 3 * PATIENCE, "{taken} taken, {held} held");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    until_refused(&gateway, "TOO_SLOW", 1.0).await;
    bystander.is_served(&gateway).await;
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_is_held_back_and_costs_one_reply() {
    const ASKED: usize = 200;
    let world = World::new();
    let gateway = world.start();
    let mut bystander = Bystander::of(&gateway).await;
    let names = large_profiles(&gateway).await;
    let mut stream = slow_reader(&gateway, "stander").await;
    let before = gateway.resident();
    // Forty megabytes of replies, and it reads none. Some hundred KiB of questions fit on the way; then it has to wait.
    let mut questions = Vec::new();
    for id in 0..ASKED as u64 {
        questions.extend(ask_for(&names, id + 2));
    }
    let padding = Frame::new(TEXT, format!("{:>60000}", "{}")).bytes().repeat(400);
    questions.extend(&padding);
    assert!(timeout(Duration::from_secs(2), stream.write_all(&questions)).await.is_err(), "it is never held back");
    gateway.until_metric("rosterd_outbound_bytes", "", |held| held > 0.0).await;
    assert!(gateway.metric("rosterd_outbound_bytes").await < 1_000_000.0);
    assert!(gateway.resident() < before + 16 * MIB, "{} MiB", (gateway.resident() - before) / MIB);
    bystander.is_served(&gateway).await;
    assert!((gateway.metric("rosterd_commands_total").await as usize) < ASKED);
    assert_eq!(replies(&mut stream, ASKED / 4).await, ASKED / 4);
    bystander.is_served(&gateway).await;
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_and_what_is_not_possible_is_said() {
    // The soft limit is far too low, and the hard one is not.
    let world = World { through: Some("ulimit -Sn 90; exec \"$@\"".to_owned()), ..World::new() };
    let gateway = world.start_with(&["limits.connections=1000"]);
    assert!(gateway.metric("process_max_fds").await >= 1064.0);
    let mut bystander = Bystander::of(&gateway).await;
    let held = join_all((0..300).map(|_| Raw::try_open(gateway.clients, ""))).await;
    assert!(held.iter().all(Result::is_ok));
    bystander.is_served(&gateway).await;
    drop((held, gateway));

    // The hard limit has room for some of the default number.
    let script = "ulimit -n 96; exec \"$@\"";
    let world = World { through: Some(script.to_owned()), ..World::new() };
    let gateway = world.start();
    world.until_logged("there is no room for limits.connections").await;
    let mut bystander = Bystander::of(&gateway).await;
    let held = join_all((0..31).map(|_| Raw::try_open(gateway.clients, ""))).await;
    assert!(held.iter().all(Result::is_ok));
    assert_eq!(Raw::try_open(gateway.clients, "").await.err(), Some(503));
    bystander.0.assert_alive("among as many as there is room for").await;
    drop((held, gateway));

    // Another number is a promise.
    let (binary, config) = (env!("CARGO_BIN_EXE_rosterd"), world.config());
    let mut refused = Process::new("bash");
    refused.args(["-c", script, "through", binary, "serve", "--set", "limits.connections=1000", "--config"]);
    let output = finished(refused.arg(config));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("takes 1064 open files") && said.contains("limits.connections to 32 or less"), "{said}");
}

/// They all begin before the first of them counts: so their pages keep to the rate, and not only their beginnings.
#[tokio::test]
async fn however_many_devices_log_in_at_once_their_long_list_is_read_at_its_rate() {
    // A list of four pages, which all count, and the page of requests and blocks after them.
    const FRIENDS: usize = 1600;
    const COUNTED: u32 = 5;
    let world = with_secret();
    let gateway = world.start_with(&["sessions.max=1000", "limits.logins_burst=1000"]);
    let friends: Vec<_> = (0..FRIENDS).map(|n| format!("friend{n}")).collect();
    let users: Vec<_> = friends.iter().map(String::as_str).chain(["alice"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("alice", friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;

    let (token, mut known) = (token("alice", 600), Replica::default());
    let mut first = Client::connect(&gateway.url(), Encoding::Protobuf).await.unwrap();
    first.login(&token, &mut known).await.unwrap();

    // They have everything, so the reading is what takes its time.
    let begun = Instant::now();
    let sessions = join_all((0..60).map(|_| async {
        let mut client = Client::connect(&gateway.url(), Encoding::Protobuf).await.unwrap();
        let mut replica = known.clone();
        client.login(&token, &mut replica).await.is_ok().then_some((client, replica))
    }))
    .await;
    let took = begun.elapsed();
    let served: Vec<_> = sessions.into_iter().flatten().collect();
    assert!(served.len() >= 90 / COUNTED as usize, "{} logins", served.len());
    assert!(served.iter().all(|(_, replica)| replica.friends().len() == FRIENDS));
    // All at once would have taken less: what is beyond a hundred pages comes at twenty a second.
    let pages = COUNTED * u32::try_from(served.len()).unwrap();
    let paced = f64::from(pages.saturating_sub(100)) / 20.0;
    assert!(took.as_secs_f64() >= paced - 1.0, "{} logins in {took:?}", served.len());
    // Another account has a rate of its own.
    let mut friend = Client::connect(&gateway.url(), Encoding::Protobuf).await.unwrap();
    friend.login(&crate::auth::token("friend0", 600), &mut Replica::default()).await.unwrap();
}

/// The rate is looked at before the store is: here it is closed, and fails every read.
#[tokio::test]
async fn a_login_beyond_the_rate_of_list_reads_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { store, head, .. } =
        sqlite::open(&folder.path().join("rosterd.db"), sqlite::SqliteOptions::default()).unwrap();
    let metrics = Arc::new(Metrics::default());
    let hub = Hub::new(head, HubSettings::default(), metrics.clone());
    let auth = Authenticator::new(AuthSettings::Development, None, &metrics).unwrap();
    let settings = ServiceSettings {
        create_accounts: false,
        friends: FriendsPolicy::Request,
        write: rosterd_engine::model::WriteRights::default(),
        sessions: SessionsLimit { policy: SessionsPolicy::All, max: 16 },
        linger: Duration::ZERO,
    };
    let service = Service::new(store.clone(), hub, auth, metrics, settings);
    store.close().await;
    let login = || v1::Login { token: "alice".to_owned(), ..Default::default() };
    let (error, _) = service.login(login(), |_| Ok(())).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unavailable);
    let later = |_: &Account| Err(RequestError::new(Reason::RateLimited, "later"));
    let (error, close) = service.login(login(), later).await.unwrap_err();
    assert_eq!((error.reason, close), (Reason::RateLimited, CloseReason::TooManyRequests));
}

/// Whoever reads one page and leaves reads long lists, too.
#[tokio::test]
async fn logins_that_are_left_after_a_page_keep_to_the_rate_of_list_reads() {
    let world = with_secret();
    let gateway = world.start_with(&["sessions.max=1000", "limits.logins_burst=1000"]);
    let friends: Vec<_> = (0..501).map(|n| format!("friend{n}")).collect();
    let users: Vec<_> = friends.iter().map(String::as_str).chain(["alice"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("alice", friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;
    let (token, begun) = (token("alice", 600), Instant::now());
    let mut served = 0.0;
    loop {
        let mut raw = Raw::open(&gateway, Encoding::Json).await;
        if raw.log_in(&token).await.error.is_some_and(|error| error.code == 416) {
            break;
        }
        served += 1.0;
        let allowed = 110.0 + 20.0 * begun.elapsed().as_secs_f64();
        assert!(served <= allowed && begun.elapsed() < PATIENCE, "{served} logins in {:?}", begun.elapsed());
    }
}
