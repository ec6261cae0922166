//! One client's life: it comes, writes and reads, loses its gateway and comes back at once, until the phase that ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rosterd_client::{Client, ClientError, Replica};
use rosterd_protocol::{Encoding, v1};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};

use crate::ledger::{Ledger, name};
use crate::random::Random;
use crate::truth::Truth;

/// The pause after a connection that was not made. Nobody spreads: everyone comes back at once.
const RETRY: Duration = Duration::from_millis(10);
/// After one in so many of its writes a client goes to another gateway.
const ROAM: u64 = 20;

/// What all clients do now.
#[derive(Clone)]
pub enum Phase {
    /// Write, with this pause between two; `stalled` are those who do not even read.
    Load {
        pause: Duration,
        stalled: bool,
    },
    /// Only read, and say so.
    Quiet,
    /// Read until one's view is this.
    Compare(Arc<Truth>),
    End,
}

/// The state that clients share, and their statistics.
pub struct Shared {
    /// Where one may come now, to any of them.
    pub addresses: watch::Receiver<Vec<SocketAddr>>,
    /// What to do, and the number of the phase.
    pub phase: watch::Receiver<(u64, Phase)>,
    pub ledger: Ledger,
    pub begun: Instant,
    pub stats: ClientStats,
}

/// The statistics of all clients.
#[derive(Default)]
pub struct ClientStats {
    /// Those in sync with a gateway.
    pub here: AtomicUsize,
    /// Those who know that there is no gateway.
    pub waiting: AtomicUsize,
    /// Those who are in the middle of a catch-up.
    pub catching_up: AtomicUsize,
    /// Writes that were asked for and not answered.
    pub under_way: AtomicUsize,
    /// The number of the present phase, and those who did what it wants.
    pub done: Mutex<(u64, BTreeSet<usize>)>,
    pub answered: AtomicU64,
    pub put_off: AtomicU64,
    pub logins: AtomicU64,
    pub full_syncs: AtomicU64,
    /// Those of them because the history was another.
    pub foreign: AtomicUsize,
    pub lost: AtomicU64,
    /// Connections that were lost while an answer was awaited.
    pub torn: AtomicU64,
    /// Sessions that ended because something was not known, such as whether a write was done.
    pub unknown: AtomicU64,
    /// When each gateway answered writes.
    pub times: Mutex<AnswerTimes>,
    pub latencies: Mutex<Latencies>,
    /// Why the run has failed.
    pub failure: Mutex<Option<String>>,
}

/// In microseconds, of those who neither stall nor catch up.
pub struct Latencies {
    /// From a command to its reply.
    pub replies: Histogram<u64>,
    /// From a command to a friend's client that holds what it changed.
    pub pushes: Histogram<u64>,
}

/// How many writes each gateway answered, and the longest time in which it answered none.
#[derive(Default)]
pub struct AnswerTimes(BTreeMap<SocketAddr, (u64, Instant, Duration)>);

impl AnswerTimes {
    /// Begins anew, for these gateways.
    pub fn begin(&mut self, gateways: &[SocketAddr]) {
        self.0 = gateways.iter().map(|&at| (at, (0, Instant::now(), Duration::ZERO))).collect();
    }

    fn answered(&mut self, at: SocketAddr) {
        if let Some((count, last, longest)) = self.0.get_mut(&at) {
            (*count, *longest, *last) = (*count + 1, last.elapsed().max(*longest), Instant::now());
        }
    }

    /// How many writes one has answered.
    pub fn count(&self, at: SocketAddr) -> u64 {
        self.0.get(&at).map_or(0, |(count, ..)| *count)
    }

    /// The longest time without an answer of any gateway but one, up to now.
    pub fn longest_but(&self, but: SocketAddr) -> Duration {
        let others = self.0.iter().filter(|(at, _)| **at != but);
        others.map(|(_, (_, last, longest))| last.elapsed().max(*longest)).max().unwrap_or_default()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 600_000_000, 3).expect("three digits up to ten minutes");
        Self { replies: histogram(), pushes: histogram() }
    }
}

/// One client.
pub struct Guest {
    number: usize,
    account: usize,
    /// One that stalls when the phase says so; its buffers are small, so that it is noticed.
    slow: bool,
    random: Random,
    shared: Arc<Shared>,
    addresses: watch::Receiver<Vec<SocketAddr>>,
    /// Where it has come.
    at: Option<SocketAddr>,
    phase: watch::Receiver<(u64, Phase)>,
    /// The number of the present phase.
    round: u64,
    client: Option<Client>,
    replica: Replica,
    /// When it was in sync; what was sent before is no push.
    synced: Duration,
}

