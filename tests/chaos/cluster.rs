//! Several gateways on one PostgreSQL database that has a standby, and everyone who is connected to any of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use rosterd_postgres_server::{ROLE, Server};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::client::{ClientStats, Phase};
use crate::crowd::watch_memory;
use crate::database_proxy::DatabaseProxy;
use crate::follower::Follower;
use crate::guests::{Guests, PATIENCE};
use crate::random::Random;
use crate::scale::Scale;
use crate::support::{Gateway, World};
use crate::table::Row;
use crate::truth::Truth;

const DATABASE: &str = "friends";
/// What every gateway has.
const SETTINGS: [&str; 5] = [
    "cluster.enabled=true",
    "cluster.beat=300ms",
    "cluster.dead_after=3s",
    "shutdown.away=0s",
    // Where commits were lost nevertheless, they find out.
    "store.failover=lossless",
];
/// What a gateway logs that has found a hole in the changes of the others.
const HOLES: [&str; 2] =
    ["the log has changes that do not fit to those before", "does not go on where this gateway has read it last"];
/// How often a condition outside this process is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// One gateway's place, whether it runs or not.
pub struct Place {
    /// What the gateway that starts here next starts with.
    pub world: World,
    pub proxy: DatabaseProxy,
    gateway: Option<Gateway>,
}

impl Place {
    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it runs")
    }
}

/// The gateways, their database and their clients.
pub struct ClusterCrowd {
    pub guests: Guests,
    pub places: Vec<Place>,
    pub primary: Server,
    standby: Option<Server>,
    /// Where the server API is.
    ops: watch::Sender<Option<SocketAddr>>,
    /// A backend that changes gateways; none once commits may be lost, which ends its position.
    pub follower: Option<Follower>,
    random: Random,
    /// The most memory of any gateway since the last row, in bytes.
    memory: Arc<AtomicU64>,
}

impl ClusterCrowd {
    /// Starts a gateway in each world and lets everyone come; `None` if PostgreSQL is not installed.
    pub async fn gather(worlds: Vec<World>, scale: &Scale, random: &Random) -> Option<Self> {
        let primary = block_in_place(|| Server::start(&[]))?;
        primary.sql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {ROLE}"));
        let database = primary.address().parse().unwrap();
        let mut places = Vec::new();
        for world in worlds {
            places.push(Place { world, proxy: DatabaseProxy::start(database).await, gateway: None });
        }
        let logs = places.iter().map(|place| place.world.path().join("log")).collect();
        let guests = Guests::new(scale.accounts, scale.clients, random, logs);
        let ops = watch::Sender::new(None);
        let follower = Some(Follower::begin(ops.subscribe()));
        let (random, memory) = (random.fork(), Arc::default());
        let mut crowd = Self { guests, places, primary, standby: None, ops, follower, random, memory };
        crowd.start_all();
        crowd.guests.populate(crowd.places[0].gateway()).await;
        crowd.open();
        crowd.guests.everyone_is_here().await;
        Some(crowd)
    }

    /// Starts a gateway that nobody knows of yet.
    pub fn start(&mut self, at: usize) {
        let settings = self.settings(at);
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let place = &mut self.places[at];
        let gateway = block_in_place(|| place.world.start_with(&settings));
        drop(watch_memory(gateway.pid(), self.memory.clone()));
        place.gateway = Some(gateway);
    }

    /// What a gateway is started with.
    pub fn settings(&self, at: usize) -> Vec<String> {
        let store = format!("store.url=postgres://{ROLE}:secret@{}/{DATABASE}", self.places[at].proxy.address);
        SETTINGS.into_iter().map(str::to_owned).chain([store]).collect()
    }

    pub fn start_all(&mut self) {
        (0..self.places.len()).for_each(|at| self.start(at));
    }

    /// Lets everyone know of the gateways that run, and the backend of one of them.
    pub fn open(&self) {
        let running: Vec<_> = self.places.iter().filter_map(|place| place.gateway.as_ref()).collect();
        let ops = running.get(self.random.index(running.len().max(1))).map(|gateway| gateway.ops);
        self.ops.send_replace(ops);
        self.guests.addresses.send_replace(running.iter().map(|gateway| gateway.clients).collect());
    }

    /// Lets nobody new come to a gateway, as a balancer does that it does not answer. Who is there stays.
    pub fn avoid(&self, at: usize) {
        let but = self.address(at);
        self.guests.addresses.send_modify(|addresses| addresses.retain(|address| *address != but));
    }

    /// Takes a gateway that nobody is to come to any more.
    pub fn take(&mut self, at: usize) -> Gateway {
        let gateway = self.places[at].gateway.take().expect("it runs");
        self.open();
        gateway
    }

