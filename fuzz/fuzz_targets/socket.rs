//! Bytes on a WebSocket after its login, valid frames and invalid ones: the gateway answers with whole frames that a
//! client can read, and the session ends with a close frame or with its stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rosterd::admission::Rate;
use rosterd_client::{Client, Replica};
use rosterd_engine::model::WriteOrigin;
use rosterd_fuzz::{Kind, Node, in_time, run};
use rosterd_protocol::{ClientCommand, Encoding, import_line, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fuzz_target!(|data: &[u8]| {
    let Some((settings, bytes)) = data.split_first() else { return };
    run(socket(*settings, bytes));
});

async fn socket(settings: u8, bytes: &[u8]) {
    let encoding = Encoding::ALL[usize::from(settings & 1)];
    let commands = (settings & 2 != 0).then_some(Rate { per_second: 10, burst: 4 });
    let node = Node::start(Kind { commands, ..Kind::default() }).await;
    let made = ["a", "b"].map(|account| import_line(&format!("{{\"user\":{{\"account\":\"{account}\"}}}}")));
    node.service
        .import(made.into_iter().collect::<Result<_, _>>().expect("good lines"), &WriteOrigin::Import)
        .await
        .expect("a store");

    let mut stream = open(&node, encoding).await;
    let mut login = Vec::new();
    encoding
        .encode(&ClientCommand::Login(v1::Login { token: "a".to_owned(), ..Default::default() }).frame(1), &mut login);
    if settings & 4 == 0 {
        let opcode = if encoding == Encoding::Json { 0x81 } else { 0x82 };
        // Zeros are a valid mask.
        let frame = [&[opcode, 0x80 | login.len() as u8, 0, 0, 0, 0], login.as_slice()].concat();
        let _ = stream.write_all(&frame).await;
    }
    // A long input in pieces of one byte would only be slow.
    for piece in bytes.chunks(usize::from(settings >> 3) * 8 + 1 + bytes.len() / 64) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = in_time("the end of the stream", stream.read_to_end(&mut answer)).await;
    read(encoding, &answer);
    drop(stream);
    // Other connections are served as before.
    let other = node.connect().await;
    let url = format!("ws://{}/v1/ws", node.address);
    let mut other = Client::upgrade(other, &url, encoding).await.expect("a WebSocket");
    in_time("a login", other.login("b", &mut Replica::default())).await.expect("a login");
    drop(other);
    node.settled().await;
}

async fn open(node: &Node, encoding: Encoding) -> TcpStream {
    let mut stream = node.connect().await;
    let head = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        encoding.subprotocol()
    );
    stream.write_all(head.as_bytes()).await.expect("the gateway reads");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(in_time("an answer", stream.read_u8()).await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream
}

/// Reads the bytes of a gateway: whole frames, and nothing after a close frame.
fn read(encoding: Encoding, mut bytes: &[u8]) {
    let own = if encoding == Encoding::Json { 0x81 } else { 0x82 };
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match (second, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, rest) if rest.len() >= 8 => {
                let (length, rest) = rest.split_at(8);
                (u64::from_be_bytes(length.try_into().expect("eight bytes")), rest)
            }
            (..126, rest) => (u64::from(*second), rest),
            // Masked, or cut off with the stream, which is allowed.
            (128.., _) => panic!("a masked frame"),
            _ => return,
        };
        let Some((payload, rest)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))
        else {
            return;
        };
        match first {
            0x88 => {
                assert!(rest.is_empty(), "something after the close");
                return;
            }
            0x8a => {}
            first if *first == own => drop(encoding.decode_server(payload).expect("a frame that can be read")),
            first => panic!("a frame that begins with {first:#04x}"),
        }
        bytes = rest;
    }
}
