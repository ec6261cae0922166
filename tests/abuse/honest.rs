//! The client that behaves: what it does, and how long it waits for each.

use std::time::{Duration, Instant};

use hyper::Method;
use rosterd_client::{Backend, Client, Replica};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{interval, timeout};

use crate::attacks::{Stage, first_frames, token};
use crate::support::{API_KEY, connect_with_small_buffer, nick_command};

/// How long anything may take before the honest client counts as not served.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two things it does.
const PAUSE: Duration = Duration::from_millis(25);

/// What the honest client does.
#[derive(Debug, Clone, Copy)]
pub enum Probe {
    /// Changes its nick, and a friend of it waits for the change.
    Push,
    /// Connects and logs in, with nothing new.
    Login,
    /// Looks up others.
    LookUp,
    /// Syncs a long friend list for the first time, over a line of 12 Mbit/s.
    FirstSync,
    /// Asks for health on a new connection.
    Health,
}

impl Probe {
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "write until a friend has it",
            Self::Login => "connect and log in",
            Self::LookUp => "getUsers of 10",
            Self::FirstSync => "first sync at 12 Mbit/s",
            Self::Health => "GET /readyz, new connection",
        }
    }

    /// Does it over and over for so long, and at least once; how long each took.
    pub async fn measure(self, stage: &Stage, length: Duration) -> Vec<Duration> {
        let (begun, mut times) = (Instant::now(), Vec::new());
        let mut pair = match self {
            Self::Push | Self::LookUp => Some((stage.client("ann").await, stage.client("bob").await)),
            _ => None,
        };
        while times.is_empty() || begun.elapsed() < length {
            let once = async {
                let start = Instant::now();
                match (self, &mut pair) {
                    (Self::Push, Some((ann, bob))) => push(ann, bob, times.len()).await,
                    (Self::LookUp, Some((ann, _))) => look_up(ann).await,
                    (Self::Login, _) => drop(stage.client("cid").await),
                    (Self::FirstSync, _) => first_sync(stage).await,
                    _ => health(stage).await,
                }
                start.elapsed()
            };
            times.push(timeout(PATIENCE, once).await.expect("the honest client is served in time"));
            tokio::time::sleep(PAUSE).await;
        }
        times
    }
}

async fn push(ann: &mut Client, bob: &mut Client, number: usize) {
    let nick = format!("n{number} {:?}", Instant::now());
    let nick: String = nick.chars().filter(char::is_ascii_alphanumeric).take(60).collect();
    ann.request(nick_command(&nick)).await.unwrap();
    loop {
        let frame = bob.next().await.unwrap();
        if frame.changes.is_some_and(|changes| changes.users.iter().any(|user| user.nick == nick)) {
            return;
        }
    }
}

async fn look_up(ann: &mut Client) {
    let accounts = (0..10).map(|n| format!("friend{n:05}")).collect();
    let reply = ann.request(ClientCommand::GetUsers(v1::GetUsers { accounts })).await.unwrap();
    assert_eq!(reply.get_users_reply.unwrap().users.len(), 10);
}

/// Reads no faster than such a line brings bytes.
async fn first_sync(stage: &Stage) {
    const TICK: Duration = Duration::from_millis(10);
    const BYTES: usize = 15_000;
    let mut stream = connect_with_small_buffer(stage.gateway.clients).await;
    stream.write_all(&first_frames("honest", Some("198.51.100.1"))).await.unwrap();
    let (mut tail, mut ticks, mut some) = (Vec::new(), interval(TICK), vec![0; BYTES]);
    loop {
        ticks.tick().await;
        let mut allowed = BYTES;
        while allowed > 0 {
            // What has not come within a tick was not sent in time; the line does not save it up.
            let Ok(read) = timeout(TICK, stream.read(&mut some[..allowed])).await else { break };
            let read = read.unwrap();
            assert!(read > 0, "the honest client was cut off in its first sync");
            allowed -= read;
            tail.extend_from_slice(&some[..read]);
            if tail.windows(8).any(|part| part == b"\"synced\"") {
                return;
            }
            tail.drain(..tail.len().saturating_sub(8));
        }
    }
}

async fn health(stage: &Stage) {
    let mut backend = Backend::connect_trusting(stage.gateway.ops, API_KEY, stage.trust.as_ref()).await.unwrap();
    assert_eq!(backend.send(Method::GET, "/readyz", String::new()).await.unwrap().0, 200);
}

/// Logs in and is in sync.
pub async fn login(stage: &Stage, account: &str) -> Client {
    let mut client =
        Client::connect_trusting(&stage.gateway.url(), Encoding::Json, stage.client_trust()).await.unwrap();
    client.login(&token(account), &mut Replica::default()).await.unwrap();
    client
}
