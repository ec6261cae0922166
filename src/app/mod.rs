//! The composition root: settings → store → hub → listeners → run → drain. It is the only place that names adapters.

mod certificates;
mod cluster;
mod cut_off;
mod hooks;
mod open_files;
mod policy;
mod reload;
mod start_error;
mod upkeep;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::certificates::{Listener, watch};
use self::policy::{access, policy};
pub use self::reload::{PreparedChange, ReloadablePart, Reloaded};
pub use self::start_error::StartError;
use self::upkeep::{KeptData, Retention, clean};
use crate::api::{self, AccessControl, LiveNumbers, ShownSetting, ShownSettings};
use crate::callback::{Hooks, Webhooks};
use crate::config::{self, ClusterConfig, Config, LoadedConfig, Mode, StoreConfig, StoreUrl};
use crate::gateway::{Gateway, GatewaySettings};
use crate::hub::{self, Hub, SessionsLimit, feed::Feed};
use crate::lifecycle::{DrainSchedule, Lifecycle};
use crate::metrics::Metrics;
use crate::service::{
    self, Service, apply_rules, consume, expire_requests, follow_sessions, keep_beat, keep_keys, keep_presence,
    restore_presence, send_messages, sweep_presence,
};
use crate::session::SessionSettings;
use crate::store::postgres::Sharing;
use crate::store::{AuditLog, ChangeLog, DeliveryStore, Opened, Store, StoreClock, postgres, sqlite, system_clock};
use crate::supervisor::{MayEnd, Supervisor};
use crate::tls::Tls;
use rosterd_engine::model::{CloseReason, RequestError, WriteOrigin};

/// How much of the deadline is left for the last sessions to close. Closing the others gets the rest, at least half.
const LAST: Duration = Duration::from_secs(4);

/// How long after its slot a client may take to log in to another gateway.
const COMING_BACK: Duration = Duration::from_secs(5);

/// How many connections may wait to be accepted. The system has a limit of its own (`net.core.somaxconn`).
///
/// A client whose connection finds no room tries again after a second and then at growing intervals, which makes the
/// return of all clients slow.
const BACKLOG: u32 = 65_535;

/// The users of a new development store and their friendships, one import line each.
const DEMO: &str = include_str!("../../examples/demo.ndjson");

/// An open store with the service on top, which both a gateway and an offline import need.
pub struct Core {
    /// The first field, because it is dropped first.
    supervisor: Supervision,
    /// The use cases.
    pub service: Arc<Service>,
    store: Arc<dyn Store>,
    log: Arc<dyn ChangeLog>,
    audit: Arc<dyn AuditLog>,
    deliveries: Arc<dyn DeliveryStore>,
    hooks: Arc<Hooks>,
    feed: JoinHandle<()>,
    lifecycle: Arc<Lifecycle>,
}

/// The supervisor of a core, which expects the end of its tasks once the core is dropped, as after a failed start.
struct Supervision(Arc<Supervisor>);

impl Drop for Supervision {
    fn drop(&mut self) {
        self.0.stand_down();
    }
}

