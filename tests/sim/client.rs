//! Runs one client: it keeps a replica by the rules of docs/protocol.md, reconnects by itself, and carries out the
//! orders of the director. It checks every frame at once.

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

use crate::device;
use crate::net::{Breaker, End};
use crate::node::HEARTBEAT;
use crate::random::Random;
use crate::world::Shared;

/// An order of the director to a client.
#[expect(clippy::large_enum_variant, reason = "there are a few hundred")]
#[derive(Debug, Clone)]
pub enum Order {
    /// Be connected, and stay so.
    Connect,
    /// Drop the connection without a logout.
    Drop,
    /// Reset the connection.
    Cut,
    /// Leave without the gateway noticing, and come back on another connection.
    Vanish,
    /// Lose everything that the gateway sends, without noticing.
    Deafen,
    /// Read nothing for so many milliseconds.
    Stall(u64),
    Send(ClientCommand),
    /// Put something wrong into the replica, and find out.
    Corrupt(Corruption),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    MissingFriend,
    ExtraFriend,
    StaleProfile,
    FutureProfile,
    StaleEdge,
    FutureEdge,
    Everything,
}

impl Corruption {
    pub const ALL: [Self; 7] = [
        Self::MissingFriend,
        Self::ExtraFriend,
        Self::StaleProfile,
        Self::FutureProfile,
        Self::StaleEdge,
        Self::FutureEdge,
        Self::Everything,
    ];
}

/// The state of a client that the director sees.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "they are independent")]
pub struct View {
    pub replica: Replica,
    /// Whether it wants to be connected.
    pub wanted: bool,
    /// Whether it is connected and in sync.
    pub live: bool,
    /// Commands without a reply.
    pub asked: usize,
    /// Whether it reads nothing now.
    pub stalled: bool,
    /// All accounts that it has watched: the session of an earlier connection may still be there.
    pub ever_watched: Vec<String>,
    pub watched: Vec<String>,
    pub session: String,
    /// How often it has logged in, and on which type of device last.
    pub logins: usize,
    pub device: &'static str,
    pub breaker: Option<Breaker>,
    /// Whether its replica was corrupted, and no `synced` has repaired it since.
    pub tainted: bool,
}

pub struct Client {
    pub name: String,
    pub account: String,
    pub view: Arc<Mutex<View>>,
    pub orders: UnboundedSender<Order>,
}

impl Client {
    /// Starts the task of a client, which ends with the history.
    pub fn start(name: String, account: String, encoding: Encoding, shared: Arc<Shared>) -> Self {
        let (orders, taken) = unbounded_channel();
        let view = Arc::new(Mutex::new(View::default()));
        let random = shared.random.fork();
        let task = Task {
            name: name.clone(),
            account: account.clone(),
            encoding,
            shared,
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
    shared: Arc<Shared>,
    random: Random,
    orders: UnboundedReceiver<Order>,
    view: Arc<Mutex<View>>,
}

/// A connection of a client, and its state.
struct Connection {
    socket: WebSocketStream<End>,
    breaker: Breaker,
    last_id: u64,
    asked: VecDeque<(u64, Asked)>,
    /// Whether a repair is under way.
    repairing: bool,
    silence: Instant,
    stalled_until: Option<Instant>,
    /// The newest version of each profile that came on this connection or was in the replica before.
    profile_versions: BTreeMap<String, u64>,
    /// The version of the own profile after the last acknowledged change of the nick.
    nick_version: u64,
}

/// The kind of a command that waits for its reply.
#[derive(Debug, Clone)]
enum Asked {
    Login,
    Nick(String),
    Writes(Box<ClientCommand>),
    Watch(Vec<String>),
    Other,
}

/// How a client goes on after a connection.
enum Exit {
    /// It reconnects by itself.
    Again,
    /// It waits for an order.
    Stay,
    /// It ends, with the history.
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
            let connection = self.shared.dial(&self.name, self.encoding, &self.random);
            let left = match connection {
                Some((end, breaker)) => self.connected(end, breaker).await,
                None => Exit::Again,
            };
            {
                let mut view = self.view.lock().unwrap();
                (view.live, view.asked, view.stalled, view.breaker) = (false, 0, false, None);
            }
            match left {
                Exit::Again => sleep(Duration::from_millis(20 + self.random.below(300))).await,
                Exit::Stay => self.view.lock().unwrap().wanted = false,
                Exit::End => return,
            }
        }
    }

