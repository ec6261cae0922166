//! All settings, by section of `config.toml`, with their defaults.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::choice::{self, LogFormat, Mode};
use super::form::{self, Secret, StoreUrl};
use super::hooks::HooksConfig;
use super::keys::KeyConfig;
use super::profile::ProfileConfig;
use super::webhooks::WebhookConfig;
use crate::admission::ForwardedHeader;
use crate::keys::{ApiKey, KeyRing, Scope, hash};
use crate::store::postgres::{Failover, NatsServers, PostgresUrl};
use crate::tls;
use rosterd_engine::model::{FriendsPolicy, SessionsPolicy};

/// All settings, with one field for each section of `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how clients are served.
    pub clients: ClientsConfig,
    /// Where backends and operators are served.
    pub ops: OpsConfig,
    /// Which tokens are accepted.
    pub auth: Auth,
    /// What is stored, where and for how long.
    pub store: StoreConfig,
    /// How gateways share a database.
    pub cluster: ClusterConfig,
    /// How long changes are kept for those who follow them.
    pub feed: FeedConfig,
    /// `[webhooks.NAME]`: endpoints that are sent events, by their names.
    pub webhooks: BTreeMap<String, WebhookConfig>,
    /// Servers that are asked before a client's write.
    pub hooks: HooksConfig,
    /// How clients become friends.
    pub friends: FriendsConfig,
    /// Which sessions of an account may exist together.
    pub sessions: SessionsConfig,
    /// Who is online.
    pub presence: PresenceConfig,
    /// Who may see which parts of a profile.
    pub profile: ProfileConfig,
    /// Limits for clients, each and together.
    pub limits: LimitsConfig,
    /// How the gateway stops.
    pub shutdown: ShutdownConfig,
    /// What is logged, and in which format.
    pub log: LogConfig,
    /// The contents of a new store.
    pub demo: DemoConfig,
}

/// `[clients]`: the WebSocket side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientsConfig {
    /// The address clients connect to; port 0 takes a free one.
    #[serde(with = "form::address")]
    pub listen: SocketAddr,
    /// The time between two heartbeats, 1 s to 10 min.
    #[serde(with = "form::duration")]
    pub heartbeat: Duration,
    /// How long a connection may accept no byte before it counts as dead, 1 s to 1 h. Slow connections stay.
    #[serde(with = "form::duration")]
    pub stall_timeout: Duration,
    /// Origins of web pages that may connect, besides the gateway's own.
    pub origins: Vec<String>,
    /// Addresses and networks of proxies that are trusted to name their clients.
    pub trusted_proxies: Vec<String>,
    /// The header in which they name them.
    #[serde(with = "choice")]
    pub forwarded_header: ForwardedHeader,
    /// `[clients.tls]`: TLS of this listener.
    pub tls: ClientsTls,
}

/// `[clients.tls]`: the certificate of this listener; empty paths = no TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientsTls {
    /// A PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
}

/// `[ops]`: the HTTP side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsConfig {
    /// The address of server API, health and metrics; port 0 takes a free one.
    #[serde(with = "form::address")]
    pub listen: SocketAddr,
    /// The bearer token of the server API, 16 bytes or more; empty = none is required, on loopback only.
    pub api_key: Secret,
    /// How long the audit log keeps what operators did, 1 h to 36500 days.
    #[serde(with = "form::duration")]
    pub audit_retention: Duration,
    /// `[ops.keys.NAME]`: further keys, by their names.
    pub keys: BTreeMap<String, KeyConfig>,
    /// `[ops.console]`: the page for operators.
    pub console: OpsConsole,
    /// `[ops.tls]`: TLS of this listener.
    pub tls: OpsTls,
}

/// `[ops.console]`: the page for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsConsole {
    /// Whether it is served.
    pub enabled: bool,
}

/// `[ops.tls]`: the certificate of this listener, and whether callers need one; empty paths = no TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsTls {
    /// A PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// A PEM file with the private key.
    pub key: PathBuf,
    /// A PEM file with the authorities of callers' certificates; empty = callers need no certificate.
    pub client_ca: PathBuf,
}

/// `[store]`: the durable side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The store and its place.
    pub url: StoreUrl,
    /// A replica of a PostgreSQL database, which friend lists are read of; empty = none.
    #[serde(with = "form::replica")]
    pub read_url: Option<PostgresUrl>,
    /// The connections that read a PostgreSQL database, 1 to 100.
    #[serde(with = "form::count")]
    pub readers: usize,
    /// Whether a failover of a PostgreSQL database may lose commits.
    #[serde(with = "choice")]
    pub failover: Failover,
    /// How long a write waits for a PostgreSQL database that is away, 1 s to 5 min.
    #[serde(with = "form::duration")]
    pub write_timeout: Duration,
    /// How long deletions are remembered, 1 h to 36500 days.
    #[serde(with = "form::duration")]
    pub tombstone_retention: Duration,
}

