//! Limits connections in all and by address, and the rate of logins by address.
//!
//! A connection is counted before anything is done for it. An address is forgotten with its last connection, as soon as
//! its logins are too long ago to count.

mod forwarded;
mod list_reads;
mod origin;
mod rate_limit;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::HeaderMap;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

pub use self::forwarded::{ForwardedHeader, Proxies};
use self::list_reads::ListReads;
pub use self::origin::Origins;
pub(crate) use self::rate_limit::RateVerdict;
pub use self::rate_limit::{Rate, RateLimit};
use rosterd_engine::model::Account;

/// How many addresses without a connection are remembered.
const REMEMBERED: usize = 65_536;

/// The limits and rules for connections. A reload replaces it as a whole.
#[derive(Debug, Clone)]
pub struct AdmissionPolicy {
    /// The origins of pages that may connect; `None`: every page.
    pub origins: Option<Origins>,
    /// The proxies that are trusted to name their clients.
    pub proxies: Proxies,
    /// The most connections.
    pub connections: usize,
    /// The most connections from one address.
    pub connections_per_address: usize,
    /// The rate of logins from one address.
    pub logins: Rate,
    /// How long a connection may take to become a WebSocket.
    pub handshake_timeout: Duration,
    /// The size of the largest request head, in bytes.
    pub header_bytes: usize,
    /// How long a WebSocket may take to log in.
    pub login_timeout: Duration,
    /// How long a session may outlast its token.
    pub expiry_grace: Duration,
    /// The size of the largest message from a client, in bytes.
    pub frame_bytes: usize,
    /// The most fragments of one message.
    pub fragments: usize,
    /// The rate of commands from one session; `None`: no limit.
    pub commands: Option<Rate>,
    /// The memory for clients that read too slowly, all together, in bytes.
    pub outbound_bytes: usize,
}

/// Counts connections and logins, and admits or refuses new ones.
pub(crate) struct Admission {
    policy: RwLock<Arc<AdmissionPolicy>>,
    started: Instant,
    connections: AtomicU64,
    addresses: Mutex<Addresses>,
    list_reads: ListReads,
}

/// An address of version 4, or the network of version 6 that one customer usually has.
pub(crate) type SourceAddress = u128;

#[derive(Default)]
struct Addresses {
    known: HashMap<SourceAddress, AddressState, ahash::RandomState>,
    /// The number of addresses at which those that are not needed are dropped.
    sweep_at: usize,
}

#[derive(Default)]
struct AddressState {
    connections: u32,
    logins: RateLimit,
    handshakes: RateLimit,
}

impl AddressState {
    /// Reports whether nothing of it is needed any more.
    fn is_idle(&self, now: u64) -> bool {
        self.connections == 0 && self.logins.is_idle(now) && self.handshakes.is_idle(now)
    }
}

/// The reason for which a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdmissionRefusal {
    /// The gateway has as many connections as it may.
    Full,
    /// This address has as many connections as it may.
    Crowded,
}

impl AdmissionRefusal {
    /// Returns the name of the reason in the metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Full => "CONNECTIONS",
            Self::Crowded => "CONNECTIONS_PER_ADDRESS",
        }
    }
}

/// One connection's place among those that may exist; dropping it gives the place back.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    /// The client's address. Unset for a connection that was refused, and for a proxy's until it names a client of
    /// another machine.
    client: OnceLock<IpAddr>,
    by_proxy: bool,
    /// Later connections have greater numbers.
    number: u64,
}

impl Admission {
    pub(crate) fn new(policy: AdmissionPolicy) -> Arc<Self> {
        let (connections, addresses, list_reads) = Default::default();
        let policy = RwLock::new(Arc::new(policy));
        Arc::new(Self { policy, started: Instant::now(), connections, addresses, list_reads })
    }

    pub(crate) fn policy(&self) -> Arc<AdmissionPolicy> {
        self.policy.read().clone()
    }

    pub(crate) fn set_policy(&self, policy: AdmissionPolicy) {
        *self.policy.write() = Arc::new(policy);
    }

