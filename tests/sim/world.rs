//! Plays a history: the director causes one event after the other, and checks at every rest that each client holds what
//! it should.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use rosterd::store::StoreClock;
use rosterd_client::Replica;
use rosterd_engine::model::{
    Account, Audience, Command as StoreCommand, Fields, Millis, Outcome, OwnChanges, OwnValue, Visibility, WriteOrigin,
    WriteRights,
};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::time::{Instant, sleep, timeout};

use crate::check::compare;
use crate::client::{Client, Order, View};
use crate::device;
use crate::disk::{Committed, Faults, Platter};
use crate::model::Model;
use crate::net::{Breaker, End, HandedOverWrites};
use crate::node::{LINGER, Node, SLICE, Surroundings};
use crate::plan::{self, ACCOUNTS, Act, CLIENTS, EPOCH, Step, account, owner};
use crate::random::Random;

/// How long everything may take to settle, in simulated time.
const SETTLING: Duration = Duration::from_mins(3);
/// How long after a change of the rules a frame may still arrive that was made before: clients stall, and the store fails.
const ON_ITS_WAY: Duration = Duration::from_mins(1);
/// How many looks in a row must find it settled.
const STILL: u32 = 12;

/// The outcomes of flushes, and of those that were left to the task of the session.
pub const FLUSHED: &str = "flushed while asleep";
pub const FLUSHED_IN_PART: &str = "flushed in part while asleep";
pub const REFUSED: &str = "a frame for one asleep was not taken";

/// What clients connect to.
pub trait Site: Send + Sync {
    /// Connects a client, if there is a gateway.
    fn dial(&self, client: &str, encoding: Encoding, random: &Random) -> Option<(End, Breaker)>;

    /// Whether some command that would survive a crash now is one that was asked for.
    fn has_committed(&self, is: &mut dyn FnMut(&StoreCommand) -> bool) -> bool;

    /// Whether a client may be told now that its cursor is ahead of the gateway.
    fn may_be_from_future(&self) -> bool {
        true
    }

    /// Whether commits may have been lost that clients heard of.
    ///
    /// A push may say what is later than its cursor. If just that is lost, the next login finds nothing new for the cursor, and
    /// the digest tells the client.
    fn may_have_lost(&self) -> bool {
        false
    }

    /// Demands that a client was told what its cursor covers.
    ///
    /// # Errors
    /// What it was not told.
    fn check_cursor(&self, _account: &str, _replica: &Replica) -> Result<(), String> {
        Ok(())
    }
}

/// One gateway and its disk.
struct OneGateway {
    node: Mutex<Option<Node>>,
    platter: Arc<Mutex<Platter>>,
}

impl Site for OneGateway {
    fn dial(&self, _: &str, encoding: Encoding, random: &Random) -> Option<(End, Breaker)> {
        self.node.lock().unwrap().as_mut().map(|node| node.connect(encoding, random))
    }

    fn has_committed(&self, is: &mut dyn FnMut(&StoreCommand) -> bool) -> bool {
        has_committed(&self.platter.lock().unwrap().log, is)
    }
}

/// Whether some command of a log is one that was asked for.
pub fn has_committed(log: &[Committed], is: &mut dyn FnMut(&StoreCommand) -> bool) -> bool {
    log.iter().rev().flat_map(|committed| &committed.commands).any(is)
}

/// The state that the director and the clients share.
pub struct Shared {
    pub random: Random,
    site: Arc<dyn Site>,
    happened: Mutex<BTreeMap<String, u64>>,
    /// Of all connections so far.
    breakers: Mutex<Vec<Breaker>>,
    wrong: Mutex<Option<String>>,
    trace: Mutex<u64>,
    begun: Instant,
    /// The rules about who sees what, and until when each may still be in a frame that is on its way; the last is in force.
    rules: Mutex<Vec<(Visibility, Instant)>>,
}

impl Shared {
    pub fn new(site: Arc<dyn Site>, random: Random, begun: Instant) -> Arc<Self> {
        Arc::new(Self {
            random,
            site,
            happened: Mutex::default(),
            breakers: Mutex::default(),
            wrong: Mutex::default(),
            trace: Mutex::new(0xcbf2_9ce4_8422_2325),
            begun,
            rules: Mutex::new(vec![(crate::visibility(), begun)]),
        })
    }

