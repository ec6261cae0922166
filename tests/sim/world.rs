//! Plays a history: the director lets things happen one after the other, and looks at every rest whether everyone holds
//! what they should.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rosterd::store::StoreClock;
use rosterd_client::Replica;
use rosterd_engine::model::{Account, Command as Asked, Fields, Millis, Outcome};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, Order, View};
use crate::disk::{Faults, Platter};
use crate::model::{EncodedProfile, Expected, Model};
use crate::net::{End, Hand, Lent};
use crate::node::{LINGER, Machinery, Node};
use crate::plan::{self, ACCOUNTS, Act, CLIENTS, Step, account, owner};
use crate::random::Random;

/// The wall clock when a history begins.
const EPOCH: i64 = 1_700_000_000_000;
/// How long everything may take to settle, in simulated time.
const SETTLING: Duration = Duration::from_mins(3);
/// How long it has to stay so.
const STILL: u32 = 12;

/// What tellers did, and what they left to the session's task.
pub const TOLD: &str = "told while asleep";
pub const TOLD_IN_PART: &str = "told in part while asleep";
pub const NOT_TAKEN: &str = "a frame for one asleep was not taken";

/// What the clients stand on.
pub struct Ground {
    pub random: Random,
    node: Mutex<Option<Node>>,
    platter: Arc<Mutex<Platter>>,
    happened: Mutex<BTreeMap<String, u64>>,
    /// Every connection there was.
    hands: Mutex<Vec<Hand>>,
    wrong: Mutex<Option<String>>,
    trace: Mutex<u64>,
    begun: Instant,
}

impl Ground {
    /// A new connection, if there is a gateway.
    pub fn dial(&self, encoding: Encoding, random: &Random) -> Option<(End, Hand)> {
        let connected = self.node.lock().unwrap().as_mut().map(|node| node.connect(encoding, random));
        self.hands.lock().unwrap().extend(connected.as_ref().map(|(_, hand)| hand.clone()));
        connected
    }

