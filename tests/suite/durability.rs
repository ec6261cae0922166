//! What was answered is there after `kill -9`, and every client converges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rosterd_client::{ClientError, Replica};
use rosterd_protocol::Encoding;
use tokio::time::{sleep, timeout};

use crate::support::{Gateway, PATIENCE, World, nick_command};

const WRITERS: usize = 20;
const KILLS: usize = 3;
/// Answers to wait for before a kill.
const ANSWERS: u64 = 1000;

fn account(n: usize) -> String {
    format!("w{n:02}")
}

/// Changes its nick as fast as it is answered, until the gateway is gone; the last nick answered, and what it held.
async fn write(url: String, n: usize, mut replica: Replica, from: u64, answered: Arc<AtomicU64>) -> (u64, Replica) {
    let encoding = Encoding::ALL[n % 2];
    let mut last = from;
    let mut client = rosterd_client::Client::connect(&url, encoding).await.unwrap();
    if client.login(&account(n), &mut replica).await.is_err() {
        return (last, replica);
    }
    loop {
        match client.request(nick_command(&format!("{}", last + 1))).await {
            Ok(reply) => {
                last += 1;
                answered.fetch_add(1, Ordering::Relaxed);
                replica.apply(&reply).unwrap();
            }
            Err(ClientError::Closed { .. } | ClientError::Malformed(_)) => return (last, replica),
            Err(error) => panic!("{error}"),
        }
        // What came in between is applied too.
        while let Ok(Ok(frame)) = timeout(Duration::ZERO, client.next()).await {
            replica.apply(&frame).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answered_update_survives_kill_9_and_every_client_converges() {
    let world = World::new();
    let mut gateway = world.start();
    let accounts: Vec<_> = (0..WRITERS).map(account).collect();
    let users: Vec<_> = accounts.iter().map(String::as_str).collect();
    // Everyone's friend is everyone.
    let pairs: Vec<_> =
        (0..WRITERS).flat_map(|a| (a + 1..WRITERS).map(move |b| (a, b))).map(|(a, b)| (users[a], users[b])).collect();
    gateway.populate(&users, &pairs).await;
    let mut held: Vec<_> = vec![(0, Replica::default()); WRITERS];
    for _ in 0..KILLS {
        held = kill_under_load(gateway, held).await;
        gateway = world.start();
        check(&gateway, &held).await;
    }
    let written: u64 = held.iter().map(|(last, _)| last).sum();
    assert!(written >= KILLS as u64 * ANSWERS, "the kills came while nothing was written");
}

async fn kill_under_load(gateway: Gateway, held: Vec<(u64, Replica)>) -> Vec<(u64, Replica)> {
    let answered = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = held
        .into_iter()
        .enumerate()
        .map(|(n, (last, replica))| tokio::spawn(write(gateway.url(), n, replica, last, answered.clone())))
        .collect();
    timeout(PATIENCE, async {
        while answered.load(Ordering::Relaxed) < ANSWERS {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("enough updates are answered");
    gateway.kill();
    let mut after = Vec::new();
    for writer in writers {
        after.push(writer.await.unwrap());
    }
    after
}

/// After the restart: the nick last answered, or the one in flight; and what clients come back to.
async fn check(gateway: &Gateway, held: &[(u64, Replica)]) {
    let mut nicks = BTreeMap::new();
    let mut replicas = Vec::new();
    for (n, (last, replica)) in held.iter().enumerate() {
        // `login` fails unless count and digest agree.
        let peer = gateway.resume(&account(n), Encoding::ALL[n % 2], replica.clone()).await;
        let me = peer.replica.me().unwrap();
        let nick: u64 = me.nick.parse().unwrap_or(0);
        assert!(nick == *last || nick == last + 1, "{last} answered, {nick} found");
        nicks.insert(account(n), (me.nick.clone(), me.version));
        replicas.push(peer.replica);
    }
    for (n, replica) in replicas.iter().enumerate() {
        for (friend, expected) in nicks.iter().filter(|(name, _)| **name != account(n)) {
            let user = &replica.users()[friend];
            assert_eq!((&user.nick, user.version), (&expected.0, expected.1), "{friend} as {} holds it", account(n));
        }
    }
}
