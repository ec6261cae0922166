//! One session of the crowd: its socket and its phase. The [crowd](super::crowd) interprets its bytes.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use socket2::{Domain, Socket, Type};
use tokio_rustls::rustls::ClientConnection;

/// The loopback addresses of the sessions, 127.0.1.1 and on, so that ports do not run out.
const SOURCES: u32 = 16;
/// The receive buffer of a session that will stop reading, in bytes; small, so that the gateway notices soon.
const SLOW_BUFFER: usize = 4096;

/// The phase of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionPhase {
    Away,
    Connecting,
    Upgrading,
    LoggingIn,
    Live,
}

/// One session.
#[derive(Debug)]
pub(super) struct BenchSession {
    socket: Option<Socket>,
    /// The state of TLS, if the gateway speaks it.
    tls: Option<Box<ClientConnection>>,
    pub phase: SessionPhase,
    /// Whether the kernel takes no more bytes until epoll reports the socket writable.
    wants_write: bool,
    /// Whether nothing is read, as if the client were stuck.
    stalled: bool,
    /// The beginning of an incomplete frame.
    pub partial: Vec<u8>,
    /// The bytes that wait to be sent.
    pub out: Vec<u8>,
    /// When it started to connect, and when it sent the command it waits for; nanoseconds of the crowd's clock.
    pub began: u64,
    pub asked: u64,
    /// When its last reply came.
    pub answered: u64,
    /// The cursor for the next login.
    pub cursor: Option<Box<str>>,
}

impl BenchSession {
    pub(super) fn away() -> Self {
        Self {
            socket: None,
            tls: None,
            phase: SessionPhase::Away,
            wants_write: false,
            stalled: false,
            partial: Vec::new(),
            out: Vec::new(),
            began: 0,
            asked: 0,
            answered: 0,
            cursor: None,
        }
    }

    /// Starts to connect.
    pub(super) fn connect(
        &mut self,
        to: SocketAddr,
        tls: Option<ClientConnection>,
        number: u32,
        is_slow: bool,
        epoll: &OwnedFd,
        now: u64,
    ) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if is_slow {
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        if to.is_ipv4() && to.ip().is_loopback() {
            let source = Ipv4Addr::new(127, 0, 1, 1 + (number % SOURCES) as u8);
            socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        epoll::add(epoll, &socket, EventData::new_u64(number.into()), EventFlags::IN | EventFlags::OUT)?;
        (self.socket, self.phase, self.began) = (Some(socket), SessionPhase::Connecting, now);
        self.tls = tls.map(Box::new);
        (self.wants_write, self.stalled) = (true, false);
        self.partial.clear();
        self.out.clear();
        Ok(())
    }

    /// Returns the error of a failed connection.
    pub(super) fn connect_error(&self) -> Option<io::Error> {
        self.socket.as_ref().and_then(|socket| socket.take_error().unwrap_or_else(Some))
    }

    /// Reads once; none if no bytes are there.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let read = match &mut self.tls {
            None => (&*socket).read(into),
            Some(tls) => read_tls(tls, socket, into),
        };
        match read {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            Ok(count) => Ok(Some(count)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends the waiting bytes, as far as the kernel takes them.
    pub(super) fn flush(&mut self, number: u32, epoll: &OwnedFd) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(&self.out)?;
            self.out.clear();
            while tls.wants_write() {
                match tls.write_tls(&mut &*socket) {
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                    Err(error) => return Err(error),
                }
            }
        } else if !self.out.is_empty() {
            match (&*socket).write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        let wants_write = !self.out.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        if wants_write != self.wants_write {
            self.wants_write = wants_write;
            self.renew_interest(number, epoll)?;
        }
        Ok(())
    }

    /// Stops or resumes reading.
    pub(super) fn stall(&mut self, stalled: bool, number: u32, epoll: &OwnedFd) -> io::Result<()> {
        self.stalled = stalled;
        self.renew_interest(number, epoll)
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    fn renew_interest(&self, number: u32, epoll: &OwnedFd) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, !self.stalled);
        flags.set(EventFlags::OUT, self.wants_write);
        Ok(epoll::modify(epoll, socket, EventData::new_u64(number.into()), flags)?)
    }

    /// Closes the connection; the cursor stays.
    pub(super) fn leave(&mut self) {
        (self.socket, self.tls) = (None, None);
        self.phase = SessionPhase::Away;
    }
}

/// Reads what has come, and gives what it says. `WouldBlock` if that is nothing yet.
fn read_tls(tls: &mut ClientConnection, mut socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
    let has_ended = tls.read_tls(&mut socket)? == 0;
    tls.process_new_packets().map_err(io::Error::other)?;
    match tls.reader().read(into) {
        Err(error) if error.kind() == ErrorKind::WouldBlock && has_ended => Ok(0),
        read => read,
    }
}
