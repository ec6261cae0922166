//! Plays a history of several gateways on one database: the director causes one event after the other, and checks at every
//! rest that each client holds what it should, whichever gateway it is on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rosterd::service::Service;
use rosterd::store::StoreClock;
use rosterd::store::postgres::Failover;
use rosterd_client::Replica;
use rosterd_engine::model::{Command as StoreCommand, Fields, Millis, Outcome, Visibility, WriteOrigin};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::time::{Instant, sleep, timeout};

use super::cursor::untold;
use super::gateway::{ClusterNode, ClusterSurroundings};
use super::network::SimNetwork;
use super::plan::{self, ClusterAct, ClusterStep, GATEWAYS};
use super::server::{Server, SharedServer};
use crate::check::{compare, shows};
use crate::client::{Client, Order};
use crate::device;
use crate::model::{Model, Shown};
use crate::net::{Breaker, End};
use crate::node::{LINGER, Process};
use crate::plan::{ACCOUNTS, CLIENTS, account, owner};
use crate::random::Random;
use crate::world::{History, Shared, Site, count_panics, has_committed, name, panics};

/// The database's clock at the beginning of a history.
const EPOCH: u64 = 1_700_000_000_000;
/// By how much the clocks of the machines differ from it.
const CLOCKS: [i64; GATEWAYS as usize] = [-10_000, 0, 10_000];
/// How long before and after its end a status may be there or not: each gateway goes by its own clock, and looks now and then.
const BLURRED: Millis = 12_000;
/// How long everything may take to settle, in simulated time.
const SETTLING: Duration = Duration::from_mins(3);
/// How many looks in a row must find it settled.
const STILL: u32 = 12;
/// How long an account that is on no gateway may still show as online: until a gateway that died is found dead, and a while.
const GONE: Duration = Duration::from_secs(6);

/// The gateways and their database.
struct Cluster {
    server: SharedServer,
    nodes: Mutex<Vec<Option<ClusterNode>>>,
    /// On which gateway each client was last.
    last: Mutex<BTreeMap<String, usize>>,
    moves: AtomicUsize,
}

impl Site for Cluster {
    fn dial(&self, client: &str, encoding: Encoding, random: &Random) -> Option<(End, Breaker)> {
        let mut nodes = self.nodes.lock().unwrap();
        let at = random.index(nodes.len());
        let node = nodes[at].as_mut().filter(|node| !node.process().is_dead())?;
        if self.last.lock().unwrap().insert(client.to_owned(), at).is_some_and(|last| last != at) {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        Some(node.connect(encoding, random))
    }

    /// Also what a promotion has lost since: it was there when it was answered.
    fn has_committed(&self, is: &mut dyn FnMut(&StoreCommand) -> bool) -> bool {
        has_committed(self.server.lock().unwrap().ever(), is)
    }

    /// Not for changing gateways, whichever is ahead.
    fn may_be_from_future(&self) -> bool {
        self.may_have_lost()
    }

    fn may_have_lost(&self) -> bool {
        self.server.lock().unwrap().was_over_of_late()
    }

    fn check_cursor(&self, account: &str, replica: &Replica) -> Result<(), String> {
        untold(&self.server.lock().unwrap(), account, replica)
    }
}

/// Plays the history of a seed.
pub fn play(seed: u64) -> History {
    count_panics();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut director = Director::new(seed).await;
        let mut wrong = None;
        for (at, step) in plan::plan(seed).into_iter().enumerate() {
            director.step(&step).await;
            director.shared.demand(panics() == 0, "a task panicked");
            if let Some(what) = director.shared.wrong() {
                wrong = Some(format!("after step {at}, {:?}: {what}", step.act));
                break;
            }
        }
        let mut happened = director.shared.all_that_happened();
        for what in &director.cluster.server.lock().unwrap().happened {
            *happened.entry((*what).to_owned()).or_default() += 1;
        }
        let moves = director.cluster.moves.load(Ordering::Relaxed) as u64;
        *happened.entry("a client changed gateways".into()).or_default() += moves;
        if let Some(network) = &director.on.network {
            let carried = network.metrics.nats_batches.get();
            *happened.entry("a batch came besides the log".into()).or_default() += carried;
        }
        History { happened, trace: director.shared.traced(), wrong }
    })
}

