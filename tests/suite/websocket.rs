//! The protocol below the commands: the upgrade, frames that cannot be read, control frames, and heartbeats.

use std::time::Duration;

use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::time::Instant;

use crate::raw::{BINARY, CLOSE, CONTINUATION, Ending, Frame, PING, PONG, Raw, TEXT, header, payload, upgrade};
use crate::support::{Gateway, World};

/// The default of `limits.frame_bytes`.
const FRAME_BYTES: usize = 65536;

fn nick(encoding: Encoding, nick: &str, id: u64) -> Vec<u8> {
    payload(
        encoding,
        ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() }),
        id,
    )
}

/// A readable command that is as long as this.
fn command_of(encoding: Encoding, bytes: usize) -> Vec<u8> {
    // An account that is none: the answer is an error that names it.
    let get = |n: usize| payload(encoding, ClientCommand::GetUsers(v1::GetUsers { accounts: vec!["x".repeat(n)] }), 7);
    let mut n = bytes - get(0).len();
    while get(n).len() > bytes {
        n -= 1;
    }
    assert_eq!(get(n).len(), bytes);
    get(n)
}

/// What a gateway cannot read in this encoding, as bytes on the wire.
fn unreadable(encoding: Encoding) -> Vec<(&'static str, Vec<u8>)> {
    let good = nick(encoding, "x", 1);
    let half = &good[..good.len() / 2];
    let (own, other) = if encoding == Encoding::Json { (TEXT, BINARY) } else { (BINARY, TEXT) };
    let frame = |frame: Frame| frame.bytes();
    let two = |a: Frame, b: Frame| [a.bytes(), b.bytes()].concat();
    let mut cases = vec![
        ("a message of the other kind", frame(Frame::new(other, "{}"))),
        ("a command that is cut off", frame(Frame::new(own, half))),
        ("a message over the limit", frame(Frame::new(own, command_of(encoding, FRAME_BYTES + 1)))),
        ("a length of 2^63 - 1", [header(0x80 | own, true, i64::MAX as u64), vec![0; 4]].concat()),
        ("a length of 2^64 - 1", [header(0x80 | own, true, u64::MAX), vec![0; 4]].concat()),
        (
            "fragments that are over the limit together",
            two(Frame::fragment(own, vec![b' '; FRAME_BYTES - 10]), Frame::new(CONTINUATION, vec![b' '; 20])),
        ),
        ("a frame that is not masked", frame(Frame::new(own, good.clone()).unmasked())),
        ("a compressed frame", frame(Frame::new(own, good.clone()).reserved())),
        ("a reserved opcode", frame(Frame::new(0x3, good.clone()))),
        ("a reserved control opcode", frame(Frame::new(0xB, ""))),
        ("a continuation of nothing", frame(Frame::new(CONTINUATION, good.clone()))),
        ("a message within a message", two(Frame::fragment(own, half), Frame::new(own, good.clone()))),
        ("a fragmented ping", frame(Frame::fragment(PING, "x"))),
        ("a ping of 126 bytes", frame(Frame::new(PING, vec![b'x'; 126]))),
        ("half a close code", frame(Frame::new(CLOSE, vec![0x0b]))),
    ];
    let special: &[(&str, &[u8])] = match encoding {
        Encoding::Json => &[
            ("not JSON", b"nick x"),
            ("an empty message", b""),
            ("JSON, but no object", b"[1]"),
            ("two objects", b"{}{}"),
            ("invalid UTF-8 outside of texts", b"{}\xff"),
            ("invalid UTF-8 in a text", b"{\"id\":1,\"updateMyInfo\":{\"nick\":\"\xc3\x28\"}}"),
            ("a surrogate in UTF-8", b"{\"id\":1,\"updateMyInfo\":{\"nick\":\"\xed\xa0\x80\"}}"),
        ],
        Encoding::Protobuf => &[
            ("a tag without a value", &[0x08]),
            ("a length over the end", &[0x08, 1, 0x22, 0x7f, 0x0a]),
            ("a text in the place of the id", &[0x0a, 1, b'x']),
            ("a number in the place of a text", &[0x08, 1, 0x22, 2, 0x08, 5]),
            ("invalid UTF-8 in a text", &[0x08, 1, 0x22, 4, 0x0a, 2, 0xc3, 0x28]),
            ("JSON", b"{\"id\":1,\"logout\":{}}"),
        ],
    };
    cases.extend(special.iter().map(|(what, payload)| (*what, frame(Frame::new(own, *payload)))));
    cases
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_session_with_3501_and_writes_nothing() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let before = gateway.user("alice").await;
    for encoding in Encoding::ALL {
        for (what, bytes) in unreadable(encoding) {
            for logged_in in [false, true] {
                let what = format!("{encoding:?}, {what}, logged in: {logged_in}");
                let mut raw = if logged_in {
                    Raw::login(&gateway, "alice", encoding).await
                } else {
                    Raw::open(&gateway, encoding).await
                };
                raw.write(&bytes).await;
                raw.ending().await.assert(3501, "MALFORMED_FRAME", &what);
            }
        }
    }
    assert_eq!(gateway.user("alice").await, before);
    assert_eq!(gateway.metric("rosterd_connections").await, 0.0);
}

