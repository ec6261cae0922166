//! Random histories over many clients that come and go: at every rest, each holds what a fresh client is given.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;
use rosterd_client::{ClientError, Records, Replica};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;
use tokio::time::timeout;

use crate::random::Random;
use crate::support::{Gateway, PATIENCE, Peer, World, live_blocks, nick_command, open_requests, to};

const ACCOUNTS: usize = 6;
const CLIENTS: usize = 15;
const STEPS: usize = 100;
const RESTS: usize = 4;

/// What can happen. A history in which something never did proves nothing of it, so all is counted.
const KINDS: [&str; 18] = [
    "change",
    "befriend",
    "unfriend",
    "leave",
    "come",
    "delete or make",
    "addFriend",
    "requestFriend",
    "acceptFriend",
    "rejectFriend",
    "cancelRequest",
    "deleteFriend",
    "updateFriend",
    "block",
    "unblock",
    "watch",
    "setPresence",
    "signal",
];

/// A client of one account: connected, with the accounts that it watches, or away with the replica that it had.
enum ClientState {
    Here(Box<Peer>, Vec<String>),
    Away(Box<Replica>),
}

struct Story {
    gateway: Gateway,
    exists: [bool; ACCOUNTS],
    clients: Vec<ClientState>,
    happened: BTreeMap<&'static str, usize>,
}

fn account(n: usize) -> String {
    format!("u{n}")
}

/// Clients 0, 6 and 12 are of account 0, and so on.
fn owner(client: usize) -> usize {
    client % ACCOUNTS
}

fn encoding(client: usize) -> Encoding {
    Encoding::ALL[client / ACCOUNTS % 2]
}

impl Story {
    async fn call(&self, method: Method, path: &str, body: String) -> u16 {
        self.gateway.backend().await.send(method, path, body).await.unwrap().0
    }

    async fn step(&mut self, random: &Random, at: usize) {
        let (n, m) = (random.index(ACCOUNTS), random.index(ACCOUNTS));
        let client = random.index(CLIENTS);
        let friends = format!("/v1/users/u{n}/friends/u{m}");
        let (kind, worked) = match random.index(40) {
            0..6 => ("change", self.change(n, random.index(4), at).await),
            6 => ("befriend", n != m && self.call(Method::PUT, &friends, String::new()).await == 201),
            7 => ("unfriend", n != m && self.call(Method::DELETE, &friends, String::new()).await == 200),
            8..11 => ("leave", self.leave(client)),
            11..15 => ("come", self.come(client).await),
            15 => ("delete or make", self.delete_or_make(n, at).await),
            _ => self.asks(client, random, at).await,
        };
        let kind = if kind == "updateMyInfo" { "change" } else { kind };
        *self.happened.entry(kind).or_default() += usize::from(worked);
    }

    /// A client asks for something if it is here, and comes if not; whether it was done.
    async fn asks(&mut self, client: usize, random: &Random, at: usize) -> (&'static str, bool) {
        let ClientState::Here(peer, watched) = &mut self.clients[client] else {
            return ("come", self.come(client).await);
        };
        // Some know what was pushed to them, others have yet to read it.
        while random.index(3) > 0 {
            let Ok(Ok(frame)) = timeout(Duration::ZERO, peer.client.next()).await else { break };
            peer.replica.apply(&frame).unwrap();
        }
        let command = command(random, &peer.replica, at);
        let name = command.name();
        let done = match peer.client.request(command.clone()).await {
            Ok(reply) => {
                if let ClientCommand::Watch(watch) = command {
                    *watched = watch.accounts;
                }
                peer.replica.apply(&reply).is_ok()
            }
            // Its account was deleted.
            Err(ClientError::Closed { .. }) => {
                self.leave(client);
                false
            }
            Err(ClientError::Refused(_)) => false,
            Err(error) => panic!("{error}"),
        };
        (name, done)
    }

    /// The backend changes a field: one that everyone sees, one for friends, one for nobody.
    async fn change(&mut self, n: usize, field: usize, at: usize) -> bool {
        let field = ["sign", "tel", "birth", "custom"][field];
        let value = if field == "birth" { format!("2000-01-{:02}", at % 28 + 1) } else { format!("{at}") };
        self.call(Method::PATCH, &format!("/v1/users/u{n}"), json!({field: value}).to_string()).await == 200
    }

    fn leave(&mut self, client: usize) -> bool {
        let state = std::mem::replace(&mut self.clients[client], ClientState::Away(Box::default()));
        let (replica, was_here) = match state {
            ClientState::Here(peer, _) => (Box::new(peer.replica), true),
            ClientState::Away(replica) => (replica, false),
        };
        self.clients[client] = ClientState::Away(replica);
        was_here
    }

    async fn come(&mut self, client: usize) -> bool {
        let ClientState::Away(replica) = &self.clients[client] else { return false };
        if !self.exists[owner(client)] {
            return false;
        }
        let peer = self.gateway.resume(&account(owner(client)), encoding(client), (**replica).clone()).await;
        self.clients[client] = ClientState::Here(Box::new(peer), Vec::new());
        true
    }

    /// Deletes an account, or makes the one that is missing.
    async fn delete_or_make(&mut self, n: usize, at: usize) -> bool {
        let n = self.exists.iter().position(|exists| !exists).unwrap_or(n);
        let path = format!("/v1/users/u{n}");
        let status = if self.exists[n] {
            // Its sessions end; what they held is kept for when it is made again.
            for client in (0..CLIENTS).filter(|client| owner(*client) == n) {
                self.leave(client);
            }
            self.call(Method::DELETE, &path, String::new()).await
        } else {
            self.call(Method::PUT, &path, json!({"nick": format!("made at {at}")}).to_string()).await
        };
        self.exists[n] = !self.exists[n];
        (200..300).contains(&status)
    }

