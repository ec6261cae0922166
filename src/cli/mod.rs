//! The subcommands, one file each. Only `cli` and `main` print.

pub mod backup;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod completions;
pub mod config;
pub mod connect;
pub mod import;
mod log;
pub mod man;
pub mod serve;
pub mod token;

use std::io::Write;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use crate::tls::Files;
use rosterd_client::Trust;

/// The message of a subcommand that ends with exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Prints a line to standard output, and ignores errors: in `rosterd | head -1` the gateway outlives its reader.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn runtime() -> Result<Runtime, CliError> {
    Builder::new_multi_thread().enable_all().build().map_err(CliError::of)
}

/// Trusts exactly the certificate that the gateway presents, for a client on this machine.
fn trust(files: Option<&Files>) -> Result<Option<Trust>, CliError> {
    files.map(|files| trust_file(&files.certificate, Trust::exactly)).transpose()
}

fn trust_file(path: &Path, make: impl FnOnce(&[u8]) -> Result<Trust, String>) -> Result<Trust, CliError> {
    let pem = std::fs::read(path).map_err(|error| error.to_string());
    pem.and_then(|pem| make(&pem)).map_err(|error| CliError(format!("{}: {error}", path.display())))
}

/// Returns the address at which this machine reaches a listener that may be bound to all addresses.
fn reachable(address: std::net::SocketAddr) -> std::net::SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        std::net::IpAddr::V4(_) => (std::net::Ipv4Addr::LOCALHOST, address.port()).into(),
        std::net::IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}
