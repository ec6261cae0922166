//! A gateway and everyone who is connected to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use hyper::Method;

use crate::client::Phase;
use crate::follower::Follower;
use crate::guests::Guests;
use crate::random::Random;
use crate::support::{Gateway, World, resident};
use crate::table::Row;
use crate::truth::Truth;

/// How often the gateway's memory is looked at.
const MEMORY: Duration = Duration::from_millis(50);

pub struct Crowd {
    pub world: World,
    /// Settings of every gateway of this crowd.
    overrides: Vec<String>,
    gateway: Option<Gateway>,
    pub guests: Guests,
    /// Where the server API is.
    ops: watch::Sender<Option<SocketAddr>>,
    pub follower: Follower,
    /// The most memory of the gateway since it was last asked for, in bytes.
    memory: Arc<AtomicU64>,
    watching: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Makes a store with everyone in it, starts a gateway and lets everyone come.
    pub async fn gather(world: World, accounts: usize, clients: usize, random: &Random) -> Self {
        let guests = Guests::new(accounts, clients, random, vec![world.path().join("log")]);
        let (memory, watching, overrides) = Default::default();
        let ops = watch::Sender::new(None);
        let follower = Follower::begin(ops.subscribe());
        let mut crowd = Self { world, overrides, gateway: None, guests, ops, follower, memory, watching };
        let gateway = crowd.start();
        crowd.guests.populate(&gateway).await;
        crowd.open(gateway);
        crowd.guests.everyone_is_here().await;
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
        self.watching = Some(watch_memory(gateway.pid(), self.memory.clone()));
        self.guests.addresses.send_replace(vec![gateway.clients]);
        self.ops.send_replace(Some(gateway.ops));
        self.gateway = Some(gateway);
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it is open")
    }

    /// Returns the gateway, whose address no client gets any more. It runs on.
    pub fn close(&mut self) -> Gateway {
        self.guests.addresses.send_replace(Vec::new());
        self.ops.send_replace(None);
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
        self.gateway.take().expect("it is open")
    }

    /// `kill -9`, and what everyone was in the middle of then.
    pub async fn kill(&mut self) -> Moment {
        let stats = self.guests.stats();
        let moment = Moment {
            under_way: stats.under_way.load(Ordering::Relaxed),
            catching_up: stats.catching_up.load(Ordering::Relaxed),
        };
        self.close().kill();
        self.guests.everyone_waits().await;
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
        let truth = Truth::of(gateway, self.guests.shared.ledger.accounts()).await;
        self.guests.check(&truth);
        truth
    }

    /// Nobody writes any more, and everyone's view becomes what the store holds.
    pub async fn rest(&self) {
        self.guests.everyone_is_here().await;
        self.guests.everyone_does(Phase::Quiet).await;
        let truth = Arc::new(self.check(self.gateway()).await);
        let (_, newest) = self.gateway().call(Method::GET, "/v1/feed?after=now", "").await;
        self.follower.agrees(newest["position"].as_str().expect("a position"), &truth).await;
        self.guests.everyone_does(Phase::Compare(truth)).await;
        let full = self.guests.stats().full_syncs.load(Ordering::Relaxed);
        assert_eq!(full, 0, "some who came back got everything anew: their cursors were not good");
        // A client whose list is not the gateway's mends it by itself, and nobody would know.
        let repairs = self.gateway().metric("rosterd_repairs_total").await;
        assert_eq!(repairs, 0.0, "some held another list than the gateway when they came back");
    }

    /// What has been counted since the last row, as the row of a table.
    pub fn row(&self, stage: &'static str, faults: String) -> Row {
        self.guests.row(stage, faults, self.memory.swap(0, Ordering::Relaxed))
    }

    /// Everyone leaves, and the gateway stops in order.
    pub async fn end(mut self) {
        self.guests.end().await;
        let gateway = self.close();
        assert_eq!(gateway.terminate().await, Some(0), "{}", self.world.log());
    }
}

/// Notes the most memory of a process, until it ends.
pub fn watch_memory(pid: u32, most: Arc<AtomicU64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(resident) = resident(pid) {
            most.fetch_max(resident, Ordering::Relaxed);
            sleep(MEMORY).await;
        }
    })
}

/// What everyone was in the middle of.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub under_way: usize,
    pub catching_up: usize,
}
