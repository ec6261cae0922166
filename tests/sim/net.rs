//! A simulated network between clients and the gateway: bytes take time, buffers are small, connections break in every
//! way.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rosterd::hub;
use rosterd_protocol::Encoding;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::random::Random;

/// How many bytes one direction holds before its writer has to wait. Real buffers are larger, and so are real frames.
const BUFFER: usize = 4096;
/// The longest latency of a piece, in milliseconds.
const LATENCY: u64 = 20;

/// The two directions of a connection.
#[derive(Debug)]
struct Connection {
    pipes: [Pipe; 2],
    /// Whether the connection was reset: both ends get errors.
    cut: bool,
    random: Random,
    handed_over: HandedOverWrites,
}

/// The outcomes of writes through a handle that an end handed over.
#[derive(Debug, Default, Clone, Copy)]
pub struct HandedOverWrites {
    pub whole: u64,
    pub in_part: u64,
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Whether its writer has left: the bytes on their way arrive, then the end.
    closed: bool,
    /// Whether bytes and the end get lost from now on, without an error for anyone.
    lost: bool,
    /// Whether its reader has left.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    connection: Arc<Mutex<Connection>>,
    /// The direction that this end reads.
    reads: usize,
    arrival: Pin<Box<Sleep>>,
}

/// The write handle of one end.
#[derive(Debug)]
struct EndWriter {
    connection: Arc<Mutex<Connection>>,
    into: usize,
    encoding: Encoding,
}

impl hub::WriteHandle for EndWriter {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut connection = self.connection.lock().unwrap();
        let written = connection.write(self.into, bytes);
        let handed_over = &mut connection.handed_over;
        *match &written {
            Ok(some) if *some == bytes.len() => &mut handed_over.whole,
            Ok(_) => &mut handed_over.in_part,
            Err(_) => &mut handed_over.refused,
        } += 1;
        written
    }
}

impl End {
    /// Hands over its write handle.
    pub fn hand_over(&self, encoding: Encoding) -> Box<dyn hub::WriteHandle> {
        Box::new(EndWriter { connection: self.connection.clone(), into: 1 - self.reads, encoding })
    }
}

/// Breaks a connection from outside.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Mutex<Connection>>);

/// Makes a connection: the end of the client, that of the gateway, and its breaker.
pub fn connect(random: &Random) -> (End, End, Breaker) {
    let connection = Connection {
        pipes: Default::default(),
        cut: false,
        random: random.fork(),
        handed_over: HandedOverWrites::default(),
    };
    let connection = Arc::new(Mutex::new(connection));
    let end = |reads| End { connection: connection.clone(), reads, arrival: Box::pin(sleep_until(Instant::now())) };
    (end(0), end(1), Breaker(connection.clone()))
}

impl Connection {
    /// Takes as many bytes as there is room for.
    fn write(&mut self, into: usize, bytes: &[u8]) -> io::Result<usize> {
        let latency = Duration::from_millis(self.random.below(LATENCY));
        let cut = self.cut;
        let pipe = &mut self.pipes[into];
        if cut || pipe.closed || pipe.unread && !pipe.lost {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let some = bytes.len().min(BUFFER - pipe.bytes);
        if some == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        pipe.bytes += some;
        if !pipe.lost {
            // A piece does not overtake the one before.
            let after = pipe.pieces.back().map_or_else(Instant::now, |(due, _)| *due);
            pipe.pieces.push_back(((Instant::now() + latency).max(after), bytes[..some].to_vec()));
            pipe.reader.take().into_iter().for_each(Waker::wake);
        }
        Ok(some)
    }

    fn wake(&mut self) {
        for pipe in &mut self.pipes {
            pipe.reader.take().into_iter().chain(pipe.writer.take()).for_each(Waker::wake);
        }
    }
}

impl Breaker {
    /// Resets the connection.
    pub fn cut(&self) {
        let mut connection = self.0.lock().unwrap();
        connection.cut = true;
        connection.wake();
    }

    /// Loses all bytes to the client, or to the gateway, from now on and without an error.
    pub fn lose(&self, to_client: bool) {
        let mut connection = self.0.lock().unwrap();
        let pipe = &mut connection.pipes[usize::from(!to_client)];
        pipe.lost = true;
        pipe.pieces.clear();
    }

    /// The writes of flushers while the session of the gateway slept.
    pub fn handed_over(&self) -> HandedOverWrites {
        self.0.lock().unwrap().handed_over
    }

    /// Whether bytes arrive in both directions.
    pub fn is_whole(&self) -> bool {
        let connection = self.0.lock().unwrap();
        !connection.cut && connection.pipes.iter().all(|pipe| !pipe.lost)
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let due = {
                let mut connection = self.connection.lock().unwrap();
                let cut = connection.cut;
                let pipe = &mut connection.pipes[self.reads];
                if cut && !pipe.lost {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                pipe.reader = Some(cx.waker().clone());
                let Some((due, piece)) = pipe.pieces.front_mut() else {
                    return if pipe.closed && !pipe.lost { Poll::Ready(Ok(())) } else { Poll::Pending };
                };
                if *due <= Instant::now() {
                    let some = piece.len().min(into.remaining());
                    into.put_slice(&piece[..some]);
                    piece.drain(..some);
                    if piece.is_empty() {
                        pipe.pieces.pop_front();
                    }
                    pipe.bytes -= some;
                    pipe.writer.take().into_iter().for_each(Waker::wake);
                    return Poll::Ready(Ok(()));
                }
                *due
            };
            self.arrival.as_mut().reset(due);
            ready!(self.arrival.as_mut().poll(cx));
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut connection = self.connection.lock().unwrap();
        let written = connection.write(1 - self.reads, bytes);
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            connection.pipes[1 - self.reads].writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut connection = self.connection.lock().unwrap();
        let pipe = &mut connection.pipes[1 - self.reads];
        pipe.closed = true;
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut connection = self.connection.lock().unwrap();
        let (read, written) = (self.reads, 1 - self.reads);
        connection.pipes[written].closed = true;
        connection.pipes[read].unread = true;
        connection.pipes[read].pieces.clear();
        connection.wake();
    }
}
