//! The composition root: settings → store → hub → listeners → run → drain. The only place that names adapters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::{self, Access};
use crate::config::{self, Config, Mode, StoreUrl};
use crate::gateway::{self, Gateway, Origins, Proxies, Rate};
use crate::hub::{self, Hub, SessionsLimit, SessionsPolicy, feed::Feed};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::model::{CloseReason, RequestError};
use crate::service::{self, Service, consume, expire_requests, keep_keys, keep_presence, restore_presence};
use crate::store::{Batch, Store, sqlite};
use crate::wire;

/// How often tombstones past their retention are looked for.
const COMPACTION: Duration = Duration::from_hours(1);

/// The users of a fresh development store, one import line each, and who is whose friend.
const DEMO: &str = include_str!("../examples/demo.ndjson");

/// Why a gateway could not start: one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// An open store with the service on it; what both a gateway and an offline import need.
pub struct Core {
    /// The use cases.
    pub service: Arc<Service>,
    store: Arc<dyn Store>,
    feed: JoinHandle<()>,
}

impl Core {
    /// Opens the store and starts applying its commits.
    ///
    /// # Errors
    /// The store or the keys cannot be used.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::default());
        let auth = config.auth.authenticator(None, &metrics).map_err(StartError)?;
        let StoreUrl::Sqlite(path) = &config.store.url;
        let options = sqlite::Options { visibility: config.profile.visibility.clone(), ..sqlite::Options::default() };
        let opened = sqlite::open(path, options).map_err(|error| StartError(error.to_string()))?;
        let hub = Hub::new(opened.head, hub_settings(config), metrics.clone());
        let feed = spawn_feed(&hub, opened.feed, metrics.clone());
        let service = Service::new(opened.store.clone(), hub, auth, metrics, service_settings(config));
        Ok(Self { service: Arc::new(service), store: opened.store, feed })
    }

    /// Waits until what was written is applied, and closes the store.
    pub async fn close(self) {
        self.store.close().await;
        drop(self.service);
        let _ = self.feed.await;
    }
}

fn spawn_feed(hub: &Arc<Hub>, commits: mpsc::Receiver<Batch>, metrics: Arc<Metrics>) -> JoinHandle<()> {
    tokio::spawn(consume(commits, Feed::new(hub.clone()), metrics))
}

/// A gateway that serves.
pub struct App {
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Where backends and operators connect.
    pub ops: SocketAddr,
    /// The demo users that were made, if any.
    pub demo: Vec<String>,
    core: Core,
    gateway: Arc<Gateway>,
    lifecycle: Arc<Lifecycle>,
    tasks: Vec<JoinHandle<()>>,
    /// Ends once it has written down who is online.
    presence: JoinHandle<()>,
    deadline: Duration,
}

impl App {
    /// Opens everything; once this answers, clients can log in.
    ///
    /// # Errors
    /// The store or the keys cannot be used, or an address is taken.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let core = Core::open(config)?;
        restore_presence(&core.service).await.map_err(|error| StartError(error.to_string()))?;
        let lifecycle = Arc::new(Lifecycle::default());
        let clients = bind("clients.listen", config.clients.listen).await?;
        let ops = bind("ops.listen", config.ops.listen).await?;
        let addresses = (local(&clients)?, local(&ops)?);
        let demo = if config.wants_demo_users() { demo_users(&core.service).await? } else { Vec::new() };
        let gateway = Gateway::new(core.service.clone(), settings(config), policy(config)?, lifecycle.clone());
        let routes = api::router(core.service.clone(), lifecycle.clone(), access(config));
        let tasks = vec![
            tokio::spawn(gateway.clone().serve(clients)),
            tokio::spawn(serve_ops(ops, routes)),
            tokio::spawn(compact(core.store.clone(), config.store.tombstone_retention)),
            tokio::spawn(keep_keys(core.service.clone())),
            tokio::spawn(expire_requests(core.service.clone(), config.friends.request_expiry)),
        ];
        let stopping = lifecycle.clone();
        let presence = tokio::spawn(keep_presence(core.service.clone(), async move { stopping.draining().await }));
        lifecycle.ready();
        let (clients, ops) = addresses;
        Ok(Self { clients, ops, demo, core, gateway, lifecycle, tasks, presence, deadline: config.shutdown.deadline })
    }

    /// Takes keys, origins, proxies and limits of these settings from now on; all of them or, if one cannot be used, none.
    /// Sessions that are there stay.
    ///
    /// # Errors
    /// A key or a list cannot be used.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        let (service, policy) = (&self.core.service, policy(config)?);
        let authenticator = config.auth.authenticator(Some(&service.authenticator()), service.metrics());
        service.set_authenticator(authenticator.map_err(StartError)?);
        self.gateway.set_policy(policy);
        Ok(())
    }

    /// Ends every session with a goodbye, waits for them up to the deadline, and closes the store. True if all of
    /// them were gone in time.
    pub async fn stop(self) -> bool {
        self.lifecycle.drain();
        self.core.service.hub().end_all(CloseReason::Shutdown);
        let ended = async {
            let _ = self.presence.await;
            self.gateway.drained().await;
        };
        let drained = timeout(self.deadline, ended).await.is_ok();
        self.tasks.iter().for_each(JoinHandle::abort);
        self.core.close().await;
        drained
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError(format!("{key}: cannot listen on {address}: {error}")))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError(error.to_string()))
}

