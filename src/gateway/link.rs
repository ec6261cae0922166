//! One connection's socket: frames in, batches of frames out, and an end the client can understand.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::outgoing::Outgoing;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::model::CloseReason;
use crate::wire::{self, Encoding, Inbound, v1};

/// How long a client may take to read its goodbye and close; and, while the gateway closes, to take anything at all.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The socket of one connection.
pub(super) struct Link<S> {
    socket: WebSocketStream<S>,
    encoding: Encoding,
    stall_timeout: Duration,
    metrics: Arc<Metrics>,
    lifecycle: Arc<Lifecycle>,
    /// Set by any message, cleared by the session when it asks whether the client is alive.
    pub(super) heard: bool,
    /// Whether the library may have something to say, a pong: it must be out before anything of ours is.
    pinged: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(
        socket: WebSocketStream<S>,
        encoding: Encoding,
        stall_timeout: Duration,
        metrics: Arc<Metrics>,
        lifecycle: Arc<Lifecycle>,
    ) -> Self {
        Self { socket, encoding, stall_timeout, metrics, lifecycle, heard: true, pinged: false }
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The next readable frame. May be dropped and called again without losing one.
    pub(super) async fn receive(&mut self) -> Result<Inbound, CloseReason> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(ending(&error)),
                None => return Err(CloseReason::ClientLeft),
            };
            self.heard = true;
            let payload = match (&message, self.encoding) {
                (Message::Text(text), Encoding::Json) => text.as_bytes(),
                (Message::Binary(bytes), Encoding::Protobuf) => bytes,
                (Message::Ping(_), _) => {
                    self.pinged = true;
                    continue;
                }
                (Message::Pong(_) | Message::Frame(_), _) => continue,
                (Message::Close(_), _) => return Err(CloseReason::ClientLeft),
                (Message::Text(_) | Message::Binary(_), _) => return Err(CloseReason::MalformedFrame),
            };
            return wire::decode(self.encoding, payload).map_err(|error| {
                tracing::debug!(%error, "a frame could not be read");
                CloseReason::MalformedFrame
            });
        }
    }

    /// Writes a batch. Waits as long as the client takes, however slow: only one that takes nothing at all for
    /// `stall_timeout` is given up.
    pub(super) async fn send(&mut self, out: &Outgoing) -> Result<(), CloseReason> {
        if self.pinged {
            let flushed = unhurried(self.stall_timeout, &self.lifecycle, self.socket.flush()).await?;
            flushed.0.map_err(|error| ending(&error))?;
            self.pinged = false;
        }
        let mut rest = out.bytes();
        while !rest.is_empty() {
            let stream = self.socket.get_mut();
            let (written, waited) = unhurried(self.stall_timeout, &self.lifecycle, stream.write(rest)).await?;
            match written {
                Ok(0) | Err(_) => return Err(CloseReason::ClientLeft),
                Ok(n) => rest = &rest[n..],
            }
            // Room that was made is a sign of life as good as a frame; what the client sent meanwhile is unread yet.
            self.heard |= waited;
        }
        // TLS seals what it takes and may still hold it; on a plain stream this does nothing.
        let stream = self.socket.get_mut();
        let (flushed, waited) = unhurried(self.stall_timeout, &self.lifecycle, stream.flush()).await?;
        flushed.map_err(|_| CloseReason::ClientLeft)?;
        self.heard |= waited;
        self.metrics.bytes.inc_by(out.bytes().len() as u64);
        Ok(())
    }

    /// Writes one frame.
    pub(super) async fn send_one(&mut self, frame: &v1::ServerFrame) -> Result<(), CloseReason> {
        let mut out = Outgoing::new(self.encoding);
        out.server(frame);
        self.send(&out).await
    }

    /// Says goodbye and closes. A client that does not listen is left after a moment.
    pub(super) async fn close(mut self, reason: CloseReason) {
        let said = timeout(CLOSE_TIMEOUT, async {
            match reason {
                CloseReason::ClientLeft => self.part().await,
                reason => self.say_goodbye(reason).await,
            }
        });
        if said.await.is_err() {
            tracing::debug!("a client did not wait for its goodbye");
        }
    }

    /// The client left, by a close frame, which the library answers, by `logout`, or without a word.
    async fn part(&mut self) {
        let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let _ = self.socket.close(Some(normal)).await;
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    async fn say_goodbye(&mut self, reason: CloseReason) {
        let mut out = Outgoing::new(self.encoding);
        let told = (reason == CloseReason::Shutdown).then(|| self.lifecycle.retry_after_ms());
        let retry_after_ms = told.flatten();
        let goodbye = v1::Goodbye {
            code: reason.code().into(),
            reason: reason.word().to_owned(),
            reconnect: reason.reconnect(),
            retry_after_ms,
        };
        out.server(&v1::ServerFrame { goodbye: Some(goodbye), ..Default::default() });
        out.close(reason);
        if self.send(&out).await.is_err() {
            return;
        }
        // Bytes left unread would make the system reset the connection, and the goodbye with it.
        let stream = self.socket.get_mut();
        let _ = stream.shutdown().await;
        let mut discarded = [0; 512];
        while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
    }
}

/// How a read error ends the session.
fn ending(error: &Error) -> CloseReason {
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseReason::ClientLeft,
        Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_) => CloseReason::MalformedFrame,
        _ => CloseReason::ClientLeft,
    }
}

/// Waits for a step of writing, at most `limit`, and not for long while the gateway closes; also tells whether it had to
/// wait.
async fn unhurried<T>(
    limit: Duration,
    lifecycle: &Lifecycle,
    step: impl Future<Output = T>,
) -> Result<(T, bool), CloseReason> {
    let mut step = pin!(step);
    if let Some(done) = step.as_mut().now_or_never() {
        return Ok((done, false));
    }
    // Boxed: few sessions wait, and those that do not must not have room for it.
    let closing = Box::pin(async {
        lifecycle.closing().await;
        sleep(CLOSE_TIMEOUT).await;
    });
    tokio::select! {
        done = timeout(limit, step) => done.map(|done| (done, true)).map_err(|_| CloseReason::NoHeartbeat),
        () = closing => Err(CloseReason::NoHeartbeat),
    }
}
