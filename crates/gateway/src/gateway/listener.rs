//! Accepts connections, ends TLS, and answers HTTP until a connection becomes a WebSocket.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::state::Gateway;
use super::{assets, upgrade};
use crate::admission::{AdmissionPolicy, AdmissionRefusal, Permit};
use crate::tls::{AcceptedStream, Tls};

/// The name of the limit on the time that a connection takes to become a WebSocket.
const HANDSHAKE_TIMEOUT: &str = "HANDSHAKE_TIMEOUT";
/// The name of the limits on how many TLS handshakes begin, from one address and in all.
const HANDSHAKES: &str = "HANDSHAKES";
/// The name of the refusal of a connection that would take one of the last open files.
const OPEN_FILES: &str = "OPEN_FILES";
/// How many open files are left to the store and to the ops listener.
const FILES_LEFT: u64 = 64;
/// The most headers that a request may have.
const HEADERS: usize = 64;
/// The smallest buffer that hyper reads into, in bytes.
const READ_BYTES: usize = 8192;
/// How long a connection that is turned away may take to read why.
const TURNED_AWAY: Duration = Duration::from_secs(1);
/// A moment that is longer than the steps of the runtime's timers.
const MOMENT: Duration = Duration::from_millis(50);
/// The pause after a failed accept, doubled up to the longest.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The bytes that the system may hold for a client besides those on their way: two full frames.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

impl Gateway {
    /// Accepts connections, with TLS if there is any, until closing begins.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<Tls>>) {
        let sessions = Router::new().route("/v1/ws", get(upgrade::upgrade)).with_state(self.clone());
        let router = sessions.merge(assets::routes(self.demo_page));
        tokio::select! {
            () = accept(listener, |stream, peer| self.receive(stream, peer, tls.as_ref(), &router)) => {}
            () = self.sessions.lifecycle.closing() => {}
        }
    }

    /// Lets a connection in or turns it away, before anything else is done for it.
    fn receive(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, tls: Option<&Arc<Tls>>, router: &Router) {
        if is_among_the_last_files(&stream) {
            return self.sessions.refused(OPEN_FILES);
        }
        match self.sessions.admission.enter(peer.ip(), self.arrivals.fetch_add(1, Ordering::Relaxed)) {
            Ok(permit) => {
                self.connections.spawn(connection(stream, tls.cloned(), router.clone(), self.clone(), permit));
            }
            Err(refused) => {
                self.sessions.refused(refused.word());
                // A client that speaks TLS would need a handshake to read the answer; refusing is to spare that.
                if tls.is_none() {
                    self.connections.spawn(turn_away(stream, self.clone(), refused));
                }
            }
        }
    }
}

/// Accepts connections for ever. After an error (too many open files, say) it pauses instead of spinning.
async fn accept(listener: TcpListener, serve: impl Fn(TcpStream, SocketAddr)) {
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE.0;
                tune(&stream);
                serve(stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}

/// Returns whether so few open files are left that the store and the ops listener need them.
fn is_among_the_last_files(stream: &TcpStream) -> bool {
    let most = getrlimit(Resource::Nofile).current;
    // The system gives out the lowest number that is free.
    let number = u64::try_from(stream.as_raw_fd()).unwrap_or_default();
    most.is_some_and(|most| number >= most - FILES_LEFT.min(most / 4))
}

/// Sets the socket's options for live state. If one fails, that costs speed or memory, never correctness.
fn tune(stream: &TcpStream) {
    // A frame is written whole; waiting to merge it with the next would only delay it.
    let _ = stream.set_nodelay(true);
    // Otherwise the system would take megabytes for a client that does not read, all of it old by the time it is read.
    // With this limit the outbox conflates instead.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
    // What `MSG_NOSIGNAL` does for each write elsewhere.
    #[cfg(target_vendor = "apple")]
    let _ = socket2::SockRef::from(stream).set_nosigpipe(true);
}

/// Answers a connection that is turned away with the reason, unless too many others are being answered.
async fn turn_away(mut stream: TcpStream, gateway: Arc<Gateway>, refused: AdmissionRefusal) {
    let Ok(_permit) = gateway.turning_away.try_acquire() else {
        return;
    };
    let status = match refused {
        AdmissionRefusal::Full => "503 Service Unavailable",
        AdmissionRefusal::Crowded => "429 Too Many Requests",
    };
    let answer = format!("HTTP/1.1 {status}\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let answered = timeout(TURNED_AWAY, async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // Bytes left unread would make the system reset the connection, and the answer with it.
        let mut discarded = [0; 512];
        while stream.read(&mut discarded).await? > 0 {}
        std::io::Result::Ok(())
    });
    let _ = answered.await;
}

