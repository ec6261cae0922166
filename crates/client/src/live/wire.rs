//! One connection of a live client: frames out and in, answers to heartbeats, and a watchdog.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Sink, Stream as _};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::options::ClientOptions;
use super::trace::{ClientTrace, TraceSink};
use crate::stream::Stream;
use crate::{Client, ClientError, Trust};

/// The limit for network, upgrade and login together; the gateway's limit for a login is 10 s.
const LOGIN: Duration = Duration::from_secs(12);
/// How long to wait for the gateway's close after its goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// The end of a connection, or of an attempt to open one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConnectionEnd {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) goodbye: Option<v1::Goodbye>,
    /// Another attempt would end in the same way.
    pub(super) is_final: bool,
    /// The gateway sent what does not follow the protocol.
    pub(super) is_bad_frame: bool,
}

impl ConnectionEnd {
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self { code: 1006, reason: reason.into(), goodbye: None, is_final: false, is_bad_frame: false }
    }

    fn of(error: &ClientError) -> Self {
        let is_final = matches!(error, ClientError::Address(_));
        Self { is_final, ..Self::lost(error.to_string()) }
    }
}

/// An open connection.
///
/// Writing is driven by [`Wire::next`], so a peer that reads nothing holds up nothing but its own connection.
pub(super) struct Wire {
    socket: WebSocketStream<Stream>,
    encoding: Encoding,
    outbox: VecDeque<Message>,
    trace: TraceSink,
    goodbye: Option<v1::Goodbye>,
    /// How long a silence may last.
    patience: Duration,
    deadline: Instant,
}

impl Wire {
    /// Connects and upgrades.
    pub(super) async fn open(options: &ClientOptions) -> Result<Self, ConnectionEnd> {
        let deadline = Instant::now() + LOGIN;
        let trust = trust(options).map_err(|error| ConnectionEnd { is_final: true, ..ConnectionEnd::lost(error) })?;
        let connecting = Client::connect_trusting(&options.url, options.encoding, trust.as_ref());
        let client = match timeout(LOGIN, connecting).await {
            Ok(connected) => connected.map_err(|error| ConnectionEnd::of(&error))?,
            Err(_) => return Err(ConnectionEnd::lost("the gateway did not answer in time")),
        };
        let Client { socket, encoding, .. } = client;
        let (outbox, trace) = (VecDeque::new(), options.trace.clone());
        Ok(Self { socket, encoding, outbox, trace, goodbye: None, patience: LOGIN, deadline })
    }

    /// Puts a command on its way.
    pub(super) fn send(&mut self, id: u64, command: ClientCommand) {
        let (frame, mut payload) = (command.frame(id), Vec::new());
        self.trace.sent(&frame);
        self.encoding.encode(&frame, &mut payload);
        self.send_payload(&payload);
    }

    fn send_payload(&mut self, payload: &[u8]) {
        let message = match self.encoding {
            Encoding::Json => Message::text(String::from_utf8_lossy(payload).into_owned()),
            Encoding::Protobuf => Message::binary(payload.to_vec()),
        };
        self.outbox.push_back(message);
    }

    /// Expects a frame at this interval from now on, and allows for some delay.
    pub(super) fn logged_in(&mut self, heartbeat: Duration) {
        if !heartbeat.is_zero() {
            self.patience = heartbeat.min(super::FAR).mul_f64(2.5);
        }
        self.deadline = Instant::now() + self.patience;
    }

    /// Expects any frame within this time, once.
    pub(super) fn expect_within(&mut self, time: Duration) {
        self.deadline = self.deadline.min(Instant::now() + time);
    }

    /// Returns the next frame that is not a heartbeat, or the end of the connection.
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<v1::ServerFrame, ConnectionEnd> {
        loop {
            let deadline = self.deadline;
            let message = tokio::select! {
                biased;
                message = poll_fn(|cx| self.poll_message(cx)) => message.map_err(|error| self.ended(&error))?,
                () = sleep_until(deadline) => return Err(self.over("nothing was heard for too long")),
            };
            self.deadline = Instant::now() + self.patience;
            let payload = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes,
                Message::Close(frame) => {
                    let (code, reason) =
                        frame.as_ref().map_or((1005, ""), |frame| (frame.code.into(), frame.reason.as_str()));
                    return Err(ConnectionEnd { code, ..self.over(reason) });
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if payload == self.encoding.heartbeat() {
                self.send_payload(self.encoding.heartbeat());
                continue;
            }
            let frame = self.encoding.decode_server(payload);
            // Something is lost; the next login brings it.
            let frame = frame.map_err(|error| {
                let end = self.over(&format!("a frame could not be read: {error}"));
                ConnectionEnd { is_bad_frame: true, ..end }
            })?;
            self.trace.show(ClientTrace::Received(&frame));
            if let Some(goodbye) = &frame.goodbye {
                self.goodbye = Some(goodbye.clone());
                self.patience = GOODBYE;
                self.deadline = Instant::now() + GOODBYE;
            }
            return Ok(frame);
        }
    }

    /// Sends what is on its way and closes, but does not wait long for the peer.
    pub(super) async fn close(mut self) {
        let closing = async {
            while let Some(message) = self.outbox.pop_front() {
                futures::SinkExt::send(&mut self.socket, message).await?;
            }
            self.socket.close(None).await
        };
        let _ = timeout(Duration::from_millis(500), closing).await;
    }

    /// Writes what can be written, and reads a message.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(error));
        }
        let message = ready!(Pin::new(&mut self.socket).poll_next(cx));
        Poll::Ready(message.unwrap_or(Err(Error::ConnectionClosed)))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outbox.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(message) = self.outbox.pop_front() {
                socket.as_mut().start_send(message)?;
            }
        }
        socket.poll_flush(cx)
    }

    fn ended(&self, error: &Error) -> ConnectionEnd {
        self.over(&error.to_string())
    }

    /// The close frame has the same code as the goodbye, unless it was lost.
    fn over(&self, reason: &str) -> ConnectionEnd {
        match &self.goodbye {
            None => ConnectionEnd::lost(reason),
            Some(goodbye) => ConnectionEnd {
                code: u16::try_from(goodbye.code).unwrap_or(1006),
                goodbye: Some(goodbye.clone()),
                ..ConnectionEnd::lost(&goodbye.reason)
            },
        }
    }
}

/// Returns which certificates to accept, if the address wants any.
fn trust(options: &ClientOptions) -> Result<Option<Trust>, String> {
    match &options.trust {
        Some(trust) => Ok(Some(trust.clone())),
        None if options.url.starts_with("wss:") => platform(),
        None => Ok(None),
    }
}

#[cfg(feature = "platform-trust")]
fn platform() -> Result<Option<Trust>, String> {
    Trust::platform().map(Some)
}

#[cfg(not(feature = "platform-trust"))]
fn platform() -> Result<Option<Trust>, String> {
    Err("wss:// needs a Trust, or the feature platform-trust".to_owned())
}
