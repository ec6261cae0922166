//! Whole sessions: clients of a few accounts connect, send commands, read, leave and send garbage, while the backend
//! changes things. At the end every client holds the same as a fresh one.
#![no_main]

use std::future::pending;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rosterd::service::keep_presence;
use rosterd_client::{Client, ClientError, Records, Replica};
use rosterd_engine::model::{
    Account, Audience, Command as Write, FriendsPolicy, SessionsPolicy, Visibility, WriteOrigin,
};
use rosterd_fuzz::{Kind, Node, PATIENCE, in_time, run};
use rosterd_protocol::{ClientCommand, Encoding, import_line, v1};
use tokio::time::timeout;

const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];
const CLIENTS: usize = 6;
/// The longest plan; more would only be slower.
const STEPS: usize = 64;

#[derive(Debug, Arbitrary)]
struct Plan {
    hidden: [bool; 2],
    one_session: bool,
    by_request_only: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Connect(ClientNumber),
    Leave(ClientNumber),
    Read(ClientNumber),
    Ask(ClientNumber, Ask),
    /// Any bytes as a message of the connection's kind.
    Say(ClientNumber, String),
    Backend(Backend),
}

/// One of the clients.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct ClientNumber(u8);

impl ClientNumber {
    fn index(self) -> usize {
        usize::from(self.0) % CLIENTS
    }
}

/// One of the accounts, or one that does not exist.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Who(u8);

impl Who {
    fn name(self) -> String {
        let names = [&ACCOUNTS[..], &["nobody", "no account"]].concat();
        names[usize::from(self.0) % names.len()].to_owned()
    }

    fn account(self) -> Account {
        Account::stored(ACCOUNTS[usize::from(self.0) % ACCOUNTS.len()]).unwrap()
    }
}

#[derive(Debug, Arbitrary)]
enum Ask {
    UpdateMyInfo { nick: Option<String>, tel: Option<String>, birth: Option<u8>, gender: Option<i32>, guarded: bool },
    GetUsers(Vec<Who>),
    Add(Who, String),
    Request(Who, String),
    Accept(Who),
    Reject(Who),
    Cancel(Who),
    Delete(Who),
    Note(Who, Option<String>, Option<String>),
    Block(Who),
    Unblock(Who),
    Mute(Who, bool),
    Watch(Vec<Who>),
    Signal(Who, String),
    Show(Option<bool>, Option<String>, Option<u64>),
    Schema,
    Sessions,
    Kick,
    Refresh(Who),
    LoginAgain,
    Logout,
}

#[derive(Debug, Arbitrary)]
enum Backend {
    Change(Who, String),
    Make(Who),
    Erase(Who),
    Befriend(Who, Who),
    Unfriend(Who, Who),
    Block(Who, Who),
    Revoke(Who),
    Kick(Who),
    Compact,
}

fuzz_target!(|plan: Plan| run(play(plan)));

/// A client: its connection, if it has one, and its replica.
#[derive(Default)]
struct Peer {
    client: Option<Client>,
    replica: Replica,
    watched: Vec<String>,
    /// Whether it has sent garbage, which may have been a valid `watch`.
    wild: bool,
}

struct World {
    node: Node,
    peers: Vec<Peer>,
}

async fn play(plan: Plan) {
    let hide = |hidden, audience| if hidden { audience } else { Audience::Everyone };
    let [tel, birth] = plan.hidden;
    let visibility =
        Visibility { tel: hide(tel, Audience::Friends), birth: hide(birth, Audience::Own), ..Visibility::default() };
    let sessions = if plan.one_session { SessionsPolicy::One } else { SessionsPolicy::All };
    let friends = if plan.by_request_only { FriendsPolicy::Request } else { FriendsPolicy::Both };
    let node = Node::start(Kind { friends, visibility, sessions, ..Kind::default() }).await;
    let presence = tokio::spawn(keep_presence(node.service.clone(), pending()));
    let mut world = World { node, peers: (0..CLIENTS).map(|_| Peer::default()).collect() };
    for account in ACCOUNTS {
        world.make(account).await;
    }
    for step in plan.steps.into_iter().take(STEPS) {
        world.step(step).await;
    }
    world.assert_convergence().await;
    world.peers.clear();
    presence.abort();
    world.node.settled().await;
}