    async fn connected(&mut self, end: End, breaker: Breaker) -> Exit {
        let socket = WebSocketStream::from_raw_socket(end, Role::Client, None).await;
        let silence = Instant::now() + HEARTBEAT * 5 / 2;
        let profile_versions =
            self.view.lock().unwrap().replica.users().iter().map(|(a, u)| (a.clone(), u.version)).collect();
        self.view.lock().unwrap().breaker = Some(breaker.clone());
        let mut connection = Connection {
            socket,
            breaker,
            last_id: 0,
            asked: VecDeque::new(),
            repairing: false,
            silence,
            stalled_until: None,
            profile_versions,
            nick_version: 0,
        };
        let login = ClientCommand::Login(self.login());
        if self.send(&mut connection, login, Asked::Login).await.is_err() {
            return Exit::Again;
        }
        loop {
            let stalled = connection.stalled_until;
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => if let Err(left) = self.carry_out(&mut connection, order).await { return left },
                    None => return Exit::End,
                },
                () = sleep_until(stalled.unwrap_or(connection.silence)), if stalled.is_some() => {
                    connection.stalled_until = None;
                    self.view.lock().unwrap().stalled = false;
                    connection.silence = Instant::now() + HEARTBEAT * 5 / 2;
                }
                message = connection.socket.next(), if stalled.is_none() => {
                    connection.silence = Instant::now() + HEARTBEAT * 5 / 2;
                    let payload = match message {
                        Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                        Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                        Some(Ok(Message::Close(Some(close)))) if u16::from(close.code) >= 3500 => return Exit::Stay,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Exit::Again,
                        Some(Ok(_)) => continue,
                    };
                    if let Err(left) = self.arrived(&mut connection, &payload).await {
                        return left;
                    }
                }
                () = sleep_until(connection.silence), if stalled.is_none() => {
                    self.shared.happened("silence noticed");
                    return Exit::Again;
                }
            }
        }
    }

    async fn send(&mut self, connection: &mut Connection, command: ClientCommand, asked: Asked) -> Result<(), Exit> {
        connection.last_id += 1;
        let mut payload = Vec::new();
        self.encoding.encode(&command.frame(connection.last_id), &mut payload);
        connection.asked.push_back((connection.last_id, asked));
        self.view.lock().unwrap().asked = connection.asked.len();
        self.write(connection, payload).await
    }

    /// Writes a message. As a real client, it gives up a connection that takes nothing for too long.
    async fn write(&mut self, connection: &mut Connection, payload: Vec<u8>) -> Result<(), Exit> {
        let message = match self.encoding {
            Encoding::Json => Message::text(String::from_utf8(payload).unwrap()),
            Encoding::Protobuf => Message::binary(payload),
        };
        match tokio::time::timeout(HEARTBEAT, connection.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Exit::Again),
        }
    }

    async fn carry_out(&mut self, connection: &mut Connection, order: Order) -> Result<(), Exit> {
        match order {
            Order::Connect => Ok(()),
            Order::Drop => Err(Exit::Stay),
            Order::Cut => {
                connection.breaker.cut();
                Ok(())
            }
            Order::Vanish => {
                connection.breaker.lose(true);
                connection.breaker.lose(false);
                Err(Exit::Again)
            }
            Order::Deafen => {
                connection.breaker.lose(true);
                Ok(())
            }
            Order::Stall(ms) => {
                connection.stalled_until = Some(Instant::now() + Duration::from_millis(ms));
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
                        // The receiver checks that this version of the profile came before the signal.
                        let payload = connection.nick_version.to_string();
                        let ClientCommand::Signal(signal) = command else { unreachable!() };
                        return self
                            .send(connection, ClientCommand::Signal(v1::Signal { payload, ..signal }), Asked::Other)
                            .await;
                    }
                    ClientCommand::GetUsers(_)
                    | ClientCommand::GetSessions(_)
                    | ClientCommand::Kick(_)
                    | ClientCommand::Logout(_) => Asked::Other,
                    _ => Asked::Writes(Box::new(command.clone())),
                };
                self.send(connection, command, asked).await
            }
            Order::Corrupt(how) => {
                let is_live = self.view.lock().unwrap().live;
                if !is_live || connection.repairing || !self.corrupt(how) {
                    return Ok(());
                }
                self.shared.happened("corruption");
                // The client finds out at the next login, or repairs at once.
                if self.random.percent(50) { Err(Exit::Again) } else { self.repair(connection).await }
            }
        }
    }

    /// Aims most answers at requests that exist, and leaves the others as they are.
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

    async fn repair(&mut self, connection: &mut Connection) -> Result<(), Exit> {
        connection.repairing = true;
        let leaves = self.view.lock().unwrap().replica.leaves();
        self.view.lock().unwrap().live = false;
        self.send(connection, ClientCommand::Repair(v1::Repair { leaves }), Asked::Other).await
    }

    /// Corrupts the replica with frames that no gateway would send. Returns false if there is nothing to corrupt.
    fn corrupt(&mut self, how: Corruption) -> bool {
        let mut view = self.view.lock().unwrap();
        let friends = view.replica.friends();
        let pick = (!friends.is_empty()).then(|| {
            let at = self.random.index(friends.len());
            friends.values().nth(at).unwrap().clone()
        });
        let profile = pick.as_ref().and_then(|friend| view.replica.users().get(&friend.account).cloned());
        let cursor = view.replica.cursor().map(str::to_owned);
        let mut corrupt = |removed: Vec<String>, friend: Option<v1::Friend>, user: Option<v1::User>| {
            let changes = v1::Changes {
                removed,
                friends: friend.into_iter().collect(),
                users: user.into_iter().collect(),
                cursor: cursor.clone(),
                ..Default::default()
            };
            view.replica.apply(&v1::ServerFrame { changes: Some(changes.into()), ..Default::default() }).unwrap();
        };
        let (Some(friend), Some(profile)) = (pick, profile) else {
            if how != Corruption::ExtraFriend {
                return false;
            }
            corrupt(
                vec![],
                Some(extra()),
                Some(v1::User { account: "nobody".to_owned(), version: 3, ..Default::default() }),
            );
            view.tainted = true;
            return true;
        };
        let gone = vec![friend.account.clone()];
        match how {
            Corruption::MissingFriend => corrupt(gone, None, None),
            Corruption::ExtraFriend => {
                let profile = v1::User { account: "nobody".to_owned(), ..profile };
                corrupt(vec![], Some(extra()), Some(profile));
            }
            Corruption::StaleProfile => {
                corrupt(
                    gone,
                    Some(friend),
                    Some(v1::User { version: profile.version - 1, nick: "stale".to_owned(), ..profile }),
                );
            }
            Corruption::FutureProfile => {
                corrupt(
                    gone,
                    Some(friend),
                    Some(v1::User { version: profile.version + (1 << 40), nick: "never".to_owned(), ..profile }),
                );
            }
            Corruption::StaleEdge => {
                corrupt(gone, Some(v1::Friend { version: friend.version - 1, ..friend }), Some(profile));
            }
            Corruption::FutureEdge => {
                corrupt(gone, Some(v1::Friend { version: friend.version + (1 << 40), ..friend }), Some(profile));
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

    async fn arrived(&mut self, connection: &mut Connection, payload: &[u8]) -> Result<(), Exit> {
        if payload == self.encoding.heartbeat() {
            return self.write(connection, payload.to_vec()).await;
        }
        let frame = self.encoding.decode_server(payload).unwrap();
        self.shared.trace(&self.name, &self.account, &frame);
        if frame.id > 0 {
            self.answered(connection, &frame).await?;
        }
        if let Some(presence) = &frame.presence {
            device::check(presence, (&self.name, &self.account), &self.shared);
        }
        if let Some(changes) = &frame.changes {
            self.check_changes(connection, changes);
        }
        if let Some(signal) = &frame.signal {
            self.check_signal(connection, signal);
        }
        let (synced, tainted) = {
            let mut view = self.view.lock().unwrap();
            if frame.login_reply.is_none() {
                // A reply to the login begins a catch-up, which `answered` did.
                let applied = view.replica.apply(&frame);
                if frame.synced.is_none() {
                    let has_cursor = frame.changes.as_ref().is_some_and(|changes| changes.cursor.is_some());
                    if view.live && has_cursor && !view.tainted {
                        self.shared.check_cursor(&self.name, &self.account, &view.replica);
                    }
                    return Ok(());
                }
                if applied.is_ok() {
                    self.shared.check_cursor(&self.name, &self.account, &view.replica);
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
        let repaired = std::mem::take(&mut connection.repairing);
        match synced {
            Ok(()) => {
                if repaired {
                    self.shared.happened("repair");
                }
                Ok(())
            }
            Err(error) => {
                self.shared.check_mismatch(&self.name, tainted, &error);
                self.shared.demand(!repaired, &format!("{}: a repair did not help: {error}", self.name));
                self.repair(connection).await
            }
        }
    }

    async fn answered(&mut self, connection: &mut Connection, frame: &v1::ServerFrame) -> Result<(), Exit> {
        let (id, asked) = connection.asked.pop_front().unwrap_or((0, Asked::Other));
        self.shared.demand(id == frame.id, &format!("{}: the reply to {} came for {id}", self.name, frame.id));
        self.view.lock().unwrap().asked = connection.asked.len();
        if let Some(error) = &frame.error {
            self.shared.refused(&error.reason);
            if matches!(asked, Asked::Login) {
                return Ok(());
            }
            if connection.repairing && matches!(asked, Asked::Other) && error.code == 503 {
                return Err(Exit::Again);
            }
            return Ok(());
        }
        match asked {
            Asked::Login => {
                let reply = frame.login_reply.as_ref().unwrap();
                self.shared.happened(match reply.sync {
                    0 => "full sync",
                    1 => "delta sync",
                    _ => "current sync",
                });
                if let Some(because) = &reply.because {
                    self.shared.check_full_sync(&self.name, because);
                    self.shared.happened(match because.as_str() {
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
                    // Nothing is watched on this connection before the reply, which may be a refusal.
                    std::mem::take(&mut view.watched)
                };
                if !watched.is_empty() {
                    self.view.lock().unwrap().ever_watched.extend(watched.iter().cloned());
                    let watch = ClientCommand::Watch(v1::Watch { accounts: watched.clone() });
                    self.send(connection, watch, Asked::Watch(watched)).await?;
                }
            }
            Asked::Nick(nick) => {
                let user = frame.update_my_info_reply.as_ref().and_then(|reply| reply.user.as_ref()).unwrap();
                connection.nick_version = user.version;
                self.shared.demand(user.nick == nick, &format!("{}: asked for {nick}, got {}", self.name, user.nick));
                let safe = self.shared.is_safe(&self.account, &nick);
                self.shared.demand(safe, &format!("{}: {nick} was acknowledged and is not safe", self.name));
                self.shared.happened("acknowledged write");
            }
            Asked::Watch(accounts) => {
                if !accounts.is_empty() {
                    self.shared.happened("watch");
                }
                self.view.lock().unwrap().watched = accounts;
            }
            Asked::Writes(command) => {
                let safe = self.shared.is_committed(&self.account, &command);
                self.shared.demand(safe, &format!("{}: {command:?} was acknowledged and is not safe", self.name));
                self.shared.happened(&format!("acknowledged: {}", word(&command)));
            }
            Asked::Other => {}
        }
        Ok(())
    }

    fn login(&self) -> v1::Login {
        let mut view = self.view.lock().unwrap();
        view.device = device::device_type(&self.name, view.logins);
        view.logins += 1;
        let device = Some(v1::Device { r#type: view.device.to_owned(), ..Default::default() });
        v1::Login { token: self.account.clone(), cursor: view.replica.cursor().map(str::to_owned), device }
    }

    /// Checks that a friend never comes without a profile, and that the own profile never comes as that of another.
    fn check_changes(&self, connection: &mut Connection, changes: &v1::Changes) {
        for friend in &changes.friends {
            let with_profile = changes.users.iter().any(|user| user.account == friend.account);
            self.shared.demand(with_profile, &format!("{}: {} came without a profile", self.name, friend.account));
        }
        for user in &changes.users {
            self.shared
                .demand(user.account != self.account, &format!("{}: the own profile came as another's", self.name));
            let newest = connection.profile_versions.entry(user.account.clone()).or_default();
            *newest = user.version.max(*newest);
        }
    }

    /// Checks that the profile of the sender came before its signal, as it was then or newer.
    fn check_signal(&self, connection: &Connection, signal: &v1::Signalled) {
        self.shared.happened("signal");
        let sent: u64 = signal.payload.parse().unwrap_or(0);
        let held = connection.profile_versions.get(&signal.from).copied().unwrap_or(0);
        if signal.from != self.account && sent > 0 {
            self.shared
                .demand(held >= sent, &format!("{}: a signal of {} came before its profile", self.name, signal.from));
        }
    }
}

/// The name under which a command that writes is counted.
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
        ClientCommand::SetPresence(set) => {
            if set.status.is_some() {
                "status"
            } else {
                "hide or show"
            }
        }
        ClientCommand::SetMuted(_) => "mute",
        _ => "own fields",
    }
}

fn extra() -> v1::Friend {
    v1::Friend { account: "nobody".to_owned(), version: 2, ..Default::default() }
}