    /// Everyone whose account exists is here, and holds what a fresh client is given.
    async fn rest(&mut self, seed: u64) {
        for client in 0..CLIENTS {
            self.come(client).await;
        }
        for n in (0..ACCOUNTS).filter(|n| self.exists[*n]) {
            let fresh = self.gateway.login(&account(n), Encoding::Json).await.replica;
            for (client, state) in self.clients.iter_mut().enumerate().filter(|(client, _)| owner(*client) == n) {
                let ClientState::Here(peer, watched) = state else { panic!("client {client} is not here") };
                let converged = timeout(PATIENCE / 2, peer.until(|replica| held(replica) == held(&fresh))).await;
                assert!(
                    converged.is_ok(),
                    "seed {seed}: client {client} holds\n{:#?}\nnot\n{:#?}",
                    held(&peer.replica),
                    held(&fresh)
                );
                assert_eq!(peer.replica.digest(), fresh.digest());
                for account in watched.iter().filter(|watched| **watched != account(n)) {
                    let Some(user) = peer.see(account).await else { continue };
                    let live =
                        timeout(PATIENCE / 2, peer.until(|replica| replica.users().get(account) == Some(&user))).await;
                    assert!(
                        live.is_ok(),
                        "seed {seed}: client {client} watches {account} and does not hold\n{user:#?}"
                    );
                }
            }
        }
    }
}

/// What the clients of an account are to agree on.
#[derive(Debug, PartialEq)]
struct Held<'a> {
    me: Option<&'a v1::User>,
    friends: &'a Records<v1::Friend>,
    profiles: Vec<Option<&'a v1::User>>,
    requests: Vec<(String, bool, String)>,
    blocks: Vec<String>,
    presence: Vec<(bool, u64)>,
    invisible: bool,
}

fn held(replica: &Replica) -> Held<'_> {
    let friends = replica.friends();
    let presence = |account: &String| replica.presence().get(account).map_or((false, 0), |p| (p.online, p.last_seen));
    let own = replica.me().and_then(|me| replica.presence().get(&me.account));
    Held {
        me: replica.me(),
        friends,
        profiles: friends.keys().map(|account| replica.users().get(account)).collect(),
        requests: open_requests(replica),
        blocks: live_blocks(replica),
        presence: friends.keys().map(presence).collect(),
        invisible: own.is_some_and(|own| own.invisible == Some(true)),
    }
}

/// Something that a client may ask for: in most cases about someone with whom it can be done.
fn command(random: &Random, replica: &Replica, at: usize) -> ClientCommand {
    let anyone = account(random.index(ACCOUNTS));
    let one_of = |mut names: Vec<String>| {
        let some = !names.is_empty() && random.index(8) > 0;
        if some { names.swap_remove(random.index(names.len())) } else { anyone.clone() }
    };
    let asked = |incoming| open_requests(replica).into_iter().filter(move |r| r.1 == incoming).map(|r| r.0).collect();
    let (asks, asked_by_me) = (one_of(asked(true)), one_of(asked(false)));
    let friend = one_of(replica.friends().keys().cloned().collect());
    let blocked = one_of(live_blocks(replica));
    match random.index(16) {
        0 => to::add(&anyone),
        1 | 2 => to::ask(&anyone),
        3 | 4 => to::accept(&asks),
        5 => to::reject(&asks),
        6 => to::cancel(&asked_by_me),
        7 => to::delete(&friend),
        8 => {
            let alias = Some(format!("alias {at}"));
            ClientCommand::UpdateFriend(v1::UpdateFriend { account: friend, alias, ..Default::default() })
        }
        9 => to::block(&anyone),
        10 | 11 => to::unblock(&blocked),
        12 => {
            let accounts = (0..ACCOUNTS).filter(|_| random.index(2) == 0).map(account).collect();
            ClientCommand::Watch(v1::Watch { accounts })
        }
        13 => ClientCommand::SetPresence(v1::SetPresence {
            invisible: Some(random.index(2) == 0),
            if_version: None,
            ..v1::SetPresence::default()
        }),
        14 => ClientCommand::Signal(v1::Signal { to: anyone, payload: format!("{at}") }),
        _ => nick_command(&format!("nick {at}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_converge_after_any_history() {
    let mut happened: BTreeMap<_, usize> = KINDS.into_iter().map(|kind| (kind, 0)).collect();
    // With 24401, one asks, is blocked while the other is away, and asks again.
    let seeds = (1..=3).chain([24401, std::process::id().into()]);
    for seed in seeds {
        let world = World::with("[profile.visibility]\ntel = \"friends\"\nbirth = \"self\"");
        let gateway = world.start_with(&["presence.linger=0s"]);
        let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
        gateway.populate(&accounts.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
        let clients = (0..CLIENTS).map(|_| ClientState::Away(Box::default())).collect();
        let mut story = Story { gateway, exists: [true; ACCOUNTS], clients, happened: BTreeMap::new() };
        let random = Random::new(seed);
        for rest in 0..RESTS {
            for step in 0..STEPS {
                story.step(&random, rest * STEPS + step).await;
            }
            let rested = timeout(Duration::from_mins(1), story.rest(seed)).await;
            assert!(rested.is_ok(), "seed {seed}: no rest");
        }
        for (kind, count) in story.happened {
            *happened.get_mut(kind).expect("it is counted") += count;
        }
    }
    assert!(happened.values().all(|count| *count > 0), "not everything happened: {happened:?}");
}