impl Core {
    /// Opens the store and starts applying its commits.
    ///
    /// # Errors
    /// The store or the keys cannot be used.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::default());
        let auth = config.auth.authenticator(None, &metrics).map_err(StartError)?;
        let opened = open_store(config, &metrics)?;
        let hub = Hub::new(opened.head, hub_settings(config), metrics.clone());
        let lifecycle = Arc::new(Lifecycle::default());
        let supervisor = Supervisor::new(lifecycle.clone());
        let consuming = consume(opened.feed, Feed::new(hub.clone()), metrics.clone());
        let feed = supervisor.spawn("feed", MayEnd::Never, consuming);
        let store = opened.store.clone();
        supervisor.spawn("store", MayEnd::Never, async move { store.ended().await });
        let hooks = Arc::new(Hooks::new(metrics.clone()));
        hooks::apply(&hooks, hooks::settings(config).map_err(StartError)?);
        let service = Service::new(opened.store.clone(), hub, auth, metrics, service_settings(config))
            .with_log(opened.log.clone())
            .with_audit(opened.audit.clone())
            .with_hooks(hooks.clone());
        let service = cluster::share(service, opened.nodes, config);
        let supervisor = Supervision(supervisor);
        Ok(Self {
            supervisor,
            service: Arc::new(service),
            store: opened.store,
            log: opened.log,
            audit: opened.audit,
            deliveries: opened.deliveries,
            hooks,
            feed,
            lifecycle,
        })
    }

    /// Returns the change log of the store.
    #[must_use]
    pub fn log(&self) -> &dyn ChangeLog {
        &*self.log
    }

    /// Spawns the tasks that no client waits for.
    fn spawn_background(&self, config: &Config, certificates: &Certificates) -> Vec<JoinHandle<()>> {
        let spawn = |name, work| self.supervisor.0.spawn(name, MayEnd::Never, work);
        let retention = Retention {
            tombstones: config.store.tombstone_retention,
            feed: config.feed.clone(),
            audit: config.ops.audit_retention,
        };
        let kept = KeptData { store: self.store.clone(), log: self.log.clone(), audit: self.audit.clone() };
        let mut tasks = vec![
            spawn("compaction", boxed(clean(self.service.clone(), kept, retention))),
            spawn("presence_sweep", boxed(sweep_presence(self.service.clone()))),
            spawn("rules", boxed(apply_rules(self.service.clone()))),
            spawn("keys", boxed(keep_keys(self.service.clone()))),
            spawn("expiry", boxed(expire_requests(self.service.clone(), config.friends.request_expiry))),
        ];
        if self.service.shared().is_some() {
            let service = || self.service.clone();
            tasks.push(spawn("node_beat", boxed(keep_beat(service()))));
            tasks.push(spawn("node_sessions", boxed(follow_sessions(service()))));
            tasks.push(spawn("node_messages", boxed(send_messages(service()))));
        }
        for (name, listener, tls) in [
            ("clients_certificate", Listener::Clients, &certificates.clients),
            ("ops_certificate", Listener::Ops, &certificates.ops),
        ] {
            if let Some(tls) = tls {
                tasks.push(spawn(name, boxed(watch(listener, tls.clone(), self.service.metrics().clone()))));
            }
        }
        tasks
    }

    /// Waits until every commit is applied, and closes the store.
    pub async fn close(self) {
        self.supervisor.0.stand_down();
        self.store.close().await;
        drop(self.service);
        let _ = self.feed.await;
    }
}

/// Opens the store that the settings name.
fn open_store(config: &Config, metrics: &Metrics) -> Result<Opened, StartError> {
    let (visibility, keeps_log) = (config.profile.rules(), !config.feed.retention.is_zero());
    let numbers_presence = config.feed.presence;
    let opened = match &config.store.url {
        StoreUrl::Sqlite(path) => {
            let clock = store_clock();
            let rest = sqlite::SqliteOptions::default();
            sqlite::open(path, sqlite::SqliteOptions { clock, visibility, keeps_log, numbers_presence, ..rest })
        }
        StoreUrl::Postgres(url) => {
            let StoreConfig { ref read_url, readers, failover, write_timeout, .. } = config.store;
            let clock = None;
            let ClusterConfig { enabled, poll, .. } = config.cluster;
            let sharing = if enabled { Sharing::Shared { poll } } else { Sharing::Alone };
            let options = postgres::PostgresOptions {
                visibility,
                write: config.profile.write.clone(),
                keeps_log,
                numbers_presence,
                read_url: read_url.clone(),
                readers,
                failover,
                write_timeout,
                clock,
                sharing,
                joining: enabled.then(|| cluster::joining(config)),
                network: cluster::network(&config.cluster)?,
                metrics: metrics.database.clone(),
            };
            postgres::open(url, options)
        }
    };
    opened.map_err(|error| StartError(error.to_string()))
}

