//! Whom a call over TLS trusts, and with which certificate it identifies itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, DEFAULT_VERSIONS, RootCertStore};

/// The PEM files for calls over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustFiles {
    /// The authorities that are trusted. Without it: those that this machine trusts.
    pub authorities: Option<PathBuf>,
    /// The certificate with its chain, and its key, with which the gateway identifies itself.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TrustFiles {
    /// Reads the files. TLS is 1.2 or later, and names are always checked.
    ///
    /// # Errors
    /// A file cannot be read, or has nothing of its kind.
    pub(super) fn read(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let missing = "this machine has no list of certificate authorities (package ca-certificates?)";
                    return Err(missing.to_owned());
                }
            }
            Some(file) => {
                for authority in certificates(file)? {
                    roots.add(authority).map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(DEFAULT_VERSIONS);
        let builder = builder.map_err(|error| error.to_string())?.with_root_certificates(roots);
        let Some((certificate, key)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(certificate)?;
        let pem = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
        builder.with_client_auth_cert(chain, pem).map_err(|error| format!("{}: {error}", certificate.display()))
    }
}

pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let because = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let found = CertificateDer::pem_file_iter(file).map_err(|error| because(&error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| because(&error))?;
    if found.is_empty() { Err(because(&"there is no certificate in it")) } else { Ok(found) }
}