    /// Returns the time since the start, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Admits a connection from `peer`, or refuses it. Later connections have greater numbers.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, number: u64) -> Result<Permit, AdmissionRefusal> {
        let policy = self.policy();
        let open = self.connections.fetch_add(1, Ordering::AcqRel);
        // From here on, dropping the permit gives the place back.
        let by_proxy = policy.proxies.trust(peer);
        let permit = Permit { admission: self.clone(), client: OnceLock::new(), by_proxy, number };
        if open >= policy.connections as u64 {
            return Err(AdmissionRefusal::Full);
        }
        if !by_proxy {
            permit.count_as(peer, &policy)?;
        }
        Ok(permit)
    }

    /// Lets an account begin to read its whole friend list, or says how long it must wait. In development there is no
    /// limit.
    pub(crate) fn may_read_list(&self, account: &Account) -> Result<(), Duration> {
        if self.policy().commands.is_none() {
            return Ok(());
        }
        self.list_reads.may_begin(account, self.now())
    }

    /// Counts pages of the friend list that were read for an account, and returns how long it waits before the next. In
    /// development there is no limit.
    pub(crate) fn has_read_list(&self, account: &Account, pages: u32) -> Option<Duration> {
        self.policy().commands?;
        self.list_reads.count(account, pages, self.now())
    }

    #[cfg(test)]
    fn known(&self) -> usize {
        self.addresses.lock().known.len()
    }
}

impl Permit {
    /// Counts the connection for the client that a proxy names.
    pub(crate) fn forwarded(&self, headers: &HeaderMap) -> Result<(), AdmissionRefusal> {
        let policy = self.admission.policy();
        match policy.proxies.client(headers) {
            Some(client) if self.by_proxy && self.client.get().is_none() => self.count_as(client, &policy),
            _ => Ok(()),
        }
    }

    /// Lets the connection log in, or says how long it must wait.
    pub(crate) fn log_in(&self) -> Result<(), Duration> {
        self.count(|known| &mut known.logins)
    }

    /// Counts an event against a limit of the connection's address.
    fn count(&self, limit: impl FnOnce(&mut AddressState) -> &mut RateLimit) -> Result<(), Duration> {
        let Some(source) = self.source() else {
            return Ok(());
        };
        let (policy, now) = (self.admission.policy(), self.admission.now());
        let mut addresses = self.admission.addresses.lock();
        limit(addresses.known.entry(source).or_default()).admit(policy.logins, now)
    }

    /// Lets the connection begin a TLS handshake, at the rate of logins, or says how long it must wait.
    pub(crate) fn handshake(&self) -> Result<(), Duration> {
        self.count(|known| &mut known.handshakes)
    }

    /// The number of the connection; later connections have greater ones.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The client's address, for logs. `None` if a proxy has not named one of another machine.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client.get().copied()
    }

    /// The address that the connection counts for. `None` if no address is known, and for this machine, which has no
    /// limit by address: what connects from it is a proxy, or a tool of the operator's.
    pub(crate) fn source(&self) -> Option<SourceAddress> {
        self.client.get().filter(|client| !client.is_loopback()).map(|client| source(*client))
    }

    fn count_as(&self, address: IpAddr, policy: &AdmissionPolicy) -> Result<(), AdmissionRefusal> {
        let client = address.to_canonical();
        // A later request on the proxy's connection may name a client that has a limit.
        if client.is_loopback() && self.by_proxy {
            return Ok(());
        }
        if !client.is_loopback() {
            let mut addresses = self.admission.addresses.lock();
            addresses.make_room(self.admission.now());
            let known = addresses.known.entry(source(client)).or_default();
            if known.connections as usize >= policy.connections_per_address {
                return Err(AdmissionRefusal::Crowded);
            }
            known.connections += 1;
        }
        self.client.set(client).expect("count_as is called only while it is unset");
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admission = &self.admission;
        admission.connections.fetch_sub(1, Ordering::AcqRel);
        if let Some(source) = self.source() {
            let now = admission.now();
            let mut addresses = admission.addresses.lock();
            if let Some(known) = addresses.known.get_mut(&source) {
                known.connections -= 1;
                if known.is_idle(now) {
                    addresses.known.remove(&source);
                }
            }
        }
    }
}

impl Addresses {
    /// Drops addresses that are not needed, each time there are twice as many as were needed before.
    fn make_room(&mut self, now: u64) {
        if self.known.len() < self.sweep_at {
            return;
        }
        self.known.retain(|_, known| !known.is_idle(now));
        // Someone who has more addresses than this is not held back by a limit on each of them.
        if self.known.values().filter(|known| known.connections == 0).count() > REMEMBERED {
            self.known.retain(|_, known| known.connections > 0);
        }
        self.known.shrink_to_fit();
        self.sweep_at = (2 * self.known.len()).max(1024);
    }
}

