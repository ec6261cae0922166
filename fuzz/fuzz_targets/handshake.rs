//! Bytes of an unknown client: the listener answers with HTTP or not at all, opens a WebSocket only for a request that
//! is allowed one, and the connection ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rosterd::admission::{ForwardedHeader, Origins, Proxies};
use rosterd_fuzz::{Kind, Node, in_time, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fuzz_target!(|data: &[u8]| {
    let Some((settings, request)) = data.split_first() else { return };
    run(handshake(*settings, request));
});

async fn handshake(settings: u8, request: &[u8]) {
    let list = |bit: u8, entry: &str| if settings & bit == 0 { Vec::new() } else { vec![entry.to_owned()] };
    let networks = Proxies::parse(&list(1, "127.0.0.0/8")).expect("a network");
    let header = if settings & 2 == 0 { ForwardedHeader::XForwardedFor } else { ForwardedHeader::Forwarded };
    let origins = (settings & 4 != 0).then(|| Origins::parse(&list(8, "https://*.example.com")).expect("an origin"));
    let node = Node::start(Kind { origins, proxies: Proxies { networks, header }, ..Kind::default() }).await;

    let mut stream = node.connect().await;
    // In two pieces, because a request may arrive like that.
    let (one, other) = request.split_at(request.len() * usize::from(settings >> 4) / 15);
    let _ = stream.write_all(one).await;
    tokio::task::yield_now().await;
    let _ = stream.write_all(other).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = in_time("the end of the answer", stream.read_to_end(&mut answer)).await;
    check(request, &answer);
    drop(stream);
    node.settled().await;
}

fn check(request: &[u8], answer: &[u8]) {
    if answer.is_empty() {
        return;
    }
    let head = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let head = String::from_utf8_lossy(head);
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
    let status: u16 = status.trim().parse().unwrap_or_else(|_| panic!("not an answer: {head}"));
    assert!((100..500).contains(&status), "{head}");
    if status == 101 {
        let request = request.to_ascii_lowercase();
        let says = |text: &str| request.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(says("/v1/ws") && says("upgrade") && says("sec-websocket-key") && says("sec-websocket-version"));
    }
}