fn settings(config: &Config) -> gateway::Settings {
    gateway::Settings {
        heartbeat: config.clients.heartbeat,
        stall_timeout: config.clients.stall_timeout,
        expiry_grace: config.auth.expiry_grace,
        demo_page: config.auth.mode == Mode::Development,
    }
}

fn policy(config: &Config) -> Result<gateway::Policy, StartError> {
    let (clients, limits) = (&config.clients, &config.limits);
    let origins = Origins::parse(&clients.origins).map_err(|why| StartError(format!("clients.origins: {why}")))?;
    let networks = Proxies::parse(&clients.trusted_proxies);
    let networks = networks.map_err(|why| StartError(format!("clients.trusted_proxies: {why}")))?;
    let header = match clients.forwarded_header {
        config::ForwardedHeader::XForwardedFor => gateway::ForwardedHeader::XForwardedFor,
        config::ForwardedHeader::Forwarded => gateway::ForwardedHeader::Forwarded,
    };
    // In development a page may be anywhere, also in a file.
    let development = config.auth.mode == Mode::Development;
    let any = development && clients.origins.is_empty();
    let rate = |per_second, burst| Rate { per_second: per_second as u32, burst: burst as u32 };
    Ok(gateway::Policy {
        origins: (!any).then_some(origins),
        proxies: Proxies { networks, header },
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        logins: rate(limits.logins_per_second, limits.logins_burst),
        handshake_timeout: limits.handshake_timeout,
        header_bytes: limits.header_bytes,
        login_timeout: limits.login_timeout,
        frame_bytes: limits.frame_bytes,
        fragments: limits.fragments,
        commands: (!development).then(|| rate(limits.commands_per_second, limits.commands_burst)),
        outbound_bytes: limits.outbound_bytes,
    })
}

fn hub_settings(config: &Config) -> hub::Settings {
    hub::Settings { visibility: config.profile.visibility.clone(), presence: config.presence.enabled }
}

fn service_settings(config: &Config) -> service::Settings {
    let policy = match config.sessions.policy {
        config::SessionsPolicy::All => SessionsPolicy::All,
        config::SessionsPolicy::OnePerDeviceType => SessionsPolicy::OnePerDeviceType,
        config::SessionsPolicy::One => SessionsPolicy::One,
    };
    service::Settings {
        create_accounts: config.auth.create_accounts,
        friends: config.friends.policy,
        sessions: SessionsLimit { policy, max: config.sessions.max },
        linger: config.presence.linger,
    }
}

fn access(config: &Config) -> Access {
    match (config.ops.api_key.is_empty(), config.auth.mode) {
        (false, _) => Access::Key(config.ops.api_key.expose().to_owned()),
        (true, Mode::Development) => Access::Open,
        (true, Mode::Jwt | Mode::Static) => Access::Closed,
    }
}

async fn serve_ops(listener: TcpListener, routes: axum::Router) {
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "the ops listener ended");
    }
}

/// Forgets removals that every client within the retention has heard of.
async fn compact(store: Arc<dyn Store>, retention: Duration) {
    loop {
        let before = SystemTime::now().checked_sub(retention).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        if let Some(before) = before {
            loop {
                match store.compact(before.as_millis() as u64).await {
                    Ok(0) => break,
                    Ok(dropped) => tracing::info!(dropped, "tombstones past their retention were dropped"),
                    Err(error) => {
                        tracing::warn!(%error, "tombstones could not be dropped");
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(COMPACTION).await;
    }
}

async fn demo_users(service: &Service) -> Result<Vec<String>, StartError> {
    let failed = |error: RequestError| StartError(format!("the demo users could not be made: {error}"));
    if !service.is_empty().await.map_err(failed)? {
        return Ok(Vec::new());
    }
    let commands = DEMO.lines().map(wire::import_line).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let accounts = commands.iter().filter_map(|command| match command {
        crate::model::Command::SetProfile { account, .. } => Some(account.to_string()),
        _ => None,
    });
    let accounts = accounts.collect();
    service.import(commands).await.map_err(|(_, error)| failed(error))?;
    Ok(accounts)
}
