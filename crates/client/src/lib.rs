//! A Rust client of rosterd.
//!
//! [`RosterdClient`] keeps the records of one account in sync over as many connections as that takes: an application wants
//! this one. What it is made of serves tools and tests: [`Client`] is one connection, which sends commands, receives frames
//! and answers heartbeats, and [`Replica`] holds a client's records and applies frames by the rules that every client
//! follows. `Backend` (feature `server-api`) calls the server API.

/// Compiles the example of the readme.
#[cfg(all(doctest, feature = "cache"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(feature = "platform-trust", not(any(feature = "ring", feature = "tls"))))]
compile_error!("the feature `platform-trust` needs `tls` or `ring`");

#[cfg(feature = "server-api")]
mod backend;
mod backoff;
mod live;
mod records;
mod replica;
mod stream;
#[cfg(any(feature = "ring", feature = "tls"))]
mod tls;

#[cfg(feature = "server-api")]
pub use backend::{Backend, BackendBody, BackendError};
pub use backoff::{BACKOFF, random_wait};
pub use live::{
    ClientChange, ClientChanges, ClientOptions, ClientSnapshot, ClientTrace, ConnectionPhase, ConnectionState,
    FoundUsers, RosterdClient, RosterdError, SignalDelivery, SnapshotChange, TokenError, TokenReason, UpdateOptions,
    WatchHold,
};
pub use records::Records;
pub use replica::{Replica, SyncError};
pub use stream::Trust;
#[cfg(any(feature = "ring", feature = "tls"))]
pub use tls::Identity;

use std::collections::VecDeque;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use self::stream::Stream;
use rosterd_protocol::{ClientCommand, Encoding, v1};

/// An error that ends a connection, or a refused command.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not `ws://HOST[:PORT]/PATH`, or `wss://…` with a [`Trust`].
    #[error("{0:?} is not an address like ws://127.0.0.1:7678/v1/ws, or wss:// with an authority to believe")]
    Address(String),
    /// No connection could be opened.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The peer is not a gateway, or it refuses the WebSocket.
    #[error("no WebSocket there: {0}")]
    Handshake(Box<Error>),
    /// The gateway closed the connection.
    #[error("closed by the gateway: {code} {reason}")]
    Closed {
        /// The close code; 1006 if there was none.
        code: u16,
        /// The reason that came with it.
        reason: String,
    },
    /// The gateway answered a command with an error.
    #[error("{} {}: {}", .0.code, .0.reason, .0.message)]
    Refused(v1::Error),
    /// The replica differs from the gateway even after a full sync.
    #[error("not in sync: {0}")]
    OutOfSync(SyncError),
    /// The gateway sent a frame that cannot be read.
    #[error("the gateway sent a frame that cannot be read: {0}")]
    Malformed(String),
}

/// One connection to a gateway.
#[derive(Debug)]
pub struct Client {
    url: String,
    trust: Option<Trust>,
    socket: WebSocketStream<Stream>,
    encoding: Encoding,
    last_id: u64,
    /// Pushes that arrived while a request waited for its reply.
    pushes: VecDeque<v1::ServerFrame>,
}

impl Client {
    /// Connects without logging in.
    ///
    /// # Errors
    /// The address is invalid, no connection can be opened, or the peer is not a gateway.
    pub async fn connect(url: &str, encoding: Encoding) -> Result<Self, ClientError> {
        Self::connect_trusting(url, encoding, None).await
    }

