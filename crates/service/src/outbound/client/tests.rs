use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::super::resolver::system_lookup;
use super::*;

const LONG: Duration = Duration::from_mins(1);

fn settings(url: &str) -> OutboundSettings {
    let url = Url::parse_plain(url).unwrap();
    let (networks, trust, timeout) = (Vec::new(), TrustFiles::default(), LONG);
    OutboundSettings { url, networks, trust, timeout, answer_bytes: 100, connections: 1 }
}

/// A name that has these addresses, and the number of times that it was looked up.
fn names<const N: usize>(answers: [&'static [&'static str]; N]) -> (NameLookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let lookup: NameLookup = Arc::new(move |_| {
        let time = counted.fetch_add(1, Ordering::SeqCst);
        let addresses: Vec<IpAddr> =
            answers[time.min(answers.len() - 1)].iter().map(|ip| ip.parse().unwrap()).collect();
        Box::pin(async move { Ok(addresses) })
    });
    (lookup, asked)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads the head of a request, and nothing of its body.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        read.push(byte);
    }
    String::from_utf8(read).unwrap()
}

/// What comes of a server that answers so, for ever if it says.
async fn from(answer: Vec<u8>, without_end: bool, timeout: Duration) -> Result<CalledAnswer, CallError> {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        assert!(head.starts_with("GET /keys?x=1 HTTP/1.1\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("accept-encoding"), "{head}");
        while stream.write_all(&answer).await.is_ok() && without_end {
            tokio::task::yield_now().await;
        }
    });
    let settings = OutboundSettings { timeout, ..settings(&format!("http://{address}/keys?x=1")) };
    let got = OutboundClient::new(settings, system_lookup()).get(HeaderMap::new()).await;
    server.await.unwrap();
    got
}

#[tokio::test]
async fn an_answer_has_an_end_a_size_and_no_other_place() {
    for right in ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkeys", "HTTP/1.1 200 OK\r\n\r\nkeys"] {
        assert_eq!(from(right.into(), false, LONG).await.unwrap().body, "keys");
    }
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(from(redirect.into(), false, LONG).await.unwrap().status, StatusCode::FOUND);
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "a\r\n0123456789\r\n".repeat(20));
    for (answer, without_end) in [
        (endless, true),
        ("HTTP/1.1 200 OK\r\n\r\n0123456789".to_owned(), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n0123456789".to_owned(), true),
    ] {
        assert_eq!(
            from(answer.clone().into(), without_end, LONG).await.unwrap_err(),
            CallError::TooLarge(StatusCode::OK, 100),
            "{answer}"
        );
    }
    for (answer, without_end) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nkeys", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nkeys", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nkeys", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nkeys", false),
        ("X: x\r\n", true),
        ("", false),
    ] {
        let error = from(answer.into(), without_end, LONG).await.unwrap_err();
        assert!(matches!(error, CallError::Failed(_)), "{answer}: {error}");
    }
    let nobody = OutboundClient::new(settings("http://127.0.0.1:1/"), system_lookup());
    let error = nobody.get(HeaderMap::new()).await.unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_compressed_answer_is_not_unpacked() {
    // The beginning of a gzip stream; what it says it holds is never made.
    let mut bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n".to_vec();
    bomb.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    let answer = from(bomb, false, LONG).await.unwrap();
    assert_eq!(answer.body[..], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
}

#[tokio::test]
async fn who_does_not_answer_or_only_drips_is_not_waited_for() {
    let (listener, address) = listen().await;
    let short = Duration::from_millis(300);
    let settings = OutboundSettings { timeout: short, ..settings(&format!("http://{address}/")) };
    let client = OutboundClient::new(settings, system_lookup());
    assert_eq!(client.get(HeaderMap::new()).await.unwrap_err(), CallError::Timeout(short));
    let server = tokio::spawn(async move {
        let (mut drips, mut dripped) = (None, 0);
        loop {
            let accepted = listener.accept().await.unwrap().0;
            let mut stream = drips.insert(accepted);
            head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await;
            while stream.write_all(b"x").await.is_ok() {
                dripped += 1;
                tokio::time::sleep(short / 10).await;
            }
            if dripped > 0 {
                return dripped;
            }
        }
    });
    assert_eq!(client.get(HeaderMap::new()).await.unwrap_err(), CallError::Timeout(short));
    assert!(server.await.unwrap() > 0, "it did drip");
}

#[tokio::test]
async fn a_name_leads_to_no_address_that_was_not_checked() {
    let (listener, address) = listen().await;
    let port = address.port();
    // The first answer would do, the second is another: whatever was checked is what is connected to.
    let (lookup, asked) = names([&["192.0.2.1"], &["127.0.0.1"]]);
    let patient = Duration::from_millis(200);
    let fast = OutboundSettings { timeout: patient, ..settings(&format!("http://rebind.example:{port}/")) };
    let rebind = OutboundClient::new(fast, lookup);
    rebind.get(HeaderMap::new()).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one lookup for a call");
    let error = rebind.get(HeaderMap::new()).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1 is this machine"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let no_address: &[&str] = &[];
    for (answer, why) in [
        (&["169.254.169.254"][..], "link-local"),
        (&["::ffff:169.254.169.254"], "link-local"),
        (&["64:ff9b::a9fe:a9fe"], "link-local"),
        (&["::1", "127.0.0.1"], "this machine"),
        (no_address, "no address"),
    ] {
        let (lookup, _) = names([answer]);
        let client = OutboundClient::new(settings(&format!("http://evil.example:{port}/")), lookup);
        let error = client.get(HeaderMap::new()).await.unwrap_err().to_string();
        assert!(error.contains(why), "{answer:?}: {error}");
    }
    // Addresses in the URL itself, and forms that only a resolver takes for addresses.
    for url in ["http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/", "http://0.0.0.0/"] {
        let error = OutboundClient::new(settings(url), system_lookup()).get(HeaderMap::new()).await.unwrap_err();
        assert!(error.to_string().contains("never called"), "{url}: {error}");
    }
    for host in ["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "0"] {
        let client = OutboundClient::new(settings(&format!("http://{host}:{port}/")), system_lookup());
        client.get(HeaderMap::new()).await.unwrap_err();
    }
    let knocked = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(knocked.is_err(), "nobody connected to this machine");
}

#[tokio::test]
async fn of_several_addresses_the_allowed_ones_are_called() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    let (lookup, _) = names([&["10.0.0.1", "169.254.169.254", "127.0.0.1"]]);
    let client = OutboundClient::new(settings(&format!("http://localhost:{}/", address.port())), lookup);
    assert_eq!(client.get(HeaderMap::new()).await.unwrap().status, StatusCode::NO_CONTENT);
    server.await.unwrap();
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let elsewhere = OutboundSettings { networks, ..settings(&format!("http://{address}/")) };
    let error = OutboundClient::new(elsewhere, system_lookup()).get(HeaderMap::new()).await.unwrap_err().to_string();
    assert!(error.contains("none of the networks"), "{error}");
}

