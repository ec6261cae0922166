//! The target of a run: an address that it may load, with a gateway behind it.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::timeout;

use super::error::BenchError;
use rosterd_client::{Client, Trust};
use rosterd_protocol::Encoding;

/// How long a gateway may take to answer a first connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// The files that a process needs besides its sessions' sockets.
const OTHER_FILES: u64 = 64;

/// The parts of a URL that a run needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUrl {
    /// The address.
    pub address: SocketAddr,
    /// Host and port as they were given.
    pub host: String,
    /// The path, with its `/`.
    pub path: String,
}

impl GatewayUrl {
    /// Returns the host without its port, as it stands on a certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        let bare = self
            .host
            .rsplit_once(':')
            .map_or(self.host.as_str(), |(name, port)| if port.ends_with(']') { self.host.as_str() } else { name });
        bare.trim_start_matches('[').trim_end_matches(']')
    }

    /// Reads a URL with this scheme and looks its host up.
    ///
    /// # Errors
    /// The URL is invalid, its host is unknown, or it is neither on this machine nor in a private network and not `owned`.
    pub fn find(url: &str, scheme: &str, owned: bool) -> Result<Self, BenchError> {
        let bad = || BenchError(format!("{url:?} is not an address like {scheme}://127.0.0.1:7678"));
        let rest = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).ok_or_else(bad)?;
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let with_port = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            host.to_owned()
        } else {
            format!("{host}:{}", if scheme == "wss" { 443 } else { 80 })
        };
        let addresses = with_port.to_socket_addrs();
        let addresses: Vec<_> =
            addresses.map_err(|error| BenchError(format!("{host} cannot be looked up: {error}")))?.collect();
        let address = *addresses.first().ok_or_else(bad)?;
        if !owned && let Some(public) = addresses.iter().find(|address| !is_near(address.ip())) {
            return Err(BenchError(format!(
                "{} is neither this machine nor in a private network, and a load test of somebody else's gateway is an \
                 attack; if it is yours, say --i-own-this-target",
                public.ip()
            )));
        }
        Ok(Self { address, host: host.to_owned(), path: path.to_owned() })
    }
}

/// Returns whether an address is on this machine or in a private network.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_near(IpAddr::V4(ip)),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

/// Checks that a gateway's client listener answers.
///
/// # Errors
/// No connection can be opened, or the peer does not answer like a gateway.
pub fn probe(target: &GatewayUrl, encoding: Encoding, trust: Option<&Trust>) -> Result<(), BenchError> {
    let scheme = if trust.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}{}", target.host, target.path);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(BenchError::of)?;
    let connected =
        runtime.block_on(async { timeout(PATIENCE, Client::connect_trusting(&url, encoding, trust)).await });
    match connected {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(BenchError(format!("{url} is not a gateway that can be measured: {error}"))),
        Err(_) => Err(BenchError(format!("{url} takes connections but does not answer: it is not a gateway"))),
    }
}

/// Checks that this process may open so many sockets, and raises its limit as far as allowed.
///
/// # Errors
/// It may not; the text says how to raise the limit.
pub fn allow_files(sockets: u32) -> Result<(), BenchError> {
    let needed = u64::from(sockets) + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(maximum.map_or(needed, |maximum| needed.min(maximum))), maximum };
    if maximum.is_none_or(|maximum| maximum >= needed) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(BenchError(format!(
        "{sockets} sessions need {needed} open files, and this process may have {}: give fewer --users, or raise the \
         limit (as root `ulimit -Hn {needed}; ulimit -n {needed}` in this shell, `nofile` in /etc/security/limits.conf, \
         LimitNOFILE= of a systemd unit)",
        maximum.map_or_else(|| "any number".to_owned(), |maximum| maximum.to_string()),
    )))
}

/// Checks that the gateway may open so many sockets, if its metrics have the limit.
///
/// # Errors
/// It may not.
pub fn gateway_allows_files(sockets: u32, maximum: Option<f64>) -> Result<(), BenchError> {
    let needed = u64::from(sockets) + OTHER_FILES;
    match maximum {
        #[allow(clippy::cast_precision_loss, reason = "a number of files")]
        Some(maximum) if maximum < needed as f64 => Err(BenchError(format!(
            "{sockets} sessions need {needed} open files in the gateway, which may have {maximum}: give fewer --users, \
             or start it with a higher limit (`ulimit -n {needed}`, LimitNOFILE= of its systemd unit)"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_read_into_its_parts() {
        let target = GatewayUrl::find("ws://127.0.0.1:7678/v1/ws", "ws", false).unwrap();
        assert_eq!((target.address, target.path.as_str()), (([127, 0, 0, 1], 7678).into(), "/v1/ws"));
        assert_eq!(target.name(), "127.0.0.1");
        let target = GatewayUrl::find("wss://localhost/", "wss", false).unwrap();
        assert_eq!((target.address.port(), target.name()), (443, "localhost"));
        assert_eq!(GatewayUrl::find("wss://[::1]:9/", "wss", false).unwrap().name(), "::1");
        let target = GatewayUrl::find("http://[::1]", "http", false).unwrap();
        assert_eq!(target.name(), "::1");
        assert_eq!((target.address.port(), target.path.as_str()), (80, "/"));
        for bad in ["127.0.0.1:1", "wss://127.0.0.1", "ws:/x", "ws://:x"] {
            assert!(GatewayUrl::find(bad, "ws", false).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_near_or_owned_is_loaded() {
        for near in [
            "127.0.0.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "[::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(GatewayUrl::find(&format!("ws://{near}:1/"), "ws", false).is_ok(), "{near}");
        }
        for far in ["192.0.2.1", "172.32.0.1", "[2001:db8::1]", "[::ffff:192.0.2.1]", "0.0.0.0"] {
            let BenchError(why) = GatewayUrl::find(&format!("ws://{far}:1/"), "ws", false).unwrap_err();
            assert!(why.contains("--i-own-this-target"), "{why}");
            assert!(GatewayUrl::find(&format!("ws://{far}:1/"), "ws", true).is_ok());
        }
    }

    #[test]
    fn more_files_than_there_may_be_are_told_before_anything_is_opened() {
        assert!(allow_files(1).is_ok());
        if getrlimit(Resource::Nofile).maximum.is_some_and(|maximum| maximum < 1_000_000_000) {
            let BenchError(why) = allow_files(1_000_000_000).unwrap_err();
            assert!(why.contains("1000000064 open files") && why.contains("ulimit"), "{why}");
        }
        assert!(gateway_allows_files(100, Some(1024.0)).is_ok() && gateway_allows_files(100, None).is_ok());
        assert!(gateway_allows_files(1000, Some(1024.0)).is_err());
    }
}