struct Director {
    shared: Arc<Shared>,
    cluster: Arc<Cluster>,
    on: ClusterSurroundings,
    random: Random,
    clock: StoreClock,
    clients: Vec<Client>,
    rules: Arc<Mutex<Visibility>>,
    /// The number of the last process.
    processes: u64,
    /// The number of the last nick.
    number: u64,
    /// Writes of the backend that are under way.
    writing: Arc<AtomicUsize>,
}

impl Director {
    async fn new(seed: u64) -> Self {
        let random = Random::new(seed ^ 0x6761_7465);
        let begun = Instant::now();
        let clock: StoreClock = Arc::new(move || EPOCH + begun.elapsed().as_millis() as Millis);
        let failover = if seed.is_multiple_of(3) { Failover::Lossless } else { Failover::MayLose };
        let server = Server::start(failover, clock.clone(), crate::visibility(), random.fork());
        let on = ClusterSurroundings { server: server.clone(), failover, random: random.fork(), network: None };
        let nodes = Mutex::new((0..GATEWAYS).map(|_| None).collect());
        let (last, moves) = (Mutex::default(), AtomicUsize::new(0));
        let cluster = Arc::new(Cluster { server, nodes, last, moves });
        let shared = Shared::new(cluster.clone(), random.fork(), begun);
        let client = |n: u64| {
            let encoding = Encoding::ALL[(n / ACCOUNTS) as usize % 2];
            Client::start(format!("client {n}"), account(owner(n)), encoding, shared.clone())
        };
        let clients = (0..CLIENTS).map(client).collect();
        // Only then is anything drawn for it.
        let network = seed.is_multiple_of(2).then(|| SimNetwork::new(on.server.clone(), random.fork()));
        let on = ClusterSurroundings { network, ..on };
        let rules = Arc::new(Mutex::new(crate::visibility()));
        let writing = Arc::default();
        let mut director =
            Self { shared, cluster, on, random, clock, clients, rules, processes: 0, number: 0, writing };
        director.revive().await;
        director
    }

    async fn step(&mut self, step: &ClusterStep) {
        sleep(Duration::from_millis(step.after)).await;
        self.revive().await;
        self.act(&step.act).await;
        let wrong = self.cluster.server.lock().unwrap().wrong.clone();
        if let Some(wrong) = wrong {
            self.shared.demand(false, &wrong);
        }
    }

    /// Starts gateways that have ended, one try each.
    async fn revive(&mut self) {
        for (at, ahead) in CLOCKS.into_iter().enumerate() {
            let is_dead = self.cluster.nodes.lock().unwrap()[at].as_ref().is_none_or(|node| node.process().is_dead());
            if !is_dead {
                continue;
            }
            let before = self.cluster.nodes.lock().unwrap()[at].take();
            if before.is_some() {
                self.shared.happened("a gateway is started again");
            }
            drop(before);
            self.processes += 1;
            let clock = self.clock.clone();
            let machine: StoreClock = Arc::new(move || clock().saturating_add_signed(ahead));
            let starting = ClusterNode::start(&self.on, self.processes, machine);
            if let Ok(Some(node)) = timeout(Duration::from_secs(8), starting).await {
                self.cluster.nodes.lock().unwrap()[at] = Some(node);
            }
        }
    }

    /// Does something with a gateway, if it is there.
    fn with<T>(&self, gateway: u64, act: impl FnOnce(&ClusterNode) -> T) -> Option<T> {
        self.cluster.nodes.lock().unwrap()[gateway as usize].as_ref().map(act)
    }

