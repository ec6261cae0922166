//! Fetches one small document over HTTP: a key set.
//!
//! One request on one connection, with limits on time, bytes and destination: no redirect is followed, so the settings
//! alone decide which host is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a fetch may take in all.
const PATIENCE: Duration = Duration::from_secs(5);

/// A URL that a document can be fetched from.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Url {
    /// Parses `https://HOST[:PORT]/PATH`. `http` is accepted for this machine only: without TLS, anyone on the network
    /// path could supply keys.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "write https://HOST/PATH, such as https://id.example.com/.well-known/jwks.json";
        let uri: Uri = text.parse().map_err(|_| format!("is not a URL; {RIGHT}"))?;
        let authority = uri.authority().ok_or_else(|| format!("names no host; {RIGHT}"))?;
        if authority.as_str().contains('@') {
            return Err(format!("takes no user and password; {RIGHT}"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let here =
            host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if here => false,
            Some("http") => return Err(format!("needs TLS, since whoever is on the way could give keys; {RIGHT}")),
            _ => return Err(format!("is no URL that can be fetched; {RIGHT}")),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, port, path })
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

/// Leaves the query out, because it may hold a secret.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

/// Fetches the document at `url`, of at most `most` bytes.
pub(super) async fn get(url: &Url, most: usize) -> Result<Vec<u8>, String> {
    get_within(url, most, PATIENCE).await
}

async fn get_within(url: &Url, most: usize, patience: Duration) -> Result<Vec<u8>, String> {
    timeout(patience, fetch(url, most)).await.map_err(|_| format!("no answer in {patience:?}"))?
}

async fn fetch(url: &Url, most: usize) -> Result<Vec<u8>, String> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|error| error.to_string())?;
    if !url.tls {
        return ask(stream, url, most).await;
    }
    let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
    let tls = TlsConnector::from(Arc::new(trust().await?)).connect(name, stream).await;
    ask(tls.map_err(|error| error.to_string())?, url, most).await
}

/// Reads the certificate authorities that this machine trusts. It reads them each time, since fetches are rare and
/// the list changes.
async fn trust() -> Result<ClientConfig, String> {
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = found.map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this machine has no list of certificate authorities (package ca-certificates?)".to_owned());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

async fn ask<S>(stream: S, url: &Url, most: usize) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // The set ends the connection's task when this function ends or is cancelled.
    let mut connections = tokio::task::JoinSet::new();
    connections.spawn(connection);
    let host = HeaderValue::from_str(&url.authority()).map_err(|error| error.to_string())?;
    let request = Request::get(&url.path).header(HOST, host).header(ACCEPT, "application/json");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(format!("the answer is {}", response.status()));
    }
    let body = Limited::new(response.into_body(), most).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What comes of a server that answers so, for ever if it says.
    async fn from(answer: &'static [u8], without_end: bool) -> Result<Vec<u8>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/keys?x=1", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            assert!(head[..read].starts_with(b"GET /keys?x=1 HTTP/1.1\r\n"));
            while stream.write_all(answer).await.is_ok() && without_end {}
        });
        let got = get(&url, 100).await;
        server.await.unwrap();
        got
    }

    #[tokio::test]
    async fn an_answer_has_an_end_a_size_and_no_other_place() {
        assert_eq!(from(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkeys", false).await.unwrap(), b"keys");
        assert_eq!(from(b"HTTP/1.1 200 OK\r\n\r\nkeys", false).await.unwrap(), b"keys");
        for (answer, without_end) in [
            (&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], false),
            (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false),
            (b"HTTP/1.1 200 OK\r\n\r\n0123456789", true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false),
            (b"X: x\r\n", true),
            (b"", false),
        ] {
            assert!(from(answer, without_end).await.is_err(), "{}", String::from_utf8_lossy(answer));
        }
        let nobody = Url::parse("http://127.0.0.1:1/").unwrap();
        assert!(get(&nobody, 100).await.is_err());
    }

    #[tokio::test]
    async fn who_does_not_answer_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let short = Duration::from_millis(50);
        assert_eq!(get_within(&url, 100, short).await, Err("no answer in 50ms".to_owned()));
    }

    #[test]
    fn only_urls_that_can_be_trusted_are_taken() {
        let url = Url::parse("https://id.example.com/jwks.json?tenant=7").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("id.example.com", 443, "/jwks.json?tenant=7"));
        assert_eq!(format!("{url:?}"), "https://id.example.com/jwks.json");
        for here in [
            "http://127.0.0.1:8080/jwks",
            "HTTP://LOCALHOST/jwks",
            "Https://id.example.com/",
            "http://localhost/jwks",
            "http://[::1]:81/x",
            "https://[::1]",
        ] {
            assert!(Url::parse(here).is_ok(), "{here}");
        }
        assert_eq!(Url::parse("http://[::1]:81/x").unwrap().authority(), "[::1]:81");
        for (bad, why) in [
            ("http://id.example.com/jwks", "TLS"),
            ("http://10.0.0.1/jwks", "TLS"),
            ("http://localhost.evil.example/jwks", "TLS"),
            ("ftp://id.example.com/jwks", "https://"),
            ("file:///etc/passwd", "https://"),
            ("/etc/keys.json", "https://"),
            ("id.example.com", "https://"),
            ("https://user:hunter2@id.example.com/", "password"),
            ("", "https://"),
            ("https://", "https://"),
        ] {
            let error = Url::parse(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{bad}: {error}");
        }
    }
}
