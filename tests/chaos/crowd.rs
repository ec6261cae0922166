//! A gateway, everyone who is connected to it, and what is done with them all at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use hyper::Method;

use crate::client::{ClientStats, Guest, Latencies, Phase, Shared};
use crate::follower::Follower;
use crate::ledger::{Ledger, name};
use crate::random::Random;
use crate::support::{Gateway, World, resident};
use crate::table::Row;
use crate::truth::Truth;

/// How long anything awaited may take; for many clients on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// How often the gateway's memory is looked at.
const MEMORY: Duration = Duration::from_millis(50);

pub struct Crowd {
    pub world: World,
    /// Settings of every gateway of this crowd.
    overrides: Vec<String>,
    gateway: Option<Gateway>,
    address: watch::Sender<Option<SocketAddr>>,
    phase: watch::Sender<Phase>,
    pub shared: Arc<Shared>,
    /// Where the server API is.
    ops: watch::Sender<Option<SocketAddr>>,
    pub follower: Follower,
    clients: Vec<JoinHandle<()>>,
    /// The most memory of the gateway since it was last asked for, in bytes.
    memory: Arc<AtomicU64>,
    watching: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Makes a store with everyone in it, starts a gateway and lets everyone come.
    pub async fn gather(world: World, accounts: usize, clients: usize, random: &mut Random) -> Self {
        let (address, phase) = (watch::Sender::new(None), watch::Sender::new(Phase::Quiet));
        let shared = Arc::new(Shared {
            address: address.subscribe(),
            phase: phase.subscribe(),
            ledger: Ledger::new(accounts),
            begun: Instant::now(),
            stats: ClientStats::default(),
        });
        let guests = (0..clients).map(|number| tokio::spawn(Guest::new(number, shared.clone(), random.fork()).live()));
        let clients = guests.collect();
        let (memory, watching, overrides) = Default::default();
        let ops = watch::Sender::new(None);
        let follower = Follower::begin(ops.subscribe());
        let mut crowd =
            Self { world, overrides, gateway: None, address, phase, shared, ops, follower, clients, memory, watching };
        let gateway = crowd.start();
        let names: Vec<_> = (0..accounts).map(name).collect();
        let pairs = crowd.shared.ledger.friendships();
        let users: Vec<_> = names.iter().map(String::as_str).collect();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        gateway.populate(&users, &pairs).await;
        crowd.open(gateway);
        crowd.everyone_is_here().await;
        crowd
    }

    /// A gateway that nobody knows of yet.
    pub fn start(&self) -> Gateway {
        let overrides: Vec<_> = self.overrides.iter().map(String::as_str).collect();
        self.world.start_with(&overrides)
    }

    /// Other settings, for gateways that start from now on.
    pub fn set(&mut self, overrides: &[&str]) {
        self.overrides = overrides.iter().map(|&pair| pair.to_owned()).collect();
    }

    /// Lets everyone know of it.
    pub fn open(&mut self, gateway: Gateway) {
        let (memory, pid) = (self.memory.clone(), gateway.pid());
        self.watching = Some(tokio::spawn(async move {
            while let Some(resident) = resident(pid) {
                memory.fetch_max(resident, Ordering::Relaxed);
                sleep(MEMORY).await;
            }
        }));
        self.address.send_replace(Some(gateway.clients));
        self.ops.send_replace(Some(gateway.ops));
        self.gateway = Some(gateway);
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it is open")
    }

    /// Returns the gateway, whose address no client gets any more. It runs on.
    pub fn close(&mut self) -> Gateway {
        self.address.send_replace(None);
        self.ops.send_replace(None);
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        self.gateway.take().expect("it is open")
    }

    /// `kill -9`, and what everyone was in the middle of then.
    pub async fn kill(&mut self) -> Moment {
        let stats = &self.shared.stats;
        let moment = Moment {
            under_way: stats.under_way.load(Ordering::Relaxed),
            catching_up: stats.catching_up.load(Ordering::Relaxed),
        };
        self.close().kill();
        self.everyone_waits().await;
        moment
    }

    /// Starts the gateway anew, holds the store against what was acknowledged, and lets everyone come back.
    pub async fn come_back(&mut self) {
        let gateway = self.start();
        self.check(&gateway).await;
        self.open(gateway);
    }

