//! The hard cases of the WebSocket protocol (RFC 6455), byte by byte: what a gateway reads, answers and refuses, for
//! clients of every library and of none. What a message means is not looked at here; `websocket` has the upgrade and
//! the messages that cannot be read.

use rosterd_protocol::Encoding;

use crate::raw::{BINARY, CLOSE, CONTINUATION, Ending, Frame, PING, PONG, Raw, TEXT, header, payload};
use crate::support::{Gateway, World, nick_command};

/// How many pieces a message may come in, `limits.fragments`.
const PIECES: usize = 128;

/// What follows from some bytes.
enum Then {
    /// A goodbye and a close frame with 3501.
    Malformed,
    /// No goodbye, and a close frame with this code; a client that closes is answered in its own way.
    Closed(u16),
    /// These frames in this order, and the session lives on.
    Lives(Vec<Frame>),
    /// The nick that is in a message is now the account's: the message was read.
    Read,
}

struct Case {
    what: &'static str,
    /// The section of RFC 6455 that says so.
    section: &'static str,
    bytes: Vec<u8>,
    then: Then,
}

/// With other first bits than its own.
fn first(first: u8, frame: Frame) -> Frame {
    Frame { first, ..frame }
}

/// A frame whose length takes more bytes than it must.
fn long_winded(opcode: u8, payload: &[u8], bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    if bytes == 2 {
        frame.push(0x80 | 0x7e);
        frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    } else {
        frame.push(0x80 | 0x7f);
        frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    // Masked with zeros, which is a mask like any other.
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn close(code: u16, reason: &[u8]) -> Frame {
    Frame::new(CLOSE, [&code.to_be_bytes(), reason].concat())
}

fn all(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

/// Control frames: alone, too large, in pieces, unmasked, between the pieces of a message.
fn control(own: u8, message: &[u8]) -> Vec<Case> {
    let case = |what, section, frames: &[Frame], then| Case { what, section, bytes: all(frames), then };
    let pong = |text: &str| Frame::new(PONG, text).unmasked();
    let (a, b) = message.split_at(message.len() / 2);
    let full = vec![b'p'; 125];
    vec![
        case("an empty ping", "5.5.2", &[Frame::new(PING, "")], Then::Lives(vec![pong("")])),
        case(
            "a ping of 125 bytes",
            "5.5",
            &[Frame::new(PING, full.clone())],
            Then::Lives(vec![Frame::new(PONG, full).unmasked()]),
        ),
        case(
            "a ping of bytes that are no text",
            "5.5.2",
            &[Frame::new(PING, [0xff, 0, 0xfe])],
            Then::Lives(vec![Frame::new(PONG, [0xff, 0, 0xfe]).unmasked()]),
        ),
        case("a ping of 126 bytes", "5.5", &[Frame::new(PING, vec![b'p'; 126])], Then::Malformed),
        case("a pong of 126 bytes", "5.5", &[Frame::new(PONG, vec![b'p'; 126])], Then::Malformed),
        case("a close frame of 126 bytes", "5.5", &[close(1000, &[b'x'; 124])], Then::Malformed),
        case("a pong that nobody asked for", "5.5.3", &[Frame::new(PONG, "x")], Then::Lives(vec![])),
        case("a ping in pieces", "5.5", &[Frame::fragment(PING, "x")], Then::Malformed),
        case("a pong in pieces", "5.5", &[Frame::fragment(PONG, "x")], Then::Malformed),
        case("a close frame in pieces", "5.5", &[first(CLOSE, close(1000, b""))], Then::Malformed),
        case("a ping that is not masked", "5.1", &[Frame::new(PING, "x").unmasked()], Then::Malformed),
        case("a pong that is not masked", "5.1", &[Frame::new(PONG, "x").unmasked()], Then::Malformed),
        case("a close frame that is not masked", "5.1", &[close(1000, b"").unmasked()], Then::Malformed),
        case(
            "pings between the pieces of a message",
            "5.4",
            &[
                Frame::fragment(own, a),
                Frame::new(PING, "1"),
                Frame::fragment(CONTINUATION, ""),
                Frame::new(PONG, "2"),
                Frame::new(CONTINUATION, b),
            ],
            Then::Read,
        ),
        case(
            "a ping in the middle of which the message stops",
            "5.4",
            &[Frame::fragment(own, a), Frame::new(PING, "1"), Frame::new(own, message)],
            Then::Malformed,
        ),
    ]
}

/// The end: every kind of code and reason, and what comes after it.
fn closing(own: u8, message: &[u8]) -> Vec<Case> {
    let case = |what, bytes, then| Case { what, section: "7.4", bytes, then };
    let mut cases = vec![
        case("a close frame without a code", Frame::new(CLOSE, "").bytes(), Then::Closed(1005)),
        case("half a code", Frame::new(CLOSE, vec![3]).bytes(), Then::Malformed),
        case("a reason that is no UTF-8", close(1000, &[0xc3, 0x28]).bytes(), Then::Malformed),
        case("a reason of 123 bytes", close(1000, &[b'x'; 123]).bytes(), Then::Closed(1000)),
        case("commands after the close frame", all(&[close(1000, b""), Frame::new(own, message)]), Then::Closed(1000)),
        case("a close frame after a close frame", all(&[close(1000, b""), close(3000, b"")]), Then::Closed(1000)),
        case(
            "a close frame between the pieces of a message",
            all(&[Frame::fragment(own, &message[..5]), close(1001, b""), Frame::new(CONTINUATION, &message[5..])]),
            Then::Closed(1001),
        ),
    ];
    for (what, codes, answer) in [
        (
            "a code for applications, or of the protocol",
            vec![1000, 1001, 1003, 1007, 1011, 3000, 3500, 4000, 4999],
            None,
        ),
        // Those are never sent, and are answered as the violation that they are.
        ("a code that must not be sent", vec![0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535], Some(1002)),
    ] {
        cases.extend(
            codes.into_iter().map(|code| case(what, close(code, b"").bytes(), Then::Closed(answer.unwrap_or(code)))),
        );
    }
    cases
}

/// Messages in pieces and of every form, reserved bits and opcodes.
fn data(own: u8, other: u8, message: &[u8]) -> Vec<Case> {
    let case = |what, section, bytes, then| Case { what, section, bytes, then };
    let pieces = |size: usize| {
        let chunks: Vec<_> = message.chunks(size).collect();
        let frame = |(at, chunk): (usize, &&[u8])| {
            let opcode = if at == 0 { own } else { CONTINUATION };
            let last = at + 1 == chunks.len();
            if last { Frame::new(opcode, *chunk) } else { Frame::fragment(opcode, *chunk) }
        };
        all(&chunks.iter().enumerate().map(frame).collect::<Vec<_>>())
    };
    let empty = |before: usize| {
        let mut frames = vec![Frame::fragment(own, "")];
        frames.extend((1..before).map(|_| Frame::fragment(CONTINUATION, "")));
        frames.push(Frame::new(CONTINUATION, message));
        all(&frames)
    };
    let mut cases = vec![
        case("a message in one piece", "5.6", Frame::new(own, message).bytes(), Then::Read),
        case("a message of one byte to a piece", "5.4", pieces(1), Then::Read),
        case("a message in two pieces", "5.4", pieces(message.len() / 2 + 1), Then::Read),
        case("empty pieces before a message, as many as there may be", "5.4", empty(PIECES - 1), Then::Read),
        case("one more", "5.4", empty(PIECES), Then::Malformed),
        case(
            "an empty piece that ends a message",
            "5.4",
            all(&[Frame::fragment(own, message), Frame::new(CONTINUATION, "")]),
            Then::Read,
        ),
        case("a length in 2 bytes that fits 1", "5.2", long_winded(own, message, 2), Then::Read),
        case("a length in 8 bytes that fits 1", "5.2", long_winded(own, message, 8), Then::Read),
        case("a length of 2^63", "5.2", [header(0x80 | own, true, 1 << 63), vec![0; 4]].concat(), Then::Malformed),
        case("a length of 4 GiB", "5.2", [header(0x80 | own, true, 1 << 32), vec![0; 4]].concat(), Then::Malformed),
        case("a continuation of nothing", "5.4", Frame::new(CONTINUATION, message).bytes(), Then::Malformed),
        case(
            "a continuation of nothing, with more to come",
            "5.4",
            Frame::fragment(CONTINUATION, message).bytes(),
            Then::Malformed,
        ),
        case(
            "a message that begins within another",
            "5.4",
            all(&[Frame::fragment(own, &message[..5]), Frame::fragment(own, message)]),
            Then::Malformed,
        ),
        case("a message of the other kind", "5.6", Frame::new(other, message).bytes(), Then::Malformed),
        case(
            "a message of the other kind in pieces",
            "5.6",
            all(&[Frame::fragment(other, &message[..5]), Frame::new(CONTINUATION, &message[5..])]),
            Then::Malformed,
        ),
        case("a message that is not masked", "5.1", Frame::new(own, message).unmasked().bytes(), Then::Malformed),
        case(
            "a second piece that is not masked",
            "5.1",
            all(&[Frame::fragment(own, &message[..5]), Frame::new(CONTINUATION, &message[5..]).unmasked()]),
            Then::Malformed,
        ),
    ];
    for bit in [0x40, 0x20, 0x10] {
        cases.push(case(
            "a reserved bit",
            "5.2",
            first(0x80 | bit | own, Frame::new(own, message)).bytes(),
            Then::Malformed,
        ));
        cases.push(case(
            "a reserved bit of a ping",
            "5.2",
            first(0x80 | bit | PING, Frame::new(PING, "x")).bytes(),
            Then::Malformed,
        ));
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        cases.push(case("a reserved opcode", "5.2", Frame::new(opcode, "x").bytes(), Then::Malformed));
    }
    cases
}

/// Text that is no UTF-8, wherever it is cut.
fn text() -> Vec<Case> {
    let around = |bytes: &[u8]| [b"{\"id\":1,\"updateMyInfo\":{\"nick\":\"", bytes, b"\"}}"].concat();
    let mut cases = Vec::new();
    for (what, wrong) in [
        ("a continuation byte without a start", &[0x80][..]),
        ("a start without its continuation", &[0xe6, 0xbc]),
        ("an overlong slash", &[0xc0, 0xaf]),
        ("a surrogate", &[0xed, 0xa0, 0x80]),
        ("beyond Unicode", &[0xf4, 0x90, 0x80, 0x80]),
        ("a byte that never is", &[0xff]),
    ] {
        let message = around(wrong);
        cases.push(Case {
            what,
            section: "8.1",
            bytes: Frame::new(TEXT, message.clone()).bytes(),
            then: Then::Malformed,
        });
        let (a, b) = message.split_at(32);
        let cut = all(&[Frame::fragment(TEXT, a), Frame::new(CONTINUATION, b)]);
        cases.push(Case { what, section: "8.1", bytes: cut, then: Then::Malformed });
    }
    cases
}

/// Sends the bytes on a new session and holds what follows to the table.
///
/// The account is the case's own: otherwise it would get a record that the session of the case before left.
async fn check(gateway: &Gateway, encoding: Encoding, case: Case, (account, nick): (&str, &str)) {
    let Case { what, section, bytes, then } = case;
    let what = format!("{encoding:?}, {what} (section {section})");
    let mut raw = Raw::login(gateway, account, encoding).await;
    raw.write(&bytes).await;
    match then {
        Then::Malformed => raw.ending().await.assert(3501, "MALFORMED_FRAME", &what),
        Then::Closed(code) => {
            let Ending { goodbye, close } = raw.ending().await;
            assert_eq!((goodbye, close.map(|(code, _)| code)), (None, Some(code)), "{what}");
        }
        Then::Lives(expected) => {
            for frame in expected {
                assert_eq!(raw.frame().await, Some(frame), "{what}");
            }
            raw.assert_alive(&what).await;
        }
        Then::Read => {
            let mut reply = raw.frame().await.unwrap();
            while reply.opcode() == PONG {
                reply = raw.frame().await.unwrap();
            }
            let reply = encoding.decode_server(&reply.payload).unwrap();
            let user = reply.update_my_info_reply.unwrap_or_else(|| panic!("{what}")).user.unwrap();
            assert_eq!(user.nick, nick, "{what}");
            raw.assert_alive(&what).await;
        }
    }
}

#[tokio::test]
async fn every_frame_is_read_answered_or_refused_as_the_protocol_says() {
    let world = World::new();
    let gateway = world.start();
    let accounts: Vec<_> = (0..300).map(|n| format!("a{n}")).collect();
    gateway.populate(&accounts.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
    let mut cases = 0;
    for (encoding, own, other) in [(Encoding::Json, TEXT, BINARY), (Encoding::Protobuf, BINARY, TEXT)] {
        let nick = format!("漢字 {encoding:?}");
        let message = payload(encoding, nick_command(&nick), 1);
        let mut table = control(own, &message);
        table.extend(closing(own, &message));
        table.extend(data(own, other, &message));
        if encoding == Encoding::Json {
            table.extend(text());
        }
        for case in table {
            check(&gateway, encoding, case, (&accounts[cases], &nick)).await;
            cases += 1;
        }
    }
    assert!(cases > 150, "{cases}");
    gateway.until_metric("rosterd_connections", "", |n| n == 0.0).await;
    assert!(!world.log().contains("panicked"), "{}", world.log());
}

#[tokio::test]
async fn whatever_the_gateway_sends_is_whole_unmasked_and_without_reserved_bits() {
    let world = World::new();
    let gateway = world.start();
    let friends: Vec<_> = (0..400).map(|n| format!("f{n}")).collect();
    let users: Vec<_> = friends.iter().map(String::as_str).chain(["alice"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("alice", friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;
    for (encoding, own) in [(Encoding::Json, TEXT), (Encoding::Protobuf, BINARY)] {
        let mut raw = Raw::open(&gateway, encoding).await;
        raw.message(payload(encoding, login("alice"), 1)).await;
        raw.send(&Frame::new(PING, "x")).await;
        let (mut lengths, mut synced, mut ponged) = (Vec::new(), false, false);
        while !synced || !ponged {
            let frame = raw.frame().await.unwrap();
            assert!(!frame.masked);
            if frame.opcode() == PONG {
                assert_eq!(frame, Frame::new(PONG, "x").unmasked());
                ponged = true;
                continue;
            }
            assert_eq!(frame.first, 0x80 | own, "one final frame to a message");
            lengths.push(frame.payload.len());
            // What comes after it, such as the end of the session before, does not take it back.
            synced |= encoding.decode_server(&frame.payload).unwrap().synced.is_some();
        }
        // Headers of more than one form.
        assert!(lengths.iter().any(|length| *length > 126) && lengths.len() > 3, "{lengths:?}");
    }
}

fn login(token: &str) -> rosterd_protocol::ClientCommand {
    rosterd_protocol::ClientCommand::Login(rosterd_protocol::v1::Login {
        token: token.to_owned(),
        ..Default::default()
    })
}

#[tokio::test]
async fn bytes_may_come_one_at_a_time_and_end_anywhere() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    for (encoding, account) in Encoding::ALL.into_iter().zip(["alice", "bob"]) {
        let message = payload(encoding, nick_command(&format!("slow {encoding:?}")), 1);
        let opcode = if encoding == Encoding::Json { TEXT } else { BINARY };
        let bytes = Frame::new(opcode, message).bytes();
        let mut raw = Raw::login(&gateway, account, encoding).await;
        for byte in &bytes {
            raw.write(std::slice::from_ref(byte)).await;
        }
        assert!(raw.server().await.update_my_info_reply.is_some());
        let before = gateway.user(account).await;
        // A stream that ends within a frame is one that is lost: nothing of it counts.
        for end in 1..bytes.len() {
            let mut raw = Raw::login(&gateway, account, encoding).await;
            raw.write(&bytes[..end]).await;
        }
        assert_eq!(gateway.user(account).await, before);
    }
}

#[tokio::test]
async fn pings_without_end_cost_a_client_that_reads_nothing_no_session() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut raw = Raw::login(&gateway, "alice", Encoding::Json).await;
    let pings: Vec<u8> = (0..20_000_u32).flat_map(|n| Frame::new(PING, n.to_be_bytes()).bytes()).collect();
    raw.write(&pings).await;
    // Only the last has to be answered (section 5.5.3).
    loop {
        let frame = raw.frame().await.unwrap();
        assert_eq!(frame.opcode(), PONG);
        if frame.payload == 19_999_u32.to_be_bytes() {
            break;
        }
    }
    raw.assert_alive("after twenty thousand pings").await;
}