/// `[cluster]`: several gateways on one PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Whether other gateways use the database too.
    pub enabled: bool,
    /// What operators call this gateway; empty = the name of its machine.
    pub node: String,
    /// How often it says that it lives, 100 ms to 1 min.
    #[serde(with = "form::duration")]
    pub beat: Duration,
    /// How long another may say nothing until it counts as dead, 300 ms to 10 min.
    #[serde(with = "form::duration")]
    pub dead_after: Duration,
    /// How often it looks for what others did, whoever says so or not, 10 ms to 10 s.
    #[serde(with = "form::duration")]
    pub poll: Duration,
    /// The NATS servers over which gateways hand each other changes as well; nothing = none.
    #[serde(with = "form::nats_servers")]
    pub nats: Option<NatsServers>,
    /// The file that says who logs in there, a user's JWT with its key; empty = the URLs do.
    pub nats_credentials_file: PathBuf,
    /// How long without contact to the database until it says that it is not ready, 1 s to 1 h.
    #[serde(with = "form::duration")]
    pub unready_after: Duration,
    /// How long without contact to the database until it ends, 10 s to 1 d.
    #[serde(with = "form::duration")]
    pub cut_off: Duration,
}

/// `[feed]`: the change log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedConfig {
    /// How long changes are kept, up to 365 days; zero = no log.
    #[serde(with = "form::duration")]
    pub retention: Duration,
    /// The size beyond which the oldest changes are dropped, 1 MiB to 1 TiB.
    pub max_bytes: usize,
    /// Whether those who follow the changes learn who comes and goes, too.
    pub presence: bool,
}

/// `[friends]`: how clients become friends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FriendsConfig {
    /// Whether friendship needs a request, starts at once, or either.
    #[serde(with = "choice")]
    pub policy: FriendsPolicy,
    /// How long a request can be answered, 1 s to 36500 days.
    #[serde(with = "form::duration")]
    pub request_expiry: Duration,
}

/// `[sessions]`: which sessions of an account may exist together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionsConfig {
    /// Which sessions may stay; the newest always does.
    #[serde(with = "choice")]
    pub policy: SessionsPolicy,
    /// The most sessions, 1 to 1000; beyond that the oldest ends.
    #[serde(with = "form::count")]
    pub max: usize,
}

/// `[presence]`: who is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// Whether friends see who is online.
    pub enabled: bool,
    /// Whether friends see the kinds of devices on which somebody is online, too.
    pub devices: bool,
    /// How long an account counts as online after its last session left, up to 1 h.
    #[serde(with = "form::duration")]
    pub linger: Duration,
}

/// `[limits]`: limits for clients, each and together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// The most connections, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub connections: usize,
    /// The most connections from one address, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub connections_per_address: usize,
    /// The most logins a second from one address, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub logins_per_second: usize,
    /// The most of them at once, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub logins_burst: usize,
    /// How long a new connection has to become a WebSocket, 100 ms to 5 min.
    #[serde(with = "form::duration")]
    pub handshake_timeout: Duration,
    /// The size of the largest request head, 1 KiB to 1 MiB, in bytes.
    #[serde(with = "form::bytes")]
    pub header_bytes: usize,
    /// How long a new connection has to log in, 100 ms to 5 min.
    #[serde(with = "form::duration")]
    pub login_timeout: Duration,
    /// The size of the largest frame from a client, 1 KiB to 1 MiB, in bytes.
    #[serde(with = "form::bytes")]
    pub frame_bytes: usize,
    /// The most WebSocket fragments of one frame, 1 to 65536.
    #[serde(with = "form::count")]
    pub fragments: usize,
    /// The most commands a second from one session, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub commands_per_second: usize,
    /// The most of them at once, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub commands_burst: usize,
    /// The memory for clients that read too slowly, all together, 1 MiB to 1 TiB, in bytes.
    #[serde(with = "form::bytes")]
    pub outbound_bytes: usize,
}

/// `[shutdown]`: how the gateway stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long the gateway keeps serving after it shows that it will stop, up to 10 min.
    #[serde(with = "form::duration")]
    pub lame_duck: Duration,
    /// How many sessions are closed a second, 1 to 1,000,000.
    #[serde(with = "form::count")]
    pub rate: usize,
    /// How long after its last session closed a gateway serves again, up to 10 min; 0 = others keep serving.
    #[serde(with = "form::duration")]
    pub away: Duration,
    /// How long a stop waits for sessions to close, 100 ms to 10 min.
    #[serde(with = "form::duration")]
    pub deadline: Duration,
}

/// `[log]`: what is logged, and in which format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A `tracing` filter directive.
    pub level: String,
    /// Text or JSON.
    #[serde(with = "choice")]
    pub format: LogFormat,
}

/// `[demo]`: the contents of a new store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DemoConfig {
    /// Whether a store without any account starts with demo users; see [`Config::wants_demo_users`].
    pub users: bool,
}