/// The clock of the store's writes. In debug builds a test can end the store's thread with it.
fn store_clock() -> StoreClock {
    let clock = system_clock();
    #[cfg(debug_assertions)]
    let clock: StoreClock = Arc::new(move || {
        crate::supervisor::fault::panic_if_asked("writer");
        clock()
    });
    clock
}

/// A running gateway.
pub struct App {
    /// The address of the client listener.
    pub clients: SocketAddr,
    /// The address of the ops listener.
    pub ops: SocketAddr,
    /// The demo users that were created, if any.
    pub demo: Vec<String>,
    core: Core,
    gateway: Arc<Gateway>,
    certificates: Certificates,
    access: Arc<AccessControl>,
    settings: Arc<ShownSettings>,
    mode: Mode,
    tasks: Vec<JoinHandle<()>>,
    /// The task that stores who is online. It ends with a last write.
    presence: JoinHandle<()>,
    webhooks: Arc<Webhooks>,
    /// The task that delivers events to the endpoints. It ends once each of them has ended its request.
    delivering: JoinHandle<()>,
    shutdown: Arc<Mutex<config::ShutdownConfig>>,
}

/// The TLS of each listener that has it.
struct Certificates {
    clients: Option<Arc<Tls>>,
    ops: Option<Arc<Tls>>,
}

