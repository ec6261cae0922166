//! Upgrades `/v1/ws`: checks the request, picks the subprotocol, and hands the socket to a session's task.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_util::either::Either;

use super::state::Gateway;
use crate::admission::Permit;
use crate::hub::WriteHandle;
use crate::session::{self, TcpConnection};
use crate::tls::AcceptedStream;
use rosterd_protocol::Encoding;

/// The one version of the WebSocket protocol (RFC 6455).
const VERSION: &str = "13";
/// The names under which clients put a token into a URL.
const TOKENS: [&str; 4] = ["token", "access_token", "id_token", "jwt"];

impl Gateway {
    /// Serves one connection of this machine that was upgraded already, to its end.
    pub async fn serve_upgraded<S>(
        self: Arc<Self>,
        stream: S,
        write_handle: Option<Box<dyn WriteHandle>>,
        encoding: Encoding,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let number = self.arrivals.fetch_add(1, Ordering::Relaxed);
        if let Ok(permit) = self.sessions.admission.enter(Ipv6Addr::LOCALHOST.into(), number) {
            let sessions = self.sessions.clone();
            let websocket = session::websocket(&sessions.admission.policy(), stream, Vec::new()).await;
            session::run(websocket, write_handle, encoding, sessions, Arc::new(permit)).await;
        }
    }
}

/// Answers 101 and starts the session, or answers what is wrong with the request.
pub(super) async fn upgrade(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let permit = match admit(&gateway, &parts) {
        Ok(permit) => permit,
        Err(UpgradeRefusal(status, kind, message)) => {
            gateway.sessions.refused(kind);
            return (status, message).into_response();
        }
    };
    let (encoding, chosen) = match subprotocol(&parts.headers) {
        Ok(chosen) => chosen,
        Err(message) => return (StatusCode::BAD_REQUEST, message).into_response(),
    };
    let version = parts.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    if version.is_some_and(|version| version != VERSION.as_bytes()) {
        let message = "this gateway speaks version 13 of WebSocket\n";
        let headers = [(SEC_WEBSOCKET_VERSION, VERSION), (UPGRADE, "websocket"), (CONNECTION, "Upgrade")];
        return (StatusCode::UPGRADE_REQUIRED, headers, message).into_response();
    }
    let mut head = axum::http::Request::new(());
    (*head.method_mut(), *head.version_mut()) = (parts.method, parts.version);
    *head.headers_mut() = parts.headers;
    single_out(head.headers_mut(), &CONNECTION, "Upgrade");
    single_out(head.headers_mut(), &UPGRADE, "websocket");
    let mut response = match create_response(&head) {
        Ok(response) => response.map(|()| axum::body::Body::empty()),
        Err(error) => {
            let message = format!("this is a WebSocket endpoint: {error}\n");
            return (StatusCode::BAD_REQUEST, message).into_response();
        }
    };
    let Some(upgrade) = parts.extensions.get::<OnUpgrade>().cloned() else {
        return (StatusCode::BAD_REQUEST, "this connection cannot be upgraded\n").into_response();
    };
    if let Some(protocol) = chosen {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let connections = gateway.connections.clone();
    // This task only waits for the switch; the session gets one of its own, so that nothing of HTTP stays in it.
    connections.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => start(gateway, upgraded, encoding, permit).await,
            Err(error) => tracing::debug!(%error, "an upgrade did not complete"),
        }
    });
    response
}

/// Leaves of a list only this value, if the list has it.
///
/// A list may come in several lines, with several values each (RFC 9110, section 5.3), but the handshake reads one line.
fn single_out(headers: &mut HeaderMap, name: &HeaderName, wanted: &'static str) {
    let lines = headers.get_all(name).iter();
    let mut values = lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    if values.any(|value| value.eq_ignore_ascii_case(wanted.as_bytes())) {
        headers.insert(name, HeaderValue::from_static(wanted));
    }
}

/// The refusal of a request: the status, the name in the metrics, and a sentence.
struct UpgradeRefusal(StatusCode, &'static str, &'static str);

/// Returns the permit of the connection, if its request may go on.
fn admit(gateway: &Gateway, parts: &Parts) -> Result<Arc<Permit>, UpgradeRefusal> {
    let policy = gateway.sessions.admission.policy();
    // The token would be in the log of every proxy on the way.
    if parts.uri.query().is_some_and(has_token) {
        let message = "a URL must not hold a token, since it ends up in logs; send it in the login command\n";
        return Err(UpgradeRefusal(StatusCode::BAD_REQUEST, "TOKEN_IN_URL", message));
    }
    if !policy.origins.as_ref().is_none_or(|origins| origins.allow(&parts.headers)) {
        let message = "this page may not connect: its origin is not among clients.origins of the gateway's settings\n";
        return Err(UpgradeRefusal(StatusCode::FORBIDDEN, "ORIGIN", message));
    }
    // The bytes after the head are frames already.
    if parts.headers.contains_key(TRANSFER_ENCODING) || parts.headers.get(CONTENT_LENGTH).is_some_and(|n| n != "0") {
        let message = "a request for a WebSocket has no body\n";
        return Err(UpgradeRefusal(StatusCode::BAD_REQUEST, "BODY", message));
    }
    let permit = parts.extensions.get::<Arc<Permit>>().expect("every request comes with the permit of its connection");
    match permit.forwarded(&parts.headers) {
        Ok(()) => Ok(permit.clone()),
        Err(refused) => {
            let message = "there are too many connections from this address\n";
            Err(UpgradeRefusal(StatusCode::TOO_MANY_REQUESTS, refused.word(), message))
        }
    }
}

fn has_token(query: &str) -> bool {
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.into_iter().any(|name| TOKENS.iter().any(|token| name.eq_ignore_ascii_case(token)))
}

/// Picks the encoding, and the subprotocol to answer. If none is offered, that is JSON.
fn subprotocol(headers: &HeaderMap) -> Result<(Encoding, Option<HeaderValue>), &'static str> {
    let mut offered = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .peekable();
    if offered.peek().is_none() {
        return Ok((Encoding::Json, None));
    }
    let known = |name: &[u8]| Encoding::ALL.into_iter().find(|encoding| encoding.subprotocol().as_bytes() == name);
    match offered.find_map(known) {
        Some(encoding) => Ok((encoding, Some(HeaderValue::from_static(encoding.subprotocol())))),
        None => Err("none of the offered subprotocols is known; use rosterd.v1.json or rosterd.v1.protobuf\n"),
    }
}

/// Starts the session's task on the stream that was accepted.
///
/// One task serves both kinds of streams. It has a pointer to the state of TLS and not the state itself, so without TLS
/// that takes no room.
async fn start(gateway: Arc<Gateway>, upgraded: Upgraded, encoding: Encoding, permit: Arc<Permit>) {
    let Ok(parts) = upgraded.downcast::<TokioIo<AcceptedStream>>() else {
        tracing::error!("an upgraded connection is not the one accepted");
        return;
    };
    let (stream, write_handle) = match parts.io.into_inner() {
        AcceptedStream::Left(stream) => {
            let (connection, write_handle) = TcpConnection::split(stream, encoding);
            (Either::Left(connection), Some(write_handle))
        }
        AcceptedStream::Right(stream) => (Either::Right(stream), None),
    };
    let sessions = gateway.sessions.clone();
    // A fast client sent with its request what was read already.
    let websocket = session::websocket(&sessions.admission.policy(), stream, parts.read_buf.to_vec()).await;
    gateway.connections.spawn(session::run(websocket, write_handle, encoding, sessions, permit));
}