impl Config {
    /// Reports whether an empty store starts with demo users. It does only where nobody relies on the store, which is in
    /// development mode without an API key.
    pub fn wants_demo_users(&self) -> bool {
        self.demo.users && self.is_open()
    }

    /// Reports whether the server API answers programs on this machine without a key.
    pub fn is_open(&self) -> bool {
        self.auth.mode == Mode::Development && self.ops.key_ring().is_empty()
    }
}

impl ClientsConfig {
    /// Returns the files of this listener's TLS, if it has any.
    pub fn tls_files(&self) -> Option<tls::Files> {
        files(&self.tls.certificate, &self.tls.key, &PathBuf::new())
    }
}

impl OpsConfig {
    /// Returns the files of this listener's TLS, if it has any.
    pub fn tls_files(&self) -> Option<tls::Files> {
        files(&self.tls.certificate, &self.tls.key, &self.tls.client_ca)
    }

    /// Returns all keys of the server API.
    pub fn key_ring(&self) -> KeyRing {
        let key = self.api_key.expose().as_bytes();
        let unlimited = (!key.is_empty()).then(|| ApiKey::unlimited(hash(key)));
        KeyRing::new(unlimited.into_iter().chain(self.keys.iter().filter_map(|(name, key)| key.named(name))).collect())
    }

    /// Returns a key with these scopes that is written out in the settings, for a command on this machine that calls the
    /// server API; an empty text if there is none.
    pub fn own_key(&self, scopes: &[Scope]) -> &str {
        let has_all = |key: &&KeyConfig| !key.key.is_empty() && scopes.iter().all(|scope| key.scopes.has(*scope));
        match self.api_key.expose() {
            "" => self.keys.values().find(has_all).map_or("", |key| key.key.expose()),
            key => key,
        }
    }
}

fn files(certificate: &PathBuf, key: &PathBuf, client_ca: &PathBuf) -> Option<tls::Files> {
    let set = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    Some(tls::Files { certificate: set(certificate)?, key: set(key)?, client_ca: set(client_ca) })
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for ClientsConfig {
    fn default() -> Self {
        Self {
            listen: loopback(7678),
            heartbeat: Duration::from_secs(25),
            stall_timeout: Duration::from_mins(5),
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            tls: ClientsTls::default(),
        }
    }
}

impl Default for OpsConsole {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for OpsConfig {
    fn default() -> Self {
        Self {
            listen: loopback(7679),
            api_key: Secret::default(),
            audit_retention: Duration::from_hours(180 * 24),
            keys: BTreeMap::new(),
            console: OpsConsole::default(),
            tls: OpsTls::default(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from("data/rosterd.db")),
            read_url: None,
            readers: 8,
            failover: Failover::MayLose,
            write_timeout: Duration::from_secs(10),
            tombstone_retention: Duration::from_hours(90 * 24),
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            node: String::new(),
            beat: Duration::from_secs(3),
            dead_after: Duration::from_secs(15),
            poll: Duration::from_millis(250),
            nats: None,
            nats_credentials_file: PathBuf::new(),
            unready_after: Duration::from_secs(15),
            cut_off: Duration::from_mins(5),
        }
    }
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self { retention: Duration::from_hours(7 * 24), max_bytes: 1 << 30, presence: false }
    }
}

impl Default for FriendsConfig {
    fn default() -> Self {
        Self { policy: FriendsPolicy::default(), request_expiry: Duration::from_hours(30 * 24) }
    }
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { policy: SessionsPolicy::default(), max: 16 }
    }
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self { enabled: true, devices: false, linger: Duration::from_secs(10) }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 50_000,
            connections_per_address: 1000,
            logins_per_second: 20,
            logins_burst: 200,
            handshake_timeout: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            login_timeout: Duration::from_secs(10),
            frame_bytes: 64 * 1024,
            fragments: 128,
            commands_per_second: 50,
            commands_burst: 200,
            outbound_bytes: 256 * 1024 * 1024,
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { lame_duck: Duration::ZERO, rate: 1000, away: Duration::from_secs(2), deadline: Duration::from_secs(10) }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for DemoConfig {
    fn default() -> Self {
        Self { users: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_users_are_for_development_without_an_api_key() {
        let mut config = Config::default();
        assert!(config.wants_demo_users());
        config.ops.api_key = Secret::new("0123456789abcdef");
        assert!(!config.wants_demo_users());
        config = Config::default();
        config.auth.mode = Mode::Jwt;
        assert!(!config.wants_demo_users());
        config = Config::default();
        config.demo.users = false;
        assert!(!config.wants_demo_users());
    }

    #[test]
    fn nothing_secret_is_in_debug_output() {
        let mut config = Config::default();
        config.ops.api_key = Secret::new("do-not-show-this-key");
        config.auth.hs256_secret = Secret::new("do-not-show-this-secret");
        let shown = format!("{config:?} {config:#?}");
        assert!(!shown.contains("do-not-show"), "{shown}");
    }
}