impl App {
    /// Opens the store and both listeners. Once this returns, clients can log in.
    ///
    /// # Errors
    /// The store or the keys cannot be used, or an address is taken.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let certificates = Certificates {
            clients: certificates::open(Listener::Clients, config)?,
            ops: certificates::open(Listener::Ops, config)?,
        };
        let core = Core::open(config)?;
        core.service.join_others().await.map_err(|error| StartError(error.to_string()))?;
        restore_presence(&core.service).await.map_err(|error| StartError(error.to_string()))?;
        let clients = bind("clients.listen", config.clients.listen)?;
        let ops = bind("ops.listen", config.ops.listen)?;
        let addresses = (local(&clients)?, local(&ops)?);
        let demo = if config.wants_demo_users() { demo_users(&core.service).await? } else { Vec::new() };
        let lifecycle = core.lifecycle.clone();
        let policy = policy(config)?;
        open_files::warn_of_lowered(config.limits.connections, policy.connections);
        let gateway = Gateway::new(core.service.clone(), gateway_settings(config), policy, lifecycle.clone());
        let mut tasks = core.spawn_background(config, &certificates);
        let access = Arc::new(AccessControl::new(access(config)));
        let (webhooks, deliveries) = Webhooks::new(core.service.clone(), core.deliveries.clone());
        webhooks.apply(webhooks::endpoints(config).map_err(StartError)?);
        if let Err(error) = webhooks.forget_old().await {
            tracing::warn!(%error, "endpoints that are no more in the settings could not be forgotten");
        }
        let (numbers, settings) = (Arc::new(LiveNumbers::default()), Arc::new(ShownSettings::default()));
        let (service, shown) = (core.service.clone(), settings.clone());
        let endpoints = webhooks.clone();
        let (phases, live, console) = (lifecycle.clone(), numbers.clone(), config.ops.console.enabled);
        let routes = api::router(service, endpoints, phases, access.clone(), live, shown, console);
        let supervisor = &core.supervisor.0;
        let taking = numbers.keep(core.service.clone(), lifecycle.clone());
        tasks.push(supervisor.spawn("live_numbers", MayEnd::Never, taking));
        let delivering = supervisor.spawn("webhooks", MayEnd::WhenClosing, deliveries);
        if core.service.shared().is_some() {
            tasks.push(supervisor.spawn("webhook_lease", MayEnd::WhenClosing, webhooks.clone().take_turns()));
        }
        let accepting = gateway.clone().serve(clients, certificates.clients.clone());
        tasks.push(supervisor.spawn("clients_listener", MayEnd::WhenClosing, accepting));
        let serving = serve_ops(ops, routes, certificates.ops.clone(), gateway.clone());
        tasks.push(supervisor.spawn("ops_listener", MayEnd::Never, serving));
        let workers = Handle::current().metrics().num_workers();
        let flusher = |_| supervisor.spawn("flusher", MayEnd::Never, gateway.clone().flush_sleeping());
        tasks.extend((0..workers).map(flusher));
        let stopping = lifecycle.clone();
        let keeping = keep_presence(core.service.clone(), async move { stopping.closing().await });
        let presence = supervisor.spawn("presence", MayEnd::WhenClosing, keeping);
        lifecycle.ready();
        let (clients, ops) = addresses;
        let mode = config.auth.mode;
        let shutdown = Arc::new(Mutex::new(config.shutdown.clone()));
        Ok(Self {
            clients,
            ops,
            demo,
            core,
            gateway,
            certificates,
            access,
            settings,
            mode,
            tasks,
            presence,
            webhooks,
            delivering,
            shutdown,
        })
    }

    /// Stops the gateway: shows that it is draining, keeps serving for the lame duck, ends every session with a goodbye,
    /// and closes the store. Returns how many connections were cut off at the deadline.
    pub async fn stop(mut self) -> usize {
        let config::ShutdownConfig { lame_duck, rate, away, deadline } = self.shutdown.lock().clone();
        self.core.lifecycle.drain();
        if !lame_duck.is_zero() {
            tracing::info!(ms = lame_duck.as_millis() as u64, "not ready any more, serving on for the lame duck");
            tokio::time::sleep(lame_duck).await;
        }
        let schedule = |sessions| schedule(sessions, rate, away, deadline);
        let expected = schedule(self.core.service.hub().sessions());
        let back = expected.window + expected.away.unwrap_or_default() + COMING_BACK;
        self.core.service.begin_to_leave(back).await;
        let closed = timeout(deadline, async {
            self.gateway.close(CloseReason::Shutdown, schedule).await;
            self.webhooks.stop();
            let _ = self.presence.await;
            let _ = (&mut self.delivering).await;
            self.core.service.release_delivery().await;
            self.gateway.drained().await;
            self.core.service.leave_others().await;
        });
        let cut_off = if closed.await.is_ok() { 0 } else { self.gateway.connections() };
        self.core.supervisor.0.stand_down();
        self.tasks.iter().for_each(JoinHandle::abort);
        self.delivering.abort();
        self.core.close().await;
        cut_off
    }

    /// Reports whether each listener has TLS: the clients', then ops.
    #[must_use]
    pub fn tls(&self) -> (bool, bool) {
        (self.certificates.clients.is_some(), self.certificates.ops.is_some())
    }

    /// Returns the parts of the settings that a reload can replace.
    #[must_use]
    pub fn parts(&self) -> Vec<ReloadablePart> {
        let shutdown = self.shutdown.clone();
        let keys = &["shutdown.lame_duck", "shutdown.rate", "shutdown.away", "shutdown.deadline"];
        vec![
            certificates::part(Listener::Clients, self.certificates.clients.clone()),
            certificates::part(Listener::Ops, self.certificates.ops.clone()),
            policy::rules(self.core.service.clone()),
            policy::keys(self.mode, self.core.service.clone()),
            policy::limits(self.mode, self.gateway.clone()),
            policy::api_keys(self.mode, self.access.clone()),
            webhooks::part(self.webhooks.clone()),
            hooks::part(self.core.hooks.clone()),
            ReloadablePart::new(keys, move |config| {
                let (shutdown, new) = (shutdown.clone(), config.shutdown.clone());
                Ok(PreparedChange::live(move || *shutdown.lock() = new))
            }),
        ]
    }

    /// Shows operators these settings as those in force.
    pub fn show(&self, loaded: &LoadedConfig) {
        let shown = loaded.effective().into_iter().map(|setting| {
            let value = serde_json::to_value(setting.value).unwrap_or_default();
            ShownSetting { key: setting.key, value, source: setting.source }
        });
        self.settings.replace(shown.collect());
    }

    /// Returns the gateway's lifecycle, which fails if a task that it needs has ended.
    #[must_use]
    pub fn lifecycle(&self) -> &Arc<Lifecycle> {
        &self.core.lifecycle
    }

    /// Returns the gateway's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.core.service.metrics()
    }
}

