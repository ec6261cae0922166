//! One gateway of several: the real hub, feed, service and session tasks, and the real writer, splicer and tail of its store.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rosterd::auth::{self, Authenticator};
use rosterd::gateway::{Gateway, GatewaySettings};
use rosterd::hub::feed::Feed;
use rosterd::hub::{self, Hub, SessionsLimit};
use rosterd::lifecycle::Lifecycle;
use rosterd::metrics::Metrics;
use rosterd::service::{
    self, ClusterSettings, NodeEnvironment, Service, SharedNode, apply_rules, consume, expire_requests,
    follow_sessions, keep_beat, keep_presence, send_messages, sweep_presence,
};
use rosterd::session::SessionSettings;
use rosterd::store::StoreClock;
use rosterd::store::postgres::{BatchNetwork, Database, Engine, Failover, PostgresOptions, Sharing};
use rosterd_engine::model::{FriendsPolicy, SessionsPolicy};
use rosterd_protocol::Encoding;
use tokio::task::JoinSet;

use super::line::Line;
use super::links::SimDatabase;
use super::network::{NetworkLine, SimNetwork};
use super::store::ClusterStore;
use crate::net::{self, Breaker, End};
use crate::node::{FEW_BLOCKS, HEARTBEAT, LINGER, PAGE, Process, SLICE, interleave, policy};
use crate::random::Random;

/// How often a gateway says that it lives, and how long its beat may stand still.
const BEAT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2500));
/// How often a gateway looks for what others did.
const POLL: Duration = Duration::from_millis(250);
/// How long a write waits for a database that is away, and a gateway.
const AWAY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(30));

/// Whether the tasks of a process stand still, and who is to be woken when it goes on.
#[derive(Default)]
struct Standstill {
    stands: bool,
    waiting: Vec<std::task::Waker>,
}

/// A task of a process, which is not polled while that stands still.
struct Halting<F> {
    standstill: Arc<Mutex<Standstill>>,
    task: Pin<Box<F>>,
}

impl<F: Future> Future for Halting<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut standstill = self.standstill.lock().unwrap();
            if standstill.stands {
                standstill.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.task.as_mut().poll(cx)
    }
}

/// A process, which lives until it is dropped or ends by itself.
pub struct ClusterNode {
    pub service: Arc<Service>,
    pub store: Arc<ClusterStore>,
    pub line: Line,
    gateway: Arc<Gateway>,
    tasks: JoinSet<()>,
    process: Arc<Process>,
    standstill: Arc<Mutex<Standstill>>,
}

/// What all processes have in common.
#[derive(Clone)]
pub struct ClusterSurroundings {
    pub server: super::server::SharedServer,
    pub failover: Failover,
    pub random: Random,
    /// What carries batches besides the log, in some histories.
    pub network: Option<Arc<SimNetwork>>,
}

impl ClusterNode {
    /// Starts a process on a machine with this clock; `None` if the database cannot be used now.
    pub async fn start(on: &ClusterSurroundings, number: u64, machine: StoreClock) -> Option<Self> {
        let line = Line::new(on.server.clone(), number, on.random.fork());
        let database = Arc::new(SimDatabase(line.clone()));
        let session = database.connect_writer().await.ok()?;
        // Opening takes the lock.
        session.begin().await.ok()?;
        let found = on.server.lock().unwrap().open();
        session.commit().await.ok()?;
        let rules = found.rules.clone();
        let options = PostgresOptions {
            visibility: rules.clone(),
            failover: on.failover,
            write_timeout: AWAY.0,
            sharing: Sharing::Shared { poll: POLL },
            network: on.network.clone().map(|network| Arc::new(NetworkLine(network)) as Arc<dyn BatchNetwork>),
            metrics: on.network.as_ref().map(|network| network.metrics.clone()).unwrap_or_default(),
            ..PostgresOptions::default()
        };
        let writer = database.random().unwrap_or(1);
        let mut engine = Engine::new((database, session), &found, writer, &options);
        engine.note_backend().await.ok()?;
        let store = ClusterStore {
            writer: engine.handle.clone(),
            line: line.clone(),
            live: engine.live.clone(),
            node: engine.node.clone(),
        };
        let store = Arc::new(store);
        let (feed, run) = engine.run();
        let metrics = Arc::new(Metrics::default());
        let settings = hub::HubSettings {
            visibility: rules,
            presence: true,
            devices: hub::ShownDevices::FriendsAndBackends,
            shared: true,
            linger: LINGER,
        };
        let hub = Hub::new(found.standing.head, settings, metrics.clone());
        let service = Arc::new(service(on, &store, (&hub, &metrics), machine));
        let lifecycle = Arc::new(Lifecycle::default());
        let settings = GatewaySettings {
            sessions: SessionSettings { heartbeat: HEARTBEAT, stall_timeout: Duration::from_secs(20) },
            demo_page: false,
        };
        let gateway = Gateway::new(service.clone(), settings, policy(), lifecycle.clone());
        let (process, standstill) = (Arc::new(Process::default()), Arc::default());
        let mut node = Self { service, store, line, gateway, tasks: JoinSet::new(), process, standstill };
        let (splicing, running) = (run.splicing, run.running);
        let (writing, ended) = (run.writing, node.process.clone());
        node.spawn(async move {
            tokio::join!(writing, splicing);
            drop(running);
            // As a task that a gateway cannot do without.
            ended.die();
        });
        node.spawn(run.following.expect("it shares the database"));
        run.carrying.into_iter().for_each(|carrying| node.spawn(carrying));
        node.spawn(consume(feed, Feed::new(hub).in_slices_of(SLICE), metrics));
        node.service.join_others().await.ok()?;
        node.spawn_service();
        lifecycle.ready();
        Some(node)
    }