    /// Connects, if there is a gateway.
    pub fn dial(&self, client: &str, encoding: Encoding, random: &Random) -> Option<(End, Breaker)> {
        let connected = self.site.dial(client, encoding, random);
        self.breakers.lock().unwrap().extend(connected.as_ref().map(|(_, breaker)| breaker.clone()));
        connected
    }

    pub fn happened(&self, what: &str) {
        *self.happened.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    /// Demands that a client was told what its cursor covers.
    pub fn check_cursor(&self, name: &str, account: &str, replica: &Replica) {
        if let Err(what) = self.site.check_cursor(account, replica) {
            self.demand(false, &format!("{name} has a cursor that covers what it was not told: {what}"));
        }
    }

    /// Demands that a client whose digest does not fit had a reason to hold something else.
    pub fn check_mismatch(&self, name: &str, tainted: bool, error: &dyn std::fmt::Display) {
        let is_explained = tainted || self.site.may_have_lost();
        self.demand(is_explained, &format!("{name}: nothing was corrupted, and yet {error}"));
        self.happened(if tainted { "mismatch noticed" } else { "mismatch noticed after a loss" });
    }

    /// Demands that a full sync has a reason.
    pub fn check_full_sync(&self, name: &str, because: &str) {
        let is_right = because != "CURSOR_FROM_FUTURE" || self.site.may_be_from_future();
        self.demand(is_right, &format!("{name} syncs in full because it changed gateways"));
    }

    /// What has gone wrong first.
    pub fn wrong(&self) -> Option<String> {
        self.wrong.lock().unwrap().clone()
    }

    pub fn traced(&self) -> u64 {
        *self.trace.lock().unwrap()
    }

    /// Returns what happened, with the writes of flushers.
    pub fn all_that_happened(&self) -> BTreeMap<String, u64> {
        let mut happened = self.happened.lock().unwrap().clone();
        for HandedOverWrites { whole, in_part, refused } in
            self.breakers.lock().unwrap().iter().map(Breaker::handed_over)
        {
            for (what, times) in [(FLUSHED, whole), (FLUSHED_IN_PART, in_part), (REFUSED, refused)] {
                *happened.entry(what.to_owned()).or_default() += times;
            }
        }
        happened
    }

    pub fn refused(&self, reason: &str) {
        self.happened(&format!("refused: {reason}"));
    }

    /// Demands that something is true. The first demand that fails ends the history.
    pub fn demand(&self, is: bool, otherwise: &str) {
        if !is {
            self.wrong.lock().unwrap().get_or_insert_with(|| otherwise.to_owned());
        }
    }

    /// Adds a frame, its client and its time to a hash of all of them.
    pub fn trace(&self, client: &str, account: &str, frame: &v1::ServerFrame) {
        self.look_for_hidden_fields(account, frame);
        let line = format!("{} {client} {frame:?}", self.begun.elapsed().as_millis());
        if std::env::var_os("ROSTERD_SIM_TRACE").is_some() {
            eprintln!("{line}");
        }
        let mut trace = self.trace.lock().unwrap();
        for byte in line.bytes() {
            *trace = (*trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn rules_change(&self, rules: &Visibility) {
        let mut known = self.rules.lock().unwrap();
        if let Some((_, until)) = known.last_mut() {
            *until = Instant::now() + ON_ITS_WAY;
        }
        known.push((rules.clone(), Instant::now()));
    }

    /// Demands that a frame has no field that its receiver could not see under any rules of late.
    fn look_for_hidden_fields(&self, account: &str, frame: &v1::ServerFrame) {
        let mut rules = self.rules.lock().unwrap();
        let last = rules.len() - 1;
        let mut at = 0;
        rules.retain(|(_, until)| {
            at += 1;
            at > last || Instant::now() < *until
        });
        let users = frame.changes.iter().flat_map(|changes| changes.users.iter().chain(&changes.me));
        let found = frame.get_users_reply.iter().flat_map(|reply| &reply.users);
        for user in users.chain(found) {
            let audience = if user.account == account { Audience::Own } else { Audience::Friends };
            let may = |to: &dyn Fn(&Visibility) -> Option<Audience>| {
                rules.iter().any(|(rules, _)| to(rules).is_some_and(|to| to >= audience))
            };
            let texts = (user.tel.is_empty() || may(&|rules| Some(rules.tel)))
                && (user.custom.is_empty() || may(&|rules| Some(rules.custom)));
            let own = user.fields.keys().all(|name| may(&|rules| rules.own.audience(name)));
            let muted = user.muted.is_empty() || audience == Audience::Own;
            self.demand(texts && own && muted, &format!("{account} received what it may not see: {user:?}"));
        }
    }

    /// Whether a commit that would survive a crash now set this nick.
    pub fn is_safe(&self, account: &str, nick: &str) -> bool {
        self.site.has_committed(&mut |command| match command {
            StoreCommand::SetProfile { account: whose, patch, .. } if whose.as_str() == account => {
                let bare = rosterd_engine::model::Profile::new(whose.clone(), 1, 0);
                patch
                    .apply(&bare, &crate::visibility().own)
                    .ok()
                    .flatten()
                    .is_some_and(|profile| *profile.nick == *nick)
            }
            _ => false,
        })
    }

    /// The same for any write of a client.
    pub fn is_committed(&self, account: &str, command: &ClientCommand) -> bool {
        self.site.has_committed(&mut |committed| is_what(committed, account, command).unwrap_or(true))
    }

    /// The same for a write of the backend.
    pub fn holds(&self, command: &StoreCommand) -> bool {
        self.site.has_committed(&mut |committed| committed == command)
    }
}

/// Whether a committed command is the one of a client; `None` if the command may have changed nothing.
fn is_what(committed: &StoreCommand, whose: &str, command: &ClientCommand) -> Option<bool> {
    let of = |account: &Account, peer: &Account, asked: &str| account.as_str() == whose && peer.as_str() == asked;
    Some(match (command, committed) {
        (ClientCommand::Unblock(_) | ClientCommand::SetPresence(_) | ClientCommand::SetMuted(_), _) => return None,
        (ClientCommand::UpdateMyInfo(asked), StoreCommand::SetProfile { account, patch, .. }) => {
            let bare = rosterd_engine::model::Profile::new(account.clone(), 1, 0);
            let custom = patch.apply(&bare, &crate::visibility().own).ok().flatten().map(|profile| profile.custom);
            account.as_str() == whose && custom.as_deref() == asked.custom.as_deref()
        }
        (ClientCommand::AddFriend(asked), StoreCommand::AddFriend { account, peer, .. }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::RequestFriend(asked), StoreCommand::RequestFriend { account, peer, .. }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::AcceptFriend(asked), StoreCommand::AcceptFriend { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::RejectFriend(asked), StoreCommand::RejectFriend { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::CancelRequest(asked), StoreCommand::CancelRequest { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::DeleteFriend(asked), StoreCommand::DeleteFriend { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::UpdateFriend(asked), StoreCommand::UpdateFriend { account, peer, note, .. }) => {
            let bare = rosterd_engine::model::Edge::new(account.clone(), peer.clone(), 1, 0);
            let alias = note.apply(&bare).map(|edge| edge.alias);
            of(account, peer, &asked.account) && alias.as_deref() == asked.alias.as_deref()
        }
        (ClientCommand::Block(asked), StoreCommand::Block { account, peer, .. }) => of(account, peer, &asked.account),
        _ => false,
    })
}

/// The result of a history.
pub struct History {
    pub happened: BTreeMap<String, u64>,
    pub trace: u64,
    /// The first failure, and the step before it.
    pub wrong: Option<String>,
}

thread_local! {
    /// How often a task has panicked on this thread, which plays one history at a time.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Counts panics from now on: one in a session's task looks like a lost connection otherwise.
pub fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            report(panic);
        }));
    });
    PANICS.set(0);
}

/// How often a task has panicked since then.
pub fn panics() -> usize {
    PANICS.get()
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
        let shared = &director.shared;
        History { happened: shared.all_that_happened(), trace: shared.traced(), wrong }
    })
}

struct Director {
    shared: Arc<Shared>,
    one: Arc<OneGateway>,
    on: Surroundings,
    random: Random,
    clients: Vec<Client>,
    /// The difference between the wall clock and the simulated one.
    offset: Arc<AtomicI64>,
    /// Viewers, and accounts that were prefetched for them since the process began.
    prefetched: BTreeSet<(u64, u64)>,
    number: u64,
    /// Writes of the backend that are under way.
    writing: Arc<AtomicUsize>,
}

impl Director {
    async fn new(seed: u64) -> Self {
        let random = Random::new(seed ^ 0x5eed);
        let begun = Instant::now();
        let offset = Arc::new(AtomicI64::new(EPOCH));
        let clock: StoreClock = {
            let offset = offset.clone();
            Arc::new(move || {
                let passed = begun.elapsed().as_millis() as i64;
                (offset.load(Ordering::Relaxed) + passed) as Millis
            })
        };
        let platter = Arc::new(Mutex::new(Platter::new(random.next())));
        let faults = Arc::new(Faults::default());
        let on = Surroundings {
            platter: platter.clone(),
            faults,
            clock,
            random: random.fork(),
            rules: Arc::new(Mutex::new(crate::visibility())),
            linger: LINGER,
            slice: SLICE,
        };
        let node = Node::start(&on).await;
        let one = Arc::new(OneGateway { node: Mutex::new(Some(node)), platter });
        let shared = Shared::new(one.clone(), random.fork(), begun);
        let client = |n: u64| {
            let encoding = Encoding::ALL[(n / ACCOUNTS) as usize % 2];
            Client::start(format!("client {n}"), account(owner(n)), encoding, shared.clone())
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self {
            shared,
            one,
            on,
            random,
            clients,
            offset,
            prefetched: BTreeSet::new(),
            number: 0,
            writing: Arc::default(),
        }
    }

    async fn step(&mut self, step: &Step) {
        sleep(Duration::from_millis(step.after)).await;
        self.revive().await;
        self.act(&step.act).await;
        self.check_bounds();
    }

    fn service(&self) -> Arc<rosterd::service::Service> {
        self.one.node.lock().unwrap().as_ref().expect("a node, since it was revived").service.clone()
    }

    /// Restarts a process that died by itself, after a while.
    async fn revive(&mut self) {
        let dead = self.one.node.lock().unwrap().as_ref().is_none_or(|node| node.process().is_dead());
        if dead {
            self.restart().await;
        }
    }

    async fn restart(&mut self) {
        drop(self.one.node.lock().unwrap().take());
        self.prefetched.clear();
        sleep(Duration::from_millis(self.random.below(400))).await;
        *self.on.faults.crash.lock().unwrap() = None;
        for fails in [&self.on.faults.writes_fail, &self.on.faults.reads_fail] {
            fails.store(false, Ordering::Relaxed);
        }
        let node = Node::start(&self.on).await;
        *self.one.node.lock().unwrap() = Some(node);
    }

    fn fresh(&mut self) -> String {
        self.number += 1;
        format!("n{}", self.number)
    }

    /// Makes a change of the backend, at times a large one, so that frames fill up.
    fn change(&mut self, n: u64) -> StoreCommand {
        let nick = Some(self.fresh());
        let avatar = self.random.percent(30).then(|| "😀".repeat(self.random.index(1024)));
        let tel = self.random.percent(30).then(|| format!("t{}", self.random.below(1000)));
        let custom = self.random.percent(20).then(|| format!("c{}", self.random.below(1000)));
        // By the number of the change, so that these draw nothing.
        let mut own = OwnChanges::default();
        for (at, name) in ["diary", "level", "mood"].into_iter().enumerate() {
            let turn = self.number / (at as u64 + 1);
            let is_there = self.on.rules.lock().unwrap().own.audience(name).is_some();
            if turn.is_multiple_of(4) && is_there {
                let value = (!turn.is_multiple_of(5)).then_some(OwnValue::Integer((turn % 1000) as i64));
                own.set.insert(name.into(), value);
            }
        }
        let patch = Fields { nick, avatar, tel, custom, own, ..Fields::default() }.check().unwrap();
        StoreCommand::SetProfile { account: name(n), patch, create: false, if_version: None }
    }

    /// Starts a write, and does not wait for it.
    fn write(&mut self, what: &str, command: StoreCommand) {
        let (service, shared, what) = (self.service(), self.shared.clone(), what.to_owned());
        let node = self.one.node.lock().unwrap();
        let process = node.as_ref().expect("a node, since it was revived").process();
        drop(node);
        let writing = self.writing.clone();
        writing.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = process.death() => {}
                done = service.relate(command.clone(), WriteOrigin::Import) => {
                    if let Ok(outcome) = done {
                        let safe = outcome == Outcome::Unchanged || shared.holds(&command);
                        shared.demand(safe, &format!("{command:?} was answered and is not safe"));
                        shared.happened(&what);
                    }
                }
            }
            writing.fetch_sub(1, Ordering::Relaxed);
        });
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Client(n, order) => self.order(*n, order.clone()),
            Act::Write(n) => {
                let change = self.change(*n);
                self.write("write of the backend", change);
            }
            Act::Burst(n, times) => {
                for _ in 0..*times {
                    let change = self.change(*n);
                    self.write("write of a burst", change);
                }
            }
            Act::Befriend(a, b) => {
                self.write("befriend", StoreCommand::Befriend { account: name(*a), peer: name(*b) });
            }
            Act::Unfriend(a, b) => {
                self.write("unfriend", StoreCommand::Unfriend { account: name(*a), peer: name(*b) });
            }
            Act::Erase(n) => self.write("erase", StoreCommand::DeleteUser { account: name(*n) }),
            Act::Make(n) => self.make(*n),
            Act::Remake(n) => self.remake(*n),
            Act::Prefetch(viewer, accounts) => self.prefetch(*viewer, accounts),
            Act::Crash(when, n) => self.crash(*when, *n).await,
            Act::Kill => {
                self.shared.happened("kill");
                self.restart().await;
            }
            Act::BackUp => {
                self.on.platter.lock().unwrap().back_up();
                self.shared.happened("backup");
            }
            Act::Restore => self.restore().await,
            Act::Clock(by) => {
                self.offset.fetch_add(*by, Ordering::Relaxed);
                self.shared.happened(if *by < 0 { "clock set back" } else { "clock set forward" });
            }
            Act::Compact => self.compact().await,
            Act::WritesFail(ms) => self.fail(|faults| &faults.writes_fail, *ms, "writes fail"),
            Act::ReadsFail(ms) => self.fail(|faults| &faults.reads_fail, *ms, "reads fail"),
            Act::Rules(number, at_restart) => self.change_rules(*number, *at_restart).await,
            Act::Rest => self.rest().await,
        }
    }

    fn order(&mut self, n: u64, order: Order) {
        let order = match order {
            Order::Send(ClientCommand::UpdateMyInfo(update)) if update.nick.is_some() => {
                let nick = Some(self.fresh());
                Order::Send(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick, ..update }))
            }
            other => other,
        };
        let connected = self.clients[n as usize].view.lock().unwrap().breaker.is_some();
        let what = match &order {
            Order::Connect => "connect",
            Order::Drop if connected => "drop",
            Order::Cut if connected => "cut",
            Order::Vanish if connected => "half-open, at the gateway",
            Order::Deafen if connected => "half-open, at the client",
            Order::Stall(_) if connected => "stall",
            _ => "",
        };
        if !what.is_empty() {
            self.shared.happened(what);
        }
        self.clients[n as usize].order(order);
    }

    async fn change_rules(&mut self, number: u64, at_restart: bool) {
        let rules = crate::rules(number);
        self.shared.rules_change(&rules);
        *self.on.rules.lock().unwrap() = rules.clone();
        if at_restart {
            self.shared.happened("other rules at a restart");
            self.restart().await;
        } else {
            self.shared.happened("other rules while clients live");
            self.service().want_rules(rules, WriteRights::default());
        }
    }

    fn make(&mut self, n: u64) {
        let StoreCommand::SetProfile { account, patch, .. } = self.change(n) else { unreachable!() };
        self.write("make", StoreCommand::SetProfile { account, patch, create: true, if_version: None });
    }

    /// Deletes an account and makes it again.
    ///
    /// The two commits follow one another, so that a read may find the second before the first is on the feed. The
    /// account gets a friend again, whose client may still hold the old entry.
    fn remake(&mut self, n: u64) {
        self.write("erase, and made again", StoreCommand::DeleteUser { account: name(n) });
        self.make(n);
        let friend = (n + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        self.write("befriend", StoreCommand::Befriend { account: name(n), peer: name(friend) });
        for client in [n, friend] {
            self.order(client, Order::Connect);
        }
    }

    fn prefetch(&mut self, viewer: u64, accounts: &[u64]) {
        let (service, shared) = (self.service(), self.shared.clone());
        self.prefetched.extend(accounts.iter().map(|prefetched| (viewer, *prefetched)));
        let names: Vec<_> = accounts.iter().map(|n| account(*n)).collect();
        tokio::spawn(async move {
            let prefetched = timeout(Duration::from_secs(1), service.prefetch(&name(viewer), &names)).await;
            if matches!(prefetched, Ok(Ok(_))) {
                shared.happened("prefetch");
            }
        });
    }

    async fn crash(&mut self, when: crate::disk::When, n: u64) {
        *self.on.faults.crash.lock().unwrap() = Some(when);
        let change = self.change(n);
        self.write("write that was answered at a crash", change);
        let process = self.one.node.lock().unwrap().as_ref().expect("a node").process();
        if timeout(Duration::from_secs(2), process.death()).await.is_ok() {
            self.shared.happened(match when {
                crate::disk::When::Before => "crash before a commit",
                crate::disk::When::Inside => "crash inside a commit",
                crate::disk::When::After => "crash after a commit",
            });
        }
        self.restart().await;
    }

    async fn restore(&mut self) {
        drop(self.one.node.lock().unwrap().take());
        let epoch = self.random.next();
        if self.on.platter.lock().unwrap().restore(epoch) {
            self.shared.happened("restore of a backup");
        }
        self.restart().await;
    }

    async fn compact(&mut self) {
        let (store, hub) = {
            let node = self.one.node.lock().unwrap();
            let node = node.as_ref().expect("a node, since it was revived");
            (node.store.clone(), node.service.hub().clone())
        };
        // Sessions that are connected have got every removal, because the retention is longer than any session may lag.
        // Clients that are away have not.
        let mut quiet = 0;
        for _ in 0..50 {
            let pending =
                (0..ACCOUNTS).flat_map(|n| hub.sessions_of(&name(n))).any(|session| session.pending_count() > 0);
            let is_current = hub.watermark() == self.on.platter.lock().unwrap().disk.head();
            quiet = if is_current && !pending { quiet + 1 } else { 0 };
            if quiet == 5 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        if quiet < 5 {
            return;
        }
        let before = (self.on.clock)() + 1_000_000_000;
        if let Ok(Ok(1..)) = timeout(Duration::from_secs(1), store.compact(before)).await {
            self.shared.happened("compaction");
        }
    }

    fn fail(&mut self, which: fn(&Faults) -> &AtomicBool, ms: u64, what: &str) {
        let faults = self.on.faults.clone();
        which(&faults).store(true, Ordering::Relaxed);
        self.shared.happened(what);
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            which(&faults).store(false, Ordering::Relaxed);
        });
    }

    /// Checks that no session has more pending than the accounts that it is interested in.
    fn check_bounds(&self) {
        let node = self.one.node.lock().unwrap();
        let Some(node) = node.as_ref() else { return };
        let model = Model::of(&self.on.platter.lock().unwrap().log);
        for n in 0..ACCOUNTS {
            let mut interest = model.related(&account(n));
            interest.insert(account(n));
            let prefetched = self.prefetched.iter().filter(|(viewer, _)| *viewer == n);
            interest.extend(prefetched.map(|(_, prefetched)| account(*prefetched)));
            for client in self.clients.iter().filter(|client| client.account == account(n)) {
                interest.extend(client.view.lock().unwrap().ever_watched.iter().cloned());
            }
            for session in node.service.hub().sessions_of(&name(n)) {
                let pending = session.pending_count();
                let what = format!("the session of {n} has {pending} pending, more than {interest:?}");
                self.shared.demand(pending <= interest.len(), &what);
                if pending > 1 {
                    self.shared.happened("several keys were pending");
                }
            }
        }
    }

    async fn rest(&mut self) {
        sleep(Duration::from_millis(400)).await;
        self.revive().await;
        *self.on.faults.crash.lock().unwrap() = None;
        let mut last = String::new();
        let settled = timeout(SETTLING, self.settle(&mut last)).await;
        if settled.is_err() {
            self.shared.demand(false, &format!("no rest: {last}"));
            return;
        }
        let log = self.on.platter.lock().unwrap().log.clone();
        let model = Model::of(&log);
        let moves = |command: &StoreCommand| matches!(command, StoreCommand::MoveViews { .. });
        if log.iter().flat_map(|committed| &committed.commands).any(moves) {
            self.shared.happened("a view moved");
        }
        let online = device::kinds(&self.clients, &BTreeSet::new(), |name| model.exists(name));
        for n in (0..ACCOUNTS).filter(|n| model.exists(&account(*n))) {
            let seen = (&online, (self.on.clock)(), self.blurred());
            compare(&self.shared, &self.clients, n, (&model, seen, &self.on.rules)).await;
        }
        self.shared.happened("rest");
    }

    /// Connects every client whose account exists, and waits until nothing more happens.
    async fn settle(&mut self, last: &mut String) {
        let (mut still, mut seen) = (0, 0);
        while still < STILL {
            let model = Model::of(&self.on.platter.lock().unwrap().log);
            for client in self.clients.iter().filter(|client| model.exists(&client.account)) {
                if !client.view.lock().unwrap().wanted {
                    client.order(Order::Connect);
                }
            }
            let mut state = self.unsettled();
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
    fn unsettled(&self) -> String {
        let mut state = String::new();
        let node = self.one.node.lock().unwrap();
        let Some(node) = node.as_ref().filter(|node| !node.process().is_dead()) else { return "no node".to_owned() };
        let (platter, hub) = (self.on.platter.lock().unwrap(), node.service.hub());
        let model = Model::of(&platter.log);
        if hub.watermark() != platter.disk.head() {
            let _ = write!(state, "the watermark is {}, not {}; ", hub.watermark(), platter.disk.head());
        }
        let (rules, wanted) = (node.store.rules().get(), self.on.rules.lock().unwrap().clone());
        if *rules != wanted {
            let _ = write!(state, "the rules change; ");
        }
        let writing = self.writing.load(Ordering::Relaxed);
        if writing > 0 {
            let _ = write!(state, "{writing} writes are under way; ");
        }
        let mut live = 0;
        for client in &self.clients {
            let view = client.view.lock().unwrap();
            let exists = model.exists(&client.account);
            live += usize::from(view.live);
            let whole = view.breaker.as_ref().is_none_or(Breaker::is_whole);
            if exists != view.live || !whole || view.asked > 0 || view.stalled {
                let (name, View { live, asked, stalled, .. }) = (&client.name, &*view);
                let _ = write!(
                    state,
                    "{name} is live: {live}, asks {asked}, stalled: {stalled}, connection whole: {whole}; "
                );
            }
        }
        if hub.sessions() != live {
            let _ = write!(state, "{} sessions for {live} clients; ", hub.sessions());
        }
        for n in 0..ACCOUNTS {
            let pending = hub.sessions_of(&name(n)).iter().map(|session| session.pending_count()).sum::<usize>();
            if pending > 0 {
                let _ = write!(state, "{n} has {pending} pending; ");
            }
        }
        state
    }

    /// How long before and after its end a status may be there or not: a clock that was set ends some twice, or late.
    fn blurred(&self) -> Millis {
        let was_set = self.offset.load(Ordering::Relaxed) != EPOCH;
        if was_set { 100 * 86_400_000 } else { 2000 }
    }
}

pub fn name(n: u64) -> Account {
    Account::parse(&account(n), "account").unwrap()
}
