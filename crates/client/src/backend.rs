//! A connection to the server API, which carries one HTTP request after the other.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
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

/// The body of an answer, read piece by piece.
#[derive(Debug)]
pub struct BackendBody {
    address: SocketAddr,
    body: Incoming,
}

impl BackendBody {
    /// Returns the next piece; `None` after the last.
    ///
    /// # Errors
    /// The connection ended before that.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, BackendError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| BackendError::Lost(self.address, error.to_string()))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
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
        let (status, body) = self.begin(method, path, body).await?;
        let body = body.collect().await.map_err(|error| BackendError::Lost(self.address, error.to_string()))?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }

    /// Asks for something large, and returns its body to be read piece by piece.
    ///
    /// # Errors
    /// The gateway refuses, the connection ended, or the peer is not a gateway.
    pub async fn open(&mut self, path: &str) -> Result<BackendBody, BackendError> {
        let address = self.address;
        let (status, body) = self.begin(Method::GET, path, String::new()).await?;
        if (200..300).contains(&status) {
            return Ok(BackendBody { address, body });
        }
        let body = body.collect().await.map_err(|error| BackendError::Lost(address, error.to_string()))?;
        Err(self.refused(status, &String::from_utf8_lossy(&body.to_bytes())))
    }

    async fn begin(&mut self, method: Method, path: &str, body: String) -> Result<(u16, Incoming), BackendError> {
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
        Ok((response.status().as_u16(), response.into_body()))
    }

    /// Sends a request and reads the JSON of its answer.
    ///
    /// # Errors
    /// The gateway refuses, the connection ended, or the peer is not a gateway.
    pub async fn request(&mut self, method: Method, path: &str, body: String) -> Result<Value, BackendError> {
        let (status, text) = self.send(method, path, body).await?;
        if (200..300).contains(&status) {
            return serde_json::from_str(&text).map_err(|_| self.foreign(status));
        }
        Err(self.refused(status, &text))
    }

    fn refused(&self, status: u16, text: &str) -> BackendError {
        let refused = serde_json::from_str::<v1::ServerFrame>(text).ok().and_then(|frame| frame.error);
        refused.map_or_else(|| self.foreign(status), BackendError::Refused)
    }

    fn foreign(&self, status: u16) -> BackendError {
        BackendError::Foreign(self.address, hyper::StatusCode::from_u16(status).unwrap_or_default())
    }
}
