//! Plays a history in one of the two worlds, and records what the viewers receive.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rosterd::service::Service;
use rosterd_client::Replica;
use rosterd_engine::model::{
    Account, Command, Fields, GivenStatus, Millis, OwnChanges, OwnValue, PresenceChange, WriteOrigin,
};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::plan::{Act, Look, Relation, Step, TAIL};
use super::record::Seen;
use super::{Happened, Side};
use crate::disk::{Faults, Platter};
use crate::net::End;
use crate::node::{LINGER, Node, Surroundings};
use crate::random::Random;

/// The wall clock at the beginning.
pub const EPOCH: i64 = 1_700_000_000_000;
/// When the first step may be.
const PREPARED: Duration = Duration::from_secs(3);
pub const OWNER: &str = "ann";
const VIEWERS: [&str; 2] = ["bob", "eve"];
/// A friend of the viewers, and an account that nobody knows, whose changes stand for any others.
const BYSTANDER: &str = "cat";
const UNKNOWN: &str = "zed";
/// The kind of device that she returns on.
const KIND: &str = "web";

/// A connection, which ends when this is dropped.
struct Connection {
    orders: UnboundedSender<ClientCommand>,
    replica: Arc<Mutex<Replica>>,
    /// Whether a real client would say goodbye.
    logout: bool,
    /// The kind of device that it is on.
    kind: &'static str,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.logout {
            let _ = self.orders.send(ClientCommand::Logout(v1::Logout {}));
        }
    }
}

/// What was seen, and what happened for it to be seen.
pub struct Played {
    pub seen: Vec<Seen>,
    pub happened: Happened,
}

pub struct World {
    relation: Relation,
    side: Side,
    on: Surroundings,
    node: Option<Node>,
    begun: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
    happened: Happened,
    random: Random,
    owner: Vec<Connection>,
    bystander: Option<Connection>,
    viewers: [Option<Connection>; 2],
    connections: [usize; 2],
    /// Whom the owner blocks.
    target: usize,
    friends: [bool; 2],
    /// Whether the event has happened and not ended.
    during: bool,
    /// The nick that the owner has, and the one that the viewers see.
    nicks: (u64, u64),
    number: u64,
    /// The same for changes that nobody sees.
    elsewhere: u64,
    /// Whether she has set a status that the viewers must not see.
    has_status: bool,
    /// Decides what both worlds do in a step.
    choice: Random,
}

