//! One client: it holds what a client holds, by the rules of docs/protocol.md, comes back by itself, and does what the
//! director orders. What must be true of every frame it checks on the spot.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::net::{End, Hand};
use crate::node::HEARTBEAT;
use crate::random::Random;
use crate::world::Ground;

/// What the director wants of a client.
#[derive(Debug, Clone)]
pub enum Order {
    /// Be connected, and stay so.
    Connect,
    /// Leave without a word.
    Drop,
    /// The line is reset.
    Cut,
    /// The client is gone, and the gateway is not told; it comes back on another line.
    Vanish,
    /// Nothing of the gateway arrives any more, and the client is not told.
    Deafen,
    /// Read nothing for so many milliseconds.
    Stall(u64),
    Send(ClientCommand),
    /// Hold something wrong, and find out.
    Corrupt(Corruption),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    MissingFriend,
    ExtraFriend,
    StaleCard,
    FutureCard,
    StaleEdge,
    FutureEdge,
    Everything,
}

impl Corruption {
    pub const ALL: [Self; 7] = [
        Self::MissingFriend,
        Self::ExtraFriend,
        Self::StaleCard,
        Self::FutureCard,
        Self::StaleEdge,
        Self::FutureEdge,
        Self::Everything,
    ];
}

/// What the director sees of a client.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is told apart from the others")]
pub struct View {
    pub replica: Replica,
    /// Whether it wants to be connected.
    pub wanted: bool,
    /// Whether it is, and in step.
    pub live: bool,
    /// Commands without a reply.
    pub asked: usize,
    /// Whether it reads nothing now.
    pub stalled: bool,
    /// Every account it has watched on this connection.
    pub ever_watched: Vec<String>,
    pub watched: Vec<String>,
    pub session: String,
    pub hand: Option<Hand>,
    /// Whether something wrong was put into what it holds that no `synced` has put right.
    pub tainted: bool,
}

pub struct Client {
    pub name: String,
    pub account: String,
    pub view: Arc<Mutex<View>>,
    pub orders: UnboundedSender<Order>,
}

impl Client {
    /// Starts a client's task, which ends with the history.
    pub fn start(name: String, account: String, encoding: Encoding, ground: Arc<Ground>) -> Self {
        let (orders, taken) = unbounded_channel();
        let view = Arc::new(Mutex::new(View::default()));
        let random = ground.random.fork();
        let task = Task {
            name: name.clone(),
            account: account.clone(),
            encoding,
            ground,
            random,
            orders: taken,
            view: view.clone(),
        };
        tokio::spawn(task.run());
        Self { name, account, view, orders }
    }

    pub fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

struct Task {
    name: String,
    account: String,
    encoding: Encoding,
    ground: Arc<Ground>,
    random: Random,
    orders: UnboundedReceiver<Order>,
    view: Arc<Mutex<View>>,
}

/// A connection of a client, and what it knows of it.
struct WriteHandle {
    socket: WebSocketStream<End>,
    hand: Hand,
    last_id: u64,
    asked: VecDeque<(u64, Asked)>,
    /// Whether a repair is under way.
    repairing: bool,
    silence: Instant,
    stalled_until: Option<Instant>,
    /// The newest version of each account's card that came on this connection or was held before.
    cards: BTreeMap<String, u64>,
    /// The own card's version after the last change of the nick that was acknowledged.
    nick_version: u64,
}

/// What a command was, as far as its reply is looked at.
#[derive(Debug, Clone)]
enum Asked {
    Login,
    Nick(String),
    Writes(Box<ClientCommand>),
    Watch(Vec<String>),
    Other,
}

/// Why a line is left.
enum Left {
    /// Come back by itself.
    Again,
    /// Wait for the order to.
    Stay,
    /// The history is over.
    End,
}

impl Task {
    async fn run(mut self) {
        loop {
            while !self.view.lock().unwrap().wanted {
                match self.orders.recv().await {
                    Some(Order::Connect) => self.view.lock().unwrap().wanted = true,
                    Some(_) => {}
                    None => return,
                }
            }
            let connection = self.ground.dial(self.encoding, &self.random);
            let left = match connection {
                Some((end, hand)) => self.connected(end, hand).await,
                None => Left::Again,
            };
            {
                let mut view = self.view.lock().unwrap();
                (view.live, view.asked, view.stalled, view.hand) = (false, 0, false, None);
                view.ever_watched.clear();
            }
            match left {
                Left::Again => sleep(Duration::from_millis(20 + self.random.below(300))).await,
                Left::Stay => self.view.lock().unwrap().wanted = false,
                Left::End => return,
            }
        }
    }

