//! Everyone who is connected, and what is done with them all at once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::{ClientStats, Guest, Latencies, Phase, Shared};
use crate::ledger::{Ledger, name};
use crate::random::Random;
use crate::support::Gateway;
use crate::table::Row;
use crate::truth::Truth;

/// How long anything awaited may take; for many clients on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The clients of one gateway, or of several that are one to them.
pub struct Guests {
    /// Where the gateways are that they may come to.
    pub addresses: watch::Sender<Vec<SocketAddr>>,
    phase: watch::Sender<(u64, Phase)>,
    pub shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    logs: Vec<PathBuf>,
}

impl Guests {
    /// All of them wait for a gateway. The logs are what a failure is printed with.
    pub fn new(accounts: usize, clients: usize, random: &Random, logs: Vec<PathBuf>) -> Self {
        let (addresses, phase) = (watch::Sender::new(Vec::new()), watch::Sender::new((0, Phase::Quiet)));
        let shared = Arc::new(Shared {
            addresses: addresses.subscribe(),
            phase: phase.subscribe(),
            ledger: Ledger::new(accounts),
            begun: Instant::now(),
            stats: ClientStats::default(),
        });
        let guests = (0..clients).map(|number| tokio::spawn(Guest::new(number, shared.clone(), random.fork()).live()));
        let clients = guests.collect();
        Self { addresses, phase, shared, clients, logs }
    }

    /// Makes everyone, and their friendships.
    pub async fn populate(&self, gateway: &Gateway) {
        let names: Vec<_> = (0..self.shared.ledger.accounts()).map(name).collect();
        let pairs = self.shared.ledger.friendships();
        let users: Vec<_> = names.iter().map(String::as_str).collect();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        gateway.populate(&users, &pairs).await;
    }

    pub fn stats(&self) -> &ClientStats {
        &self.shared.stats
    }

    /// What the gateways logged.
    pub fn log(&self) -> String {
        self.logs.iter().map(|log| std::fs::read_to_string(log).unwrap_or_default()).collect()
    }

    /// Nothing that was acknowledged is missing. Nobody may be writing.
    pub fn check(&self, truth: &Truth) {
        if let Err(lost) = self.shared.ledger.check(truth) {
            panic!("{lost}\n{}", self.log());
        }
    }

    pub fn go(&self, phase: Phase) {
        let round = {
            let mut done = self.stats().done.lock();
            *done = (done.0 + 1, BTreeSet::new());
            done.0
        };
        self.phase.send_replace((round, phase));
    }

    pub async fn everyone_does(&self, phase: Phase) {
        self.go(phase);
        self.until("everyone has done so", |stats| stats.done.lock().1.len() == self.clients.len()).await;
    }

    pub async fn everyone_is_here(&self) {
        self.until("everyone is here", |stats| stats.here.load(Ordering::Relaxed) == self.clients.len()).await;
    }

    pub async fn everyone_waits(&self) {
        self.until("everyone waits", |stats| stats.waiting.load(Ordering::Relaxed) == self.clients.len()).await;
    }

    /// Waits until so many more writes are answered.
    pub async fn answers(&self, more: u64) {
        let until = self.stats().answered.load(Ordering::Relaxed) + more;
        self.until("writes are answered", |stats| stats.answered.load(Ordering::Relaxed) >= until).await;
    }

    pub async fn until(&self, what: &str, good: impl Fn(&ClientStats) -> bool) {
        let waits = async {
            while !good(self.stats()) {
                self.nothing_failed();
                sleep(LOOK).await;
            }
        };
        let came = timeout(PATIENCE, waits).await.is_ok();
        let stats = self.stats();
        let numbers = [&stats.here, &stats.waiting, &stats.under_way].map(|n| n.load(Ordering::Relaxed));
        assert!(came, "waited in vain until {what}: here, waiting, under way: {numbers:?}\n{}", self.log());
    }

    fn nothing_failed(&self) {
        if let Some(why) = self.stats().failure.lock().as_ref() {
            panic!("{why}\n{}", self.log());
        }
        assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client ended; why stands above");
    }

    /// What has been counted since the last row, as the row of a table.
    pub fn row(&self, stage: &'static str, faults: String, memory: u64) -> Row {
        let stats = self.stats();
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
            memory,
        }
    }

    /// Everyone leaves.
    pub async fn end(&mut self) {
        self.go(Phase::End);
        for client in std::mem::take(&mut self.clients) {
            timeout(PATIENCE, client).await.expect("an end in time").expect("no panic");
        }
        assert_eq!(*self.stats().failure.lock(), None);
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }
}