    /// Nothing that was acknowledged is missing. Nobody may be writing.
    pub async fn check(&self, gateway: &Gateway) -> Truth {
        let truth = Truth::of(gateway, self.shared.ledger.accounts()).await;
        if let Err(lost) = self.shared.ledger.check(&truth) {
            panic!("{lost}\n{}", self.world.log());
        }
        truth
    }

    pub fn go(&self, phase: Phase) {
        self.shared.stats.done.store(0, Ordering::Relaxed);
        self.phase.send_replace(phase);
    }

    /// Nobody writes any more, and everyone's view becomes what the store holds.
    pub async fn rest(&self) {
        self.everyone_is_here().await;
        self.everyone_does(Phase::Quiet).await;
        let truth = Arc::new(self.check(self.gateway()).await);
        let (_, newest) = self.gateway().call(Method::GET, "/v1/feed?after=now", "").await;
        self.follower.agrees(newest["position"].as_str().expect("a position"), &truth).await;
        self.everyone_does(Phase::Compare(truth)).await;
        let full = self.shared.stats.full_syncs.load(Ordering::Relaxed);
        assert_eq!(full, 0, "some who came back got everything anew: their cursors were not good");
        // A client whose list is not the gateway's mends it by itself, and nobody would know.
        let repairs = self.gateway().metric("rosterd_repairs_total").await;
        assert_eq!(repairs, 0.0, "some held another list than the gateway when they came back");
    }

    async fn everyone_does(&self, phase: Phase) {
        self.go(phase);
        self.until("everyone has done so", |stats| stats.done.load(Ordering::Relaxed) == self.clients.len()).await;
    }

    pub async fn everyone_is_here(&self) {
        self.until("everyone is here", |stats| stats.here.load(Ordering::Relaxed) == self.clients.len()).await;
    }

    pub async fn everyone_waits(&self) {
        self.until("everyone waits", |stats| stats.waiting.load(Ordering::Relaxed) == self.clients.len()).await;
    }

    /// Waits until so many more writes are answered.
    pub async fn answers(&self, more: u64) {
        let until = self.shared.stats.answered.load(Ordering::Relaxed) + more;
        self.until("writes are answered", |stats| stats.answered.load(Ordering::Relaxed) >= until).await;
    }

    pub async fn until(&self, what: &str, good: impl Fn(&ClientStats) -> bool) {
        let waits = async {
            while !good(&self.shared.stats) {
                self.nothing_failed();
                sleep(LOOK).await;
            }
        };
        let came = timeout(PATIENCE, waits).await.is_ok();
        let stats = &self.shared.stats;
        let numbers = [&stats.here, &stats.waiting, &stats.done, &stats.under_way].map(|n| n.load(Ordering::Relaxed));
        assert!(came, "waited in vain until {what}: here, waiting, done, under way: {numbers:?}\n{}", self.world.log());
    }

    fn nothing_failed(&self) {
        if let Some(why) = self.shared.stats.failure.lock().as_ref() {
            panic!("{why}\n{}", self.world.log());
        }
        assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client ended; why stands above");
    }

    /// What has been counted since the last row, as the row of a table.
    pub fn row(&self, stage: &'static str, faults: String) -> Row {
        let stats = &self.shared.stats;
        let Latencies { replies, pushes } = std::mem::take(&mut *stats.latencies.lock());
        Row {
            stage,
            faults,
            writes: stats.answered.swap(0, Ordering::Relaxed),
            put_off: stats.put_off.swap(0, Ordering::Relaxed),
            logins: stats.logins.swap(0, Ordering::Relaxed),
            lost: stats.lost.swap(0, Ordering::Relaxed),
            replies: Row::latency(&replies),
            pushes: Row::latency(&pushes),
            memory: self.memory.swap(0, Ordering::Relaxed),
        }
    }

    /// Everyone leaves, and the gateway stops in order.
    pub async fn end(mut self) {
        self.go(Phase::End);
        for client in std::mem::take(&mut self.clients) {
            timeout(PATIENCE, client).await.expect("an end in time").expect("no panic");
        }
        assert_eq!(*self.shared.stats.failure.lock(), None);
        assert!(!self.world.log().contains("panicked"), "{}", self.world.log());
        let gateway = self.close();
        assert_eq!(gateway.terminate().await, Some(0), "{}", self.world.log());
    }
}

/// What everyone was in the middle of.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub under_way: usize,
    pub catching_up: usize,
}
