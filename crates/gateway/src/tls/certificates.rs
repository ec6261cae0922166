//! Reads certificates and keys from files, checks them, and replaces them while connections live.
//!
//! A connection keeps the certificate that it was accepted with; the next one gets the certificate that was read last.
//! Files that cannot be used change nothing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{Acceptor, NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{DEFAULT_VERSIONS, RootCertStore, ServerConfig};
use tokio_util::either::Either;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;

use super::handshakes::HandshakeThreads;

/// How much may wait inside a connection whose client reads slowly, in bytes: one record of TLS.
const UNSENT: usize = 16 * 1024;

/// A connection after its handshake.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// A connection of a listener, without TLS or with it. One type for both, so that what serves connections is compiled
/// once.
pub type AcceptedStream = Either<TcpStream, Box<TlsStream>>;

/// The files of a listener's TLS, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate chain, the listener's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of callers' certificates. If set, a caller without a certificate is refused.
    pub client_ca: Option<PathBuf>,
}

/// Says which file cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct CertificateError {
    path: PathBuf,
    why: String,
}

/// The contents of the files when they were read. Not `Debug`, because a key is among them.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Files that were read and can be used, but are not in use yet.
pub struct CheckedCertificates {
    files: Files,
    contents: Contents,
    config: Arc<ServerConfig>,
    not_after: i64,
}

/// The TLS of one listener.
pub struct Tls {
    /// Used when the files are read again.
    held: Mutex<CurrentCertificates>,
    /// Used by every handshake.
    config: RwLock<Arc<ServerConfig>>,
    threads: HandshakeThreads,
}

struct CurrentCertificates {
    files: Files,
    contents: Contents,
    not_after: i64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.held.lock().files).finish_non_exhaustive()
    }
}

impl Files {
    /// Reads the files and checks that they belong together.
    ///
    /// # Errors
    /// A file cannot be read, has no content of its kind, or does not belong to the others.
    pub fn check(&self) -> Result<CheckedCertificates, CertificateError> {
        let contents = Contents {
            certificate: read(&self.certificate)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        };
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let not_after = end(&self.certificate, &chain[0])?;
        let config = Arc::new(self.config(&contents, chain)?);
        Ok(CheckedCertificates { files: self.clone(), contents, config, not_after })
    }