    fn spawn_service(&mut self) {
        let service = || self.service.clone();
        let (beating, ended) = (keep_beat(service()), self.process.clone());
        let (presence, gateway) = (keep_presence(service(), std::future::pending()), self.gateway.clone());
        let (following, sending) = (follow_sessions(service()), send_messages(service()));
        let changing = apply_rules(service());
        let (sweeping, expiring) = (sweep_presence(service()), expire_requests(service(), Duration::from_hours(24)));
        self.spawn(async move {
            beating.await;
            ended.die();
        });
        self.spawn(gateway.flush_sleeping());
        self.spawn(presence);
        self.spawn(following);
        self.spawn(sending);
        self.spawn(sweeping);
        self.spawn(expiring);
        self.spawn(changing);
    }

    /// Runs a task of this process.
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.halting(task);
        self.tasks.spawn(task);
    }

    /// Has something stand still whenever the process does.
    pub fn halting<F: Future + Send + 'static>(&self, task: F) -> impl Future<Output = F::Output> + Send + 'static {
        Halting { standstill: self.standstill.clone(), task: Box::pin(task) }
    }

    /// Stands still, or goes on.
    pub fn stand_still(&self, stands: bool) {
        let mut standstill = self.standstill.lock().unwrap();
        standstill.stands = stands;
        if !stands {
            standstill.waiting.drain(..).for_each(std::task::Waker::wake);
        }
    }

    pub fn stands_still(&self) -> bool {
        self.standstill.lock().unwrap().stands
    }

    /// Connects a client, past the upgrade.
    pub fn connect(&mut self, encoding: Encoding, random: &Random) -> (End, Breaker) {
        let (near, far, breaker) = net::connect(random);
        let out = random.percent(75).then(|| far.hand_over(encoding));
        let serving = self.gateway.clone().serve_upgraded(far, out, encoding);
        self.spawn(serving);
        self.process.adopt(breaker.clone());
        (near, breaker)
    }

    pub fn process(&self) -> Arc<Process> {
        self.process.clone()
    }
}

fn service(
    on: &ClusterSurroundings,
    store: &Arc<ClusterStore>,
    (hub, metrics): (&Arc<Hub>, &Arc<Metrics>),
    machine: StoreClock,
) -> Service {
    let auth = Authenticator::new(auth::AuthSettings::Development, None, metrics).unwrap();
    let settings = service::ServiceSettings {
        create_accounts: false,
        friends: FriendsPolicy::Both,
        write: rosterd_engine::model::WriteRights::default(),
        sessions: SessionsLimit { policy: SessionsPolicy::All, max: 100 },
        linger: LINGER,
    };
    let cluster = ClusterSettings {
        name: format!("gateway {}", store.line.process),
        version: "sim".into(),
        rules: Vec::new(),
        beat: BEAT.0,
        dead_after: BEAT.1,
        poll: POLL,
        unready_after: Duration::from_secs(5),
        cut_off: AWAY.1,
    };
    let shared = SharedNode::new(store.clone(), cluster, metrics.cluster.clone()).on_clock(machine);
    let random = on.random.fork();
    let environment = NodeEnvironment {
        clock: shared.clock().clock(),
        random: Arc::new(move || random.next()),
        page: PAGE,
        list_readers: 1,
        few_blocks: FEW_BLOCKS,
        interleave: Some(interleave(on.random.fork())),
        settle: Duration::from_secs(2),
    };
    let service = Service::new(store.clone(), hub.clone(), auth, metrics.clone(), settings).on(environment);
    service.with_others(Arc::new(shared))
}

impl Drop for ClusterNode {
    fn drop(&mut self) {
        self.process.die();
        self.line.die();
        self.tasks.abort_all();
    }
}