    fn fresh(&mut self) -> String {
        self.number += 1;
        format!("n{}", self.number)
    }

    fn change(&mut self, n: u64, create: bool) -> StoreCommand {
        let nick = Some(self.fresh());
        let avatar = self.random.percent(30).then(|| "😀".repeat(self.random.index(1024)));
        let tel = self.random.percent(30).then(|| format!("t{}", self.random.below(1000)));
        let patch = Fields { nick, avatar, tel, ..Fields::default() }.check().unwrap();
        StoreCommand::SetProfile { account: name(n), patch, create, if_version: None }
    }

    /// Starts a write through a gateway, and does not wait for it.
    fn write(&self, gateway: u64, what: &'static str, command: StoreCommand) {
        let (shared, writing) = (self.shared.clone(), self.writing.clone());
        let begin = |node: &ClusterNode| {
            let (service, process): (Arc<Service>, Arc<Process>) = (node.service.clone(), node.process());
            writing.fetch_add(1, Ordering::Relaxed);
            let write = async move {
                tokio::select! {
                    biased;
                    () = process.death() => {}
                    done = service.relate(command.clone(), WriteOrigin::Import) => {
                        if let Ok(outcome) = done {
                            let safe = outcome == Outcome::Unchanged || shared.holds(&command);
                            shared.demand(safe, &format!("{command:?} was answered and is not in the log"));
                            shared.happened(what);
                        }
                    }
                }
            };
            let (write, death) = (node.halting(write), node.process());
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = write => {}
                    // It may stand still when it is killed.
                    () = death.death() => {}
                }
                writing.fetch_sub(1, Ordering::Relaxed);
            });
        };
        self.with(gateway, begin);
    }

    async fn act(&mut self, act: &ClusterAct) {
        match act {
            ClusterAct::Client(n, order) => self.order(*n, order.clone()),
            ClusterAct::Move(n) => {
                self.clients[*n as usize].order(Order::Cut);
                self.clients[*n as usize].order(Order::Connect);
            }
            ClusterAct::Write(gateway, n, times) => {
                for _ in 0..*times {
                    let change = self.change(*n, false);
                    self.write(*gateway, "write of the backend", change);
                }
            }
            ClusterAct::Befriend(gateway, a, b) => {
                self.write(*gateway, "befriend", StoreCommand::Befriend { account: name(*a), peer: name(*b) });
            }
            ClusterAct::Unfriend(gateway, a, b) => {
                self.write(*gateway, "unfriend", StoreCommand::Unfriend { account: name(*a), peer: name(*b) });
            }
            ClusterAct::Erase(gateway, n) => {
                self.write(*gateway, "erase", StoreCommand::DeleteUser { account: name(*n) });
            }
            ClusterAct::Make(gateway, n) => {
                let change = self.change(*n, true);
                self.write(*gateway, "make", change);
            }
            ClusterAct::Prefetch(gateway, viewer, n) => self.prefetch(*gateway, *viewer, *n),
            ClusterAct::ReturnAtCompaction(gateway, client) => self.return_at_compaction(*gateway, *client).await,
            ClusterAct::Compact(gateway) => self.compact(*gateway).await,
            ClusterAct::Rules(number) => self.change_rules(*number),
            ClusterAct::Rest => self.rest().await,
            fault => self.break_something(fault),
        }
    }

    /// Changes the rules under the lock of all writes, once nobody has it.
    fn change_rules(&self, number: u64) {
        let (server, shared, wanted) = (self.cluster.server.clone(), self.shared.clone(), self.rules.clone());
        let writing = self.writing.clone();
        writing.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let lock = server.lock().unwrap().lock();
            let held = lock.clone().lock_owned().await;
            let mut server = server.lock().unwrap();
            // A server that broke off has another lock.
            if server.is_up() && Arc::ptr_eq(&lock, &server.lock()) {
                let rules = crate::rules(number);
                server.change_rules(&rules);
                shared.rules_change(&rules);
                *wanted.lock().unwrap() = rules;
                shared.happened("other rules for all gateways");
            }
            drop(held);
            writing.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn break_something(&mut self, act: &ClusterAct) {
        let server = &self.cluster.server;
        match act {
            ClusterAct::Kill(gateway) => {
                self.with(*gateway, |node| {
                    node.process().die();
                    self.shared.happened("a gateway was killed");
                });
            }
            ClusterAct::StandStill(gateway, ms) => {
                self.with(*gateway, |node| node.stand_still(true));
                self.shared.happened("a gateway stood still");
                self.later(*gateway, *ms, |node| node.stand_still(false));
            }
            ClusterAct::Cut(gateway, ms) => {
                self.with(*gateway, |node| node.line.cut());
                self.shared.happened("a gateway was cut off from the database");
                self.later(*gateway, *ms, |node| node.line.mend());
            }
            ClusterAct::Commit(gateway, fault) => {
                if let Some(process) = self.with(*gateway, |node| node.line.process) {
                    server.lock().unwrap().next_commit(process, *fault);
                }
            }
            ClusterAct::Crash(ms) => server.lock().unwrap().crash(Duration::from_millis(*ms)),
            ClusterAct::Promote(ms, lags) => server.lock().unwrap().promote(*lags, Duration::from_millis(*ms)),
            _ => {}
        }
    }

    /// Does something with the process that is there now, after a while.
    fn later(&self, gateway: u64, ms: u64, act: fn(&ClusterNode)) {
        let (cluster, process) = (self.cluster.clone(), self.with(gateway, |node| node.line.process));
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            let nodes = cluster.nodes.lock().unwrap();
            let node = nodes[gateway as usize].as_ref().filter(|node| Some(node.line.process) == process);
            node.into_iter().for_each(act);
        });
    }

    fn order(&mut self, n: u64, order: Order) {
        let order = match order {
            Order::Send(ClientCommand::UpdateMyInfo(update)) if update.nick.is_some() => {
                let nick = Some(self.fresh());
                Order::Send(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick, ..update }))
            }
            other => other,
        };
        self.clients[n as usize].order(order);
    }

    fn prefetch(&self, gateway: u64, viewer: u64, n: u64) {
        let shared = self.shared.clone();
        self.with(gateway, |node| {
            let (service, process) = (node.service.clone(), node.process());
            let asking = node.halting(async move { service.prefetch(&name(viewer), &[account(n)]).await });
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = process.death() => {}
                    done = asking => {
                        if done.is_ok() {
                            shared.happened("prefetch");
                        }
                    }
                }
            });
        });
    }

    /// Waits until sessions that are connected have got every removal, as they have where the retention is longer than any
    /// session may lag. Returns the head then.
    async fn quiet(&self) -> Option<u64> {
        let mut looks = 0;
        for _ in 0..30 {
            looks = if self.is_quiet() { looks + 1 } else { 0 };
            if looks == 5 {
                return Some(self.cluster.server.lock().unwrap().head());
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    fn is_quiet(&self) -> bool {
        let head = self.cluster.server.lock().unwrap().head();
        let nodes = self.cluster.nodes.lock().unwrap();
        nodes.iter().flatten().all(|node| {
            let hub = node.service.hub();
            let pending = |n| hub.sessions_of(&name(n)).iter().any(|session| session.pending_count() > 0);
            hub.watermark() == head && !node.stands_still() && !(0..ACCOUNTS).any(pending)
        })
    }

    /// Drops tombstones that everyone has heard of, however young. A retention is far longer than a push takes.
    async fn compact(&self, gateway: u64) {
        let (before, shared) = ((self.clock)(), self.shared.clone());
        if self.quiet().await.is_none() {
            return;
        }
        self.with(gateway, |node| {
            let (store, process) = (node.store.clone(), node.process());
            let compacting = node.halting(async move { rosterd::store::Store::compact(&*store, before).await });
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = process.death() => {}
                    done = compacting => {
                        if let Ok(1..) = done {
                            shared.happened("compaction");
                        }
                    }
                }
            });
        });
    }

    async fn return_at_compaction(&mut self, gateway: u64, client: u64) {
        let a = owner(client);
        // The last one, so that it is on a later page than the first.
        let friend = if a + 1 == ACCOUNTS { a - 1 } else { ACCOUNTS - 1 };
        for n in (0..ACCOUNTS).filter(|n| *n != a) {
            self.write(gateway, "befriend", StoreCommand::Befriend { account: name(a), peer: name(n) });
        }
        sleep(Duration::from_millis(200)).await;
        self.order(client, Order::Drop);
        sleep(Duration::from_millis(50)).await;
        self.write(gateway, "unfriend", StoreCommand::Unfriend { account: name(a), peer: name(friend) });
        let Some(head) = self.quiet().await else { return self.order(client, Order::Connect) };
        let logins = |server: &SharedServer| server.lock().unwrap().logins_of(&name(a));
        let before = logins(&self.cluster.server);
        self.order(client, Order::Connect);
        for _ in 0..500 {
            if logins(&self.cluster.server) > before {
                break;
            }
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(self.random.below(8))).await;
        let mut server = self.cluster.server.lock().unwrap();
        if server.head() == head {
            server.compact();
        }
    }

    async fn rest(&mut self) {
        sleep(Duration::from_millis(400)).await;
        let mut last = String::new();
        let all = BTreeSet::new();
        if timeout(SETTLING, self.settle(&all, &mut last)).await.is_err() {
            return self.shared.demand(false, &format!("no rest: {last}"));
        }
        self.check_all(&all).await;
        // Some leave, from whichever gateways they are on, and are gone for all others.
        let away: BTreeSet<u64> = (0..=self.random.below(2)).map(|_| self.random.below(ACCOUNTS)).collect();
        for client in self.clients.iter().filter(|client| away.iter().any(|n| client.account == account(*n))) {
            client.order(Order::Drop);
        }
        sleep(GONE).await;
        if timeout(SETTLING, self.settle(&away, &mut last)).await.is_err() {
            return self.shared.demand(false, &format!("no rest without {away:?}: {last}"));
        }
        self.check_presence(&away);
        self.shared.happened("rest");
    }

    fn model(&self) -> Model {
        Model::of(self.cluster.server.lock().unwrap().log())
    }

    /// Connects every client whose account exists and is not to be away, and waits until nothing more happens.
    async fn settle(&mut self, away: &BTreeSet<u64>, last: &mut String) {
        let (mut still, mut seen) = (0, 0);
        while still < STILL {
            self.revive().await;
            let model = self.model();
            let is_away = |client: &Client| away.iter().any(|n| client.account == account(*n));
            let wanted = |client: &&Client| model.exists(&client.account) && !is_away(client);
            for client in self.clients.iter().filter(wanted) {
                if !client.view.lock().unwrap().wanted {
                    client.order(Order::Connect);
                }
            }
            let mut state = self.unsettled(&model, away);
            // Heartbeats are not in the trace.
            let frames = self.shared.traced();
            if frames != seen {
                state.push_str("frames come");
                seen = frames;
            }
            still = if state.is_empty() { still + 1 } else { 0 };
            if !state.is_empty() {
                *last = state;
            }
            sleep(Duration::from_millis(100)).await;
        }
        sleep(LINGER).await;
    }

    /// Describes what has not settled yet; empty if everything has.
    fn unsettled(&self, model: &Model, away: &BTreeSet<u64>) -> String {
        let mut state = String::new();
        let (head, is_well, is_changing, rules) = {
            let mut server = self.cluster.server.lock().unwrap();
            let (now, is_changing) = (server.now(), server.visibility().change.is_some());
            let number = server.stored_rules().number;
            (server.head(), server.nodes().are_all_well(GATEWAYS, now), is_changing, number)
        };
        if is_changing {
            state.push_str("the rules change; ");
        }
        if !is_well {
            state.push_str("not all gateways have said that they live; ");
        }
        let nodes = self.cluster.nodes.lock().unwrap();
        let mut sessions = 0;
        for (at, node) in nodes.iter().enumerate() {
            let Some(node) = node.as_ref().filter(|node| !node.process().is_dead()) else {
                let _ = write!(state, "no gateway {at}; ");
                continue;
            };
            let hub = node.service.hub();
            sessions += hub.sessions();
            if hub.watermark() != head || node.stands_still() || node.line.is_cut() || node.line.hangs() {
                let _ = write!(state, "gateway {at} is at {} and not {head}, or in trouble; ", hub.watermark());
            }
            if node.store.writer.rules().number() != rules {
                let _ = write!(state, "gateway {at} has other rules; ");
            }
            let pending = |n| hub.sessions_of(&name(n)).iter().map(|session| session.pending_count()).sum::<usize>();
            let pending = (0..ACCOUNTS).map(pending).sum::<usize>();
            if pending > 0 {
                let _ = write!(state, "gateway {at} has {pending} pending; ");
            }
        }
        let writing = self.writing.load(Ordering::Relaxed);
        if writing > 0 {
            let _ = write!(state, "{writing} writes are under way; ");
        }
        let mut live = 0;
        for client in &self.clients {
            let view = client.view.lock().unwrap();
            let is_away = away.iter().any(|n| client.account == account(*n));
            let wanted = model.exists(&client.account) && !is_away;
            live += usize::from(view.live);
            let whole = view.breaker.as_ref().is_none_or(Breaker::is_whole);
            if wanted != view.live || !whole || view.asked > 0 || view.stalled {
                let _ = write!(state, "{} is live: {}, asks {}, whole: {whole}; ", client.name, view.live, view.asked);
            }
        }
        if sessions != live {
            let _ = write!(state, "{sessions} sessions for {live} clients; ");
        }
        state
    }

    async fn check_all(&self, away: &BTreeSet<u64>) {
        let model = self.model();
        let online = device::kinds(&self.clients, away, |name| model.exists(name));
        for n in (0..ACCOUNTS).filter(|n| model.exists(&account(*n)) && !away.contains(n)) {
            let seen = (&online, (self.clock)(), BLURRED);
            compare(&self.shared, &self.clients, n, (&model, seen, &self.rules)).await;
        }
    }

    /// Checks that every client shows those as offline that are on no gateway, and the others as online.
    fn check_presence(&self, away: &BTreeSet<u64>) {
        let model = self.model();
        let online = device::kinds(&self.clients, away, |name| model.exists(name));
        let here = |client: &&Client| online.contains_key(&client.account);
        for client in self.clients.iter().filter(here) {
            let view = client.view.lock().unwrap();
            let rules = self.rules.lock().unwrap().clone();
            let seen = (&online, (self.clock)(), BLURRED);
            let expected = are_online(model.expected(&client.account, &view.watched, seen, &rules).shows);
            let held = are_online(shows(&view.replica));
            let what = format!("{} shows {held:?}, and not {expected:?}; away: {away:?}", client.name);
            self.shared.demand(held == expected, &what);
            if expected.values().any(|online| !online) {
                self.shared.happened("a friend on no gateway shows as offline");
            }
        }
    }
}

/// Leaves out the statuses, which end by themselves, and the kinds of devices.
fn are_online(shows: BTreeMap<String, Shown>) -> BTreeMap<String, bool> {
    shows.into_iter().map(|(account, (online, ..))| (account, online)).collect()
}