/// Checks that the file of these settings with who logs in to NATS can be used.
///
/// # Errors
/// Says which file cannot be used, and why.
pub fn check_network(config: &Config) -> Result<(), StartError> {
    cluster::network(&config.cluster).map(drop)
}

/// Checks that the certificates of these settings can be used.
///
/// # Errors
/// Says which file cannot be used, and why.
pub fn check_certificates(config: &Config) -> Result<(), StartError> {
    [Listener::Clients, Listener::Ops]
        .into_iter()
        .try_for_each(|listener| certificates::open(listener, config).map(drop))
}

/// Returns the schedule by which so many sessions are closed.
fn schedule(sessions: usize, rate: usize, away: Duration, deadline: Duration) -> DrainSchedule {
    let most = deadline.saturating_sub(LAST).max(deadline / 2);
    DrainSchedule::new(sessions, u32::try_from(rate).unwrap_or(u32::MAX), most, away)
}

/// Boxes a task, so that one function can spawn several.
fn boxed(task: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
    Box::pin(task)
}

fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listen(address).map_err(|error| StartError(format!("{key}: cannot listen on {address}: {error}")))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As the standard library does. A restart then need not wait for connections that have ended.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError(error.to_string()))
}

fn gateway_settings(config: &Config) -> GatewaySettings {
    let sessions = SessionSettings { heartbeat: config.clients.heartbeat, stall_timeout: config.clients.stall_timeout };
    GatewaySettings { sessions, demo_page: config.auth.mode == Mode::Development }
}

fn hub_settings(config: &Config) -> hub::HubSettings {
    let devices = match (config.presence.devices, config.feed.presence) {
        (false, _) => hub::ShownDevices::Nobody,
        (true, false) => hub::ShownDevices::Friends,
        (true, true) => hub::ShownDevices::FriendsAndBackends,
    };
    hub::HubSettings {
        visibility: config.profile.rules(),
        presence: config.presence.enabled,
        devices,
        shared: config.cluster.enabled,
        linger: config.presence.linger,
    }
}

fn service_settings(config: &Config) -> service::ServiceSettings {
    service::ServiceSettings {
        create_accounts: config.auth.create_accounts,
        friends: config.friends.policy,
        write: config.profile.write.clone(),
        sessions: SessionsLimit { policy: config.sessions.policy, max: config.sessions.max },
        linger: config.presence.linger,
    }
}

/// Serves the ops listener, by the limit that the clients' handshakes have too.
async fn serve_ops(listener: TcpListener, routes: axum::Router, tls: Option<Arc<Tls>>, gateway: Arc<Gateway>) {
    api::serve(listener, routes, tls, || gateway.handshake_timeout()).await;
}

async fn demo_users(service: &Service) -> Result<Vec<String>, StartError> {
    let failed = |error: RequestError| StartError(format!("the demo users could not be made: {error}"));
    if !service.is_empty().await.map_err(failed)? {
        return Ok(Vec::new());
    }
    let commands = DEMO.lines().map(rosterd_protocol::import_line).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let accounts = commands.iter().filter_map(|command| match command {
        rosterd_engine::model::Command::SetProfile { account, .. } => Some(account.to_string()),
        _ => None,
    });
    let accounts = accounts.collect();
    service.import(commands, &WriteOrigin::Import).await.map_err(|(_, error)| failed(error))?;
    Ok(accounts)
}