#[tokio::test]
async fn a_message_as_large_as_the_limit_is_read_however_it_is_cut() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    for encoding in Encoding::ALL {
        let mut alice = Raw::login(&gateway, "alice", encoding).await;
        let largest = command_of(encoding, FRAME_BYTES);
        let error = alice.ask(largest.clone()).await.error.unwrap();
        assert_eq!(error.field.as_deref(), Some("accounts[0]"));
        let (a, b) = largest.split_at(FRAME_BYTES / 2);
        send_in_pieces(&mut alice, encoding, &[a, b]).await;
        assert_eq!(alice.server().await.error.unwrap().field.as_deref(), Some("accounts[0]"));
    }
    // The setting decides, not a constant.
    let world = World::new();
    let gateway = world.start_with(&["limits.frame_bytes=1024"]);
    gateway.populate(&["alice"], &[]).await;
    let mut alice = Raw::login(&gateway, "alice", Encoding::Json).await;
    assert!(alice.ask(command_of(Encoding::Json, 1024)).await.error.is_some());
    alice.message(command_of(Encoding::Json, 1025)).await;
    alice.ending().await.assert(3501, "MALFORMED_FRAME", "1025 bytes");
}

async fn send_in_pieces(raw: &mut Raw, encoding: Encoding, pieces: &[&[u8]]) {
    let opcode = |at| match (at, encoding) {
        (0, Encoding::Json) => TEXT,
        (0, Encoding::Protobuf) => BINARY,
        _ => CONTINUATION,
    };
    for (at, piece) in pieces.iter().enumerate() {
        let last = at + 1 == pieces.len();
        let frame = if last { Frame::new(opcode(at), *piece) } else { Frame::fragment(opcode(at), *piece) };
        raw.send(&frame).await;
    }
}

#[tokio::test]
async fn fragments_make_one_message_and_a_ping_between_them_is_answered_first() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    for encoding in Encoding::ALL {
        let mut alice = Raw::login(&gateway, "alice", encoding).await;
        // One byte to a frame cuts through every character.
        let name = format!("漢字 {encoding:?}");
        let message = nick(encoding, &name, 1);
        let pieces: Vec<_> = message.chunks(1).collect();
        send_in_pieces(&mut alice, encoding, &pieces).await;
        let user = alice.server().await.update_my_info_reply.unwrap().user.unwrap();
        assert_eq!(user.nick, name);

        let message = nick(encoding, "after a ping", 2);
        let (a, b) = message.split_at(5);
        let own = if encoding == Encoding::Json { TEXT } else { BINARY };
        alice.send(&Frame::fragment(own, a)).await;
        alice.send(&Frame::new(PING, "between")).await;
        // The answer comes although the message is not whole.
        let pong = alice.frame().await.unwrap();
        assert_eq!(pong, Frame::new(PONG, "between").unmasked());
        alice.send(&Frame::new(PONG, "that nobody asked for")).await;
        alice.send(&Frame::new(CONTINUATION, b)).await;
        let user = alice.server().await.update_my_info_reply.unwrap().user.unwrap();
        assert_eq!(user.nick, "after a ping");
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_before_and_after_the_login() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let longest = vec![0xff; 125];
    for mut raw in [Raw::open(&gateway, Encoding::Json).await, Raw::login(&gateway, "alice", Encoding::Json).await] {
        for text in [Vec::new(), b"are you there".to_vec(), longest.clone()] {
            raw.send(&Frame::new(PING, text.clone())).await;
            assert_eq!(raw.frame().await, Some(Frame::new(PONG, text).unmasked()));
        }
    }
}