    /// Where clients reach a gateway.
    pub fn address(&self, at: usize) -> SocketAddr {
        self.places[at].gateway().clients
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.places.len()).map(|at| self.address(at)).collect()
    }

    /// Measures from now on when gateways answer, and waits until one of them, which is returned, has answered some.
    pub async fn any_that_answers(&self) -> usize {
        let at = self.random.index(self.places.len());
        let (address, some) = (self.address(at), 5 + self.random.below(20));
        self.guests.stats().times.lock().begin(&self.addresses());
        self.guests.until("it answers", |stats| stats.times.lock().count(address) >= some).await;
        sleep(Duration::from_micros(self.random.below(20_000))).await;
        self.guests.stats().times.lock().begin(&self.addresses());
        at
    }

    /// Waits until each gateway but one answers more, and returns the longest time for which one of them has not.
    pub async fn others_go_on(&self, but: usize) -> Duration {
        let but = self.address(but);
        let counts = |stats: &ClientStats, at| stats.times.lock().count(at);
        let others: Vec<_> = self.addresses().into_iter().filter(|at| *at != but).collect();
        let before: Vec<_> = others.iter().map(|&at| counts(self.guests.stats(), at)).collect();
        let all = |stats: &ClientStats| others.iter().zip(&before).all(|(&at, before)| counts(stats, at) > before + 5);
        self.guests.until("the others answer", all).await;
        self.guests.stats().times.lock().longest_but(but)
    }

    /// Asks the primary.
    pub fn sql(&self, sql: &str) -> String {
        block_in_place(|| self.primary.sql(DATABASE, sql))
    }

    /// Waits until the primary answers this.
    pub async fn until_sql(&self, sql: &str, wanted: &str) {
        let begun = Instant::now();
        while self.sql(sql) != wanted {
            assert!(begun.elapsed() < PATIENCE, "{sql}: {}\n{}", self.sql(sql), self.guests.log());
            sleep(LOOK).await;
        }
    }

    /// Starts a standby, and waits until it follows.
    pub fn new_standby(&mut self) {
        // Otherwise a server that was killed drops what it has written, also what a standby has not read.
        configure(&self.primary, "wal_keep_size = '8GB'");
        self.standby = Some(block_in_place(|| self.primary.standby()));
        self.follows("async");
    }

    /// Waits until the standby follows in this way.
    fn follows(&self, state: &str) {
        let begun = Instant::now();
        while self.sql("SELECT coalesce(string_agg(sync_state, ' '), '') FROM pg_stat_replication") != state {
            assert!(begun.elapsed() < PATIENCE, "no standby that follows: {state:?}");
            block_in_place(|| std::thread::sleep(LOOK));
        }
    }

    fn standby(&self) -> &Server {
        self.standby.as_ref().expect("there is one")
    }

    /// Lets each commit wait for the standby.
    pub fn synchronous(&self) {
        configure(&self.primary, "synchronous_standby_names = '*'");
        self.follows("sync");
    }

    /// Cuts the standby off for good.
    pub fn cut_standby(&self) {
        configure(self.standby(), "primary_conninfo = ''");
        self.follows("");
    }

    /// The primary is gone, the standby takes over, and the gateways are led to it.
    pub fn fail_over(&mut self) {
        let standby = self.standby.take().expect("there is one");
        block_in_place(|| {
            self.primary.kill();
            standby.promote();
        });
        let database = standby.address().parse().unwrap();
        self.places.iter().for_each(|place| place.proxy.lead_to(database));
        drop(std::mem::replace(&mut self.primary, standby));
    }

    /// What the store holds, which all gateways say. Nobody may be writing.
    pub async fn truth(&self) -> Truth {
        let accounts = self.guests.shared.ledger.accounts();
        let agree = async {
            loop {
                let mut said = Vec::new();
                for place in &self.places {
                    // It may have lost its connections, and refuses until it has others.
                    said.extend(Truth::try_of(place.gateway(), accounts).await.ok());
                }
                if said.len() == self.places.len() && said.iter().all(|one| *one == said[0]) {
                    return said.swap_remove(0);
                }
                sleep(LOOK).await;
            }
        };
        let agreed = timeout(PATIENCE, agree).await;
        agreed.unwrap_or_else(|_| panic!("the gateways say different things:\n{}", self.guests.log()))
    }

    /// Nobody writes any more, everyone's view becomes what the store holds, and every gateway says the same.
    pub async fn rest(&self) {
        self.guests.everyone_is_here().await;
        self.guests.everyone_does(Phase::Quiet).await;
        // A gateway that lost its database ends sessions whose changes it cannot read, also a while later.
        self.guests.everyone_is_here().await;
        let truth = Arc::new(self.truth().await);
        self.guests.check(&truth);
        if let Some(follower) = &self.follower {
            let (_, newest) = self.places[0].gateway().call(Method::GET, "/v1/feed?after=now", "").await;
            follower.agrees(newest["position"].as_str().expect("a position"), &truth).await;
        }
        self.guests.everyone_does(Phase::Compare(truth)).await;
        let full = self.guests.stats().full_syncs.load(Ordering::Relaxed);
        assert_eq!(full, 0, "some who came back got everything anew: their cursors were not good");
        for place in &self.places {
            let repairs = place.gateway().metric("rosterd_repairs_total").await;
            assert_eq!(repairs, 0.0, "some held another list than the gateway when they came back");
        }
    }

    /// No gateway's log may say what none may say. It begins anew with each start.
    pub fn logs_are_good(&self) {
        let log = self.guests.log();
        for bad in HOLES.into_iter().chain(["panicked"]) {
            assert!(!log.contains(bad), "{bad:?} is in the log:\n{log}");
        }
    }

    /// What has been counted since the last row, as the row of a table.
    pub fn row(&self, stage: &'static str, faults: &str) -> Row {
        let unknown = self.guests.stats().unknown.swap(0, Ordering::Relaxed);
        let faults = format!("{faults}; {unknown} sessions ended with 3002");
        self.guests.row(stage, faults, self.memory.swap(0, Ordering::Relaxed))
    }

    /// Everyone leaves, and the gateways stop in order.
    pub async fn end(mut self) {
        self.guests.end().await;
        for at in 0..self.places.len() {
            let gateway = self.take(at);
            assert_eq!(gateway.terminate().await, Some(0), "{}", self.guests.log());
        }
        self.logs_are_good();
    }
}

fn configure(server: &Server, setting: &str) {
    block_in_place(|| {
        server.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
        server.sql("postgres", "SELECT pg_reload_conf()");
    });
}
