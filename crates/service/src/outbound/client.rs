//! Calls one URL.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::address_rules::AddressRules;
use super::resolver::{CheckingResolver, NameLookup};
use super::trust::TrustFiles;
use super::url::Url;

/// How long a connection without a call is kept. Servers close theirs after 5 s and more, and a call that meets the close
/// fails.
const IDLE: Duration = Duration::from_secs(4);
/// How long the files of a connection's trust are used before they are read again.
const TRUSTED: Duration = Duration::from_mins(10);

/// How a URL is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundSettings {
    /// The URL.
    pub url: Url,
    /// If there are any: the host's address must be in one of them.
    pub networks: Vec<IpNet>,
    /// The files for TLS.
    pub trust: TrustFiles,
    /// The limit of a call, from the lookup of the name to the last byte of the answer.
    pub timeout: Duration,
    /// The most bytes of an answer's body.
    pub answer_bytes: usize,
    /// The most connections that are kept while nothing is called.
    pub connections: usize,
}

/// An answer, of whatever status.
#[derive(Debug, Clone)]
pub struct CalledAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came; nothing is decompressed.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// It took too long.
    Timeout(Duration),
    /// The body of the answer, which has this status, is larger than this.
    TooLarge(StatusCode, usize),
    /// Something else: an address that is not called, no connection, another's certificate, a broken answer.
    Failed(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "no answer in {limit:?}"),
            Self::TooLarge(_, most) => write!(f, "the answer has more than {most} bytes"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Error for CallError {}

type Connections = Client<HttpsConnector<HttpConnector<CheckingResolver>>, Full<Bytes>>;

/// Calls one URL, over connections that are kept for the next call while they live.
pub struct OutboundClient {
    settings: OutboundSettings,
    resolver: CheckingResolver,
    /// With the time at which the files were read.
    connections: Mutex<Option<(Connections, Instant)>>,
}

impl OutboundClient {
    /// Creates a client. The files are read at the first call.
    #[must_use]
    pub fn new(settings: OutboundSettings, lookup: NameLookup) -> Self {
        let this_machine = settings.url.names_this_machine();
        let rules = Arc::new(AddressRules { networks: settings.networks.clone(), this_machine });
        Self { settings, resolver: CheckingResolver { lookup, rules }, connections: Mutex::default() }
    }

    /// Gets the document.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, headers: HeaderMap) -> Result<CalledAnswer, CallError> {
        self.call(Method::GET, headers, Bytes::new()).await
    }

    /// Posts a body.
    ///
    /// # Errors
    /// There is no answer. The body may have arrived nevertheless.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<CalledAnswer, CallError> {
        self.call(Method::POST, headers, body).await
    }

    async fn call(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<CalledAnswer, CallError> {
        let limit = self.settings.timeout;
        timeout(limit, self.answer(method, headers, body)).await.map_err(|_| CallError::Timeout(limit))?
    }

    async fn answer(&self, method: Method, headers: HeaderMap, body: Bytes) -> Result<CalledAnswer, CallError> {
        // The connector asks the resolver for names only.
        if let Some(address) = self.settings.url.address() {
            self.resolver.rules.check(address).map_err(CallError::Failed)?;
        }
        let connections = self.connections().await.map_err(CallError::Failed)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.settings.url.uri().clone();
        *request.headers_mut() = headers;
        let answer = connections.request(request).await.map_err(|error| CallError::Failed(causes(&error)))?;
        let (head, body) = answer.into_parts();
        let most = self.settings.answer_bytes;
        let body = Limited::new(body, most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                CallError::TooLarge(head.status, most)
            } else {
                CallError::Failed(causes(&*error))
            }
        })?;
        Ok(CalledAnswer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    async fn connections(&self) -> Result<Connections, String> {
        let fresh = |(_, read): &&(Connections, Instant)| read.elapsed() < TRUSTED;
        if let Some((connections, _)) = self.connections.lock().as_ref().filter(fresh) {
            return Ok(connections.clone());
        }
        let trust = self.settings.trust.clone();
        let tls = tokio::task::spawn_blocking(move || trust.read()).await.map_err(|error| error.to_string())??;
        let mut tcp = HttpConnector::new_with_resolver(self.resolver.clone());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.settings.timeout));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(self.settings.connections);
        let connections = builder.build(connector.wrap_connector(tcp));
        *self.connections.lock() = Some((connections.clone(), Instant::now()));
        Ok(connections)
    }
}

/// Joins the causes of an error; the outermost one only says that there was one.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !causes.last().is_some_and(|last: &String| last.ends_with(&text)) {
            causes.push(text);
        }
        next = cause.source();
    }
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests;