#[tokio::test]
async fn calls_share_a_connection_until_the_server_closes_it() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        for calls in [3, 1] {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..calls {
                let head = head(&mut stream).await;
                assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
                let mut body = [0; 4];
                stream.read_exact(&mut body).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    });
    let client = OutboundClient::new(settings(&format!("http://{address}/")), system_lookup());
    for _ in 0..4 {
        assert_eq!(client.post(HeaderMap::new(), "body".into()).await.unwrap().body, "ok");
        // The server's close has to be seen before the next call.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.await.unwrap();
}

/// A certificate authority, and files of its certificates.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), folder, file }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for authority in super::super::trust::certificates(&self.file).unwrap() {
            roots.add(authority).unwrap();
        }
        roots
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.issue(name);
        let paths = (self.folder.path().join("client.pem"), self.folder.path().join("client.key"));
        std::fs::File::create(&paths.0).unwrap().write_all(certificate.pem().as_bytes()).unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }
}

/// Calls a server that identifies itself as `name`, and perhaps asks for a certificate of that authority.
async fn over_tls(
    server: (&Authority, &str, Option<&Authority>, &'static SupportedProtocolVersion),
    trust: TrustFiles,
) -> Result<CalledAnswer, CallError> {
    let (authority, name, clients, version) = server;
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider).build().unwrap(),
        ),
    };
    let (certificate, key) = authority.issue(name);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(tls)).accept(stream).await else { return };
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let _ = stream.shutdown().await;
    });
    let settings = OutboundSettings { trust, ..settings(&format!("https://localhost:{}/", address.port())) };
    let got = OutboundClient::new(settings, system_lookup()).get(HeaderMap::new()).await;
    server.await.unwrap();
    got
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority_and_of_this_host() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let trust = || TrustFiles { authorities: Some(ours.file.clone()), client: None };
    for version in [&version::TLS12, &version::TLS13] {
        assert_eq!(over_tls((&ours, "localhost", None, version), trust()).await.unwrap().body, "ok");
    }
    let latest = &version::TLS13;
    for (server, trust, why) in [
        ((&others, "localhost", None, latest), trust(), "UnknownIssuer"),
        ((&ours, "localhost", None, latest), TrustFiles::default(), "UnknownIssuer"),
        ((&ours, "elsewhere.example", None, latest), trust(), "not valid for name"),
    ] {
        let error = over_tls(server, trust).await.unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[tokio::test]
async fn the_gateway_identifies_itself_with_its_certificate() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("others"));
    let trust = |client| TrustFiles { authorities: Some(ours.file.clone()), client };
    let server = (&ours, "localhost", Some(&clients), &version::TLS13);
    assert!(over_tls(server, trust(None)).await.is_err());
    assert_eq!(over_tls(server, trust(Some(clients.files("gateway")))).await.unwrap().body, "ok");
    let missing = ours.folder.path().join("missing.pem");
    for files in [
        TrustFiles { authorities: Some(missing.clone()), client: None },
        trust(Some((missing.clone(), missing.clone()))),
    ] {
        let settings = OutboundSettings { trust: files, ..settings("https://localhost:1/") };
        let client = OutboundClient::new(settings, system_lookup());
        let error = client.get(HeaderMap::new()).await.unwrap_err().to_string();
        assert!(error.contains("missing.pem"), "{error}");
    }
}
