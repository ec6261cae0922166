//! The machine's floor: a server that does nothing of a gateway's work but its system calls. It speaks just enough of the
//! protocol that the same generator measures it: it knows who is friends with whom, prepares a frame once, and writes it
//! for each friend. No store, no parsing, no checks, no locks; one thread.
//!
//! `write` does one write for each delivery, as a gateway must when updates come one by one. `coalesce` gathers what one
//! round of the loop brought for a socket and writes it once, as a gateway may when it is busy. `durable` does as `write`
//! does, after it has put the updates of one round on the disk with one fdatasync: no answer is sent before.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rosterd_bench::frames::{MARK, TEXT};
use rosterd_bench::graph::Graph;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Bytes of the log, which is written round and round.
const LOG: u64 = 16 << 20;
/// Bytes that an update takes in it: a page.
const PAGE: usize = 4096;
/// The listener among the sockets.
const LISTENER: u64 = u64::MAX;

struct Client {
    stream: TcpStream,
    upgraded: bool,
    user: Option<u32>,
    partial: Vec<u8>,
    /// What this round brought for it; `coalesce` only.
    out: Vec<u8>,
}

struct Limit {
    epoll: OwnedFd,
    listener: Socket,
    graph: Graph,
    coalesce: bool,
    /// By the number of their socket, which the system keeps small.
    clients: Vec<Option<Client>>,
    /// The socket of each user.
    online: Vec<Option<usize>>,
    dirty: Vec<usize>,
    /// `durable` only.
    log: Option<Log>,
}

/// Who changed, and the mark.
type Update = (u32, Vec<u8>);

/// A file in which updates are before they are sent. It has its size from the start, as a write-ahead log has after a while.
struct Log {
    file: File,
    place: u64,
    /// The updates of this round.
    waiting: Vec<Update>,
}

impl Log {
    fn open(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let mut file = File::create(directory.join("floor.log"))?;
        file.write_all(&vec![0; LOG as usize])?;
        file.sync_all()?;
        Ok(Self { file, place: 0, waiting: Vec::new() })
    }

    fn append(&mut self, user: u32, mark: &[u8]) -> Result<(), Box<dyn Error>> {
        let mut page = [0; PAGE];
        page[..mark.len()].copy_from_slice(mark);
        self.file.write_all_at(&page, self.place)?;
        self.place = (self.place + PAGE as u64) % LOG;
        self.waiting.push((user, mark.to_vec()));
        Ok(())
    }

    /// Puts the updates of a round on the disk, and returns them.
    fn commit(&mut self) -> Result<Vec<Update>, Box<dyn Error>> {
        if !self.waiting.is_empty() {
            self.file.sync_data()?;
        }
        Ok(std::mem::take(&mut self.waiting))
    }
}

/// Serves for ever; says on standard output where.
pub(crate) fn serve(mode: &str, graph: Graph, directory: &Path) -> Result<(), Box<dyn Error>> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(4096)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let address = listener.local_addr()?.as_socket().ok_or("no address")?;
    println!("clients ws://{address}/v1/ws");
    let online = vec![None; graph.users() as usize];
    let coalesce = mode == "coalesce";
    let log = if mode == "durable" { Some(Log::open(directory)?) } else { None };
    Limit { epoll, listener, graph, coalesce, clients: Vec::new(), online, dirty: Vec::new(), log }.run()
}