impl Guest {
    pub fn new(number: usize, shared: Arc<Shared>, random: Random) -> Self {
        let (addresses, phase) = (shared.addresses.clone(), shared.phase.clone());
        let account = number % shared.ledger.accounts();
        let (client, replica, synced, slow) = (None, Replica::default(), Duration::ZERO, number % 10 == 9);
        Self { number, account, slow, random, shared, addresses, at: None, phase, round: 0, client, replica, synced }
    }

    /// Lives until the end, or until something is wrong.
    pub async fn live(mut self) {
        if let Err(why) = self.run().await {
            self.shared.stats.failure.lock().get_or_insert(format!("client {} of {}: {why}", self.number, self.name()));
        }
    }

    fn name(&self) -> String {
        name(self.account)
    }

    async fn run(&mut self) -> Result<(), String> {
        loop {
            let (round, phase) = self.phase.borrow_and_update().clone();
            self.round = round;
            if matches!(phase, Phase::End) {
                return Ok(());
            }
            if self.client.is_none() {
                self.come().await?;
                continue;
            }
            match phase {
                Phase::Load { stalled: true, .. } if self.slow => drop(self.phase.changed().await),
                // One client of an account writes; the others are its other devices.
                Phase::Load { pause, .. } if self.number < self.shared.ledger.accounts() => {
                    self.write().await?;
                    self.read_for(pause).await?;
                }
                Phase::Load { .. } => self.read_until_next_phase().await?,
                Phase::Quiet => {
                    self.done();
                    self.read_until_next_phase().await?;
                }
                Phase::Compare(truth) => self.converge(&truth).await?,
                Phase::End => return Ok(()),
            }
        }
    }

