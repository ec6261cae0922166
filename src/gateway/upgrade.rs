//! The HTTP upgrade on `/v1/ws`: checks the request, picks the subprotocol, and hands the socket to a session task.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::{Gateway, session};
use crate::tls::TlsStream;
use crate::wire::Encoding;

/// Allocated per connection and kept for its life; most commands fit, larger ones grow it.
const READ_BUFFER: usize = 1024;

/// Answers 101 and starts the session, or says what is wrong with the request.
pub(super) async fn upgrade(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let (encoding, chosen) = match subprotocol(&parts.headers) {
        Ok(chosen) => chosen,
        Err(message) => return (StatusCode::BAD_REQUEST, message).into_response(),
    };
    let mut head = axum::http::Request::new(());
    (*head.method_mut(), *head.version_mut()) = (parts.method, parts.version);
    *head.headers_mut() = parts.headers;
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
            Ok(upgraded) => start(gateway, upgraded, encoding).await,
            Err(error) => tracing::debug!(%error, "an upgrade did not complete"),
        }
    });
    response
}

/// The encoding to speak, and the subprotocol to answer; none offered means JSON.
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

/// Finds the stream that was accepted. A session's task is made for its kind, so a plain one has nothing of TLS in it.
async fn start(gateway: Arc<Gateway>, upgraded: Upgraded, encoding: Encoding) {
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return run(gateway, parts.io.into_inner(), parts.read_buf.to_vec(), encoding).await,
        Err(upgraded) => upgraded,
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TlsStream>>() else {
        tracing::error!("an upgraded connection is not the one accepted");
        return;
    };
    Box::pin(run(gateway, parts.io.into_inner(), parts.read_buf.to_vec(), encoding)).await;
}

/// `read` is what a fast client sent with its request.
async fn run<S>(gateway: Arc<Gateway>, stream: S, read: Vec<u8>, encoding: Encoding)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let socket = socket(&gateway, stream, read).await;
    let connections = gateway.connections.clone();
    connections.spawn(session::run(socket, encoding, gateway));
}

/// Speaks WebSocket on a stream whose upgrade is behind it, and of which something may have been read already.
pub(super) async fn socket<S>(gateway: &Gateway, stream: S, read: Vec<u8>) -> WebSocketStream<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = config(gateway.settings.frame_bytes);
    WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await
}

/// One frame is one message; what tungstenite itself writes are control frames only.
fn config(frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4096)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes))
}