#[tokio::test]
async fn a_close_frame_is_answered_with_one_and_then_the_stream_ends() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let normal = [&1000_u16.to_be_bytes()[..], b"done"].concat();
    for (payload, code) in [(normal, 1000), (Vec::new(), 1005), (4321_u16.to_be_bytes().to_vec(), 4321)] {
        for mut raw in [Raw::open(&gateway, Encoding::Json).await, Raw::login(&gateway, "alice", Encoding::Json).await]
        {
            raw.send(&Frame::new(CLOSE, payload.clone())).await;
            let Ending { goodbye, close } = raw.ending().await;
            assert_eq!((goodbye, close.map(|(code, _)| code)), (None, Some(code)));
        }
    }
}

#[tokio::test]
async fn a_logout_is_answered_and_the_gateway_closes() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    for encoding in Encoding::ALL {
        let mut alice = Raw::login(&gateway, "alice", encoding).await;
        assert!(alice.command(ClientCommand::Logout(v1::Logout {})).await.logout_reply.is_some());
        let close = alice.frame().await.unwrap();
        assert_eq!(close.opcode(), CLOSE);
        alice.send(&Frame::new(CLOSE, close.payload)).await;
        assert_eq!(alice.ending().await, Ending::default());
    }
}

#[tokio::test]
async fn a_client_that_does_not_log_in_in_time_gets_a_goodbye() {
    let world = World::new();
    let gateway = world.start_with(&["limits.login_timeout=150ms"]);
    gateway.populate(&["alice"], &[]).await;
    for encoding in Encoding::ALL {
        let begun = Instant::now();
        let mut silent = Raw::open(&gateway, encoding).await;
        let mut busy = Raw::open(&gateway, encoding).await;
        // Other commands, heartbeats and pings are no login.
        busy.message(encoding.heartbeat()).await;
        busy.send(&Frame::new(PING, "")).await;
        silent.ending().await.assert(3502, "LOGIN_TIMEOUT", "a silent client");
        busy.ending().await.assert(3502, "LOGIN_TIMEOUT", "one that is busy");
        assert!(begun.elapsed() >= Duration::from_millis(150));
    }
    // Who is logged in stays.
    let mut alice = Raw::login(&gateway, "alice", Encoding::Json).await;
    Raw::open(&gateway, Encoding::Json).await.ending().await.assert(3502, "LOGIN_TIMEOUT", "another");
    alice.assert_alive("after the timeout").await;
}

/// A gateway with the shortest heartbeat there is.
fn with_heartbeat(world: &World) -> Gateway {
    world.start_with(&["clients.heartbeat=1s"])
}

#[tokio::test]
async fn a_client_that_does_not_answer_heartbeats_is_closed_with_3001() {
    let world = World::new();
    let gateway = with_heartbeat(&world);
    gateway.populate(&["alice"], &[]).await;
    let silent = async |encoding| {
        let mut raw = Raw::open(&gateway, encoding).await;
        let reply = raw.log_in("alice").await.login_reply.unwrap();
        assert_eq!(reply.heartbeat_ms, 1000);
        let begun = Instant::now();
        raw.ending().await.assert(3001, "NO_HEARTBEAT", "a silent client");
        // It had the first one, and a whole interval to answer it.
        assert_eq!(raw.heartbeats, 1, "{encoding:?}");
        assert!(begun.elapsed() >= Duration::from_millis(1400) && begun.elapsed() < Duration::from_secs(5));
    };
    tokio::join!(silent(Encoding::Json), silent(Encoding::Protobuf));
}