    pub fn happened(&self, what: &str) {
        *self.happened.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn refused(&self, reason: &str) {
        self.happened(&format!("refused: {reason}"));
    }

    /// What must be true; the first thing that is not ends the history.
    pub fn demand(&self, is: bool, otherwise: &str) {
        if !is {
            self.wrong.lock().unwrap().get_or_insert_with(|| otherwise.to_owned());
        }
    }

    /// Every frame that every client got, and when, in one number.
    pub fn trace(&self, client: &str, frame: &v1::ServerFrame) {
        let line = format!("{} {client} {frame:?}", self.begun.elapsed().as_millis());
        if std::env::var_os("ROSTERD_SIM_TRACE").is_some() {
            eprintln!("{line}");
        }
        let mut trace = self.trace.lock().unwrap();
        for byte in line.bytes() {
            *trace = (*trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Whether a nick is among what would be there after a crash now, or was before the last backup was brought back.
    pub fn is_safe(&self, account: &str, nick: &str) -> bool {
        let platter = self.platter.lock().unwrap();
        let mut commands = platter.log.iter().rev().flat_map(|committed| &committed.commands);
        commands.any(|command| match command {
            Asked::SetProfile { account: whose, patch, .. } if whose.as_str() == account => {
                let bare = rosterd_engine::model::Profile::new(whose.clone(), 1, 0);
                patch.apply(&bare).is_some_and(|profile| *profile.nick == *nick)
            }
            _ => false,
        })
    }

    /// The same of any write of a client.
    pub fn is_committed(&self, account: &str, command: &ClientCommand) -> bool {
        let platter = self.platter.lock().unwrap();
        let mut commands = platter.log.iter().rev().flat_map(|committed| &committed.commands);
        commands.any(|committed| is_what(committed, account, command).unwrap_or(true))
    }

    /// The same of a write of the backend.
    fn holds(&self, command: &Asked) -> bool {
        self.platter.lock().unwrap().log.iter().rev().any(|committed| committed.commands.contains(command))
    }
}

/// Whether a committed command is what a client asked for; `None` if what was asked for may have been so before anybody
/// asked.
fn is_what(committed: &Asked, whose: &str, command: &ClientCommand) -> Option<bool> {
    let of = |account: &Account, peer: &Account, asked: &str| account.as_str() == whose && peer.as_str() == asked;
    Some(match (command, committed) {
        (ClientCommand::Unblock(_) | ClientCommand::SetPresence(_), _) => return None,
        (ClientCommand::UpdateMyInfo(asked), Asked::SetProfile { account, patch, .. }) => {
            let bare = rosterd_engine::model::Profile::new(account.clone(), 1, 0);
            let custom = patch.apply(&bare).map(|profile| profile.custom);
            account.as_str() == whose && custom.as_deref() == asked.custom.as_deref()
        }
        (ClientCommand::AddFriend(asked), Asked::AddFriend { account, peer, .. }) => of(account, peer, &asked.account),
        (ClientCommand::RequestFriend(asked), Asked::RequestFriend { account, peer, .. }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::AcceptFriend(asked), Asked::AcceptFriend { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::RejectFriend(asked), Asked::RejectFriend { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::CancelRequest(asked), Asked::CancelRequest { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::DeleteFriend(asked), Asked::DeleteFriend { account, peer }) => {
            of(account, peer, &asked.account)
        }
        (ClientCommand::UpdateFriend(asked), Asked::UpdateFriend { account, peer, note }) => {
            let bare = rosterd_engine::model::Edge::new(account.clone(), peer.clone(), 1, 0);
            let alias = note.apply(&bare).map(|edge| edge.alias);
            of(account, peer, &asked.account) && alias.as_deref() == asked.alias.as_deref()
        }
        (ClientCommand::Block(asked), Asked::Block { account, peer }) => of(account, peer, &asked.account),
        _ => false,
    })
}

/// What came of a history.
pub struct History {
    pub happened: BTreeMap<String, u64>,
    pub trace: u64,
    /// What was wrong, and after which step.
    pub wrong: Option<String>,
}

/// Plays the history of a seed.
pub fn play(seed: u64) -> History {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut director = Director::new(seed).await;
        let mut wrong = None;
        for (at, step) in plan::plan(seed).into_iter().enumerate() {
            director.step(&step).await;
            if let Some(what) = director.ground.wrong.lock().unwrap().clone() {
                wrong = Some(format!("after step {at}, {:?}: {what}", step.act));
                break;
            }
        }
        let ground = &director.ground;
        let mut happened = ground.happened.lock().unwrap().clone();
        for Lent { whole, in_part, refused } in ground.hands.lock().unwrap().iter().map(Hand::lent) {
            for (what, times) in [(TOLD, whole), (TOLD_IN_PART, in_part), (NOT_TAKEN, refused)] {
                *happened.entry(what.to_owned()).or_default() += times;
            }
        }
        History { happened, trace: *ground.trace.lock().unwrap(), wrong }
    })
}

struct Director {
    ground: Arc<Ground>,
    on: Machinery,
    random: Random,
    clients: Vec<Client>,
    /// The wall clock's distance from the simulated one.
    offset: Arc<AtomicI64>,
    /// Accounts that a session was hinted since it began.
    hinted: BTreeSet<(u64, u64)>,
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
        let on = Machinery { platter: platter.clone(), faults, clock, random: random.fork() };
        let node = Node::start(&on).await;
        let ground = Arc::new(Ground {
            random: random.fork(),
            node: Mutex::new(Some(node)),
            platter,
            happened: Mutex::default(),
            hands: Mutex::default(),
            wrong: Mutex::default(),
            trace: Mutex::new(0xcbf2_9ce4_8422_2325),
            begun,
        });
        let client = |n: u64| {
            let encoding = Encoding::ALL[(n / ACCOUNTS) as usize % 2];
            Client::start(format!("client {n}"), account(owner(n)), encoding, ground.clone())
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self {
            ground: ground.clone(),
            on,
            random,
            clients,
            offset,
            hinted: BTreeSet::new(),
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
        self.ground.node.lock().unwrap().as_ref().expect("a node, since it was revived").service.clone()
    }

    /// A process that died by itself is started again, after a while.
    async fn revive(&mut self) {
        let dead = self.ground.node.lock().unwrap().as_ref().is_none_or(|node| node.process().is_dead());
        if dead {
            self.restart().await;
        }
    }

    async fn restart(&mut self) {
        drop(self.ground.node.lock().unwrap().take());
        self.hinted.clear();
        sleep(Duration::from_millis(self.random.below(400))).await;
        *self.on.faults.crash.lock().unwrap() = None;
        for fails in [&self.on.faults.writes_fail, &self.on.faults.reads_fail] {
            fails.store(false, Ordering::Relaxed);
        }
        let node = Node::start(&self.on).await;
        *self.ground.node.lock().unwrap() = Some(node);
    }

    fn fresh(&mut self) -> String {
        self.number += 1;
        format!("n{}", self.number)
    }

    /// A change of the backend's; big ones now and then, so that frames fill up.
    fn change(&mut self, n: u64) -> Asked {
        let nick = Some(self.fresh());
        let avatar = self.random.percent(30).then(|| "😀".repeat(self.random.index(1024)));
        let tel = self.random.percent(30).then(|| format!("t{}", self.random.below(1000)));
        let custom = self.random.percent(20).then(|| format!("c{}", self.random.below(1000)));
        let patch = Fields { nick, avatar, tel, custom, ..Fields::default() }.check().unwrap();
        Asked::SetProfile { account: name(n), patch, create: false, if_version: None }
    }

    /// Asks for a write, and does not wait for it.
    fn write(&mut self, what: &str, command: Asked) {
        let (service, ground, what) = (self.service(), self.ground.clone(), what.to_owned());
        let node = self.ground.node.lock().unwrap();
        let process = node.as_ref().expect("a node, since it was revived").process();
        drop(node);
        let writing = self.writing.clone();
        writing.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = process.death() => {}
                done = service.relate(command.clone(), None) => {
                    if let Ok(outcome) = done {
                        let safe = outcome == Outcome::Unchanged || ground.holds(&command);
                        ground.demand(safe, &format!("{command:?} was answered and is not safe"));
                        ground.happened(&what);
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
                self.write("befriend", Asked::Befriend { account: name(*a), peer: name(*b) });
            }
            Act::Unfriend(a, b) => {
                self.write("unfriend", Asked::Unfriend { account: name(*a), peer: name(*b) });
            }
            Act::Erase(n) => self.write("erase", Asked::DeleteUser { account: name(*n) }),
            Act::Make(n) => self.make(*n),
            Act::Remake(n) => self.remake(*n),
            Act::Hint(viewer, accounts) => self.hint(*viewer, accounts),
            Act::Crash(when, n) => self.crash(*when, *n).await,
            Act::Kill => {
                self.ground.happened("kill");
                self.restart().await;
            }
            Act::BackUp => {
                self.on.platter.lock().unwrap().back_up();
                self.ground.happened("backup");
            }
            Act::Restore => self.restore().await,
            Act::Clock(by) => {
                self.offset.fetch_add(*by, Ordering::Relaxed);
                self.ground.happened(if *by < 0 { "clock set back" } else { "clock set forward" });
            }
            Act::Compact => self.compact().await,
            Act::WritesFail(ms) => self.fail(|faults| &faults.writes_fail, *ms, "writes fail"),
            Act::ReadsFail(ms) => self.fail(|faults| &faults.reads_fail, *ms, "reads fail"),
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
        let connected = self.clients[n as usize].view.lock().unwrap().hand.is_some();
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
            self.ground.happened(what);
        }
        self.clients[n as usize].order(order);
    }

    fn make(&mut self, n: u64) {
        let Asked::SetProfile { account, patch, .. } = self.change(n) else { unreachable!() };
        self.write("make", Asked::SetProfile { account, patch, create: true, if_version: None });
    }

    /// The two commits follow one another, so that who reads now may find the second before the first is told. A friend
    /// that it had it has again: who held it as somebody's entry still may.
    fn remake(&mut self, n: u64) {
        self.write("erase, and made again", Asked::DeleteUser { account: name(n) });
        self.make(n);
        let friend = (n + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        self.write("befriend", Asked::Befriend { account: name(n), peer: name(friend) });
        for client in [n, friend] {
            self.order(client, Order::Connect);
        }
    }

    fn hint(&mut self, viewer: u64, accounts: &[u64]) {
        let (service, ground) = (self.service(), self.ground.clone());
        self.hinted.extend(accounts.iter().map(|hinted| (viewer, *hinted)));
        let names: Vec<_> = accounts.iter().map(|n| account(*n)).collect();
        tokio::spawn(async move {
            let hinted = timeout(Duration::from_secs(1), service.prefetch(&name(viewer), &names)).await;
            if matches!(hinted, Ok(Ok(_))) {
                ground.happened("hint");
            }
        });
    }

    async fn crash(&mut self, when: crate::disk::When, n: u64) {
        *self.on.faults.crash.lock().unwrap() = Some(when);
        let change = self.change(n);
        self.write("write that was answered at a crash", change);
        let process = self.ground.node.lock().unwrap().as_ref().expect("a node").process();
        if timeout(Duration::from_secs(2), process.death()).await.is_ok() {
            self.ground.happened(match when {
                crate::disk::When::Before => "crash before a commit",
                crate::disk::When::Inside => "crash inside a commit",
                crate::disk::When::After => "crash after a commit",
            });
        }
        self.restart().await;
    }

    async fn restore(&mut self) {
        drop(self.ground.node.lock().unwrap().take());
        let epoch = self.random.next();
        if self.on.platter.lock().unwrap().restore(epoch) {
            self.ground.happened("restore of a backup");
        }
        self.restart().await;
    }

    async fn compact(&mut self) {
        let (store, hub) = {
            let node = self.ground.node.lock().unwrap();
            let node = node.as_ref().expect("a node, since it was revived");
            (node.store.clone(), node.service.hub().clone())
        };
        // Whoever is here has heard of every removal: the retention is longer than any session may stay behind. Who is
        // away has not.
        let mut quiet = 0;
        for _ in 0..50 {
            let owed = (0..ACCOUNTS).flat_map(|n| hub.sessions_of(&name(n))).any(|session| session.pending_count() > 0);
            let told = hub.watermark() == self.on.platter.lock().unwrap().disk.head();
            quiet = if told && !owed { quiet + 1 } else { 0 };
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
            self.ground.happened("compaction");
        }
    }

    fn fail(&mut self, which: fn(&Faults) -> &AtomicBool, ms: u64, what: &str) {
        let faults = self.on.faults.clone();
        which(&faults).store(true, Ordering::Relaxed);
        self.ground.happened(what);
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            which(&faults).store(false, Ordering::Relaxed);
        });
    }

    /// No session has more to be told than it is interested in.
    fn check_bounds(&self) {
        let node = self.ground.node.lock().unwrap();
        let Some(node) = node.as_ref() else { return };
        let model = Model::of(&self.on.platter.lock().unwrap().log);
        for n in 0..ACCOUNTS {
            let mut interest = model.related(&account(n));
            interest.insert(account(n));
            let hinted = self.hinted.iter().filter(|(viewer, _)| *viewer == n);
            interest.extend(hinted.map(|(_, hinted)| account(*hinted)));
            for client in self.clients.iter().filter(|client| client.account == account(n)) {
                interest.extend(client.view.lock().unwrap().ever_watched.iter().cloned());
            }
            for session in node.service.hub().sessions_of(&name(n)) {
                let owed = session.pending_count();
                let what = format!("{n}'s session is owed {owed}, more than {interest:?}");
                self.ground.demand(owed <= interest.len(), &what);
                if owed > 1 {
                    self.ground.happened("several keys were owed");
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
            self.ground.demand(false, &format!("no rest: {last}"));
            return;
        }
        let log = self.on.platter.lock().unwrap().log.clone();
        let model = Model::of(&log);
        let online: BTreeSet<_> = (0..ACCOUNTS).map(account).filter(|name| model.exists(name)).collect();
        for n in (0..ACCOUNTS).filter(|n| model.exists(&account(*n))) {
            self.compare(n, &model, &online).await;
        }
        self.ground.happened("rest");
    }

    /// Everyone whose account exists comes, and waits until nothing more happens.
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
            // Heartbeats are none.
            let frames = *self.ground.trace.lock().unwrap();
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

    /// What has not come to rest yet.
    fn unsettled(&self) -> String {
        let mut state = String::new();
        let node = self.ground.node.lock().unwrap();
        let Some(node) = node.as_ref().filter(|node| !node.process().is_dead()) else { return "no node".to_owned() };
        let (platter, hub) = (self.on.platter.lock().unwrap(), node.service.hub());
        let model = Model::of(&platter.log);
        if hub.watermark() != platter.disk.head() {
            let _ = write!(state, "the horizon is {}, not {}; ", hub.watermark(), platter.disk.head());
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
            let whole = view.hand.as_ref().is_none_or(Hand::is_whole);
            if exists != view.live || !whole || view.asked > 0 || view.stalled {
                let (name, View { live, asked, stalled, .. }) = (&client.name, &*view);
                let _ =
                    write!(state, "{name} is live: {live}, asks {asked}, stalled: {stalled}, line whole: {whole}; ");
            }
        }
        if hub.sessions() != live {
            let _ = write!(state, "{} sessions for {live} clients; ", hub.sessions());
        }
        for n in 0..ACCOUNTS {
            let owed = hub.sessions_of(&name(n)).iter().map(|session| session.pending_count()).sum::<usize>();
            if owed > 0 {
                let _ = write!(state, "{n} is owed {owed}; ");
            }
        }
        state
    }

    /// Each client of an account holds what the model expects, and what a fresh one is given.
    async fn compare(&mut self, n: u64, model: &Model, online: &BTreeSet<String>) {
        let Some(fresh) = self.fresh_sync(n).await else {
            self.ground.demand(false, &format!("{} could not sync in full", account(n)));
            return;
        };
        for client in self.clients.iter().filter(|client| client.account == account(n)) {
            let view = client.view.lock().unwrap();
            let expected = model.expected(&client.account, &view.watched, online);
            let held = held(&view.replica, &view.watched, model, &client.account);
            let differences = expected.differences(&held);
            self.ground.demand(differences.is_empty(), &format!("{} holds\n{differences}", client.name));
            let same = versions(&view.replica) == versions(&fresh);
            let what = format!(
                "{} holds\n{:?}\nand a fresh client\n{:?}",
                client.name,
                versions(&view.replica),
                versions(&fresh)
            );
            self.ground.demand(same, &what);
            self.ground.demand(view.replica.digest() == fresh.digest(), &format!("{}: another digest", client.name));
            let cursor = view.replica.cursor().is_some();
            self.ground.demand(cursor, &format!("{} has no cursor", client.name));
        }
    }

    /// A client that comes for the first time; what it holds once it is in step.
    async fn fresh_sync(&mut self, n: u64) -> Option<Replica> {
        let client = Client::start("a fresh client".to_owned(), account(n), Encoding::Json, self.ground.clone());
        client.order(Order::Connect);
        let synced = timeout(Duration::from_secs(30), async {
            while !client.view.lock().unwrap().live {
                sleep(Duration::from_millis(5)).await;
            }
        });
        synced.await.ok()?;
        let replica = client.view.lock().unwrap().replica.clone();
        client.order(Order::Drop);
        Some(replica)
    }
}

fn name(n: u64) -> Account {
    Account::parse(&account(n), "account").unwrap()
}

/// What a client holds, in the words of the model.
fn held(replica: &Replica, watched: &[String], model: &Model, account: &str) -> Expected {
    let card = |account: &String| replica.users().get(account).map(EncodedProfile::of);
    let online = |account: &String| replica.presence().get(account).is_some_and(|presence| presence.online);
    Expected {
        me: replica.me().map(EncodedProfile::of).unwrap_or_default(),
        friends: replica
            .friends()
            .values()
            .map(|friend| {
                let card = card(&friend.account).unwrap_or_default();
                (friend.account.clone(), (friend.alias.clone(), card))
            })
            .collect(),
        requests: replica
            .requests()
            .map(|request| (request.account.clone(), request.direction == v1::Direction::In as i32))
            .collect(),
        blocks: replica.blocks().map(|block| block.account.clone()).collect(),
        watched: watched
            .iter()
            // That one who is watched is no more is not told.
            .filter(|watched| *watched != account && model.exists(watched))
            .filter_map(|watched| Some((watched.clone(), card(watched)?)))
            .collect(),
        shows: replica.friends().keys().map(|friend| (friend.clone(), online(friend))).collect(),
    }
}

/// What two clients of one account that are in step hold alike, versions and times included.
#[derive(Debug, PartialEq)]
struct Versions {
    me: Option<v1::User>,
    friends: BTreeMap<String, v1::Friend>,
    cards: Vec<Option<v1::User>>,
    requests: Vec<v1::Request>,
    blocks: Vec<v1::BlockRecord>,
}

fn versions(replica: &Replica) -> Versions {
    Versions {
        me: replica.me().cloned(),
        friends: replica.friends().clone(),
        cards: replica.friends().keys().map(|friend| replica.users().get(friend).cloned()).collect(),
        requests: replica.requests().cloned().collect(),
        blocks: replica.blocks().cloned().collect(),
    }
}
