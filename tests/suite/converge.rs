//! Random histories over many clients that come and go: at every rest, each holds what a fresh client is given.

use std::time::Duration;

use hyper::Method;
use rosterd::client::{ClientError, Replica};
use rosterd::wire::Encoding;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, Peer, World};

const ACCOUNTS: usize = 6;
const CLIENTS: usize = 15;
const STEPS: usize = 60;
const RESTS: usize = 4;

/// A small generator whose whole state is its seed, so that a failing history can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A client of one account: connected, or away with what it held.
enum Seat {
    Here(Box<Peer>),
    Away(Box<Replica>),
}

struct Story {
    gateway: Gateway,
    exists: [bool; ACCOUNTS],
    seats: Vec<Seat>,
    /// How often each kind of thing happened: a history in which something never did proves nothing of it.
    happened: [usize; 6],
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

    async fn step(&mut self, random: &mut Random, at: usize) {
        let kind = match random.below(20) {
            0..8 => 0,
            8..12 => 1,
            12..15 => 2,
            15..17 => 3,
            17..19 => 4,
            _ => 5,
        };
        let (n, m) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
        let client = random.below(CLIENTS);
        let worked = match kind {
            0 => self.change(client, n, at).await,
            1 => n != m && self.call(Method::PUT, &format!("/v1/users/u{n}/friends/u{m}"), String::new()).await == 201,
            2 => {
                n != m && self.call(Method::DELETE, &format!("/v1/users/u{n}/friends/u{m}"), String::new()).await == 200
            }
            3 => self.leave(client),
            4 => self.come(client).await,
            _ => self.delete_or_make(n, at).await,
        };
        self.happened[kind] += usize::from(worked);
    }

    /// A client changes its own card if it is here, otherwise the backend changes somebody's.
    async fn change(&mut self, client: usize, n: usize, at: usize) -> bool {
        if let Seat::Here(peer) = &mut self.seats[client] {
            match peer.client.request(crate::support::nick_command(&format!("nick {at}"))).await {
                Ok(reply) => return peer.replica.apply(&reply).is_ok(),
                Err(ClientError::Closed { .. }) => return self.leave(client),
                // The account was deleted; the goodbye is on its way.
                Err(ClientError::Refused(error)) if error.code == 404 => return false,
                Err(error) => panic!("{error}"),
            }
        }
        self.call(Method::PATCH, &format!("/v1/users/u{n}"), json!({"sign": format!("sign {at}")}).to_string()).await
            == 200
    }

    fn leave(&mut self, client: usize) -> bool {
        let seat = std::mem::replace(&mut self.seats[client], Seat::Away(Box::default()));
        let (replica, was_here) = match seat {
            Seat::Here(peer) => (Box::new(peer.replica), true),
            Seat::Away(replica) => (replica, false),
        };
        self.seats[client] = Seat::Away(replica);
        was_here
    }

    async fn come(&mut self, client: usize) -> bool {
        let Seat::Away(replica) = &self.seats[client] else { return false };
        if !self.exists[owner(client)] {
            return false;
        }
        let peer = self.gateway.resume(&account(owner(client)), encoding(client), (**replica).clone()).await;
        self.seats[client] = Seat::Here(Box::new(peer));
        true
    }

    async fn delete_or_make(&mut self, n: usize, at: usize) -> bool {
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
            for (client, seat) in self.seats.iter_mut().enumerate().filter(|(client, _)| owner(*client) == n) {
                let Seat::Here(peer) = seat else { panic!("client {client} is not here") };
                let same =
                    |r: &Replica| (r.me(), r.friends(), r.users()) == (fresh.me(), fresh.friends(), fresh.users());
                let converged = timeout(PATIENCE, peer.until(same)).await;
                assert!(converged.is_ok(), "seed {seed}: client {client} holds\n{:#?}\nnot\n{fresh:#?}", peer.replica);
                assert_eq!(peer.replica.digest(), fresh.digest());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_converge_after_any_history() {
    let seeds = (1..=3).chain([std::process::id().into()]);
    for seed in seeds {
        let world = World::new();
        let gateway = world.start();
        let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
        gateway.populate(&accounts.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
        let seats = (0..CLIENTS).map(|_| Seat::Away(Box::default())).collect();
        let mut story = Story { gateway, exists: [true; ACCOUNTS], seats, happened: [0; 6] };
        let mut random = Random(seed);
        for rest in 0..RESTS {
            for step in 0..STEPS {
                story.step(&mut random, rest * STEPS + step).await;
            }
            let rested = timeout(Duration::from_mins(1), story.rest(seed)).await;
            assert!(rested.is_ok(), "seed {seed}: no rest");
        }
        assert!(
            story.happened.iter().all(|count| *count > 0),
            "seed {seed}: not everything happened: {:?}",
            story.happened
        );
    }
}
