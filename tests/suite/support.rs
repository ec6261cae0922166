//! A real gateway in a process of its own, and what tests ask of it through its public doors.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use hyper::Method;
use rosterd_client::{Backend, Client, ClientError, Replica, Trust};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// The key of every test gateway's server API.
pub const API_KEY: &str = "a-key-that-only-tests-use";

/// How long anything awaited may take before the test fails; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running gateway; killed when dropped.
pub struct Gateway {
    process: Child,
    pub clients: SocketAddr,
    pub ops: SocketAddr,
    /// Whom its clients believe, if it speaks TLS to them.
    pub trust: Option<Trust>,
    /// Whom the callers of its ops listener believe, if it speaks TLS to them.
    pub ops_trust: Option<Trust>,
    scheme: &'static str,
}

/// A directory with a store and settings, for one or several runs of a gateway.
pub struct World {
    pub directory: TempDir,
    /// Lines added to the settings.
    pub settings: String,
    /// `mode` of `[auth]` and what belongs to it.
    pub auth: String,
    /// A command the gateway is started through, such as a shell that sets limits; `$@` is the gateway.
    pub through: Option<String>,
    /// Another build of the gateway than the one that is tested.
    pub binary: Option<PathBuf>,
}

impl World {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            settings: String::new(),
            auth: "mode = \"development\"".to_owned(),
            through: None,
            binary: None,
        }
    }

    /// With more lines of settings; whole sections other than `[clients] [ops] [auth] [store]`, or `--set` style
    /// overrides are better where a key of those is meant.
    pub fn with(settings: &str) -> Self {
        Self { settings: settings.to_owned(), ..Self::new() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the settings and answers their file. Unless they say otherwise, clients become friends in both ways.
    pub fn config(&self) -> PathBuf {
        let friends = if self.settings.contains("[friends]") { "" } else { "[friends]\npolicy = \"both\"\n" };
        let text = format!(
            "[clients]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\napi_key = \"{API_KEY}\"\n\
             {friends}[auth]\n{}\n[store]\nurl = \"sqlite:{}\"\n{}\n",
            self.auth,
            self.path().join("rosterd.db").display(),
            self.settings,
        );
        let file = self.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Starts a gateway and waits until it says where it listens. `overrides` are `section.key=value`.
    pub fn start_with(&self, overrides: &[&str]) -> Gateway {
        // Another build, to compare with: what `ROSTERD` names.
        let compared = || std::env::var_os("ROSTERD").map(PathBuf::from);
        let binary = self.binary.clone().or_else(compared).unwrap_or_else(|| env!("CARGO_BIN_EXE_rosterd").into());
        let mut command = match &self.through {
            Some(script) => {
                let mut shell = Process::new("bash");
                shell.args(["-c", script, "through"]).arg(&binary);
                shell
            }
            None => Process::new(&binary),
        };
        command.arg("serve").arg("--config").arg(self.config());
        for pair in overrides {
            command.arg("--set").arg(pair);
        }
        let log = std::fs::File::create(self.path().join("log")).unwrap();
        let mut process = spawn(command.stdout(Stdio::piped()).stderr(log));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut find = |word: &str| -> (String, SocketAddr) {
            let found = lines.by_ref().map_while(Result::ok).find_map(|line| {
                let (scheme, rest) = line.trim().strip_prefix(word)?.trim().split_once("://")?;
                Some((scheme.to_owned(), rest.trim_end_matches("/v1/ws").parse().ok()?))
            });
            found.unwrap_or_else(|| panic!("the gateway did not start:\n{}", self.log()))
        };
        let (scheme, clients) = find("clients");
        let (_, ops) = find("ops");
        let scheme = if scheme == "wss" { "wss" } else { "ws" };
        Gateway { process, clients, ops, trust: None, ops_trust: None, scheme }
    }

    pub fn start(&self) -> Gateway {
        self.start_with(&[])
    }

    /// What the last gateway logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Waits until the last gateway has logged this.
    pub async fn until_logged(&self, text: &str) {
        let logged = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, logged).await.is_ok(), "{text:?} is not in the log:\n{}", self.log());
    }

    /// Runs another subcommand with these settings.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        let binary = self.binary.as_deref().unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_rosterd")));
        finished(Process::new(binary).args(arguments).arg("--config").arg(config))
    }

    /// Runs another subcommand that is to succeed; what it prints.
    pub fn run_well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs another subcommand that is to fail as one does that says why: exit code 1, and a text on standard error.
    pub fn run_badly(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("rosterd: ") && !said.contains("panicked"), "{said}");
        said
    }
}

