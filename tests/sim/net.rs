//! A network between clients and the gateway: bytes take time, buffers are small, and lines break in every way.

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

/// What a direction holds before its writer has to wait; a real one is larger, and so is what is sent.
const BUFFER: usize = 4096;
/// The longest that a piece is on its way, in milliseconds.
const LATENCY: u64 = 20;

/// A connection's two directions.
#[derive(Debug)]
struct WriteHandle {
    pipes: [Pipe; 2],
    /// Both ends get errors.
    cut: bool,
    random: Random,
    lent: Lent,
}

/// What came of writes by others than the ends.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lent {
    pub whole: u64,
    pub in_part: u64,
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// Its writer has gone: what is on its way arrives, then the end.
    closed: bool,
    /// Whatever is written from now on, and the end, does not arrive; nobody is told.
    lost: bool,
    /// Its reader has gone.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct End {
    line: Arc<Mutex<WriteHandle>>,
    /// The direction that this end reads.
    reads: usize,
    arrival: Pin<Box<Sleep>>,
}

/// The way out of one end, for whoever it is lent to.
#[derive(Debug)]
struct Out {
    line: Arc<Mutex<WriteHandle>>,
    into: usize,
    encoding: Encoding,
}

impl hub::WriteHandle for Out {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.line.lock().unwrap();
        let written = line.write(self.into, bytes);
        let lent = &mut line.lent;
        *match &written {
            Ok(some) if *some == bytes.len() => &mut lent.whole,
            Ok(_) => &mut lent.in_part,
            Err(_) => &mut lent.refused,
        } += 1;
        written
    }
}

impl End {
    /// Its way out.
    pub fn hand_over(&self, encoding: Encoding) -> Box<dyn hub::WriteHandle> {
        Box::new(Out { line: self.line.clone(), into: 1 - self.reads, encoding })
    }
}

/// A hand on a connection, to break it.
#[derive(Debug, Clone)]
pub struct Hand(Arc<Mutex<WriteHandle>>);

/// A new connection: the client's end, the gateway's.
pub fn connection(random: &Random) -> (End, End, Hand) {
    let line = WriteHandle { pipes: Default::default(), cut: false, random: random.fork(), lent: Lent::default() };
    let line = Arc::new(Mutex::new(line));
    let end = |reads| End { line: line.clone(), reads, arrival: Box::pin(sleep_until(Instant::now())) };
    (end(0), end(1), Hand(line.clone()))
}

impl WriteHandle {
    /// Takes what there is room for.
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
            // In order: a piece does not overtake the one before.
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

impl Hand {
    /// The connection is reset.
    pub fn cut(&self) {
        let mut line = self.0.lock().unwrap();
        line.cut = true;
        line.wake();
    }

    /// The way to the client, or to the gateway, is gone without a word.
    pub fn lose(&self, to_client: bool) {
        let mut line = self.0.lock().unwrap();
        let pipe = &mut line.pipes[usize::from(!to_client)];
        pipe.lost = true;
        pipe.pieces.clear();
    }

    /// What was written on the gateway's behalf while its session slept.
    pub fn lent(&self) -> Lent {
        self.0.lock().unwrap().lent
    }

    /// Whether both ends hear each other.
    pub fn is_whole(&self) -> bool {
        let line = self.0.lock().unwrap();
        !line.cut && line.pipes.iter().all(|pipe| !pipe.lost)
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let due = {
                let mut line = self.line.lock().unwrap();
                let cut = line.cut;
                let pipe = &mut line.pipes[self.reads];
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
        let mut line = self.line.lock().unwrap();
        let written = line.write(1 - self.reads, bytes);
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            line.pipes[1 - self.reads].writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.line.lock().unwrap();
        let pipe = &mut line.pipes[1 - self.reads];
        pipe.closed = true;
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut line = self.line.lock().unwrap();
        let (read, written) = (self.reads, 1 - self.reads);
        line.pipes[written].closed = true;
        line.pipes[read].unread = true;
        line.pipes[read].pieces.clear();
        line.wake();
    }
}
