//! The ops listener's sockets, with or without TLS.
//!
//! Whoever reaches the listener may ask for health, so strangers can hold connections. They must not keep a probe or a
//! backend from being served: each has its time for the handshake and the first request, and when there are as many
//! connections as there may be, or as there are open files, one that has nothing to do makes room for the next.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures::future::BoxFuture;
use hyper::Request;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};

use crate::tls::{AcceptedStream, Tls};

/// The most connections.
const CONNECTIONS: usize = 256;
/// How long a connection may wait for its next request, and how long the head of that may take.
const IDLE: Duration = Duration::from_secs(75);
/// How many times as long as a handshake a body may take.
const BODY: u32 = 6;
/// The pause after a failed accept, if no connection can make room.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the routes until the future is dropped. `limit` is the time for a handshake and the first request's head.
pub async fn serve(listener: TcpListener, routes: Router, tls: Option<Arc<Tls>>, limit: impl Fn() -> Duration) {
    let open = Arc::new(OpenConnections::default());
    for number in 0.. {
        match listener.accept().await {
            Ok((stream, _)) if open.has_room() => {
                let activity = Arc::new(ConnectionActivity::default());
                let place = Place { open: open.clone(), number };
                let served = connection(stream, tls.clone(), routes.clone(), activity.clone(), limit());
                let task = async move {
                    served.await;
                    drop(place);
                };
                // Locked, because the task may end at once.
                let mut connections = open.0.lock();
                connections.insert(number, (activity, tokio::spawn(task).abort_handle()));
            }
            Ok(_) => tracing::warn!("every connection of the ops listener is busy, another one was refused"),
            Err(error) => {
                tracing::debug!(%error, "a connection to the ops listener could not be accepted");
                if !open.end_one() {
                    sleep(PAUSE).await;
                }
                // The task of the one that ends gives back its file.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// The connections that are open, by their number.
#[derive(Default)]
struct OpenConnections(Mutex<BTreeMap<u64, (Arc<ConnectionActivity>, AbortHandle)>>);

/// One connection's place among them. Dropping it gives the place back.
struct Place {
    open: Arc<OpenConnections>,
    number: u64,
}

/// The use that a connection has been put to.
#[derive(Default)]
struct ConnectionActivity {
    /// Whether it has had a request.
    asked: AtomicBool,
    /// How many requests are being answered.
    requests: AtomicUsize,
}

impl OpenConnections {
    /// Returns whether there may be another connection, after one has made room if need be.
    fn has_room(&self) -> bool {
        let is_full = self.0.lock().len() >= CONNECTIONS;
        !is_full || self.end_one()
    }

    /// Ends one connection that has nothing to do: the oldest of those that never asked for anything, or of all. Returns
    /// false if every one is busy.
    fn end_one(&self) -> bool {
        let mut connections = self.0.lock();
        let idle = connections.iter().filter(|(_, (activity, _))| activity.requests.load(Ordering::Relaxed) == 0);
        let first = idle.min_by_key(|(number, (activity, _))| (activity.asked.load(Ordering::Relaxed), **number));
        let Some(number) = first.map(|(number, _)| *number) else { return false };
        if let Some((_, task)) = connections.remove(&number) {
            task.abort();
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.0.lock().remove(&self.number);
    }
}

/// Serves one connection until it ends.
async fn connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    routes: Router,
    activity: Arc<ConnectionActivity>,
    limit: Duration,
) {
    // Answers are written whole.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().map(|peer| PeerAddress(peer.ip()));
    let inner = TowerToHyperService::new(routes);
    let answering = TimedService { inner, activity: activity.clone(), body: limit * BODY, peer };
    let serving = async {
        let Some(tls) = tls else { return http(AcceptedStream::Left(stream), answering).await };
        match tls.accept(stream, limit, || Ok(())).await {
            Ok(stream) => http(AcceptedStream::Right(Box::new(stream)), answering).await,
            Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
        }
    };
    let silence = async {
        sleep(limit).await;
        if activity.asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = serving => {}
        () = silence => tracing::debug!("a connection to the ops listener asked for nothing"),
    }
}

async fn http(stream: AcceptedStream, answering: TimedService) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), answering);
    if let Err(error) = serving.await {
        tracing::debug!(%error, "a connection to the ops listener ended");
    }
}

/// The routes for one connection. The body of a request has its time.
struct TimedService {
    inner: TowerToHyperService<Router>,
    activity: Arc<ConnectionActivity>,
    body: Duration,
    peer: Option<PeerAddress>,
}

/// The address that a request comes from, among its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerAddress(pub(super) IpAddr);

impl hyper::service::Service<Request<Incoming>> for TimedService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.asked.store(true, Ordering::Relaxed);
        let being_answered = BeingAnswered::new(self.activity.clone());
        let end = Box::pin(sleep(self.body));
        let mut request = request.map(|body| Body::new(TimedBody { body, end }));
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            Ok(answer.map(|body| Body::new(AnswerBody { body, _being_answered: being_answered })))
        })
    }
}

/// Counts a request until the last byte of its answer, also if its connection ends before.
struct BeingAnswered(Arc<ConnectionActivity>);

impl BeingAnswered {
    fn new(activity: Arc<ConnectionActivity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for BeingAnswered {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer. A long one, such as a snapshot, is not to make room for another connection.
struct AnswerBody {
    body: Body,
    _being_answered: BeingAnswered,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body that has to come in time.
struct TimedBody {
    body: Incoming,
    end: Pin<Box<Sleep>>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.end.as_mut().poll(cx));
        Poll::Ready(Some(Err("the body took too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