impl World {
    /// Plays the steps. With `obvious`, accounts go offline at once.
    pub fn play(relation: Relation, seed: u64, side: Side, steps: &[Step], obvious: bool) -> Played {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = Self::new(relation, seed, side, obvious);
            world.node = Some(Node::start(&world.on).await);
            world.prepare().await;
            for (at, step) in steps.iter().enumerate() {
                world.choice = Random::new(seed ^ (at as u64 + 1) << 32);
                sleep_until(world.begun + PREPARED + Duration::from_millis(step.at)).await;
                world.act(step.act).await;
            }
            sleep(TAIL).await;
            let frames = std::mem::take(&mut *world.seen.lock().unwrap());
            Played { seen: frames, happened: std::mem::take(&mut world.happened) }
        })
    }

    fn new(relation: Relation, seed: u64, side: Side, obvious: bool) -> Self {
        // What the two worlds have in common comes from the seed alone.
        let random = Random::new(seed ^ 0x1dea);
        let begun = Instant::now();
        let clock: rosterd::store::StoreClock =
            Arc::new(move || EPOCH as Millis + begun.elapsed().as_millis() as Millis);
        let platter = Arc::new(Mutex::new(Platter::new(random.next())));
        let linger = if obvious { Duration::ZERO } else { LINGER };
        let on = Surroundings {
            platter,
            faults: Arc::new(Faults::default()),
            clock,
            random: random.fork(),
            rules: Arc::new(Mutex::new(crate::visibility())),
            linger,
            slice: 1024,
        };
        let target = random.index(2);
        // Of what friends alone see, only strangers must not notice a change.
        let friends = match relation {
            Relation::Hidden => [random.percent(50); 2],
            Relation::Block | Relation::Invisible => [true, random.percent(50)],
        };
        Self {
            relation,
            side,
            on,
            node: None,
            begun,
            seen: Arc::default(),
            happened: Happened::new(),
            random: random.fork(),
            owner: Vec::new(),
            bystander: None,
            viewers: [None, None],
            connections: [0; 2],
            target,
            friends,
            during: false,
            nicks: (0, 0),
            number: 0,
            elsewhere: 0,
            has_status: false,
            choice: Random::new(0),
        }
    }

    /// Makes the accounts and friendships, and connects the viewers.
    async fn prepare(&mut self) {
        for account in [OWNER, BYSTANDER, UNKNOWN].into_iter().chain(VIEWERS) {
            let create = Fields { nick: Some(format!("{account} 0")), ..Fields::default() };
            self.service().set_profile(&name(account), create, None, true, WriteOrigin::Import).await.unwrap();
        }
        for (viewer, account) in VIEWERS.into_iter().enumerate() {
            self.befriend(BYSTANDER, account).await;
            if self.friends[viewer] {
                self.befriend(OWNER, account).await;
            }
        }
        for viewer in 0..2 {
            self.viewers[viewer] = Some(self.view(viewer, Replica::default()));
            sleep(Duration::from_millis(200)).await;
            self.watch(viewer);
        }
        sleep_until(self.begun + PREPARED).await;
        self.seen.lock().unwrap().clear();
    }

    async fn befriend(&self, account: &str, peer: &str) {
        self.relate(Command::Befriend { account: name(account), peer: name(peer) }).await;
    }

    fn service(&self) -> Arc<Service> {
        self.node.as_ref().expect("it is replaced at once").service.clone()
    }

    async fn relate(&self, command: Command) {
        self.service().relate(command, WriteOrigin::Import).await.unwrap();
    }

    fn happened(&mut self, what: &str) {
        let what = format!("{:?}: {what}", self.relation);
        *self.happened.entry(what).or_default() += 1;
    }

    fn is_secret(&self) -> bool {
        self.side == Side::Secret
    }

    /// A change somewhere else, which nobody here sees: revisions go on alike in both worlds.
    async fn elsewhere(&mut self) {
        self.elsewhere += 1;
        let fields = Fields { sign: Some(self.elsewhere.to_string()), ..Fields::default() };
        self.service().set_profile(&name(UNKNOWN), fields, None, false, WriteOrigin::Import).await.unwrap();
    }

    async fn nick(&mut self, nick: u64) {
        let fields = Fields { nick: Some(format!("ann {nick}")), ..Fields::default() };
        self.service().set_profile(&name(OWNER), fields, None, false, WriteOrigin::Import).await.unwrap();
        self.nicks.0 = nick;
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Comes => {
                let kind = if self.choice.percent(40) { "ios" } else { KIND };
                self.comes(kind);
            }
            Act::Leaves => self.leaves(),
            Act::Event => self.event().await,
            Act::Secretly => self.secretly().await,
            Act::MovesSecretly => self.moves_secretly(),
            Act::Publicly => {
                self.number += 1;
                let nick = self.number;
                self.nick(nick).await;
                self.nicks.1 = nick;
                self.happened("a change for all to see");
            }
            Act::Return(there) => self.returns(there).await,
            Act::Viewer(viewer, look) => self.looks(viewer, look).await,
            Act::Bystander => {
                let (encoding, logout) = (self.encoding(), self.random.percent(50));
                self.bystander = match self.bystander.take() {
                    Some(_) => None,
                    None => Some(self.connect((BYSTANDER, KIND), encoding, Replica::default(), logout, None)),
                };
            }
            Act::Restart => self.restart().await,
        }
    }

    fn encoding(&self) -> Encoding {
        Encoding::ALL[self.random.index(2)]
    }

    fn comes(&mut self, kind: &'static str) {
        let (encoding, logout) = (self.encoding(), self.random.percent(50));
        let connection = self.connect((OWNER, kind), encoding, Replica::default(), logout, None);
        self.owner.push(connection);
    }

    fn leaves(&mut self) {
        self.owner.clear();
    }

    async fn event(&mut self) {
        self.during = true;
        let was_there = !self.owner.is_empty();
        self.happened(if was_there { "an event while she is there" } else { "an event while she is away" });
        if self.owner.len() > 1 {
            self.happened("an event with several devices");
        }
        if self.owner.iter().any(|device| device.kind != self.owner[0].kind) {
            self.happened("an event with several kinds of devices");
        }
        match (self.relation, self.side) {
            (Relation::Block, Side::Secret) => {
                let peer = name(VIEWERS[self.target]);
                self.relate(Command::Block { account: name(OWNER), peer, if_version: None }).await;
            }
            (Relation::Invisible, Side::Secret) => {
                self.presence(PresenceChange::hides(true)).await;
            }
            (Relation::Block | Relation::Invisible, Side::Plain) => {
                self.elsewhere().await;
                self.leaves();
            }
            (Relation::Hidden, _) => self.secretly().await,
        }
        self.nicks.1 = self.nicks.0;
    }

    async fn secretly(&mut self) {
        if !self.during {
            return;
        }
        self.number += 1;
        let number = self.number;
        match self.relation {
            Relation::Block => {
                // At times she takes back what she changed.
                let back = self.nicks.0 != self.nicks.1 && self.choice.percent(40);
                let nick = if back { self.nicks.1 } else { number };
                if self.is_secret() {
                    self.nick(nick).await;
                } else {
                    self.elsewhere().await;
                    self.nicks.0 = nick;
                }
                self.happened(if back { "a change was taken back" } else { "a change during a block" });
            }
            Relation::Hidden if self.is_secret() => {
                let text = Some(number.to_string());
                let fields = if number.is_multiple_of(2) {
                    let name = if self.friends[0] { "diary" } else { "mood" };
                    let value = Some(OwnValue::Integer(i64::try_from(number % 1000).unwrap()));
                    let own = OwnChanges { set: [(name.into(), value)].into(), clears_others: false };
                    Fields { own, ..Fields::default() }
                } else if self.friends[0] {
                    Fields { custom: text, ..Fields::default() }
                } else {
                    Fields { tel: text, ..Fields::default() }
                };
                self.service().set_profile(&name(OWNER), fields, None, false, WriteOrigin::Import).await.unwrap();
            }
            Relation::Hidden => {
                self.elsewhere().await;
                let what = if self.friends[0] { "a field for herself changes" } else { "a field for friends changes" };
                self.happened(what);
            }
            Relation::Invisible => {}
        }
        if self.relation != Relation::Hidden && self.choice.percent(50) {
            self.status(Some(number)).await;
        }
    }

    /// Sets a status that the viewers must not see, or ends it.
    async fn status(&mut self, number: Option<u64>) {
        self.has_status = number.is_some();
        if !self.is_secret() {
            return self.elsewhere().await;
        }
        let text = number.map_or_else(String::new, |number| format!("status {number}"));
        // One without an end may have ended with a departure, and would then be no change.
        let until = number.map(|_| EPOCH as Millis + 86_400_000);
        let status = GivenStatus::check(Some(text), until).unwrap();
        self.presence(PresenceChange { status, ..PresenceChange::default() }).await;
        self.happened(if self.has_status { "a status during an event" } else { "it ends before the event does" });
    }

    async fn presence(&self, set: PresenceChange) {
        self.service().set_presence(&name(OWNER), set, None, WriteOrigin::Import).await.unwrap();
    }

    fn moves_secretly(&mut self) {
        let unseen = self.relation != Relation::Hidden;
        if !self.during || unseen && !self.is_secret() {
            return;
        }
        self.happened("she moves");
        match self.choice.below(3) {
            _ if self.owner.is_empty() => self.comes(if self.choice.percent(50) { "tv" } else { KIND }),
            0 => {
                self.comes("tv");
                self.happened("she takes another kind of device");
            }
            1 => {
                self.owner.remove(0);
                self.happened("she puts one device away");
            }
            _ => self.leaves(),
        }
    }

    /// Ends the event, so that she is there from now on, or is not.
    async fn returns(&mut self, there: bool) {
        if self.relation == Relation::Hidden {
            return;
        }
        self.during = false;
        let changed = self.nicks.0 != self.nicks.1;
        self.happened(match (there, changed) {
            (true, true) => "she returns, changed",
            (true, false) => "she returns",
            (false, true) => "it ends while she is away, changed",
            (false, false) => "it ends while she is away",
        });
        if self.has_status {
            self.status(None).await;
        }
        if self.is_secret() {
            // In the other world she returns on one kind of device.
            self.owner.retain(|device| there && device.kind == KIND);
            if there && self.owner.is_empty() {
                self.comes(KIND);
            }
            // Until the gateway knows.
            sleep(Duration::from_millis(150)).await;
        } else {
            sleep(Duration::from_millis(150)).await;
        }
        match (self.relation, self.side) {
            (Relation::Block, Side::Secret) => {
                let peer = name(VIEWERS[self.target]);
                self.relate(Command::Unblock { account: name(OWNER), peer, if_version: None }).await;
            }
            (_, Side::Secret) => {
                self.presence(PresenceChange::hides(false)).await;
            }
            (_, Side::Plain) => {
                if changed {
                    let nick = self.nicks.0;
                    self.nick(nick).await;
                } else {
                    self.elsewhere().await;
                }
                if there {
                    self.comes(KIND);
                }
            }
        }
        self.nicks.1 = self.nicks.0;
    }

    async fn looks(&mut self, viewer: usize, look: Look) {
        self.happened(&format!("{look:?}"));
        let send = |world: &Self, command| {
            let _ = world.viewers[viewer].as_ref().expect("it comes back at once").orders.send(command);
        };
        match look {
            Look::GetUsers => {
                let accounts = vec![OWNER.to_owned()];
                send(self, ClientCommand::GetUsers(v1::GetUsers { accounts }));
            }
            Look::Reconnect => self.reconnect(viewer).await,
            Look::Fresh => {
                let fresh = self.view(viewer, Replica::default());
                sleep(Duration::from_millis(300)).await;
                drop(fresh);
            }
            Look::Repair => {
                // None of it is right, so all of it comes again.
                let leaves = vec![7; 64];
                send(self, ClientCommand::Repair(v1::Repair { leaves }));
            }
            Look::Note => {
                self.number += 1;
                let alias = Some(format!("a {}", self.number));
                send(
                    self,
                    ClientCommand::UpdateFriend(v1::UpdateFriend {
                        account: OWNER.into(),
                        alias,
                        ..Default::default()
                    }),
                );
            }
        }
    }

    async fn reconnect(&mut self, viewer: usize) {
        let before = self.viewers[viewer].take().expect("it comes back at once");
        let replica = before.replica.lock().unwrap().clone();
        drop(before);
        sleep(Duration::from_millis(50)).await;
        self.viewers[viewer] = Some(self.view(viewer, replica));
        sleep(Duration::from_millis(200)).await;
        self.watch(viewer);
    }

    fn watch(&self, viewer: usize) {
        let watch = v1::Watch { accounts: vec![OWNER.into()] };
        let connection = self.viewers[viewer].as_ref().expect("it is connected");
        let _ = connection.orders.send(ClientCommand::Watch(watch));
    }

    /// Kills the gateway, and starts it again; whoever was connected comes back.
    async fn restart(&mut self) {
        self.happened("a restart");
        drop(self.node.take());
        self.node = Some(Node::start(&self.on).await);
        for device in std::mem::take(&mut self.owner) {
            self.comes(device.kind);
        }
        if self.bystander.take().is_some() {
            self.bystander = Some(self.connect((BYSTANDER, KIND), Encoding::Json, Replica::default(), false, None));
        }
        sleep(Duration::from_millis(20)).await;
        for viewer in 0..2 {
            let replica = self.viewers[viewer].take().map(|before| before.replica.lock().unwrap().clone());
            self.viewers[viewer] = Some(self.view(viewer, replica.unwrap_or_default()));
            sleep(Duration::from_millis(150)).await;
            self.watch(viewer);
        }
    }

    /// Connects a viewer, and records what it receives. Of a block, only its target sees anything.
    fn view(&mut self, viewer: usize, replica: Replica) -> Connection {
        self.connections[viewer] += 1;
        let is_recorded = self.relation != Relation::Block || self.target == viewer;
        let recorder = is_recorded.then(|| (viewer, self.connections[viewer], self.begun, self.seen.clone()));
        self.connect((VIEWERS[viewer], KIND), Encoding::ALL[viewer], replica, false, recorder)
    }

    fn connect(
        &mut self,
        (account, kind): (&str, &'static str),
        encoding: Encoding,
        replica: Replica,
        logout: bool,
        recorder: Option<Recorder>,
    ) -> Connection {
        let (end, _) = self.node.as_mut().expect("it is replaced at once").connect(encoding, &self.random.fork());
        let (orders, taken) = unbounded_channel();
        let device = Some(v1::Device { r#type: kind.to_owned(), ..Default::default() });
        let login = v1::Login { token: account.to_owned(), cursor: replica.cursor().map(str::to_owned), device };
        orders.send(ClientCommand::Login(login)).expect("it is there");
        let replica = Arc::new(Mutex::new(replica));
        tokio::spawn(run(end, encoding, taken, replica.clone(), recorder));
        Connection { orders, replica, logout, kind }
    }
}

/// Where a viewer's frames are recorded: the viewer, its connection, the beginning, and all frames.
type Recorder = (usize, usize, Instant, Arc<Mutex<Vec<Seen>>>);

/// Runs a client until nobody gives it orders any more.
async fn run(
    end: End,
    encoding: Encoding,
    mut orders: UnboundedReceiver<ClientCommand>,
    replica: Arc<Mutex<Replica>>,
    recorder: Option<Recorder>,
) {
    let mut socket = WebSocketStream::from_raw_socket(end, Role::Client, None).await;
    let mut id = 0;
    loop {
        let payload = tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(order) = order else { return };
                id += 1;
                let mut payload = Vec::new();
                encoding.encode(&order.frame(id), &mut payload);
                if socket.send(message(encoding, payload)).await.is_err() {
                    return;
                }
                continue;
            }
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
        };
        if payload == encoding.heartbeat() {
            if socket.send(message(encoding, payload)).await.is_err() {
                return;
            }
            continue;
        }
        let frame = encoding.decode_server(&payload).unwrap();
        let _ = replica.lock().unwrap().apply(&frame);
        if let Some((viewer, connection, begun, seen)) = &recorder {
            let at = begun.elapsed().as_millis() as u64;
            seen.lock().unwrap().push(Seen::new(*viewer, *connection, at, &frame));
        }
    }
}

fn message(encoding: Encoding, payload: Vec<u8>) -> Message {
    match encoding {
        Encoding::Json => Message::text(String::from_utf8(payload).unwrap()),
        Encoding::Protobuf => Message::binary(payload),
    }
}

fn name(account: &str) -> Account {
    Account::parse(account, "account").unwrap()
}
