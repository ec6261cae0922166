//! A connection to the server API, which carries one HTTP request after the other.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::Trust;
use crate::stream::Stream;
use rosterd_protocol::v1;

/// An error of a request to the server API.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The connection ended.
    #[error("the gateway at {0} did not answer: {1}")]
    Lost(SocketAddr, String),
    /// The peer does not answer like a gateway.
    #[error("what listens on {0} does not answer like rosterd ({1})")]
    Foreign(SocketAddr, hyper::StatusCode),
    /// The gateway refuses the request.
    #[error("{}", .0.message)]
    Refused(v1::Error),
}

/// A connection to a gateway's ops listener.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    key: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Backend {
    /// Connects without TLS; an empty key is not sent.
    ///
    /// # Errors
    /// No connection can be opened.
    pub async fn connect(address: SocketAddr, key: &str) -> Result<Self, BackendError> {
        Self::connect_trusting(address, key, None).await
    }

    /// Connects like [`Backend::connect`], with TLS if there is a [`Trust`].
    ///
    /// # Errors
    /// No connection can be opened, or one side does not accept the other's certificate.
    pub async fn connect_trusting(address: SocketAddr, key: &str, trust: Option<&Trust>) -> Result<Self, BackendError> {
        let lost = |error: String| BackendError::Lost(address, error);
        let stream = Stream::connect(&address.ip().to_string(), address.port(), trust).await;
        let stream = stream.map_err(|error| lost(error.to_string()))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(error.to_string()))?;
        tokio::spawn(connection);
        Ok(Self { address, key: key.to_owned(), sender })
    }

    /// Sends a request and returns status and text of the answer, whatever they are.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn send(&mut self, method: Method, path: &str, body: String) -> Result<(u16, String), BackendError> {
        let address = self.address;
        let lost = |error: hyper::Error| BackendError::Lost(address, error.to_string());
        let mut request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
        if !self.key.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.key));
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::from(body));
        let request = request.map_err(|error| BackendError::Lost(address, error.to_string()))?;
        self.sender.ready().await.map_err(lost)?;
        let response = self.sender.send_request(request).await.map_err(lost)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(lost)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Sends a request and reads the JSON of its answer.
    ///
    /// # Errors
    /// The gateway refuses, the connection ended, or the peer is not a gateway.
    pub async fn request(&mut self, method: Method, path: &str, body: String) -> Result<Value, BackendError> {
        let (status, text) = self.send(method, path, body).await?;
        let foreign = || BackendError::Foreign(self.address, hyper::StatusCode::from_u16(status).unwrap_or_default());
        if (200..300).contains(&status) {
            return serde_json::from_str(&text).map_err(|_| foreign());
        }
        let refused = serde_json::from_str::<v1::ServerFrame>(&text).ok().and_then(|frame| frame.error);
        Err(refused.map_or_else(foreign, BackendError::Refused))
    }
}
