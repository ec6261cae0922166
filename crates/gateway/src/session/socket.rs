//! Reads and writes one connection's frames, in batches on their way out, and ends it so that the client knows why.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::context::SessionContext;
use super::fragments::{Fragments, TooMany};
use super::frame_writer::FrameWriter;
use super::memory_budget::Holder;
use crate::admission::{AdmissionPolicy, Permit, RateLimit, RateVerdict};
use crate::lifecycle::Lifecycle;
use rosterd_engine::model::{Account, CloseReason, Reason, RequestError};
use rosterd_protocol::{Encoding, Inbound, v1};

/// How long a client may take to read its goodbye and close and, while the gateway closes, to take any bytes at all.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// When clients that were too many may come back, in milliseconds: spread, so that they do not come back together.
const RETRY_MS: std::ops::Range<u64> = 250..5000;

/// When a client may ask for another repair at the earliest, on a new connection.
const REPAIR_AGAIN: Duration = Duration::from_mins(1);
/// What a client that reads slowly has to take at least, in bytes a second, apart from one pause of `stall_timeout`.
const LEAST_RATE: u64 = 4096;

/// The first size of a connection's read buffer, which it keeps for its life. Most commands fit; larger ones grow it.
const READ_BUFFER: usize = 1024;

/// The socket of one connection, which reads and writes frames.
pub(super) struct ClientSocket<S> {
    websocket: WebSocketStream<S>,
    encoding: Encoding,
    context: Arc<SessionContext>,
    permit: Arc<Permit>,
    /// The hash of the account, in the memory budget; before the login, the number of the connection.
    account: u64,
    /// Limits how fast messages come.
    rate_limit: RateLimit,
    /// Frames that go out with the next batch.
    deferred: Option<Box<FrameWriter>>,
    /// Whether a frame was written in part: then the client could read nothing that follows.
    broken: bool,
    /// Set by each message, and cleared by the session when it asks whether the client is alive.
    pub(super) heard: bool,
    /// A message that came while nothing was read, when it was looked whether the client has left.
    early: Option<Box<Message>>,
    /// How many repairs the session has asked for.
    repairs: u32,
    /// Whether the library may have a pong to write, which must go out before any frame of ours.
    pong_due: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientSocket<S> {
    pub(super) fn new(
        websocket: WebSocketStream<S>,
        encoding: Encoding,
        context: Arc<SessionContext>,
        permit: Arc<Permit>,
    ) -> Self {
        let (rate_limit, deferred, broken, early, repairs, pong_due) = Default::default();
        let account = permit.number();
        Self {
            websocket,
            encoding,
            context,
            permit,
            account,
            rate_limit,
            deferred,
            broken,
            heard: true,
            early,
            repairs,
            pong_due,
        }
    }

    /// Returns the permit that admission gave to the connection.
    pub(super) fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Counts what is held for this connection as the account's.
    pub(super) fn belongs_to(&mut self, account: &Account) {
        self.account = self.context.memory_budget.key(account);
    }

    pub(super) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Reads the next frame; a command that comes too fast comes back as refused. The future may be dropped and `receive`
    /// called again without losing a frame.
    pub(super) async fn receive(&mut self) -> Result<Inbound, CloseReason> {
        loop {
            let message = match self.early.take() {
                Some(message) => *message,
                None => match self.websocket.next().await {
                    Some(Ok(message)) => message,
                    Some(Err(error)) => return Err(self.close_reason(&error)),
                    None => return Err(CloseReason::ClientLeft),
                },
            };
            self.heard = true;
            let verdict = self.count_message()?;
            let payload = match (&message, self.encoding) {
                (Message::Text(text), Encoding::Json) => text.as_bytes(),
                (Message::Binary(bytes), Encoding::Protobuf) => bytes,
                (Message::Ping(_), _) => {
                    // The library answers at its next read or write; until then no flusher may write.
                    self.pong_due = true;
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
            return Ok(match verdict {
                RateVerdict::Refused(wait) => refuse(&inbound, wait),
                RateVerdict::Taken | RateVerdict::Abusive => inbound,
            });
        }
    }

    /// Looks whether the client has left, while something else is done for it. A message that has come is kept for
    /// [`ClientSocket::receive`].
    pub(super) fn check_is_there(&mut self) -> Result<(), CloseReason> {
        if self.early.is_some() {
            return Ok(());
        }
        self.websocket.next().now_or_never().map_or(Ok(()), |message| self.keep(message))
    }

    /// Keeps what came while nobody received, unless it is the end.
    fn keep(&mut self, message: Option<Result<Message, Error>>) -> Result<(), CloseReason> {
        match message {
            Some(Ok(message)) => {
                self.early = Some(Box::new(message));
                Ok(())
            }
            Some(Err(error)) => Err(self.close_reason(&error)),
            None => Err(CloseReason::ClientLeft),
        }
    }

    /// Counts pages of the friend list that were read for an account, whether or not its client is still there. Returns how
    /// long it waits before the next.
    pub(super) fn has_read_list(&self, account: &Account, pages: u32) -> Option<Duration> {
        self.context.admission.has_read_list(account, pages)
    }

    /// Waits before the next page of a list. Ends at once if the client leaves or the gateway closes.
    pub(super) async fn pause(&mut self, wait: Option<Duration>) -> Result<(), CloseReason> {
        let Some(wait) = wait else { return Ok(()) };
        let context = self.context.clone();
        let (mut over, mut closing) = (pin!(sleep(wait)), pin!(context.lifecycle.closing()));
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                () = &mut closing => return Err(CloseReason::Shutdown),
                message = self.websocket.next(), if self.early.is_none() => self.keep(message)?,
            }
        }
    }

    /// Lets the session repair its friend list, once, and if its account has not read too much lately.
    pub(super) fn may_repair(&mut self, account: &Account) -> Result<(), RequestError> {
        let admission = &self.context.admission;
        let mut wait = admission.may_read_list(account).err();
        if wait.is_none() && self.repairs > 0 && admission.policy().commands.is_some() {
            wait = Some(REPAIR_AGAIN);
        }
        self.repairs += 1;
        wait.map_or(Ok(()), |wait| {
            self.context.refused("LIST_READS");
            Err(too_fast("a login may repair its friend list once, and logs in again if that does not mend it", wait))
        })
    }

    /// Counts a message of any kind against the rate limit.
    fn count_message(&mut self) -> Result<RateVerdict, CloseReason> {
        let admission = &self.context.admission;
        let Some(rate) = admission.policy().commands else {
            return Ok(RateVerdict::Taken);
        };
        let verdict = self.rate_limit.press(rate, admission.now());
        if verdict != RateVerdict::Taken {
            self.context.refused("COMMANDS");
        }
        if verdict == RateVerdict::Abusive { Err(CloseReason::TooManyRequests) } else { Ok(verdict) }
    }

    /// Returns whether a pong has to go out before any frame of ours.
    pub(super) fn has_pong_due(&self) -> bool {
        self.pong_due
    }

    /// Puts the rest of a frame, which a flusher wrote in part, before everything else.
    pub(super) fn finish_frame(&mut self, rest: &[u8]) {
        let encoding = self.encoding;
        self.deferred.get_or_insert_with(|| Box::new(FrameWriter::new(encoding))).rest(rest);
    }

    /// Defers a frame to the next batch, or to [`ClientSocket::send_deferred`].
    pub(super) fn defer(&mut self, frame: &v1::ServerFrame) {
        let encoding = self.encoding;
        self.deferred.get_or_insert_with(|| Box::new(FrameWriter::new(encoding))).server(frame);
    }

    /// Writes the deferred frames.
    pub(super) async fn send_deferred(&mut self) -> Result<(), CloseReason> {
        match self.deferred.take() {
            Some(mut deferred) => self.send(&mut deferred).await,
            None => Ok(()),
        }
    }

    /// Writes a batch, after the deferred frames, and leaves the writer empty. Waits for a client however slow it is: only
    /// one that takes nothing at all for `stall_timeout`, or less than [`LEAST_RATE`] for longer, is given up.
    pub(super) async fn send(&mut self, writer: &mut FrameWriter) -> Result<(), CloseReason> {
        let mut deferred = self.deferred.take();
        let writer = match &mut deferred {
            Some(deferred) => {
                deferred.append(writer);
                writer.clear();
                deferred
            }
            None => writer,
        };
        if self.pong_due {
            let limit = self.context.settings.stall_timeout;
            let flushed = with_stall_limit(limit, &self.context.lifecycle, self.websocket.flush()).await?;
            flushed.map_err(|error| self.close_reason(&error))?;
            self.pong_due = false;
        }
        let bytes = writer.bytes().len();
        let (mut written, mut waits) = (0, false);
        while written < bytes && !waits {
            match self.websocket.get_mut().write(&writer.bytes()[written..]).now_or_never() {
                Some(Ok(0) | Err(_)) => return Err(CloseReason::ClientLeft),
                Some(Ok(n)) => written += n,
                None => waits = true,
            }
        }
        // TLS encrypts what it takes and may still hold it; on a TCP stream this does nothing.
        match self.websocket.get_mut().flush().now_or_never() {
            Some(flushed) => flushed.map_err(|_| CloseReason::ClientLeft)?,
            None => waits = true,
        }
        if waits {
            let is_begun = written > 0 || writer.is_continued();
            writer.forget(written);
            // Boxed: its state must not stay in the task of a session that is idle.
            let sent = Box::pin(self.send_slowly(writer)).await;
            sent.inspect_err(|_| self.broken |= is_begun)?;
        }
        writer.clear();
        self.context.service.metrics().bytes.inc_by(bytes as u64);
        Ok(())
    }

    /// Writes the rest of a batch to a client that takes it bit by bit. Meanwhile the memory budget counts what the client
    /// has not taken; if too much is held for all clients, this connection may be one of those that end.
    async fn send_slowly(&mut self, writer: &mut FrameWriter) -> Result<(), CloseReason> {
        let (context, most) = (self.context.clone(), self.context.admission.policy().outbound_bytes);
        let holder = Holder { number: self.permit.number(), source: self.permit.source(), account: self.account };
        let limit = context.settings.stall_timeout;
        let mut too_slow = pin!(sleep_until(Instant::now() + time_for(writer.bytes().len(), limit)));
        let mut holding = context.memory_budget.hold(holder, writer.bytes().len(), most);
        let (mut written, mut is_begun) = (0, false);
        loop {
            let (stream, rest) = (self.websocket.get_mut(), &writer.bytes()[written..]);
            let step =
                async { if rest.is_empty() { stream.flush().await.map(|()| 0) } else { stream.write(rest).await } };
            let done = tokio::select! {
                done = with_stall_limit(limit, &context.lifecycle, step) => done,
                () = holding.shed() => Err(CloseReason::Overloaded),
                () = &mut too_slow => {
                    context.refused("TOO_SLOW");
                    Err(CloseReason::NoHeartbeat)
                }
            };
            let done = done.inspect_err(|_| self.broken |= is_begun)?;
            // Bytes that the client took are as good a sign of life as a frame; its own frames are unread meanwhile.
            self.heard = true;
            match done {
                Ok(_) if rest.is_empty() => return Ok(()),
                Ok(0) | Err(_) => return Err(CloseReason::ClientLeft),
                Ok(n) => written += n,
            }
            is_begun = true;
            if writer.is_worth_forgetting(written) {
                writer.forget(std::mem::take(&mut written));
                holding.shrink_to(writer.bytes().len());
            }
        }
    }

    /// Writes one frame.
    pub(super) async fn send_one(&mut self, frame: &v1::ServerFrame) -> Result<(), CloseReason> {
        let mut writer = FrameWriter::new(self.encoding);
        writer.server(frame);
        self.send(&mut writer).await
    }

    /// Returns how a read error ends the session.
    fn close_reason(&self, error: &Error) -> CloseReason {
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

    /// Says goodbye and closes. A client that does not read it is left after [`CLOSE_TIMEOUT`].
    pub(super) async fn close(mut self, reason: CloseReason) {
        let said = timeout(CLOSE_TIMEOUT, async {
            match reason {
                CloseReason::ClientLeft => self.close_normally().await,
                reason => self.say_goodbye(reason).await,
            }
        });
        if said.await.is_err() {
            tracing::debug!("a client did not wait for its goodbye");
        }
    }

    /// Closes after the client left: by a close frame, which the library answers, by `logout`, or without either.
    async fn close_normally(&mut self) {
        let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
        let _ = self.websocket.close(Some(normal)).await;
        while let Some(Ok(_)) = self.websocket.next().await {}
    }

    async fn say_goodbye(&mut self, reason: CloseReason) {
        if self.broken {
            return;
        }
        let mut writer = FrameWriter::new(self.encoding);
        let soon = || RETRY_MS.start + self.context.service.random() % (RETRY_MS.end - RETRY_MS.start);
        let retry_after_ms = match reason {
            CloseReason::Shutdown => self.context.lifecycle.retry_after_ms(),
            // A gateway that closes because it is cut off gives its clients slots, too.
            CloseReason::Internal => Some(self.context.lifecycle.retry_after_ms().unwrap_or_else(soon)),
            CloseReason::TooManyRequests | CloseReason::Overloaded => Some(soon()),
            _ => None,
        };
        let goodbye = v1::Goodbye {
            code: reason.code().into(),
            reason: reason.word().to_owned(),
            reconnect: reason.reconnect(),
            retry_after_ms,
        };
        writer.server(&v1::ServerFrame { goodbye: Some(goodbye), ..Default::default() });
        writer.close(reason);
        if self.send(&mut writer).await.is_err() {
            return;
        }
        // Bytes left unread would make the system reset the connection, and the goodbye with it.
        let stream = self.websocket.get_mut();
        let _ = stream.shutdown().await;
        let mut discarded = [0; 512];
        while matches!(stream.read(&mut discarded).await, Ok(1..)) {}
    }
}

/// Refuses a frame that came too fast. A heartbeat asks for nothing, and stays.
fn refuse(inbound: &Inbound, wait: Duration) -> Inbound {
    let id = match inbound {
        Inbound::Heartbeat => return Inbound::Heartbeat,
        Inbound::Command { id, .. } => Some(*id),
        Inbound::Refused { id, .. } => *id,
    };
    Inbound::Refused { id, error: too_fast("too many commands", wait) }
}

/// Makes the error 416, with the time after which the client may go on.
pub(super) fn too_fast(what: &str, wait: Duration) -> RequestError {
    let wait = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
    RequestError::new(Reason::RateLimited, what).retry_after(wait.max(1))
}

/// Returns how long a client may take for so many bytes: a pause, and the rest at [`LEAST_RATE`].
fn time_for(bytes: usize, pause: Duration) -> Duration {
    pause + Duration::from_secs(bytes as u64 / LEAST_RATE)
}

/// Waits for a step of writing, at most `limit`, and at most [`CLOSE_TIMEOUT`] once the gateway closes.
async fn with_stall_limit<T>(
    limit: Duration,
    lifecycle: &Lifecycle,
    step: impl Future<Output = T>,
) -> Result<T, CloseReason> {
    let mut step = pin!(step);
    if let Some(done) = step.as_mut().now_or_never() {
        return Ok(done);
    }
    // Boxed: few sessions wait, and the tasks of the others must not have room for it.
    let closing = Box::pin(async {
        lifecycle.closing().await;
        sleep(CLOSE_TIMEOUT).await;
    });
    tokio::select! {
        done = timeout(limit, step) => done.map_err(|_| CloseReason::NoHeartbeat),
        () = closing => Err(CloseReason::NoHeartbeat),
    }
}

/// Makes a WebSocket of a stream that was upgraded. `read` is what was read off it already.
pub(crate) async fn websocket<S>(policy: &AdmissionPolicy, stream: S, read: Vec<u8>) -> WebSocketStream<Fragments<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = Fragments::new(stream, policy.fragments, &read);
    WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config(policy))).await
}

/// Configures tungstenite, which itself writes control frames only.
fn config(policy: &AdmissionPolicy) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4096)
        .max_message_size(Some(policy.frame_bytes))
        .max_frame_size(Some(policy.frame_bytes))
}
