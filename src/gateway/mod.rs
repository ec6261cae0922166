//! The client listener: from a TCP connection to a WebSocket session.
//!
//! It owns connections and nothing else: what a command does is the service's business, what may be seen the
//! engine's. [`session`] is one connection's life in a straight line, [`link`] its socket. [`pages`] is what browsers
//! load before they connect.

mod batch;
mod catch_up;
mod clock;
mod closing;
mod commands;
mod drain;
mod link;
mod outgoing;
mod pages;
mod relations;
mod repair;
mod session;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use self::outgoing::Outgoing;
use crate::hub::Seen;
use crate::lifecycle::Lifecycle;
use crate::model::Account;
use crate::service::{Record, Service, presence_record};
use crate::tls::Tls;
use crate::wire::{Changes, Encoding, v1};

/// How long a request's head may take to arrive, and before that a TLS handshake.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a failed accept, doubled up to the longest.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Bytes the system may hold for a client besides what is on its way; two full frames.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;
/// Record bytes after which a `changes` frame is full. A client's receive buffer need not be larger than a frame.
const FRAME: usize = 16 * 1024;
/// How many presences a frame holds at most.
const PRESENCES: usize = 150;

/// What an operator sets about connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often the gateway sends a heartbeat; a client silent for a whole interval after one is gone.
    pub heartbeat: Duration,
    /// How long a write may make no progress before the connection counts as dead.
    pub stall_timeout: Duration,
    /// How long a connection may take to log in.
    pub login_timeout: Duration,
    /// The largest message a client may send.
    pub frame_bytes: usize,
    /// Whether the demo page is at `/`.
    pub demo_page: bool,
}

/// What every connection shares.
pub struct Gateway {
    service: Arc<Service>,
    settings: Settings,
    lifecycle: Arc<Lifecycle>,
    connections: TaskTracker,
}

impl Gateway {
    /// A gateway without a listener yet.
    pub fn new(service: Arc<Service>, settings: Settings, lifecycle: Arc<Lifecycle>) -> Arc<Self> {
        Arc::new(Self { service, settings, lifecycle, connections: TaskTracker::new() })
    }

    /// Accepts connections until closing begins; with TLS if there is any.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<Tls>>) {
        let sessions = Router::new().route("/v1/ws", get(upgrade::upgrade)).with_state(self.clone());
        let router = sessions.merge(pages::routes(self.settings.demo_page));
        let lifecycle = self.lifecycle.clone();
        tokio::select! {
            () = accept(listener, |stream| {
                self.connections.spawn(connection(stream, tls.clone(), router.clone(), self.clone()));
            }) => {}
            () = lifecycle.closing() => {}
        }
    }

    /// Serves one connection whose upgrade is behind it, to its end.
    pub async fn serve_upgraded<S>(self: Arc<Self>, stream: S, encoding: Encoding)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        session::run(upgrade::socket(&self, stream, Vec::new()).await, encoding, self).await;
    }

    /// Waits until every connection has ended.
    pub async fn drained(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// How many connections there are, those of HTTP included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }
}

/// Accepts for ever; an error (too many open files, say) pauses instead of spinning.
async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) {
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                pause = ACCEPT_PAUSE.0;
                tune(&stream);
                serve(stream);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}

/// Sets the socket up for live state. Either failing costs speed or memory, never correctness.
fn tune(stream: &TcpStream) {
    // A frame is written whole; waiting to merge it with the next would only delay it.
    let _ = stream.set_nodelay(true);
    // The system would take megabytes from us for a client that does not read, all of it old by the time it is read.
    // Held back early, the outbox conflates instead.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// Serves a connection until it ends, becomes a WebSocket, which is another task's, or closing begins: who is no session
/// by then has nothing to be told, and must not hold up the end.
async fn connection(stream: TcpStream, tls: Option<Arc<Tls>>, router: Router, gateway: Arc<Gateway>) {
    let serving = async {
        let Some(tls) = tls else { return http(stream, router).await };
        // Boxed: its state must not be part of what a plain connection takes.
        let shaken = Box::pin(tls.accept(stream, HEADER_TIMEOUT)).await;
        match shaken {
            Ok(stream) => Box::pin(http(stream, router)).await,
            Err(error) => {
                gateway.service.metrics().tls_failures.inc();
                tracing::debug!(%error, "a TLS handshake failed");
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = gateway.lifecycle.closing() => {}
    }
}

/// Serves HTTP until the connection ends or is upgraded.
async fn http<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    if let Err(error) = serving.await {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

/// Adds records until the frame is full (true) or there are no more (false), as `viewer` is to be told them.
fn fill<'a>(changes: &mut Changes, records: &mut impl Iterator<Item = Record<'a>>, viewer: &Account) -> bool {
    for record in records {
        match record {
            Record::Removed(account) => changes.removed(account),
            Record::Friend(edge, card) => {
                changes.friend(edge);
                changes.user(card);
            }
            Record::Card(card) => changes.user(card),
            Record::Request(request) => changes.request(request, viewer),
            Record::Block(block) => changes.block(block),
        }
        if changes.size() >= FRAME {
            return true;
        }
    }
    false
}

/// Adds a frame of presences; false if there are no more.
fn add_presences(out: &mut Outgoing, seen: &mut impl Iterator<Item = Seen>) -> bool {
    let users: Vec<_> = seen.take(PRESENCES).map(|seen| presence_record(&seen)).collect();
    let some = !users.is_empty();
    if some {
        let presence = Some(v1::PresenceChanges { users });
        out.server(&v1::ServerFrame { presence, ..Default::default() });
    }
    some
}
