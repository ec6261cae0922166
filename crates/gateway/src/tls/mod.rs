//! TLS of the listeners: certificates and keys from files, and handshakes on threads of their own.
//!
//! The caller decides when to read the files again, and what follows a handshake.

mod certificates;
mod handshakes;

pub use self::certificates::{AcceptedStream, CertificateError, CheckedCertificates, Files, Tls, TlsStream};
