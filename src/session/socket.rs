//! One connection's socket: frames in, batches of frames out, and an end the client can understand.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::context::SessionContext;
use super::fragments::{Fragments, TooMany};
use super::frame_writer::FrameWriter;
use crate::admission::{AdmissionPolicy, Permit};
use crate::admission::{RateLimit, RateVerdict};
use crate::lifecycle::Lifecycle;
use rosterd_engine::model::{CloseReason, Reason, RequestError};
use rosterd_protocol::{Encoding, Inbound, v1};

/// How long a client may take to read its goodbye and close; and, while the gateway closes, to take anything at all.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The spread of reconnects of those who were too many, in milliseconds.
const RETRY_MS: std::ops::Range<u64> = 250..5000;

/// Allocated per connection and kept for its life; most commands fit, larger ones grow it.
const READ_BUFFER: usize = 1024;

/// The socket of one connection.
pub(super) struct ClientSocket<S> {
    socket: WebSocketStream<S>,
    encoding: Encoding,
    context: Arc<SessionContext>,
    permit: Arc<Permit>,
    /// How fast messages come.
    rate_limit: RateLimit,
    /// Frames that go out with the next batch.
    held: Option<Box<FrameWriter>>,
    /// A frame was written in part: nothing that follows could be read.
    broken: bool,
    /// Set by any message, cleared by the session when it asks whether the client is alive.
    pub(super) heard: bool,
    /// Whether the library may have something to say, a pong: it must be out before anything of ours is.
    pinged: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientSocket<S> {
    pub(super) fn new(
        socket: WebSocketStream<S>,
        encoding: Encoding,
        context: Arc<SessionContext>,
        permit: Arc<Permit>,
    ) -> Self {
        let (rate_limit, held, broken, pinged) = Default::default();
        Self { socket, encoding, context, permit, rate_limit, held, broken, heard: true, pinged }
    }

    /// The connection's place among all.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The next readable frame; a command that comes too fast is one that is refused. May be dropped and called again
    /// without losing one.
    pub(super) async fn receive(&mut self) -> Result<Inbound, CloseReason> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(self.ending(&error)),
                None => return Err(CloseReason::ClientLeft),
            };
            self.heard = true;
            let paced = self.press()?;
            let payload = match (&message, self.encoding) {
                (Message::Text(text), Encoding::Json) => text.as_bytes(),
                (Message::Binary(bytes), Encoding::Protobuf) => bytes,
                (Message::Ping(_), _) => {
                    // Answered when it is next read or written; till then nobody else may write.
                    self.pinged = true;
                    return Ok(Inbound::Heartbeat);
                }
                (Message::Pong(_) | Message::Frame(_), _) => continue,
                (Message::Close(_), _) => return Err(CloseReason::ClientLeft),
                (Message::Text(_) | Message::Binary(_), _) => return Err(CloseReason::MalformedFrame),
            };
            let inbound = rosterd_protocol::decode(self.encoding, payload).map_err(|error| {
                tracing::debug!(%error, "a frame could not be read");
                CloseReason::MalformedFrame
            })?;
            return Ok(match paced {
                RateVerdict::Refused(wait) => refuse(&inbound, wait),
                RateVerdict::Taken | RateVerdict::Abusive => inbound,
            });
        }
    }

    /// Counts a message of any kind.
    fn press(&mut self) -> Result<RateVerdict, CloseReason> {
        let admission = &self.context.admission;
        let Some(rate) = admission.policy().commands else {
            return Ok(RateVerdict::Taken);
        };
        let paced = self.rate_limit.press(rate, admission.now());
        if paced != RateVerdict::Taken {
            self.context.refused("COMMANDS");
        }
        if paced == RateVerdict::Abusive { Err(CloseReason::TooManyRequests) } else { Ok(paced) }
    }

    /// Whether something has to be written before anything of ours is.
    pub(super) fn has_to_say(&self) -> bool {
        self.pinged
    }

    /// Has the rest of a frame, whose begin was written by another, go out first of all.
    pub(super) fn begun(&mut self, rest: &[u8]) {
        let encoding = self.encoding;
        self.held.get_or_insert_with(|| Box::new(FrameWriter::new(encoding))).rest(rest);
    }

    /// Has a frame go out with the next batch, or when [`ClientSocket::release`] is called.
    pub(super) fn hold(&mut self, frame: &v1::ServerFrame) {
        let encoding = self.encoding;
        self.held.get_or_insert_with(|| Box::new(FrameWriter::new(encoding))).server(frame);
    }

    /// Writes what is held.
    pub(super) async fn release(&mut self) -> Result<(), CloseReason> {
        match self.held.take() {
            Some(held) => self.send(&held).await,
            None => Ok(()),
        }
    }

    /// Writes a batch. Waits as long as the client takes, however slow: only one that takes nothing at all for
    /// `stall_timeout` is given up.
    pub(super) async fn send(&mut self, out: &FrameWriter) -> Result<(), CloseReason> {
        let both = self.held.take().map(|mut held| {
            held.append(out);
            held
        });
        let out = both.as_deref().unwrap_or(out);
        if self.pinged {
            let limit = self.context.settings.stall_timeout;
            let flushed = unhurried(limit, &self.context.lifecycle, self.socket.flush()).await?;
            flushed.map_err(|error| self.ending(&error))?;
            self.pinged = false;
        }
        let mut rest = out.bytes();
        let mut waits = false;
        while !rest.is_empty() && !waits {
            match self.socket.get_mut().write(rest).now_or_never() {
                Some(Ok(0) | Err(_)) => return Err(CloseReason::ClientLeft),
                Some(Ok(n)) => rest = &rest[n..],
                None => waits = true,
            }
        }
        // TLS seals what it takes and may still hold it; on a plain stream this does nothing.
        match self.socket.get_mut().flush().now_or_never() {
            Some(flushed) => flushed.map_err(|_| CloseReason::ClientLeft)?,
            None => waits = true,
        }
        if waits {
            // Boxed: what it needs must not stay in the task of a session that is idle.
            let sent = Box::pin(self.send_slowly(out, rest)).await;
            sent.inspect_err(|_| self.broken |= out.is_begun())?;
        }
        self.context.service.metrics().bytes.inc_by(out.bytes().len() as u64);
        Ok(())
    }

    /// Writes the rest of a batch to a client that takes it bit by bit. Meanwhile all of it counts as held; if too much
    /// is held for too many, this may be one that has to go.
    async fn send_slowly(&mut self, out: &FrameWriter, mut rest: &[u8]) -> Result<(), CloseReason> {
        let (context, most) = (self.context.clone(), self.context.admission.policy().outbound_bytes);
        let mut holding = context.memory_budget.hold(self.permit.number(), out.held(), most);
        loop {
            let stream = self.socket.get_mut();
            let step =
                async { if rest.is_empty() { stream.flush().await.map(|()| 0) } else { stream.write(rest).await } };
            let done = tokio::select! {
                done = unhurried(context.settings.stall_timeout, &context.lifecycle, step) => done,
                () = holding.shed() => Err(CloseReason::Overloaded),
            };
            let done = done.inspect_err(|_| self.broken = rest.len() < out.bytes().len())?;
            // Room that was made is a sign of life as good as a frame; what the client sent meanwhile is unread yet.
            self.heard = true;
            match done {
                Ok(_) if rest.is_empty() => return Ok(()),
                Ok(0) | Err(_) => return Err(CloseReason::ClientLeft),
                Ok(n) => rest = &rest[n..],
            }
        }
    }

    /// Writes one frame.
    pub(super) async fn send_one(&mut self, frame: &v1::ServerFrame) -> Result<(), CloseReason> {
        let mut out = FrameWriter::new(self.encoding);
        out.server(frame);
        self.send(&out).await
    }

    /// How a read error ends the session.
    fn ending(&self, error: &Error) -> CloseReason {
        let too_many = |error: &std::io::Error| matches!(error.get_ref(), Some(inner) if inner.is::<TooMany>());
        match error {
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return CloseReason::ClientLeft,
            Error::Protocol(_) | Error::Utf8(_) => {}
            Error::Capacity(_) => self.context.refused("FRAME_BYTES"),
            Error::Io(error) if too_many(error) => self.context.refused("FRAGMENTS"),
            _ => return CloseReason::ClientLeft,
        }
        CloseReason::MalformedFrame
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
        if self.broken {
            return;
        }
        let mut out = FrameWriter::new(self.encoding);
        let retry_after_ms = match reason {
            CloseReason::Shutdown => self.context.lifecycle.retry_after_ms(),
            CloseReason::TooManyRequests | CloseReason::Overloaded => {
                Some(RETRY_MS.start + getrandom::u64().unwrap_or(0) % (RETRY_MS.end - RETRY_MS.start))
            }
            _ => None,
        };
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

/// A frame that came too fast. Heartbeats ask for nothing.
fn refuse(inbound: &Inbound, wait: Duration) -> Inbound {
    let id = match inbound {
        Inbound::Heartbeat => return Inbound::Heartbeat,
        Inbound::Command { id, .. } => Some(*id),
        Inbound::Refused { id, .. } => *id,
    };
    Inbound::Refused { id, error: too_fast("too many commands", wait) }
}

/// 416, and when it may go on.
pub(super) fn too_fast(what: &str, wait: Duration) -> RequestError {
    let wait = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    RequestError::new(Reason::RateLimited, what).retry_after(wait.max(1))
}

/// Waits for a step of writing, at most `limit`, and not for long while the gateway closes.
async fn unhurried<T>(limit: Duration, lifecycle: &Lifecycle, step: impl Future<Output = T>) -> Result<T, CloseReason> {
    let mut step = pin!(step);
    if let Some(done) = step.as_mut().now_or_never() {
        return Ok(done);
    }
    // Boxed: few sessions wait, and those that do not must not have room for it.
    let closing = Box::pin(async {
        lifecycle.closing().await;
        sleep(CLOSE_TIMEOUT).await;
    });
    tokio::select! {
        done = timeout(limit, step) => done.map_err(|_| CloseReason::NoHeartbeat),
        () = closing => Err(CloseReason::NoHeartbeat),
    }
}

/// Speaks WebSocket on a stream whose upgrade is behind it, and of which something may have been read already.
pub(crate) async fn websocket<S>(policy: &AdmissionPolicy, stream: S, read: Vec<u8>) -> WebSocketStream<Fragments<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = Fragments::new(stream, policy.fragments, &read);
    WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config(policy))).await
}

/// One frame is one message; what tungstenite itself writes are control frames only.
fn config(policy: &AdmissionPolicy) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4096)
        .max_message_size(Some(policy.frame_bytes))
        .max_frame_size(Some(policy.frame_bytes))
}
