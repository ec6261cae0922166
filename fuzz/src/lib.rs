//! Runs a whole gateway in this process, on loopback, with a store in memory, for the targets that need one.
//!
//! It runs on one thread and ends with its input, so that an input does the same each time. The targets reach it only
//! through a socket: the gateway has no code for fuzzing.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rosterd::admission::{AdmissionPolicy, Origins, Proxies, Rate};
use rosterd::auth::{AuthSettings, Authenticator};
use rosterd::gateway::{Gateway, GatewaySettings};
use rosterd::hub::feed::Feed;
use rosterd::hub::{self, Hub, SessionsLimit};
use rosterd::lifecycle::Lifecycle;
use rosterd::metrics::Metrics;
use rosterd::service::{self, Service, consume};
use rosterd::session::SessionSettings;
use rosterd::store::{Store, system_clock};
use rosterd_engine::model::{FriendsPolicy, SessionsPolicy, Visibility};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long anything that must happen may take. An input that takes longer has found a hang.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The settings of a gateway under test.
pub struct Kind {
    /// How clients become friends.
    pub friends: FriendsPolicy,
    /// Which fields of a profile each audience may see.
    pub visibility: Visibility,
    /// Which sessions of an account may exist together.
    pub sessions: SessionsPolicy,
    /// Origins whose pages may connect; `None` allows all.
    pub origins: Option<Origins>,
    /// Trusted proxies.
    pub proxies: Proxies,
    /// The rate limit of a session.
    pub commands: Option<Rate>,
}

impl Default for Kind {
    fn default() -> Self {
        let (origins, commands) = (None, None);
        let (visibility, proxies) = (Visibility::default(), Proxies::default());
        Self { friends: FriendsPolicy::Both, visibility, sessions: SessionsPolicy::All, origins, proxies, commands }
    }
}

/// A running gateway.
pub struct Node {
    /// The address for clients.
    pub address: SocketAddr,
    /// The use cases, which also serve the calls of a backend.
    pub service: Arc<Service>,
    /// The store.
    pub store: Arc<dyn Store>,
    gateway: Arc<Gateway>,
}

impl Node {
    /// Starts a gateway with limits that one input can reach.
    pub async fn start(kind: Kind) -> Self {
        let metrics = Arc::new(Metrics::default());
        let auth = Authenticator::new(AuthSettings::Development, None, &metrics).expect("no keys are needed");
        let opened = rosterd_memory_store::open(system_clock(), kind.visibility.clone()).expect("randomness");
        let linger = Duration::ZERO;
        let settings = hub::HubSettings { visibility: kind.visibility, presence: true, devices: hub::ShownDevices::FriendsAndBackends, shared: false, linger };
        let hub = Hub::new(opened.head, settings, metrics.clone());
        tokio::spawn(consume(opened.feed, Feed::new(hub.clone()), metrics.clone()));
        let settings = service::ServiceSettings {
            create_accounts: false,
            friends: kind.friends,
            write: rosterd_engine::model::WriteRights::default(),
            sessions: SessionsLimit { policy: kind.sessions, max: 3 },
            linger,
        };
        let service = Arc::new(Service::new(opened.store.clone(), hub, auth, metrics, settings));
        let policy = AdmissionPolicy {
            origins: kind.origins,
            proxies: kind.proxies,
            connections: 100,
            connections_per_address: 2,
            logins: Rate { per_second: 1000, burst: 1000 },
            handshake_timeout: 2 * PATIENCE,
            header_bytes: 4096,
            login_timeout: 2 * PATIENCE,
            expiry_grace: Duration::ZERO,
            frame_bytes: 8192,
            fragments: 16,
            commands: kind.commands,
            outbound_bytes: 1 << 20,
        };
        let settings = GatewaySettings {
            sessions: SessionSettings { heartbeat: 10 * PATIENCE, stall_timeout: 10 * PATIENCE },
            demo_page: true,
        };
        let lifecycle = Arc::new(Lifecycle::default());
        lifecycle.ready();
        let gateway = Gateway::new(service.clone(), settings, policy, lifecycle);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        tokio::spawn(gateway.clone().serve(listener, None));
        tokio::spawn(gateway.clone().flush_sleeping());
        Self { address, service, store: opened.store, gateway }
    }

    /// Connects. The socket leaves no port in TIME_WAIT, because a run makes thousands of connections a second.
    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.expect("the gateway accepts");
        stream.set_zero_linger().expect("a TCP option");
        stream.set_nodelay(true).expect("a TCP option");
        stream
    }

    /// Waits until every connection has ended, once their clients have.
    pub async fn settled(&self) {
        in_time("the end of every connection", self.gateway.drained()).await;
    }
}

/// Waits for something that must happen within [`PATIENCE`].
///
/// # Panics
/// It takes longer.
pub async fn in_time<T>(what: &str, doing: impl Future<Output = T>) -> T {
    timeout(PATIENCE, doing).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}

/// Runs one input to its end, together with all tasks that it started.
pub fn run(input: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(input);
}
