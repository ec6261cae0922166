//! The byte stream under a client's connection: TCP, or TLS over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The certificates that a client accepts, and the one that it presents.
///
/// Without the feature `tls` no value of this type exists.
#[derive(Debug, Clone)]
pub struct Trust(
    #[cfg(any(feature = "ring", feature = "tls"))] pub(crate) std::sync::Arc<tokio_rustls::rustls::ClientConfig>,
    #[cfg(not(any(feature = "ring", feature = "tls")))] std::convert::Infallible,
);

/// A connection to a gateway.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(any(feature = "ring", feature = "tls"))]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to `host`, a name or an address, with TLS if `trust` is given.
    pub(super) async fn connect(host: &str, port: u16, trust: Option<&Trust>) -> io::Result<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port)).await?;
        let _ = stream.set_nodelay(true);
        match trust {
            None => Ok(Self::Plain(stream)),
            #[cfg(any(feature = "ring", feature = "tls"))]
            Some(trust) => Ok(Self::Tls(trust.handshake(host, stream).await?)),
            #[cfg(not(any(feature = "ring", feature = "tls")))]
            Some(Trust(never)) => match *never {},
        }
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut (dyn Both + Unpin)> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream as &mut (dyn Both + Unpin)),
            #[cfg(any(feature = "ring", feature = "tls"))]
            Self::Tls(stream) => Pin::new(&mut **stream as &mut (dyn Both + Unpin)),
        }
    }
}

/// A stream in both directions.
trait Both: AsyncRead + AsyncWrite {}

impl<S: AsyncRead + AsyncWrite> Both for S {}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
