//! TLS towards a gateway: the certificates that a client accepts, and the one that it presents.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ClientConnection, DEFAULT_VERSIONS, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use crate::Trust;

/// A certificate and its private key, both PEM.
pub type Identity<'a> = (&'a [u8], &'a [u8]);

impl Trust {
    /// Accepts certificates that these authorities (PEM) signed for the name that was connected to.
    ///
    /// # Errors
    /// The PEM has no certificate, or the identity cannot be used.
    pub fn authorities(pem: &[u8], identity: Option<Identity<'_>>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        Self::verified_by(verifier.map_err(|error| error.to_string())?, identity)
    }

    /// Accepts only the first certificate of this PEM, whatever names are in it.
    ///
    /// For programs that read the gateway's own certificate file.
    ///
    /// # Errors
    /// The PEM has no certificate.
    pub fn exactly(pem: &[u8]) -> Result<Self, String> {
        let certificate = certificates(pem)?.swap_remove(0);
        Self::verified_by(Arc::new(Exactly { certificate, provider: provider() }), None)
    }

    /// Accepts what this machine's platform trusts: the system's store, on every system in its own way.
    ///
    /// # Errors
    /// The platform's store cannot be read.
    #[cfg(feature = "platform-trust")]
    pub fn platform() -> Result<Self, String> {
        let verifier = rustls_platform_verifier::Verifier::new(provider()).map_err(|error| error.to_string())?;
        Self::verified_by(Arc::new(verifier), None)
    }

    fn verified_by(verifier: Arc<dyn ServerCertVerifier>, identity: Option<Identity<'_>>) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(DEFAULT_VERSIONS);
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(|error| error.to_string())?
            }
        };
        Ok(Self(Arc::new(config)))
    }
}

impl Trust {
    /// Begins TLS with `host`, a name or an address, for a program that moves the bytes itself.
    ///
    /// # Errors
    /// The host is no name.
    pub fn connection(&self, host: &str) -> io::Result<ClientConnection> {
        ClientConnection::new(self.0.clone(), server_name(host)?).map_err(io::Error::other)
    }

    /// Makes the TLS handshake with `host`, a name or an address.
    pub(crate) async fn handshake(&self, host: &str, stream: TcpStream) -> io::Result<Box<TlsStream<TcpStream>>> {
        // Boxed: a program may have thousands of connections without TLS.
        Ok(Box::new(TlsConnector::from(self.0.clone()).connect(server_name(host)?, stream).await?))
    }
}

fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(ServerName::IpAddress(address.into())),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other),
    }
}

fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls")]
    return Arc::new(crypto::aws_lc_rs::default_provider());
    #[cfg(not(feature = "tls"))]
    return Arc::new(crypto::ring::default_provider());
}

/// Reads the certificates of a PEM text, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("no certificate in PEM".to_owned()) } else { Ok(found) }
}

/// Accepts exactly one certificate, if the peer proves that it has its key.
#[derive(Debug)]
struct Exactly {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