impl Gateway {
    pub fn url(&self) -> String {
        format!("{}://{}/v1/ws", self.scheme, self.clients)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.pid()).unwrap()
    }

    /// Waits until a metric has a value, summed over those of its labels that have `kind`; any if it is empty.
    pub async fn until_metric(&self, name: &str, kind: &str, good: impl Fn(f64) -> bool) {
        let begun = tokio::time::Instant::now();
        loop {
            let value = self.metric_of(name, kind).await;
            if good(value) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} {kind} is {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The value of one metric for one `kind`.
    pub async fn metric_of(&self, name: &str, kind: &str) -> f64 {
        let (_, text) = self.backend().await.send(Method::GET, "/metrics", String::new()).await.unwrap();
        let kind = if kind.is_empty() { String::new() } else { format!("kind=\"{kind}\"") };
        let is_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']) && rest.contains(&kind))
        };
        let values = text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// `kill -9`: no goodbye, no flush.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM.
    pub fn signal(&self) {
        self.send("-TERM");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.send("-HUP");
    }

    fn send(&self, signal: &str) {
        let killed = finished(Process::new("kill").args([signal, &self.pid().to_string()]));
        assert!(killed.status.success());
    }

    /// Waits until the process has ended by itself; its exit code.
    pub async fn exit(mut self) -> Option<i32> {
        let ended = tokio::task::spawn_blocking(move || self.process.wait().unwrap().code());
        timeout(PATIENCE, ended).await.expect("an end in time").unwrap()
    }

    /// SIGTERM, and the exit code.
    pub async fn terminate(self) -> Option<i32> {
        self.signal();
        self.exit().await
    }

    pub async fn backend(&self) -> Backend {
        self.backend_with_key(API_KEY).await
    }

    pub async fn backend_with_key(&self, key: &str) -> Backend {
        Backend::connect_trusting(self.ops, key, self.ops_trust.as_ref()).await.unwrap()
    }

    /// Reads an account's profile from the server API.
    pub async fn user(&self, account: &str) -> Value {
        self.backend().await.request(Method::GET, &format!("/v1/users/{account}"), String::new()).await.unwrap()
    }

    /// Calls the server API; the status, and the body, which is JSON.
    pub async fn call(&self, method: Method, path: &str, body: impl Into<String>) -> (u16, Value) {
        let (status, text) = self.backend().await.send(method, path, body.into()).await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}")))
    }

    /// A request that is to succeed.
    pub async fn put(&self, path: &str, body: Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.backend().await.request(Method::PUT, path, body).await.unwrap();
    }

    pub async fn patch(&self, path: &str, body: Value) {
        self.backend().await.request(Method::PATCH, path, body.to_string()).await.unwrap();
    }

    pub async fn delete(&self, path: &str) {
        self.backend().await.request(Method::DELETE, path, String::new()).await.unwrap();
    }

    /// A connection that has not logged in.
    pub async fn connect(&self, encoding: Encoding) -> Client {
        Client::connect_trusting(&self.url(), encoding, self.trust.as_ref()).await.unwrap()
    }

    /// A client that has logged in for the first time; in development mode.
    pub async fn login(&self, account: &str, encoding: Encoding) -> Peer {
        self.resume(account, encoding, Replica::default()).await
    }

    /// A client that comes back with what it held.
    pub async fn resume(&self, account: &str, encoding: Encoding, replica: Replica) -> Peer {
        self.try_resume(account, encoding, replica).await.unwrap()
    }

    /// A client that comes back with what it held, if it is let in.
    pub async fn try_resume(
        &self,
        account: &str,
        encoding: Encoding,
        mut replica: Replica,
    ) -> Result<Peer, ClientError> {
        let mut client = self.connect(encoding).await;
        let login = timeout(PATIENCE, client.login(account, &mut replica)).await.expect("a login in time");
        login.map(|reply| Peer { client, replica, reply })
    }

    /// Logs a client in whose socket buffers little, for the first time.
    pub async fn login_with_small_buffer(&self, account: &str) -> (Client, Replica) {
        let stream = connect_with_small_buffer(self.clients).await;
        let mut client = Client::upgrade(stream, &self.url(), Encoding::Json).await.unwrap();
        let mut replica = Replica::default();
        client.login(account, &mut replica).await.unwrap();
        (client, replica)
    }

    /// Makes users and friendships, through the API.
    pub async fn populate(&self, users: &[&str], friendships: &[(&str, &str)]) {
        let users = users.iter().map(|account| json!({"user": {"account": account, "nick": account}}).to_string());
        let pairs = friendships.iter().map(|(a, b)| json!({"friendship": [a, b]}).to_string());
        let lines: Vec<_> = users.chain(pairs).collect();
        let mut backend = self.backend().await;
        for some in lines.chunks(1000) {
            backend.request(Method::POST, "/v1/import", some.join("\n")).await.unwrap();
        }
    }

    /// The value of one metric, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        self.metric_of(name, "").await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Resident memory of a process that may have ended, in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Connects a socket that buffers little, so that the gateway soon notices a client that does not read.
pub async fn connect_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Starts a process.
pub fn spawn(command: &mut Process) -> Child {
    command.spawn().unwrap()
}

/// Runs a command to its end, which must come in time.
pub fn finished(command: &mut Process) -> Output {
    let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = child.id();
    let (send, ended) = mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    if let Ok(output) = ended.recv_timeout(PATIENCE) {
        return output.unwrap();
    }
    spawn(Process::new("kill").args(["-9", &pid.to_string()])).wait().unwrap();
    panic!("did not end: {command:?}");
}

/// A logged-in client with what it holds.
pub struct Peer {
    pub client: Client,
    pub replica: Replica,
    pub reply: v1::LoginReply,
}

impl Peer {
    /// The next push, applied; what is said aside is passed over.
    pub async fn next(&mut self) -> v1::ServerFrame {
        loop {
            let frame = self.next_of_all().await;
            if !is_aside(&frame) {
                return frame;
            }
        }
    }

    /// The next push of any kind, applied.
    pub async fn next_of_all(&mut self) -> v1::ServerFrame {
        let frame = timeout(PATIENCE, self.client.next()).await.expect("a frame in time").unwrap();
        self.replica.apply(&frame).unwrap();
        frame
    }

    /// The next push, which is `changes`.
    pub async fn changes(&mut self) -> v1::Changes {
        let frame = self.next().await;
        *frame.changes.clone().unwrap_or_else(|| panic!("not changes: {frame:?}"))
    }

    /// Applies pushes until `done`.
    pub async fn until(&mut self, done: impl Fn(&Replica) -> bool) {
        while !done(&self.replica) {
            self.next_of_all().await;
        }
    }

    /// A command that is to succeed; its reply is applied.
    pub async fn request(&mut self, command: ClientCommand) -> v1::ServerFrame {
        let reply = timeout(PATIENCE, self.client.request(command)).await.expect("a reply in time").unwrap();
        self.replica.apply(&reply).unwrap();
        reply
    }

    /// A command that is to be refused; why.
    pub async fn refused(&mut self, command: ClientCommand) -> v1::Error {
        match timeout(PATIENCE, self.client.request(command)).await.expect("a reply in time") {
            Err(ClientError::Refused(error)) => error,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// What the session may see of one account now, if it exists.
    pub async fn see(&mut self, account: &str) -> Option<v1::User> {
        let accounts = vec![account.to_owned()];
        let reply = self.request(ClientCommand::GetUsers(v1::GetUsers { accounts })).await;
        reply.get_users_reply.unwrap().users.pop()
    }

    /// What the session may see of one account that exists.
    pub async fn look_up(&mut self, account: &str) -> v1::User {
        self.see(account).await.unwrap()
    }

    /// Waits for a change of the own profile by the backend: so everything that was sent before has come too.
    pub async fn marked(&mut self, gateway: &Gateway, mark: &str) {
        let account = self.reply.account.clone();
        let body = json!({"tel": mark}).to_string();
        gateway.backend().await.request(Method::PATCH, &format!("/v1/users/{account}"), body).await.unwrap();
        self.until(|replica| replica.me().is_some_and(|me| me.tel == mark)).await;
    }

    /// What this client holds is what a fresh one gets, and what one gets that comes back with its cursor.
    pub async fn agrees(&mut self, gateway: &Gateway, encoding: Encoding) {
        let account = self.reply.account.clone();
        let fresh = gateway.login(&account, encoding).await.replica;
        let again = gateway.resume(&account, encoding, self.replica.clone()).await.replica;
        for other in [&fresh, &again] {
            assert_eq!(self.replica.friends(), other.friends());
            assert_eq!(open_requests(&self.replica), open_requests(other));
            assert_eq!(live_blocks(&self.replica), live_blocks(other));
            for friend in other.friends().keys() {
                assert_eq!(self.replica.users().get(friend), other.users().get(friend));
            }
        }
    }

    /// The end of the connection, which must come; pushes before it are applied.
    pub async fn ended(&mut self) -> (u16, String) {
        loop {
            match timeout(PATIENCE, self.client.next()).await.expect("an end in time") {
                Ok(frame) => drop(self.replica.apply(&frame)),
                Err(ClientError::Closed { code, reason }) => return (code, reason),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Signals another account. Returns how many sessions get it, and how many do not.
    pub async fn signal(&mut self, to: &str, payload: &str) -> (u32, u32) {
        let signal = v1::Signal { to: to.to_owned(), payload: payload.to_owned() };
        let reply = self.request(ClientCommand::Signal(signal)).await.signal_reply.unwrap();
        (reply.delivered, reply.dropped)
    }

    /// Watches exactly these accounts; those that do not exist.
    pub async fn watch(&mut self, accounts: &[&str]) -> Vec<String> {
        let accounts = accounts.iter().map(|account| (*account).to_owned()).collect();
        self.request(ClientCommand::Watch(v1::Watch { accounts })).await.watch_reply.unwrap().missing
    }

    /// Hides, or no longer.
    pub async fn hide(&mut self, invisible: bool) {
        let set = v1::SetPresence { invisible: Some(invisible), if_version: None, ..v1::SetPresence::default() };
        self.request(ClientCommand::SetPresence(set)).await;
    }

    /// Whether a friend is online, as far as this client knows.
    pub fn sees_online(&self, account: &str) -> bool {
        self.replica.presence().get(account).is_some_and(|presence| presence.online)
    }

    /// Changes the own nick.
    pub async fn nick(&mut self, nick: &str) -> v1::User {
        let reply = self.request(nick_command(nick)).await;
        reply.update_my_info_reply.unwrap().user.unwrap()
    }

    /// Proves that nothing was on its way: what came before the reply of a command asked now.
    pub async fn quiet(&mut self) {
        self.request(ClientCommand::GetUsers(v1::GetUsers::default())).await;
        while let Ok(frame) = timeout(Duration::ZERO, self.client.next()).await {
            let frame = frame.unwrap();
            assert!(is_aside(&frame), "a push that was not expected: {frame:?}");
            self.replica.apply(&frame).unwrap();
        }
    }
}

/// Presence comes to everyone at any time, and matters to few tests.
pub fn is_aside(frame: &v1::ServerFrame) -> bool {
    frame.presence.is_some() || frame.sessions.is_some()
}

pub fn nick_command(nick: &str) -> ClientCommand {
    ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() })
}

/// A `{"error": …}` body's reason.
pub fn reason(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"));
    value["error"]["reason"].as_str().unwrap_or_default().to_owned()
}

/// The open requests a client holds: the other side, whether it asks, and what it says.
pub fn open_requests(replica: &Replica) -> Vec<(String, bool, String)> {
    let open = replica.requests().filter(|request| request.state == v1::RequestState::Open as i32);
    open.map(|r| (r.account.clone(), r.direction == v1::Direction::In as i32, r.message.clone())).collect()
}

/// Whom a client knows to be blocked.
pub fn live_blocks(replica: &Replica) -> Vec<String> {
    replica.blocks().filter(|block| !block.removed).map(|block| block.account.clone()).collect()
}

/// The commands about an account, with nothing else in them.
#[allow(clippy::needless_update, reason = "some of them have more fields")]
pub mod to {
    use rosterd_protocol::{ClientCommand, v1};

    macro_rules! to {
        ($($name:ident $variant:ident),+) => {
            $(pub fn $name(account: &str) -> ClientCommand {
                ClientCommand::$variant(v1::$variant { account: account.to_owned(), ..Default::default() })
            })+
        };
    }

    to! {
        add AddFriend, ask RequestFriend, accept AcceptFriend, reject RejectFriend, cancel CancelRequest,
        delete DeleteFriend, note UpdateFriend, block Block, unblock Unblock
    }
}