    fn config(
        &self,
        contents: &Contents,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<ServerConfig, CertificateError> {
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| unusable(&self.key, format_args!("no private key in PEM ({error})")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(DEFAULT_VERSIONS);
        let builder = versions.map_err(|error| unusable(&self.certificate, error))?;
        let builder = match (&self.client_ca, &contents.client_ca) {
            (Some(path), Some(pem)) => builder.with_client_cert_verifier(self::callers(path, pem, provider)?),
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| unusable(&self.key, format_args!("it is no key for the certificate ({error})")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients keep the state for cheap resumption themselves, sealed, so that none stays here after a storm of logins.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| unusable(&self.certificate, error))?;
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

impl Tls {
    /// Takes checked files into use for a new listener.
    ///
    /// # Errors
    /// The threads for its handshakes cannot be started.
    pub fn new(checked: CheckedCertificates) -> io::Result<Arc<Self>> {
        let CheckedCertificates { files, contents, config, not_after } = checked;
        Ok(Arc::new(Self {
            held: Mutex::new(CurrentCertificates { files, contents, not_after }),
            config: RwLock::new(config),
            threads: HandshakeThreads::start()?,
        }))
    }

    /// Takes other files into use. Open connections keep theirs.
    pub fn put(&self, checked: CheckedCertificates) {
        let CheckedCertificates { files, contents, config, not_after } = checked;
        let mut held = self.held.lock();
        *held = CurrentCertificates { files, contents, not_after };
        *self.config.write() = config;
    }

    /// Reads the files again and takes them into use if they have changed; returns whether they have.
    ///
    /// # Errors
    /// The files cannot be used; the earlier ones stay in use.
    pub fn refresh(&self) -> Result<bool, CertificateError> {
        let files = self.held.lock().files.clone();
        let checked = files.check()?;
        let changed = checked.contents != self.held.lock().contents;
        if changed {
            self.put(checked);
        }
        Ok(changed)
    }

    /// Returns when the certificate in use ends, in seconds since 1970.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.held.lock().not_after
    }

    /// Performs the handshake, within `limit`. Its costly part begins once the client has said what it wants and `admit`
    /// lets it.
    ///
    /// # Errors
    /// The client does not speak TLS, shares no version or cipher, has no certificate where one is required, or takes too
    /// long (`TimedOut`); too many others wait (`ResourceBusy`); what `admit` returns.
    pub async fn accept(
        &self,
        stream: TcpStream,
        limit: Duration,
        admit: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<TlsStream> {
        let handshake = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            admit()?;
            let config = self.config.read().clone();
            let begin = move || start.into_stream_with(config, |connection| connection.set_buffer_limit(Some(UNSENT)));
            self.threads.run(begin).await?.await
        };
        timeout(limit, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn unusable(path: &Path, why: impl fmt::Display) -> CertificateError {
    CertificateError { path: path.to_owned(), why: why.to_string() }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|error| unusable(path, error))
}

/// Reads the certificates in a file, at least one.
fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(path, "no certificate in PEM")),
        Err(error) => Err(unusable(path, format_args!("no certificate in PEM ({error})"))),
    }
}

/// Creates the check of callers' certificates by these authorities.
fn callers(
    path: &Path,
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn tokio_rustls::rustls::server::danger::ClientCertVerifier>, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| unusable(path, error))
}

/// Returns when a certificate ends, in seconds since 1970.
fn end(path: &Path, certificate: &CertificateDer<'_>) -> Result<i64, CertificateError> {
    // `Raw` takes serial numbers that are out of the standard's bounds, which certificates in use have.
    let read = CertificateInner::<Raw>::from_der(certificate)
        .map_err(|error| unusable(path, format_args!("no certificate ({error})")))?;
    Ok(read.tbs_certificate.validity.not_after.to_unix_duration().as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn files_that_cannot_be_used_are_named_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ((certificate, key), (other, other_key)) = (made(), made());
        let files = Files {
            certificate: written(&folder, "certificate.pem", &certificate),
            key: written(&folder, "key.pem", &key),
            client_ca: None,
        };
        let tls = Tls::new(files.check().unwrap()).unwrap();
        let before = tls.config.read().clone();
        assert_eq!(tls.refresh(), Ok(false));
        for (certificate, key, named, why) in [
            ("nonsense", key.as_str(), "certificate.pem", "no certificate"),
            (certificate.as_str(), "nonsense", "key.pem", "no private key"),
            (certificate.as_str(), certificate.as_str(), "key.pem", "no private key"),
            // The two are replaced one after the other: between that is a pair that does not belong together.
            (other.as_str(), key.as_str(), "key.pem", "no key for the certificate"),
        ] {
            written(&folder, "certificate.pem", certificate);
            written(&folder, "key.pem", key);
            let error = tls.refresh().unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(why), "{error}");
            assert!(Arc::ptr_eq(&before, &tls.config.read()));
        }
        written(&folder, "key.pem", &other_key);
        written(&folder, "certificate.pem", &other);
        assert_eq!(tls.refresh(), Ok(true));
        assert!(!Arc::ptr_eq(&before, &tls.config.read()));
        std::fs::remove_file(folder.path().join("key.pem")).unwrap();
        assert!(tls.refresh().unwrap_err().to_string().contains("key.pem"));
    }

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut asked = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        asked.not_after = rcgen::date_time_ymd(2031, 5, 6);
        let key = rcgen::KeyPair::generate().unwrap();
        let files = Files {
            certificate: written(&folder, "certificate.pem", &asked.self_signed(&key).unwrap().pem()),
            key: written(&folder, "key.pem", &key.serialize_pem()),
            client_ca: None,
        };
        assert_eq!(Tls::new(files.check().unwrap()).unwrap().not_after(), 1_935_792_000);
    }
}
