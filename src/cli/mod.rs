//! The subcommands, one file each. Only `cli` and `main` print.

pub mod backup;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod completions;
pub mod config;
pub mod connect;
pub mod epoch;
pub mod export;
pub mod import;
pub mod key;
mod log;
pub mod man;
pub mod purge_field;
pub mod rules;
pub mod schema;
pub mod serve;
pub mod store_copy;
pub mod token;
mod typed_fields;
pub mod webhook;

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use crate::tls::Files;
use rosterd_client::Trust;

/// The message of a subcommand that ends with exit code 1; an empty one was logged already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CliError(pub String);

impl CliError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Prints a line to standard output.
///
/// # Errors
/// It did not get there: the disk is full, or who should read it has gone.
pub fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{text}").and_then(|()| out.flush());
    said.map_err(|error| CliError(format!("cannot write to standard output: {error}")))
}

/// Prints the message of a command that failed to standard error. Should that fail too, the exit code is what is left.
pub fn complain(error: &CliError) {
    if !error.0.is_empty() {
        let _ = writeln!(std::io::stderr().lock(), "rosterd: {}", visible(&error.0, &['\n']));
    }
}

/// Makes visible what would steer a terminal or turn its text around, but for these characters.
///
/// A text may come from anyone, such as a nick. The escapes are those of JSON, in which most of it is written.
fn visible(text: &str, but: &[char]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers && !but.contains(&c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_made_visible_and_nothing_else() {
        for plain in ["", "Zoë 🦀 {\"nick\":\"a\\u0007b\"}", "漢字 مرحبا 👩\u{200d}👧"] {
            assert_eq!(visible(plain, &[]), plain);
        }
        assert_eq!(
            visible("\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\r\n\u{2066}", &[]),
            r"\u001b[2J\u009b31m\u007f\u202e\u000d\u000a\u2066"
        );
        assert_eq!(visible("a\nb\u{7}", &['\n']), "a\nb\\u0007");
    }
}