    /// One attempt to come, if there is a gateway; else waits until there is one, or there is something else to do.
    async fn come(&mut self) -> Result<(), String> {
        let shared = self.shared.clone();
        let stats = &shared.stats;
        let some = self.addresses.borrow_and_update().clone();
        let Some(&address) = some.get(self.random.index(some.len().max(1))) else {
            stats.waiting.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                _ = self.addresses.changed() => {}
                _ = self.phase.changed() => {}
            }
            stats.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        };
        stats.catching_up.fetch_add(1, Ordering::Relaxed);
        let came = self.log_in(address).await;
        stats.catching_up.fetch_sub(1, Ordering::Relaxed);
        match came {
            Ok((client, reply)) => {
                stats.logins.fetch_add(1, Ordering::Relaxed);
                stats.here.fetch_add(1, Ordering::Relaxed);
                // Only the first time has nobody a cursor.
                if reply.sync() == v1::SyncMode::Full && reply.because() != "NO_CURSOR" {
                    stats.full_syncs.fetch_add(1, Ordering::Relaxed);
                    stats.foreign.fetch_add(usize::from(reply.because() == "CURSOR_FOREIGN"), Ordering::Relaxed);
                }
                (self.client, self.synced, self.at) = (Some(client), self.shared.begun.elapsed(), Some(address));
                Ok(())
            }
            Err(error) if is_lost(&error) => {
                sleep(RETRY).await;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn log_in(&mut self, address: SocketAddr) -> Result<(Client, v1::LoginReply), ClientError> {
        let url = format!("ws://{address}/v1/ws");
        let failed = |error| ClientError::Connect(address.to_string(), error);
        let socket = TcpSocket::new_v4().map_err(failed)?;
        if self.slow {
            socket.set_recv_buffer_size(4096).map_err(failed)?;
        }
        let stream = socket.connect(address).await.map_err(failed)?;
        let mut client = Client::upgrade(stream, &url, Encoding::ALL[self.number % 2]).await?;
        let reply = client.login(&self.name(), &mut self.replica).await?;
        Ok((client, reply))
    }

    /// One write, from the question to the answer or the end of the connection.
    async fn write(&mut self) -> Result<(), String> {
        let asked = self.shared.begun.elapsed();
        let (register, command) = self.shared.ledger.ask(self.account, &mut self.random, asked.as_micros().to_string());
        let Some(client) = &mut self.client else { return Ok(()) };
        let stats = &self.shared.stats;
        stats.under_way.fetch_add(1, Ordering::Relaxed);
        let answer = client.request(command).await;
        stats.under_way.fetch_sub(1, Ordering::Relaxed);
        match answer {
            Ok(reply) => {
                self.shared.ledger.answered(self.account, register, true);
                self.answered();
                let took = self.shared.begun.elapsed().saturating_sub(asked);
                stats.latencies.lock().replies.saturating_record(took.as_micros() as u64);
                self.replica.apply(&reply).map_err(|error| error.to_string())?;
                self.roam();
                Ok(())
            }
            // It was asked for before, and the answer was lost.
            Err(ClientError::Refused(error))
                if ["NOT_FOUND", "ALREADY_EXISTS"].contains(&error.reason.as_str())
                    && self.shared.ledger.is_in_doubt(self.account, register) =>
            {
                self.shared.ledger.answered(self.account, register, true);
                self.answered();
                Ok(())
            }
            Err(ClientError::Refused(error)) if error.reason == "UNAVAILABLE" => {
                self.shared.ledger.answered(self.account, register, false);
                stats.put_off.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                stats.torn.fetch_add(1, Ordering::Relaxed);
                self.lose(&error)
            }
        }
    }

    /// It did what the phase wants; once, also if it has lost its gateway since.
    fn done(&self) {
        let mut done = self.shared.stats.done.lock();
        if done.0 == self.round {
            done.1.insert(self.number);
        }
    }

    fn answered(&self) {
        self.shared.stats.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(at) = self.at {
            self.shared.stats.times.lock().answered(at);
        }
    }

    /// Leaves now and then where there are several gateways, to come back on any.
    fn roam(&mut self) {
        if self.addresses.borrow().len() > 1 && self.random.below(ROAM) == 0 {
            self.client = None;
            self.shared.stats.here.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn read_for(&mut self, pause: Duration) -> Result<(), String> {
        let end = tokio::time::Instant::now() + pause;
        while self.client.is_some() {
            match timeout_at(end, self.read()).await {
                Ok(read) => read?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    async fn read_until_next_phase(&mut self) -> Result<(), String> {
        let mut phase = self.phase.clone();
        while self.client.is_some() {
            tokio::select! {
                _ = phase.changed() => break,
                read = self.read() => read?,
            }
        }
        Ok(())
    }

    /// Reads until this view is the true one, says so, and goes on reading.
    async fn converge(&mut self, truth: &Truth) -> Result<(), String> {
        let (mut phase, name) = (self.phase.clone(), self.name());
        while let Some(difference) = truth.differs(&name, &self.replica) {
            tokio::select! {
                _ = phase.changed() => return Err(difference),
                read = self.read() => read?,
            }
            if self.client.is_none() {
                return Err("it lost its gateway while there was no fault".to_owned());
            }
        }
        self.done();
        self.read_until_next_phase().await
    }

    /// The next frame, applied, or the end of the connection. May be dropped without losing one.
    async fn read(&mut self) -> Result<(), String> {
        let Some(client) = &mut self.client else { return Ok(()) };
        match client.next().await {
            Ok(frame) => {
                self.measure(&frame);
                self.replica.apply(&frame).map_err(|error| error.to_string())
            }
            Err(error) => self.lose(&error),
        }
    }

    /// How long friends' changes took to come here.
    fn measure(&self, frame: &v1::ServerFrame) {
        let now = self.shared.begun.elapsed();
        for user in frame.changes.iter().flat_map(|changes| &changes.users) {
            let sent = user.sign.parse().map_or(Duration::ZERO, Duration::from_micros);
            // A profile that comes with a friend may be an old one.
            let newer = self.replica.users().get(&user.account).is_some_and(|held| held.version < user.version);
            if newer && sent > self.synced && !self.slow {
                let took = now.saturating_sub(sent).as_micros() as u64;
                self.shared.stats.latencies.lock().pushes.saturating_record(took);
            }
        }
    }

    fn lose(&mut self, error: &ClientError) -> Result<(), String> {
        self.client = None;
        self.shared.stats.here.fetch_sub(1, Ordering::Relaxed);
        self.shared.stats.lost.fetch_add(1, Ordering::Relaxed);
        if matches!(error, ClientError::Closed { code: 3002, .. }) {
            self.shared.stats.unknown.fetch_add(1, Ordering::Relaxed);
        }
        if is_lost(error) { Ok(()) } else { Err(error.to_string()) }
    }
}

/// Whether this is what the faults of a run do to a connection; anything else is wrong.
fn is_lost(error: &ClientError) -> bool {
    match error {
        ClientError::Connect(..) | ClientError::Handshake(_) => true,
        // Without a close frame, or with one after which a client comes back.
        ClientError::Closed { code, .. } => *code == 1006 || (3000..3500).contains(code),
        ClientError::Refused(error) => error.reason == "UNAVAILABLE",
        _ => false,
    }
}