impl Limit {
    fn run(mut self) -> Result<(), Box<dyn Error>> {
        let mut events = Vec::with_capacity(512);
        let mut chunk = vec![0; 64 * 1024];
        loop {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    at => self.read(at as usize, &mut chunk),
                }
            }
            let committed = self.log.as_mut().map(Log::commit).transpose()?;
            for (user, mark) in committed.into_iter().flatten() {
                self.send_change(user, &mark);
            }
            for at in std::mem::take(&mut self.dirty) {
                if let Some(client) = &mut self.clients[at] {
                    send(&client.stream, &client.out);
                    client.out.clear();
                }
            }
        }
    }

    fn accept(&mut self) -> Result<(), Box<dyn Error>> {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_tcp_nodelay(true)?;
            let stream = TcpStream::from(socket);
            let at = usize::try_from(stream.as_raw_fd())?;
            epoll::add(&self.epoll, &stream, EventData::new_u64(at as u64), EventFlags::IN)?;
            if self.clients.len() <= at {
                self.clients.resize_with(at + 1, || None);
            }
            self.clients[at] =
                Some(Client { stream, upgraded: false, user: None, partial: Vec::new(), out: Vec::new() });
        }
        Ok(())
    }

    fn read(&mut self, at: usize, chunk: &mut [u8]) {
        let Some(client) = &mut self.clients[at] else { return };
        let count = match client.stream.read(chunk) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            _ => return self.close(at),
        };
        client.partial.extend_from_slice(&chunk[..count]);
        if !client.upgraded {
            if client.partial.ends_with(b"\r\n\r\n") {
                client.upgraded = true;
                let request = std::mem::take(&mut client.partial);
                send(&client.stream, switched(&request).as_bytes());
            }
            return;
        }
        let bytes = std::mem::take(&mut client.partial);
        let mut used = 0;
        while let Some((start, end)) = client_frame(&bytes[used..]) {
            self.message(at, &bytes[used + start..used + end]);
            used += end;
        }
        if let Some(client) = self.clients[at].as_mut().filter(|_| used < bytes.len()) {
            client.partial = bytes[used..].to_vec();
        }
    }

    fn close(&mut self, at: usize) {
        if let Some(user) = self.clients[at].take().and_then(|client| client.user) {
            self.online[user as usize] = None;
        }
    }

    fn message(&mut self, at: usize, payload: &[u8]) {
        let Some(client) = &mut self.clients[at] else { return };
        match client.user {
            None => {
                let Some((account, user)) = bearer(payload) else { return };
                client.user = Some(user);
                self.online[user as usize] = Some(at);
                let warm = memchr::memmem::find(payload, b"\"cursor\"").is_some();
                let answer = self.logged_in(account, user, warm);
                if let Some(client) = &self.clients[at] {
                    send(&client.stream, &answer);
                }
            }
            Some(user) => {
                if let Some(mark) = memchr::memmem::find(payload, b"~~").map(|from| &payload[from..from + MARK]) {
                    match &mut self.log {
                        Some(log) => {
                            if let Err(error) = log.append(user, mark) {
                                eprintln!("limit: an update is not in the log: {error}");
                            }
                        }
                        None => self.send_change(user, mark),
                    }
                }
            }
        }
    }

    /// The frames of a login, to be written in one go: the reply, the friends unless it has them, and the end.
    fn logged_in(&self, account: &str, user: u32, warm: bool) -> Vec<u8> {
        let (mut out, friends) = (Vec::new(), self.graph.friends(user));
        let reply = format!("{{\"id\":1,\"loginReply\":{{\"account\":\"{account}\",\"heartbeatMs\":25000}}}}");
        server_frame(reply.as_bytes(), &mut out);
        if !warm {
            let mut list = String::from("{\"changes\":{\"users\":[");
            for friend in friends {
                let _ = write!(
                    list,
                    "{{\"account\":\"bench-{friend:06}\",\"nick\":\"Bench {friend}\",\"avatar\":\"http://avatar/{friend:06}\",\
                     \"sign\":\"hello, world\",\"gender\":\"unknown\",\"createTime\":1710413131000,\"updateTime\":1710413131000}},"
                );
            }
            list.push_str("]}}");
            server_frame(list.as_bytes(), &mut out);
        }
        let synced = format!("{{\"synced\":{{\"cursor\":\"1-1\",\"count\":{},\"digest\":0}}}}", friends.len());
        server_frame(synced.as_bytes(), &mut out);
        out
    }

    fn send_change(&mut self, user: u32, mark: &[u8]) {
        let mut frame = Vec::with_capacity(128);
        let mark = String::from_utf8_lossy(mark);
        let payload = format!("{{\"changes\":{{\"users\":[{{\"account\":\"{user:06}\",\"nick\":\"{mark}\"}}]}}}}");
        server_frame(payload.as_bytes(), &mut frame);
        for friend in self.graph.friends(user) {
            let Some(at) = self.online[*friend as usize] else { continue };
            let Some(client) = &mut self.clients[at] else { continue };
            if self.coalesce {
                if client.out.is_empty() {
                    self.dirty.push(at);
                }
                client.out.extend_from_slice(&frame);
            } else {
                send(&client.stream, &frame);
            }
        }
    }
}

/// Sends or says that it could not: who measures this reads all the time, so buffers never fill.
fn send(mut stream: &TcpStream, bytes: &[u8]) {
    match stream.write(bytes) {
        Ok(count) if count == bytes.len() => {}
        other => eprintln!("limit: {} bytes did not go out: {other:?}", bytes.len()),
    }
}

/// The answer to an upgrade.
fn switched(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value.trim())
    });
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: rosterd.v1.json\r\n\r\n"
    )
}

/// The account in a login, and the number it ends with.
fn bearer(payload: &[u8]) -> Option<(&str, u32)> {
    let text = str::from_utf8(payload).ok()?;
    let account = text.split("\"token\":\"").nth(1)?.split('"').next()?;
    Some((account, account.rsplit('-').next()?.parse().ok()?))
}

fn server_frame(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | TEXT);
    match payload.len() {
        short @ 0..126 => out.push(short as u8),
        middle @ 126..0x1_0000 => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Where the payload of the first whole client frame lies. The generator's mask is zero, so it can be read as it is.
fn client_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let [_, second, ..] = bytes else { return None };
    let (header, length) = match second & 0x7F {
        126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    let (start, end) = (header + 4, header + 4 + length as usize);
    (end <= bytes.len()).then_some((start, end))
}
