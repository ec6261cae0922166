//! Splits a connection without TLS, so that its write handle can be handed over to flushers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::hub::WriteHandle;
use rosterd_protocol::Encoding;

/// A write neither waits nor raises SIGPIPE. Apple's systems lack the second flag: there the listener sets it on the socket.
#[cfg(not(target_vendor = "apple"))]
const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const FLAGS: SendFlags = SendFlags::DONTWAIT;

/// A connection as its session's task holds it.
///
/// The task reads by this half, which knows without asking the system that there is no more, and writes to the stream
/// beneath.
#[derive(Debug)]
pub(crate) struct TcpConnection(OwnedReadHalf);

/// The write handle of a connection.
#[derive(Debug)]
struct TcpWriteHandle {
    /// Set until it is dropped, which must not shut the connection down.
    half: Option<OwnedWriteHalf>,
    encoding: Encoding,
}

impl TcpConnection {
    /// Splits a stream into the connection and its write handle.
    pub(crate) fn split(stream: TcpStream, encoding: Encoding) -> (Self, Box<dyn WriteHandle>) {
        let (read, write) = stream.into_split();
        (Self(read), Box::new(TcpWriteHandle { half: Some(write), encoding }))
    }
}

impl WriteHandle for TcpWriteHandle {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let stream: &TcpStream = self.half.as_ref().ok_or(io::ErrorKind::NotConnected)?.as_ref();
        // Straight to the system: the runtime's knowledge of the socket is for the task, which waits.
        Ok(send(stream, bytes, FLAGS)?)
    }
}

impl Drop for TcpWriteHandle {
    fn drop(&mut self) {
        self.half.take().into_iter().for_each(OwnedWriteHalf::forget);
    }
}

impl AsyncRead for TcpConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream: &TcpStream = self.0.as_ref();
        loop {
            match stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(cx))?,
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self.0.as_ref()).shutdown(std::net::Shutdown::Write))
    }
}