/// Serves a connection until it ends, becomes a WebSocket, which another task serves, or closing begins.
///
/// A connection without a session when closing begins needs no goodbye, and must not delay the end. All of this has to be
/// over in the time that a handshake may take.
async fn connection(stream: TcpStream, tls: Option<Arc<Tls>>, router: Router, gateway: Arc<Gateway>, permit: Permit) {
    let policy = gateway.sessions.admission.policy();
    let (permit, asked) = (Arc::new(permit), Arc::new(AtomicBool::default()));
    let admitted = permit.clone();
    let answering = AdmittedService { inner: TowerToHyperService::new(router), permit, asked: asked.clone() };
    let serving = async {
        let Some(tls) = tls else { return http(AcceptedStream::Left(stream), answering, &policy).await };
        // Boxed: its state must not be part of the task of a connection without TLS.
        let admit = || admitted.handshake().map_err(|_| std::io::Error::from(ErrorKind::QuotaExceeded));
        let shaken = Box::pin(tls.accept(stream, policy.handshake_timeout, admit)).await;
        match shaken {
            Ok(stream) => Box::pin(http(AcceptedStream::Right(Box::new(stream)), answering, &policy)).await,
            Err(error) => {
                gateway.sessions.service.metrics().tls_failures.inc();
                tracing::debug!(%error, "a TLS handshake failed");
                match error.kind() {
                    ErrorKind::TimedOut => Some(HANDSHAKE_TIMEOUT),
                    ErrorKind::QuotaExceeded | ErrorKind::ResourceBusy => Some(HANDSHAKES),
                    _ => None,
                }
            }
        }
    };
    let limit = tokio::select! {
        limit = serving => limit,
        // A moment later, so that a TLS handshake that takes too long ends by its own timeout first.
        () = sleep(policy.handshake_timeout + MOMENT) => Some(HANDSHAKE_TIMEOUT),
        () = gateway.sessions.lifecycle.closing() => None,
    };
    match limit {
        // A client that has asked for something, a page perhaps, was not slow.
        Some(HANDSHAKE_TIMEOUT) if asked.load(Ordering::Relaxed) => {}
        Some(limit) => gateway.sessions.refused(limit),
        None => {}
    }
}

/// Serves HTTP until the connection ends or is upgraded. Returns the limit that ended it, if one did.
async fn http<R>(stream: AcceptedStream, routes: AdmittedService<R>, policy: &AdmissionPolicy) -> Option<&'static str>
where
    R: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible>,
    R::Future: Send,
{
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(policy.handshake_timeout)
        .max_headers(HEADERS)
        .max_header_size(policy.header_bytes)
        .max_buf_size(policy.header_bytes.max(READ_BYTES))
        .serve_connection(TokioIo::new(stream), routes)
        .with_upgrades();
    let error = serving.await.err()?;
    tracing::debug!(%error, "an HTTP connection ended");
    match error {
        error if error.is_timeout() => Some(HANDSHAKE_TIMEOUT),
        error if error.is_parse_too_large() => Some("HEADER_BYTES"),
        _ => None,
    }
}

/// The routes for one connection: each of its requests carries the connection's permit.
struct AdmittedService<R> {
    inner: R,
    permit: Arc<Permit>,
    asked: Arc<AtomicBool>,
}

impl<R: hyper::service::Service<Request<Incoming>>> hyper::service::Service<Request<Incoming>> for AdmittedService<R> {
    type Response = R::Response;
    type Error = R::Error;
    type Future = R::Future;

    fn call(&self, mut request: Request<Incoming>) -> R::Future {
        self.asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(self.permit.clone());
        self.inner.call(request)
    }
}