impl World {
    async fn make(&self, account: &str) {
        let line = import_line(&format!("{{\"user\":{{\"account\":\"{account}\"}}}}")).expect("a good line");
        self.write(line).await;
    }

    /// Writes as a backend; a refusal is a valid answer.
    async fn write(&self, command: Write) {
        let _ = in_time("a write", self.node.service.import(vec![command], &WriteOrigin::Import)).await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Connect(client) => drop(self.connect(client.index()).await),
            Step::Leave(client) => self.peers[client.index()].leave(),
            Step::Read(client) => self.peers[client.index()].read().await,
            Step::Ask(client, ask) => self.peers[client.index()].ask(ask).await,
            Step::Say(client, text) => self.peers[client.index()].say(text).await,
            Step::Backend(backend) => self.backend(backend).await,
        }
    }

    /// Logs a client in, if its account exists, and returns whether it is connected now.
    async fn connect(&mut self, number: usize) -> bool {
        let encoding = Encoding::ALL[number % 2];
        let peer = &mut self.peers[number];
        if peer.client.is_none() {
            let mut client = dial(&self.node, encoding).await;
            peer.watched.clear();
            peer.wild = false;
            match in_time("a login", client.login(account_of(number), &mut peer.replica)).await {
                Ok(_) => peer.client = Some(client),
                // The account was deleted, or its tokens are revoked for this very moment.
                Err(ClientError::Refused(_) | ClientError::Closed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        peer.client.is_some()
    }

    async fn backend(&mut self, backend: Backend) {
        let service = self.node.service.clone();
        match backend {
            Backend::Change(who, sign) => {
                let line = serde_json::json!({"user": {"account": who.account().as_str(), "sign": sign}}).to_string();
                if let Ok(command) = import_line(&line) {
                    self.write(command).await;
                }
            }
            Backend::Make(who) => self.make(who.account().as_str()).await,
            Backend::Erase(who) => self.write(Write::DeleteUser { account: who.account() }).await,
            Backend::Befriend(a, b) if a.account() != b.account() => {
                self.write(Write::Befriend { account: a.account(), peer: b.account() }).await;
            }
            Backend::Unfriend(a, b) if a.account() != b.account() => {
                self.write(Write::Unfriend { account: a.account(), peer: b.account() }).await;
            }
            Backend::Block(a, b) if a.account() != b.account() => {
                self.write(Write::Block { account: a.account(), peer: b.account(), if_version: None }).await;
            }
            Backend::Befriend(..) | Backend::Unfriend(..) | Backend::Block(..) => {}
            Backend::Revoke(who) => {
                let account = who.account();
                let revoked = service.revoke_tokens(&account, None, WriteOrigin::Key("backend".into()));
                drop(in_time("a write", revoked).await);
            }
            Backend::Kick(who) => drop(service.kick_here(&who.account(), None)),
            Backend::Compact => drop(in_time("a compaction", self.node.store.compact(u64::MAX >> 1)).await),
        }
    }

    /// Checks that every client whose account exists holds the same as a fresh one, whether it stayed or reconnects.
    async fn assert_convergence(&mut self) {
        // In development mode a token is issued when it is used, so a revoked one is valid again a millisecond later.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        for account in ACCOUNTS {
            let mut fresh = Peer::default();
            let mut client = dial(&self.node, Encoding::Json).await;
            match in_time("a login", client.login(account, &mut fresh.replica)).await {
                Ok(_) => {}
                Err(ClientError::Refused(error)) => {
                    let exists = self.node.service.get_user(&Account::stored(account).unwrap()).await.is_ok();
                    assert!(!exists, "{account} exists and may not log in: {}", error.message);
                    continue;
                }
                Err(error) => panic!("{account}: {error}"),
            }
            for number in (0..CLIENTS).filter(|number| account_of(*number) == account) {
                self.assert_converges(number, &fresh.replica).await;
            }
        }
    }

    async fn assert_converges(&mut self, number: usize, fresh: &Replica) {
        let peer = &mut self.peers[number];
        let end = tokio::time::Instant::now() + PATIENCE;
        while peer.client.is_some() && held(&peer.replica) != held(fresh) {
            match tokio::time::timeout_at(end, peer.next()).await {
                Ok(()) => {}
                Err(_) => panic!("client {number} holds {:#?}\nnot {:#?}", held(&peer.replica), held(fresh)),
            }
        }
        if peer.client.is_none() {
            assert!(self.connect(number).await, "client {number} may not come back");
            let peer = &self.peers[number];
            assert_eq!(held(&peer.replica), held(fresh), "client {number} came back");
        }
        assert_eq!(self.peers[number].replica.digest(), fresh.digest());
        self.peers[number].assert_watched_are_current().await;
    }
}

impl Peer {
    /// Drops the connection without a logout.
    fn leave(&mut self) {
        self.client = None;
    }

    /// Applies the next frame, or notices the end of the connection.
    async fn next(&mut self) {
        let Some(client) = &mut self.client else { return };
        match client.next().await {
            Ok(frame) => self.replica.apply(&frame).expect("the sync is complete"),
            Err(ClientError::Closed { .. }) => self.leave(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Applies all frames that have arrived.
    async fn read(&mut self) {
        while self.client.is_some() && timeout(std::time::Duration::ZERO, self.next()).await.is_ok() {}
    }

    async fn ask(&mut self, ask: Ask) {
        let Some(client) = &mut self.client else { return };
        let me = self.replica.me().map_or(0, |me| me.version);
        let command = command(ask, me);
        match in_time("a reply", client.request(command.clone())).await {
            Ok(reply) => {
                if let ClientCommand::Watch(watch) = command {
                    self.watched = watch.accounts;
                }
                self.replica.apply(&reply).expect("a reply is no sync");
            }
            Err(ClientError::Refused(error)) => assert!(error.code != 503, "{error:?}"),
            Err(ClientError::Closed { .. }) => self.leave(),
            Err(error) => panic!("{error}"),
        }
    }

    async fn say(&mut self, text: String) {
        let Some(client) = &mut self.client else { return };
        self.wild = true;
        if client.send_payload(text.into_bytes()).await.is_err() {
            self.leave();
        }
    }

    async fn assert_watched_are_current(&mut self) {
        if self.wild {
            return;
        }
        let me = self.replica.me().map(|me| me.account.clone()).unwrap_or_default();
        for account in self.watched.clone().into_iter().filter(|watched| *watched != me) {
            let Some(client) = &mut self.client else { return };
            let get = ClientCommand::GetUsers(v1::GetUsers { accounts: vec![account.clone()] });
            let seen = match in_time("a reply", client.request(get)).await {
                Ok(reply) => reply.get_users_reply.and_then(|mut reply| reply.users.pop()),
                Err(ClientError::Closed { .. }) => return self.leave(),
                Err(error) => panic!("{error}"),
            };
            let Some(seen) = seen else { continue };
            let end = tokio::time::Instant::now() + PATIENCE;
            while self.client.is_some() && self.replica.users().get(&account) != Some(&seen) {
                let come = tokio::time::timeout_at(end, self.next()).await;
                assert!(come.is_ok(), "{account} is watched, and held is {:?}", self.replica.users().get(&account));
            }
        }
    }
}

fn account_of(number: usize) -> &'static str {
    ACCOUNTS[number % ACCOUNTS.len()]
}

async fn dial(node: &Node, encoding: Encoding) -> Client {
    let url = format!("ws://{}/v1/ws", node.address);
    let stream = node.connect().await;
    in_time("an upgrade", Client::upgrade(stream, &url, encoding)).await.expect("a WebSocket")
}

fn command(ask: Ask, version: u64) -> ClientCommand {
    let names = |who: Vec<Who>| who.into_iter().map(Who::name).collect();
    let account = Who::name;
    // Some rest on a version, which is seldom the right one.
    let if_version = (version % 3 == 0).then_some(version);
    match ask {
        Ask::UpdateMyInfo { nick, tel, birth, gender, guarded } => ClientCommand::UpdateMyInfo(v1::UpdateMyInfo {
            nick,
            tel,
            birth: birth.map(|day| format!("2000-01-{day:02}")),
            gender: gender.map(|gender| gender % 4),
            if_version: guarded.then_some(version),
            ..Default::default()
        }),
        Ask::GetUsers(who) => ClientCommand::GetUsers(v1::GetUsers { accounts: names(who) }),
        Ask::Add(who, message) => ClientCommand::AddFriend(v1::AddFriend { account: account(who), message }),
        Ask::Request(who, message) => {
            ClientCommand::RequestFriend(v1::RequestFriend { account: account(who), message })
        }
        Ask::Accept(who) => ClientCommand::AcceptFriend(v1::AcceptFriend { account: account(who) }),
        Ask::Reject(who) => ClientCommand::RejectFriend(v1::RejectFriend { account: account(who) }),
        Ask::Cancel(who) => ClientCommand::CancelRequest(v1::CancelRequest { account: account(who) }),
        Ask::Delete(who) => ClientCommand::DeleteFriend(v1::DeleteFriend { account: account(who) }),
        Ask::Note(who, alias, custom) => {
            ClientCommand::UpdateFriend(v1::UpdateFriend { account: account(who), alias, custom, if_version })
        }
        Ask::Block(who) => ClientCommand::Block(v1::Block { account: account(who), if_version }),
        Ask::Unblock(who) => ClientCommand::Unblock(v1::Unblock { account: account(who), if_version }),
        Ask::Mute(who, muted) => ClientCommand::SetMuted(v1::SetMuted { account: account(who), muted, if_version }),
        Ask::Watch(who) => ClientCommand::Watch(v1::Watch { accounts: names(who) }),
        Ask::Signal(who, payload) => ClientCommand::Signal(v1::Signal { to: account(who), payload }),
        Ask::Show(invisible, status, until) => {
            ClientCommand::SetPresence(v1::SetPresence { invisible, if_version, status, until })
        }
        Ask::Schema => ClientCommand::GetSchema(v1::GetSchema {}),
        Ask::Sessions => ClientCommand::GetSessions(v1::GetSessions {}),
        Ask::Kick => ClientCommand::Kick(v1::Kick { sessions: vec!["0000000000000001".to_owned(), String::new()] }),
        Ask::Refresh(who) => ClientCommand::Refresh(v1::Refresh { token: account(who) }),
        Ask::LoginAgain => ClientCommand::Login(v1::Login::default()),
        Ask::Logout => ClientCommand::Logout(v1::Logout {}),
    }
}

/// The state that all clients of an account must agree on.
#[derive(Debug, PartialEq)]
struct Held<'a> {
    me: Option<&'a v1::User>,
    friends: &'a Records<v1::Friend>,
    profiles: Vec<Option<&'a v1::User>>,
    requests: Vec<&'a v1::Request>,
    blocks: Vec<&'a v1::BlockRecord>,
}

fn held(replica: &Replica) -> Held<'_> {
    Held {
        me: replica.me(),
        friends: replica.friends(),
        profiles: replica.friends().keys().map(|account| replica.users().get(account)).collect(),
        requests: replica.requests().collect(),
        blocks: replica.blocks().collect(),
    }
}