    async fn connected(&mut self, end: End, hand: Hand) -> Left {
        let socket = WebSocketStream::from_raw_socket(end, Role::Client, None).await;
        let silence = Instant::now() + HEARTBEAT * 5 / 2;
        let cards = self.view.lock().unwrap().replica.users().iter().map(|(a, u)| (a.clone(), u.version)).collect();
        self.view.lock().unwrap().hand = Some(hand.clone());
        let mut line = WriteHandle {
            socket,
            hand,
            last_id: 0,
            asked: VecDeque::new(),
            repairing: false,
            silence,
            stalled_until: None,
            cards,
            nick_version: 0,
        };
        let cursor = self.view.lock().unwrap().replica.cursor().map(str::to_owned);
        let login = ClientCommand::Login(v1::Login { token: self.account.clone(), cursor, device: None });
        if self.send(&mut line, login, Asked::Login).await.is_err() {
            return Left::Again;
        }
        loop {
            let stalled = line.stalled_until;
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => if let Err(left) = self.obey(&mut line, order).await { return left },
                    None => return Left::End,
                },
                () = sleep_until(stalled.unwrap_or(line.silence)), if stalled.is_some() => {
                    line.stalled_until = None;
                    self.view.lock().unwrap().stalled = false;
                    line.silence = Instant::now() + HEARTBEAT * 5 / 2;
                }
                message = line.socket.next(), if stalled.is_none() => {
                    line.silence = Instant::now() + HEARTBEAT * 5 / 2;
                    let payload = match message {
                        Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                        Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                        Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) >= 3500 => return Left::Stay,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Left::Again,
                        Some(Ok(_)) => continue,
                    };
                    if let Err(left) = self.arrived(&mut line, &payload).await {
                        return left;
                    }
                }
                () = sleep_until(line.silence), if stalled.is_none() => {
                    self.ground.happened("silence noticed");
                    return Left::Again;
                }
            }
        }
    }

    async fn send(&mut self, line: &mut WriteHandle, command: ClientCommand, asked: Asked) -> Result<(), Left> {
        line.last_id += 1;
        let mut payload = Vec::new();
        self.encoding.encode(&command.frame(line.last_id), &mut payload);
        line.asked.push_back((line.last_id, asked));
        self.view.lock().unwrap().asked = line.asked.len();
        self.write(line, payload).await
    }

    /// Writes a message. A line that takes nothing for too long is given up, as a client would do.
    async fn write(&mut self, line: &mut WriteHandle, payload: Vec<u8>) -> Result<(), Left> {
        let message = match self.encoding {
            Encoding::Json => Message::text(String::from_utf8(payload).unwrap()),
            Encoding::Protobuf => Message::binary(payload),
        };
        match tokio::time::timeout(HEARTBEAT, line.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Left::Again),
        }
    }

    async fn obey(&mut self, line: &mut WriteHandle, order: Order) -> Result<(), Left> {
        match order {
            Order::Connect => Ok(()),
            Order::Drop => Err(Left::Stay),
            Order::Cut => {
                line.hand.cut();
                Ok(())
            }
            Order::Vanish => {
                line.hand.lose(true);
                line.hand.lose(false);
                Err(Left::Again)
            }
            Order::Deafen => {
                line.hand.lose(true);
                Ok(())
            }
            Order::Stall(ms) => {
                line.stalled_until = Some(Instant::now() + Duration::from_millis(ms));
                self.view.lock().unwrap().stalled = true;
                Ok(())
            }
            Order::Send(command) => {
                let command = self.aim(command);
                let asked = match &command {
                    ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick: Some(nick), .. }) => Asked::Nick(nick.clone()),
                    ClientCommand::Watch(watch) => {
                        self.view.lock().unwrap().ever_watched.extend(watch.accounts.iter().cloned());
                        Asked::Watch(watch.accounts.clone())
                    }
                    ClientCommand::Signal(_) => {
                        // Not before the own nick is known to be told.
                        let payload = line.nick_version.to_string();
                        let ClientCommand::Signal(signal) = command else { unreachable!() };
                        return self
                            .send(line, ClientCommand::Signal(v1::Signal { payload, ..signal }), Asked::Other)
                            .await;
                    }
                    ClientCommand::GetUsers(_)
                    | ClientCommand::GetSessions(_)
                    | ClientCommand::Kick(_)
                    | ClientCommand::Logout(_) => Asked::Other,
                    _ => Asked::Writes(Box::new(command.clone())),
                };
                self.send(line, command, asked).await
            }
            Order::Corrupt(how) => {
                let is_live = self.view.lock().unwrap().live;
                if !is_live || line.repairing || !self.corrupt(how) {
                    return Ok(());
                }
                self.ground.happened("corruption");
                // It finds out at the next login, or asks at once.
                if self.random.percent(50) { Err(Left::Again) } else { self.repair(line).await }
            }
        }
    }

    /// Answers are mostly for requests that are there; the others find out that there is none.
    fn aim(&self, command: ClientCommand) -> ClientCommand {
        let view = self.view.lock().unwrap();
        let open = |direction: v1::Direction| {
            let requests = view.replica.requests().filter(|request| request.direction == direction as i32);
            let accounts: Vec<_> = requests.map(|request| request.account.clone()).collect();
            let some = !accounts.is_empty() && self.random.percent(70);
            some.then(|| accounts[self.random.index(accounts.len())].clone())
        };
        match command {
            ClientCommand::AcceptFriend(v1::AcceptFriend { account }) => {
                let account = open(v1::Direction::In).unwrap_or(account);
                ClientCommand::AcceptFriend(v1::AcceptFriend { account })
            }
            ClientCommand::RejectFriend(v1::RejectFriend { account }) => {
                let account = open(v1::Direction::In).unwrap_or(account);
                ClientCommand::RejectFriend(v1::RejectFriend { account })
            }
            ClientCommand::CancelRequest(v1::CancelRequest { account }) => {
                let account = open(v1::Direction::Out).unwrap_or(account);
                ClientCommand::CancelRequest(v1::CancelRequest { account })
            }
            other => other,
        }
    }

    async fn repair(&mut self, line: &mut WriteHandle) -> Result<(), Left> {
        line.repairing = true;
        let leaves = self.view.lock().unwrap().replica.leaves();
        self.view.lock().unwrap().live = false;
        self.send(line, ClientCommand::Repair(v1::Repair { leaves }), Asked::Other).await
    }

    /// Puts something wrong into what is held, by frames that no gateway would send; false if there is nothing to spoil.
    fn corrupt(&mut self, how: Corruption) -> bool {
        let mut view = self.view.lock().unwrap();
        let friends = view.replica.friends();
        let pick = (!friends.is_empty()).then(|| {
            let at = self.random.index(friends.len());
            friends.values().nth(at).unwrap().clone()
        });
        let card = pick.as_ref().and_then(|friend| view.replica.users().get(&friend.account).cloned());
        let cursor = view.replica.cursor().map(str::to_owned);
        let mut spoil = |removed: Vec<String>, friend: Option<v1::Friend>, user: Option<v1::User>| {
            let changes = v1::Changes {
                removed,
                friends: friend.into_iter().collect(),
                users: user.into_iter().collect(),
                cursor: cursor.clone(),
                ..Default::default()
            };
            view.replica.apply(&v1::ServerFrame { changes: Some(changes.into()), ..Default::default() }).unwrap();
        };
        let (Some(friend), Some(card)) = (pick, card) else {
            if how != Corruption::ExtraFriend {
                return false;
            }
            spoil(
                vec![],
                Some(extra()),
                Some(v1::User { account: "nobody".to_owned(), version: 3, ..Default::default() }),
            );
            view.tainted = true;
            return true;
        };
        let gone = vec![friend.account.clone()];
        match how {
            Corruption::MissingFriend => spoil(gone, None, None),
            Corruption::ExtraFriend => {
                let card = v1::User { account: "nobody".to_owned(), ..card };
                spoil(vec![], Some(extra()), Some(card));
            }
            Corruption::StaleCard => {
                spoil(
                    gone,
                    Some(friend),
                    Some(v1::User { version: card.version - 1, nick: "stale".to_owned(), ..card }),
                );
            }
            Corruption::FutureCard => {
                spoil(
                    gone,
                    Some(friend),
                    Some(v1::User { version: card.version + (1 << 40), nick: "never".to_owned(), ..card }),
                );
            }
            Corruption::StaleEdge => {
                spoil(gone, Some(v1::Friend { version: friend.version - 1, ..friend }), Some(card));
            }
            Corruption::FutureEdge => {
                spoil(gone, Some(v1::Friend { version: friend.version + (1 << 40), ..friend }), Some(card));
            }
            Corruption::Everything => {
                let all = view.replica.friends().keys().cloned().collect();
                let changes = v1::Changes {
                    removed: all,
                    friends: vec![extra()],
                    users: vec![v1::User { account: "nobody".to_owned(), version: 1 << 50, ..Default::default() }],
                    cursor,
                    ..Default::default()
                };
                view.replica.apply(&v1::ServerFrame { changes: Some(changes.into()), ..Default::default() }).unwrap();
            }
        }
        view.tainted = true;
        true
    }

    async fn arrived(&mut self, line: &mut WriteHandle, payload: &[u8]) -> Result<(), Left> {
        if payload == self.encoding.heartbeat() {
            return self.write(line, payload.to_vec()).await;
        }
        let frame = self.encoding.decode_server(payload).unwrap();
        self.ground.trace(&self.name, &frame);
        if frame.id > 0 {
            self.answered(line, &frame).await?;
        }
        if let Some(changes) = &frame.changes {
            self.check_changes(line, changes);
        }
        if let Some(signal) = &frame.signal {
            self.check_signal(line, signal);
        }
        let (synced, tainted) = {
            let mut view = self.view.lock().unwrap();
            if frame.login_reply.is_none() {
                // A reply to the login begins a catch-up, which `answered` did.
                let applied = view.replica.apply(&frame);
                if frame.synced.is_none() {
                    return Ok(());
                }
                let tainted = view.tainted;
                view.live = applied.is_ok();
                if applied.is_ok() {
                    view.tainted = false;
                }
                (applied, tainted)
            } else {
                return Ok(());
            }
        };
        let repaired = std::mem::take(&mut line.repairing);
        match synced {
            Ok(()) => {
                if repaired {
                    self.ground.happened("repair");
                }
                Ok(())
            }
            Err(error) => {
                self.ground.demand(tainted, &format!("{}: nothing was spoilt, and yet {error}", self.name));
                self.ground.demand(!repaired, &format!("{}: a repair did not help: {error}", self.name));
                self.ground.happened("mismatch noticed");
                self.repair(line).await
            }
        }
    }

    async fn answered(&mut self, line: &mut WriteHandle, frame: &v1::ServerFrame) -> Result<(), Left> {
        let (id, asked) = line.asked.pop_front().unwrap_or((0, Asked::Other));
        self.ground.demand(id == frame.id, &format!("{}: the reply to {} came for {id}", self.name, frame.id));
        self.view.lock().unwrap().asked = line.asked.len();
        if let Some(error) = &frame.error {
            self.ground.refused(&error.reason);
            if matches!(asked, Asked::Login) {
                return Ok(());
            }
            if line.repairing && matches!(asked, Asked::Other) && error.code == 503 {
                return Err(Left::Again);
            }
            return Ok(());
        }
        match asked {
            Asked::Login => {
                let reply = frame.login_reply.as_ref().unwrap();
                self.ground.happened(match reply.sync {
                    0 => "full sync",
                    1 => "delta sync",
                    _ => "current sync",
                });
                if let Some(because) = &reply.because {
                    self.ground.happened(match because.as_str() {
                        "CURSOR_FOREIGN" => "full sync, cursor of another history",
                        "CURSOR_EXPIRED" => "full sync, cursor expired",
                        "CURSOR_FROM_FUTURE" => "full sync, cursor from the future",
                        _ => "full sync, no cursor",
                    });
                }
                let watched = {
                    let mut view = self.view.lock().unwrap();
                    view.replica.begin(reply);
                    view.session.clone_from(&reply.session);
                    // Nobody is watched on this connection before it is answered, and it may be refused.
                    std::mem::take(&mut view.watched)
                };
                if !watched.is_empty() {
                    self.view.lock().unwrap().ever_watched.extend(watched.iter().cloned());
                    let watch = ClientCommand::Watch(v1::Watch { accounts: watched.clone() });
                    self.send(line, watch, Asked::Watch(watched)).await?;
                }
            }
            Asked::Nick(nick) => {
                let user = frame.update_my_info_reply.as_ref().and_then(|reply| reply.user.as_ref()).unwrap();
                line.nick_version = user.version;
                self.ground.demand(user.nick == nick, &format!("{}: asked for {nick}, told {}", self.name, user.nick));
                let safe = self.ground.is_safe(&self.account, &nick);
                self.ground.demand(safe, &format!("{}: {nick} was acknowledged and is not safe", self.name));
                self.ground.happened("acknowledged write");
            }
            Asked::Watch(accounts) => {
                if !accounts.is_empty() {
                    self.ground.happened("watch");
                }
                self.view.lock().unwrap().watched = accounts;
            }
            Asked::Writes(command) => {
                let safe = self.ground.is_committed(&self.account, &command);
                self.ground.demand(safe, &format!("{}: {command:?} was acknowledged and is not safe", self.name));
                self.ground.happened(&format!("acknowledged: {}", word(&command)));
            }
            Asked::Other => {}
        }
        Ok(())
    }

    /// A friend never comes without a card, and nothing of the own account comes as another's.
    fn check_changes(&self, line: &mut WriteHandle, changes: &v1::Changes) {
        for friend in &changes.friends {
            let with_card = changes.users.iter().any(|user| user.account == friend.account);
            self.ground.demand(with_card, &format!("{}: {} came without a card", self.name, friend.account));
        }
        for user in &changes.users {
            self.ground.demand(user.account != self.account, &format!("{}: the own card came as another's", self.name));
            let newest = line.cards.entry(user.account.clone()).or_default();
            *newest = user.version.max(*newest);
        }
    }

    /// The sender's card, as it was when the signal was sent or newer, came before the signal.
    fn check_signal(&self, line: &WriteHandle, signal: &v1::Signalled) {
        self.ground.happened("signal");
        let sent: u64 = signal.payload.parse().unwrap_or(0);
        let held = line.cards.get(&signal.from).copied().unwrap_or(0);
        if signal.from != self.account && sent > 0 {
            self.ground
                .demand(held >= sent, &format!("{}: a signal of {} came before its card", self.name, signal.from));
        }
    }
}

/// What a command that writes is called where it is counted.
fn word(command: &ClientCommand) -> &'static str {
    match command {
        ClientCommand::AddFriend(_) => "add a friend",
        ClientCommand::RequestFriend(_) => "request",
        ClientCommand::AcceptFriend(_) => "accept",
        ClientCommand::RejectFriend(_) => "reject",
        ClientCommand::CancelRequest(_) => "cancel",
        ClientCommand::DeleteFriend(_) => "remove",
        ClientCommand::UpdateFriend(_) => "alias",
        ClientCommand::Block(_) => "block",
        ClientCommand::Unblock(_) => "unblock",
        ClientCommand::SetPresence(_) => "hide or show",
        _ => "own fields",
    }
}

fn extra() -> v1::Friend {
    v1::Friend { account: "nobody".to_owned(), version: 2, ..Default::default() }
}
