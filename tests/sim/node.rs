//! Runs one gateway process: the real hub, feed, service and session tasks, without listeners.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rosterd::admission::{AdmissionPolicy, Proxies, Rate};
use rosterd::auth::{self, Authenticator};
use rosterd::gateway::{Gateway, GatewaySettings};
use rosterd::hub::feed::Feed;
use rosterd::hub::{self, Hub, SessionsLimit};
use rosterd::lifecycle::Lifecycle;
use rosterd::metrics::Metrics;
use rosterd::service::{
    self, Interleave, NodeEnvironment, Service, apply_rules, consume, expire_requests, keep_presence, restore_presence,
    sweep_presence,
};
use rosterd::session::SessionSettings;
use rosterd::store::{Store, StoreClock};
use rosterd_engine::model::{FriendsPolicy, SessionsPolicy, Visibility};
use rosterd_protocol::Encoding;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::disk::{self, Faults, Platter};
use crate::net::{self, Breaker, End};
use crate::random::Random;

pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long an account that left counts as online.
pub const LINGER: Duration = Duration::from_millis(600);
/// The friends in a page of a catch-up, and the watchers in a slice of marks: few, so that few accounts fill several.
pub const PAGE: usize = 2;
/// So that an account with two blocks has many.
pub const FEW_BLOCKS: usize = 1;
pub const SLICE: usize = 2;

/// A process, which lives until it is dropped or dies by itself.
pub struct Node {
    pub service: Arc<Service>,
    pub store: Arc<dyn Store>,
    gateway: Arc<Gateway>,
    tasks: JoinSet<()>,
    process: Arc<Process>,
}

/// Whether a process lives, and its connections. A dead process has no further effect.
#[derive(Default)]
pub struct Process {
    dead: watch::Sender<bool>,
    breakers: Mutex<Vec<Breaker>>,
}

impl Process {
    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits until it is dead.
    pub async fn death(&self) {
        let mut dead = self.dead.subscribe();
        let _ = dead.wait_for(|dead| *dead).await;
    }

    /// Takes a connection, which ends with it.
    pub fn adopt(&self, breaker: Breaker) {
        self.breakers.lock().unwrap().push(breaker);
    }

    /// Dies at once; the system resets its connections.
    pub fn die(&self) {
        self.dead.send_replace(true);
        self.breakers.lock().unwrap().iter().for_each(Breaker::cut);
    }
}

/// The surroundings that a process starts on.
pub struct Surroundings {
    pub platter: Arc<Mutex<Platter>>,
    pub faults: Arc<Faults>,
    pub clock: StoreClock,
    pub random: Random,
    /// The rules about who sees what that the settings name.
    pub rules: Arc<Mutex<Visibility>>,
    /// How long an account that left counts as online.
    pub linger: Duration,
    /// The watchers in a slice of marks.
    pub slice: usize,
}

/// How long after a jump of the clock nothing expires: shorter than a history, so that something does.
const SETTLE: Duration = Duration::from_secs(2);

impl Node {
    pub async fn start(on: &Surroundings) -> Self {
        let process = Arc::new(Process::default());
        let rules = on.rules.lock().unwrap().clone();
        let (store, commits, head) =
            disk::open(&on.platter, &on.faults, on.clock.clone(), on.random.fork(), process.clone(), rules.clone());
        let metrics = Arc::new(Metrics::default());
        let settings = hub::HubSettings {
            visibility: rules,
            presence: true,
            devices: hub::ShownDevices::FriendsAndBackends,
            shared: false,
            linger: on.linger,
        };
        let hub = Hub::new(head, settings, metrics.clone());
        let auth = Authenticator::new(auth::AuthSettings::Development, None, &metrics).unwrap();
        let settings = service::ServiceSettings {
            create_accounts: false,
            friends: FriendsPolicy::Both,
            write: rosterd_engine::model::WriteRights::default(),
            sessions: SessionsLimit { policy: SessionsPolicy::All, max: 100 },
            linger: on.linger,
        };
        let random = on.random.fork();
        let machine = NodeEnvironment {
            clock: on.clock.clone(),
            random: Arc::new(move || random.next()),
            page: PAGE,
            list_readers: 1,
            few_blocks: FEW_BLOCKS,
            interleave: Some(interleave(on.random.fork())),
            settle: SETTLE,
        };
        let service = Service::new(store.clone(), hub.clone(), auth, metrics.clone(), settings).on(machine);
        let service = Arc::new(service);
        restore_presence(&service).await.unwrap();
        let lifecycle = Arc::new(Lifecycle::default());
        let settings = GatewaySettings {
            sessions: SessionSettings { heartbeat: HEARTBEAT, stall_timeout: Duration::from_secs(20) },
            demo_page: false,
        };
        let gateway = Gateway::new(service.clone(), settings, policy(), lifecycle.clone());
        let mut tasks = JoinSet::new();
        let (feed, batches) = mpsc::channel(4);
        let (pumped, late) = mpsc::unbounded_channel();
        tasks.spawn(disk::pump(commits, pumped));
        tasks.spawn(disk::group(late, feed, on.random.fork()));
        tasks.spawn(consume(batches, Feed::new(hub).in_slices_of(on.slice), metrics));
        tasks.spawn(gateway.clone().flush_sleeping());
        tasks.spawn(keep_presence(service.clone(), std::future::pending()));
        tasks.spawn(sweep_presence(service.clone()));
        tasks.spawn(apply_rules(service.clone()));
        tasks.spawn(expire_requests(service.clone(), Duration::from_hours(24)));
        lifecycle.ready();
        Self { service, store, gateway, tasks, process }
    }

    /// Connects a client, past the upgrade.
    pub fn connect(&mut self, encoding: Encoding, random: &Random) -> (End, Breaker) {
        let (near, far, breaker) = net::connect(random);
        let gateway = self.gateway.clone();
        let mut breakers = self.process.breakers.lock().unwrap();
        // A connection without TLS hands its write handle over, one with TLS does not.
        let out = (breakers.len() % 4 != 3).then(|| far.hand_over(encoding));
        self.tasks.spawn(gateway.serve_upgraded(far, out, encoding));
        breakers.push(breaker.clone());
        (near, breaker)
    }

    pub fn process(&self) -> Arc<Process> {
        self.process.clone()
    }
}

/// Waits now and then, for long enough that a commit is applied meanwhile.
pub fn interleave(random: Random) -> Interleave {
    Arc::new(move || {
        let pause = Duration::from_millis(if random.percent(20) { random.below(8) } else { 0 });
        Box::pin(async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
        })
    })
}

/// Limits that no history reaches.
pub fn policy() -> AdmissionPolicy {
    AdmissionPolicy {
        origins: None,
        proxies: Proxies::default(),
        connections: 10_000,
        connections_per_address: 10_000,
        logins: Rate { per_second: 10_000, burst: 10_000 },
        handshake_timeout: Duration::from_secs(5),
        header_bytes: 8192,
        login_timeout: Duration::from_secs(5),
        expiry_grace: Duration::from_secs(5),
        frame_bytes: 65536,
        fragments: 64,
        commands: None,
        outbound_bytes: 1 << 30,
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.die();
        self.tasks.abort_all();
    }
}