#[tokio::test]
async fn whoever_says_anything_at_all_lives_through_many_heartbeats() {
    let world = World::new();
    let gateway = with_heartbeat(&world);
    gateway.populate(&["alice", "bob", "carol"], &[]).await;
    let lives = async |account: &str, encoding: Encoding, answer: Option<Frame>| {
        let mut raw = Raw::login(&gateway, account, encoding).await;
        for _ in 0..4 {
            // A heartbeat of the other encoding would be read as something else.
            let frame = raw.frame().await.unwrap();
            assert_eq!(frame.payload, encoding.heartbeat());
            match &answer {
                Some(frame) => raw.send(frame).await,
                None => raw.message(encoding.heartbeat()).await,
            }
        }
        raw.assert_alive("after four heartbeats").await;
    };
    tokio::join!(
        lives("alice", Encoding::Json, None),
        lives("bob", Encoding::Protobuf, None),
        lives("carol", Encoding::Json, Some(Frame::new(PONG, "unasked"))),
    );
}

#[tokio::test]
async fn the_upgrade_chooses_a_subprotocol_or_says_what_is_wrong() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let (json, protobuf) = ("rosterd.v1.json", "rosterd.v1.protobuf");
    let offer = |offered: &str| upgrade(&format!("Sec-WebSocket-Protocol: {offered}\r\n"));
    for (request, chosen) in [
        (upgrade(""), None),
        (offer(json), Some(json)),
        (offer(protobuf), Some(protobuf)),
        (offer("rosterd.v1.json, rosterd.v1.protobuf"), Some(json)),
        (offer("rosterd.v9.cbor,rosterd.v1.protobuf , rosterd.v1.json"), Some(protobuf)),
        (offer("chat\r\nSec-WebSocket-Protocol: rosterd.v1.json"), Some(json)),
        (offer("ünknown, rosterd.v1.json"), Some(json)),
        (upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n"), None),
    ] {
        let what = String::from_utf8_lossy(&request).into_owned();
        let (mut raw, head) = Raw::request(gateway.clients, &request).await;
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{what}{head}");
        // The example of RFC 6455, section 1.3.
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
        let line = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(line, chosen, "{what}");
        assert!(!head.contains("permessage-deflate"), "{head}");
        if chosen != Some(protobuf) {
            assert!(raw.log_in("alice").await.login_reply.is_some(), "{what}");
        }
    }
    for (request, status, says) in [
        (b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(), 400, "WebSocket"),
        (offer("chat"), 400, "subprotocol"),
        (offer("chat, rosterd.v1"), 400, "subprotocol"),
        (offer("r\u{f6}sterd"), 400, "subprotocol"),
        (offer(""), 400, "subprotocol"),
        (replaced("Version: 13", "Version: 8"), 426, "version 13"),
        (replaced("Upgrade: websocket", "Upgrade: h2c"), 400, "WebSocket"),
        (replaced("Sec-WebSocket-Key: ", "X-Other: "), 400, "WebSocket"),
        (replaced("GET", "POST"), 405, ""),
        (replaced("/v1/ws", "/v1/other"), 404, ""),
        (replaced("/v1/ws", "/v1/users/alice"), 404, ""),
        (b"nonsense\r\n\r\n".to_vec(), 400, ""),
    ] {
        let what = String::from_utf8_lossy(&request).into_owned();
        let (mut raw, head) = Raw::request(gateway.clients, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{what}{head}");
        if !says.is_empty() {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let body = raw.body(length.parse().unwrap()).await;
            assert!(body.contains(says), "{what}{body}");
        }
    }
    assert!(!world.log().contains("panicked"), "{}", world.log());
}

/// The usual request with one part of it changed.
fn replaced(part: &str, by: &str) -> Vec<u8> {
    let usual = String::from_utf8(upgrade("")).unwrap();
    assert!(usual.contains(part));
    usual.replacen(part, by, 1).into_bytes()
}