/// Returns what an address counts for: itself, or its network if it is of version 6.
fn source(address: IpAddr) -> SourceAddress {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn policy() -> AdmissionPolicy {
        let rate = Rate { per_second: 10, burst: 5 };
        AdmissionPolicy {
            origins: None,
            proxies: Proxies::default(),
            connections: 10,
            connections_per_address: 3,
            logins: rate,
            handshake_timeout: Duration::from_secs(1),
            header_bytes: 8192,
            login_timeout: Duration::from_secs(1),
            expiry_grace: Duration::ZERO,
            frame_bytes: 1024,
            fragments: 8,
            commands: Some(rate),
            outbound_bytes: 1000,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections_and_all_together_so_many() {
        let admission = Admission::new(policy());
        let enter = |from: &str| admission.enter(ip(from), 0);
        let mut held: Vec<_> = (0..3).map(|_| enter("203.0.113.7").unwrap()).collect();
        // The same address in another form.
        assert_eq!(enter("::ffff:203.0.113.7").err(), Some(AdmissionRefusal::Crowded));
        // One customer has a whole network of version 6.
        held.extend(["2001:db8::1", "2001:db8::2", "2001:db8::3:1"].map(|from| enter(from).unwrap()));
        assert_eq!(enter("2001:db8::4").err(), Some(AdmissionRefusal::Crowded));
        held.push(enter("2001:db8:0:1::1").unwrap());
        assert_eq!(admission.known(), 3);
        held.extend((0..3).map(|_| enter("127.0.0.1").unwrap()));
        for from in ["198.51.100.1", "127.0.0.1", "203.0.113.7"] {
            assert_eq!(enter(from).err(), Some(AdmissionRefusal::Full), "{from}");
        }
        held.remove(0);
        held.push(enter("203.0.113.7").unwrap());
        held.clear();
        assert_eq!((admission.known(), admission.connections.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn logins_of_an_address_are_counted_over_its_connections_and_forgotten_in_time() {
        let admission = Admission::new(policy());
        let mut let_in = 0;
        for _ in 0..20 {
            let permit = admission.enter(ip("203.0.113.7"), 0).unwrap();
            let_in += u32::from(permit.log_in().is_ok());
        }
        assert!((5..20).contains(&let_in), "{let_in}");
        assert_eq!(admission.known(), 1);
        // Handshakes have the same rate, and count apart.
        let permit = admission.enter(ip("203.0.113.7"), 0).unwrap();
        let shaken = (0..20).filter(|_| permit.handshake().is_ok()).count();
        assert!((5..20).contains(&shaken), "{shaken}");
        // Another address is not limited by that, and this machine never is.
        assert!(admission.enter(ip("203.0.113.8"), 0).unwrap().log_in().is_ok());
        let own = admission.enter(ip("::1"), 0).unwrap();
        assert!((0..100).all(|_| own.log_in().is_ok()));
    }

    #[test]
    fn a_proxy_is_counted_as_whom_it_brings_and_only_a_proxy_is_believed() {
        let networks = Proxies::parse(&["10.0.0.1".to_owned()]).unwrap();
        let proxies = Proxies { networks, ..Proxies::default() };
        let admission = Admission::new(AdmissionPolicy { proxies, ..policy() });
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
        let by = |peer: &str| {
            let permit = admission.enter(ip(peer), 0).unwrap();
            permit.forwarded(&headers).map(|()| permit)
        };
        let _held: Vec<_> = (0..3).map(|_| by("10.0.0.1").unwrap()).collect();
        assert_eq!(by("10.0.0.1").err(), Some(AdmissionRefusal::Crowded));
        let _own: Vec<_> = (0..3).map(|_| by("198.51.100.9").unwrap()).collect();
        assert_eq!(admission.enter(ip("198.51.100.9"), 0).err(), Some(AdmissionRefusal::Crowded));
        assert_eq!(admission.connections.load(Ordering::Relaxed), 6);
    }

    #[test]
    fn addresses_that_come_and_go_do_not_pile_up() {
        let admission = Admission::new(AdmissionPolicy { logins: Rate { per_second: 1, burst: 1000 }, ..policy() });
        for n in 0..300_000_u32 {
            let permit = admission.enter(IpAddr::V4((0x0b00_0000 + n).into()), 0).unwrap();
            permit.log_in().unwrap();
        }
        // Each is remembered for a second. Either that many fit into one, or the others were dropped.
        assert!(admission.known() <= 2 * REMEMBERED + 2, "{}", admission.known());
    }
}