    /// Connects like [`Client::connect`], also to `wss://`, where `trust` must accept the certificate.
    ///
    /// # Errors
    /// The address is invalid, no connection can be opened, or the peer is not a gateway.
    pub async fn connect_trusting(url: &str, encoding: Encoding, trust: Option<&Trust>) -> Result<Self, ClientError> {
        let unreadable = || ClientError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| unreadable())?;
        let (tls, port) = match (uri.scheme_str(), trust) {
            (Some("ws"), _) => (None, 80),
            (Some("wss"), Some(trust)) => (Some(trust), 443),
            _ => return Err(unreadable()),
        };
        let (host, port) = (uri.host().ok_or_else(unreadable)?, uri.port_u16().unwrap_or(port));
        let connected = Stream::connect(host, port, tls).await;
        let stream = connected.map_err(|error| ClientError::Connect(format!("{host}:{port}"), error))?;
        Ok(Self { trust: trust.cloned(), ..Self::over(stream, url, encoding).await? })
    }

    /// Upgrades an open connection to a client.
    ///
    /// # Errors
    /// The peer is not a gateway.
    pub async fn upgrade(stream: TcpStream, url: &str, encoding: Encoding) -> Result<Self, ClientError> {
        let _ = stream.set_nodelay(true);
        Self::over(Stream::Plain(stream), url, encoding).await
    }

    async fn over(stream: Stream, url: &str, encoding: Encoding) -> Result<Self, ClientError> {
        let handshake = |error| ClientError::Handshake(Box::new(error));
        let mut request = url.into_client_request().map_err(handshake)?;
        let protocol = HeaderValue::from_static(encoding.subprotocol());
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let (socket, _) = client_async(request, stream).await.map_err(handshake)?;
        Ok(Self { url: url.to_owned(), trust: None, socket, encoding, last_id: 0, pushes: VecDeque::new() })
    }

    /// Sends a command and returns its id, which the reply carries.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn send(&mut self, command: ClientCommand) -> Result<u64, ClientError> {
        self.last_id += 1;
        let mut payload = Vec::new();
        self.encoding.encode(&command.frame(self.last_id), &mut payload);
        self.send_payload(payload).await?;
        Ok(self.last_id)
    }

    /// Sends a payload unchecked.
    ///
    /// # Errors
    /// The connection is closed.
    ///
    /// # Panics
    /// A JSON payload is not UTF-8.
    pub async fn send_payload(&mut self, payload: Vec<u8>) -> Result<(), ClientError> {
        let message = match self.encoding {
            Encoding::Json => Message::text(String::from_utf8(payload).expect("JSON is UTF-8")),
            Encoding::Protobuf => Message::binary(payload),
        };
        self.socket.send(message).await.map_err(closed)
    }

    /// Returns the next frame that is not a heartbeat, and answers heartbeats.
    ///
    /// Cancel safe: no frame is lost if the future is dropped.
    ///
    /// # Errors
    /// The connection is closed, or a frame cannot be read.
    pub async fn next(&mut self) -> Result<v1::ServerFrame, ClientError> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        self.receive().await
    }

    /// Sends a command and waits for its reply; pushes that arrive before it are kept for [`Client::next`].
    ///
    /// # Errors
    /// The gateway refuses, or the connection is closed.
    pub async fn request(&mut self, command: ClientCommand) -> Result<v1::ServerFrame, ClientError> {
        let id = self.send(command).await?;
        loop {
            let mut frame = self.receive().await?;
            match frame.error.take() {
                Some(error) if frame.id == id => return Err(ClientError::Refused(error)),
                error => frame.error = error,
            }
            if frame.id == id {
                return Ok(frame);
            }
            self.pushes.push_back(frame);
        }
    }

    /// Logs in and applies frames to `replica` until it is up to date.
    ///
    /// # Errors
    /// The gateway refuses, the connection is closed, or the replica does not match even after a full sync.
    pub async fn login(&mut self, token: &str, replica: &mut Replica) -> Result<v1::LoginReply, ClientError> {
        self.login_as(token, None, replica).await
    }

    /// Logs in like [`Client::login`], and names the device.
    ///
    /// If the replica does not match, this repairs it; if it still does not, it syncs in full on a new connection.
    ///
    /// # Errors
    /// The gateway refuses, the connection is closed, or the replica does not match even after a full sync.
    pub async fn login_as(
        &mut self,
        token: &str,
        device: Option<v1::Device>,
        replica: &mut Replica,
    ) -> Result<v1::LoginReply, ClientError> {
        let (reply, synced) = self.try_login(token, device.clone(), replica).await?;
        let Err(wrong) = synced else { return Ok(reply) };
        tracing::warn!(%wrong, "not in sync; asking for what differs");
        match self.repair(replica).await? {
            Ok(()) => return Ok(reply),
            Err(wrong) => tracing::warn!(%wrong, "not in sync after a repair either; asking for everything"),
        }
        let _ = self.socket.close(None).await;
        *self = Self::connect_trusting(&self.url, self.encoding, self.trust.as_ref()).await?;
        let (reply, synced) = self.try_login(token, device, replica).await?;
        synced.map(|()| reply).map_err(ClientError::OutOfSync)
    }

    async fn try_login(
        &mut self,
        token: &str,
        device: Option<v1::Device>,
        replica: &mut Replica,
    ) -> Result<(v1::LoginReply, Result<(), SyncError>), ClientError> {
        let login = v1::Login { token: token.to_owned(), cursor: replica.cursor().map(str::to_owned), device };
        let reply = self.request(ClientCommand::Login(login)).await?.login_reply;
        let reply = reply.ok_or_else(|| ClientError::Malformed("a login without loginReply".to_owned()))?;
        replica.begin(&reply);
        Ok((*reply, self.until_synced(replica).await?))
    }

    /// Asks for the buckets of the friend list that differ, and applies frames to `replica` until it is up to date.
    ///
    /// The inner result says whether the replica then matches the gateway.
    ///
    /// # Errors
    /// The gateway refuses, or the connection is closed.
    pub async fn repair(&mut self, replica: &mut Replica) -> Result<Result<(), SyncError>, ClientError> {
        let reply = self.request(ClientCommand::Repair(v1::Repair { leaves: replica.leaves() })).await?;
        // Pushes that arrived before the reply apply to the list as it was before the repair.
        let mut applied = Ok(());
        for push in self.pushes.drain(..).chain([reply]) {
            applied = applied.and(replica.apply(&push));
        }
        if applied.is_err() { Ok(applied) } else { self.until_synced(replica).await }
    }

    async fn until_synced(&mut self, replica: &mut Replica) -> Result<Result<(), SyncError>, ClientError> {
        loop {
            let frame = self.next().await?;
            let applied = replica.apply(&frame);
            if frame.synced.is_some() {
                return Ok(applied);
            }
        }
    }

    async fn receive(&mut self) -> Result<v1::ServerFrame, ClientError> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(closed(error)),
                None => return Err(lost()),
            };
            let payload = match &message {
                Message::Text(text) => text.as_bytes(),
                Message::Binary(bytes) => bytes,
                Message::Close(Some(frame)) => {
                    let (code, reason) = (frame.code.into(), frame.reason.to_string());
                    return Err(ClientError::Closed { code, reason });
                }
                Message::Close(None) => return Err(lost()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if payload == self.encoding.heartbeat() {
                self.send_payload(self.encoding.heartbeat().to_vec()).await?;
                continue;
            }
            return self.encoding.decode_server(payload).map_err(|error| ClientError::Malformed(error.0));
        }
    }
}

fn closed(error: Error) -> ClientError {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_) | Error::Protocol(_) => lost(),
        other => ClientError::Malformed(other.to_string()),
    }
}

fn lost() -> ClientError {
    ClientError::Closed { code: 1006, reason: "the connection was lost".to_owned() }
}
