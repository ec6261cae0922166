//! A WebSocket spoken by hand, for what no library would send, and to see what one would hide.

use std::net::SocketAddr;

use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, is_aside};

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame, of either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN, the three reserved bits and the opcode, as on the wire.
    pub first: u8,
    pub masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole message, masked as a client's must be.
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { first: FINAL | opcode, masked: true, payload: payload.into() }
    }

    /// A fragment that others follow.
    pub fn fragment(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { first: opcode, ..Self::new(opcode, payload) }
    }

    pub fn unmasked(self) -> Self {
        Self { masked: false, ..self }
    }

    /// With a reserved bit set, as compression would.
    pub fn reserved(self) -> Self {
        Self { first: self.first | 0x40, ..self }
    }

    pub fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = header(self.first, self.masked, self.payload.len() as u64);
        if self.masked {
            bytes.extend_from_slice(&MASK);
            bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend_from_slice(&self.payload);
        }
        bytes
    }
}

/// The first bytes of a frame, up to its length.
pub fn header(first: u8, masked: bool, length: u64) -> Vec<u8> {
    let mask = if masked { MASKED } else { 0 };
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => bytes.push(mask | short),
        (_, Ok(medium)) => {
            bytes.push(mask + 126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(mask + 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ending {
    pub goodbye: Option<v1::Goodbye>,
    /// The close frame's code and text.
    pub close: Option<(u16, String)>,
}

impl Ending {
    /// A goodbye and a close frame that say the same.
    pub fn assert(&self, code: u16, word: &str, what: &str) {
        let goodbye = self.goodbye.as_ref().unwrap_or_else(|| panic!("{what}: no goodbye, {self:?}"));
        assert_eq!((goodbye.code, goodbye.reason.as_str()), (code.into(), word), "{what}");
        assert_eq!(goodbye.reconnect, code < 3500, "{what}");
        assert_eq!(self.close, Some((code, word.to_owned())), "{what}");
    }
}

/// A connection to the listener of clients.
pub struct Raw {
    stream: TcpStream,
    encoding: Encoding,
    /// Empty frames that have come; they are not answered.
    pub heartbeats: usize,
    last_id: u64,
}

/// A request to upgrade, with more header lines, each with its line break.
pub fn upgrade(more: &str) -> Vec<u8> {
    let head = "GET /v1/ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    format!("{head}{more}\r\n").into_bytes()
}

impl Raw {
    /// Sends a request; the connection, and the head of the answer.
    pub async fn request(address: SocketAddr, request: &[u8]) -> (Self, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut raw = Self { stream, encoding: Encoding::Json, heartbeats: 0, last_id: 0 };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match timeout(PATIENCE, raw.stream.read_u8()).await.expect("an answer in time") {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        (raw, String::from_utf8(head).unwrap())
    }

    /// A WebSocket that has not logged in.
    pub async fn open(gateway: &Gateway, encoding: Encoding) -> Self {
        let protocol = format!("Sec-WebSocket-Protocol: {}\r\n", encoding.subprotocol());
        let (raw, head) = Self::request(gateway.clients, &upgrade(&protocol)).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        Self { encoding, ..raw }
    }

    /// A WebSocket that has logged in and is synced; in development mode.
    pub async fn login(gateway: &Gateway, account: &str, encoding: Encoding) -> Self {
        let mut raw = Self::open(gateway, encoding).await;
        let reply = raw.log_in(account).await;
        assert!(reply.login_reply.is_some(), "{reply:?}");
        while raw.server().await.synced.is_none() {}
        raw
    }

    /// Logs in on this connection and answers the reply alone.
    pub async fn log_in(&mut self, token: &str) -> v1::ServerFrame {
        self.command(ClientCommand::Login(v1::Login { token: token.to_owned(), ..Default::default() })).await
    }

    /// The connection, to be read and written otherwise.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// A WebSocket with more header lines that has not logged in, or the status of the answer.
    pub async fn try_open(address: SocketAddr, more: &str) -> Result<Self, u16> {
        let (raw, head) = Self::request(address, &upgrade(more)).await;
        match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
            Some(101) => Ok(raw),
            Some(status) => Err(status),
            None => Err(0),
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, frame: &Frame) {
        self.write(&frame.bytes()).await;
    }

    /// Sends a payload as a message of the connection's kind.
    pub async fn message(&mut self, payload: impl Into<Vec<u8>>) {
        let opcode = if self.encoding == Encoding::Json { TEXT } else { BINARY };
        self.send(&Frame::new(opcode, payload)).await;
    }

    /// Sends a payload; the next frame that comes.
    pub async fn ask(&mut self, payload: impl Into<Vec<u8>>) -> v1::ServerFrame {
        self.message(payload).await;
        self.server().await
    }

    /// Sends a command; the next frame that comes but for what is said aside, which has its id.
    pub async fn command(&mut self, command: ClientCommand) -> v1::ServerFrame {
        self.last_id += 1;
        let id = self.last_id;
        let mut reply = self.ask(payload(self.encoding, command, id)).await;
        while is_aside(&reply) {
            reply = self.server().await;
        }
        assert_eq!(reply.id, id, "{reply:?}");
        reply
    }

    /// Proves that the session lives: a command is carried out.
    pub async fn assert_alive(&mut self, what: &str) {
        let reply = self.command(ClientCommand::GetUsers(v1::GetUsers { accounts: vec!["nobody".to_owned()] })).await;
        let missing = reply.get_users_reply.as_ref().map(|reply| reply.missing.as_slice());
        assert_eq!(missing, Some(&["nobody".to_owned()][..]), "{what}: {reply:?}");
    }

    /// Proves that the connection is open and nothing came on it.
    pub async fn assert_silent(&mut self) {
        self.send(&Frame::new(PING, "silent?")).await;
        assert_eq!(self.frame().await, Some(Frame::new(PONG, "silent?").unmasked()));
    }

    /// The next frame, whatever it is; none at the end of the stream.
    pub async fn frame(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.read_frame()).await.expect("a frame in time")
    }

    async fn read_frame(&mut self) -> Option<Frame> {
        let first = self.stream.read_u8().await.ok()?;
        let second = self.stream.read_u8().await.ok()?;
        let length = match second & 0x7f {
            126 => u64::from(self.stream.read_u16().await.ok()?),
            127 => self.stream.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame { first, masked: second & MASKED != 0, payload })
    }

    /// The next data frame that is not a heartbeat; heartbeats alone are not waited for without end.
    pub async fn server(&mut self) -> v1::ServerFrame {
        timeout(PATIENCE, self.read_server()).await.expect("a frame in time")
    }

    async fn read_server(&mut self) -> v1::ServerFrame {
        loop {
            let frame = self.read_frame().await.expect("a frame, not the end");
            assert!(matches!(frame.opcode(), TEXT | BINARY), "not a data frame: {frame:?}");
            if frame.payload == self.encoding.heartbeat() {
                self.heartbeats += 1;
                continue;
            }
            return self.encoding.decode_server(&frame.payload).unwrap();
        }
    }

    /// Reads to the end of the stream.
    pub async fn ending(&mut self) -> Ending {
        timeout(PATIENCE, self.read_ending()).await.expect("an end in time")
    }

    async fn read_ending(&mut self) -> Ending {
        let mut ending = Ending::default();
        while let Some(frame) = self.read_frame().await {
            match frame.opcode() {
                CLOSE => ending.close = Some(closing(&frame.payload)),
                TEXT | BINARY if frame.payload == self.encoding.heartbeat() => self.heartbeats += 1,
                TEXT | BINARY => {
                    let server = self.encoding.decode_server(&frame.payload).unwrap();
                    ending.goodbye = server.goodbye.or(ending.goodbye);
                }
                _ => {}
            }
        }
        ending
    }

    /// The body of an answer, which is text of this length.
    pub async fn body(&mut self, length: usize) -> String {
        let mut body = vec![0; length];
        timeout(PATIENCE, self.stream.read_exact(&mut body)).await.expect("a body in time").unwrap();
        String::from_utf8(body).unwrap()
    }
}

/// A command's frame, encoded.
pub fn payload(encoding: Encoding, command: ClientCommand, id: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    encoding.encode(&command.frame(id), &mut payload);
    payload
}

fn closing(payload: &[u8]) -> (u16, String) {
    match payload {
        [] => (1005, String::new()),
        [high, low, text @ ..] => (u16::from_be_bytes([*high, *low]), String::from_utf8(text.to_vec()).unwrap()),
        [_] => panic!("half a close code"),
    }
}
