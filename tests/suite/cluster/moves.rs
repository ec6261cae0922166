//! A client that changes gateways after every command, while others write on all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rosterd_client::{Client, Replica};
use rosterd_protocol::{Encoding, v1};
use tokio::time::timeout;

use super::rig::Cluster;
use crate::support::{PATIENCE, nick_command};

/// How long it goes on, unless `ROSTERD_CLUSTER_SECONDS` says otherwise.
const SECONDS: u64 = 60;

/// Writes its nick on one gateway until it is to stop, and notes what was answered.
async fn write_on(url: String, account: String, answered: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut client = Client::connect(&url, Encoding::Protobuf).await.unwrap();
    client.login(&account, &mut Replica::default()).await.unwrap();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        client.request(nick_command(&turn.to_string())).await.unwrap();
        answered.store(turn, Ordering::Release);
    }
}

fn number(nick: &str) -> u64 {
    nick.parse().unwrap_or_default()
}

/// No record that it holds is older than before. Removed ones count as the newest.
fn assert_goes_on(before: &Replica, now: &Replica) {
    for (account, user) in before.users() {
        let held = now.users().get(account).unwrap_or_else(|| panic!("{account} is gone"));
        assert!(held.version >= user.version, "{account} went back from {} to {}", user.version, held.version);
    }
    let own = |replica: &Replica| replica.me().map_or(0, |me| me.version);
    assert!(own(now) >= own(before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_changes_gateways_after_every_command_never_goes_back_and_never_syncs_in_full() {
    let Some(cluster) = Cluster::start(
        2,
        &[
            "limits.logins_per_second=1000000",
            "limits.logins_burst=1000000",
            "limits.commands_per_second=1000000",
            "limits.commands_burst=1000000",
        ],
    ) else {
        return;
    };
    let seconds = std::env::var("ROSTERD_CLUSTER_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let friends = ["w0", "w1", "w2", "w3"];
    let pairs: Vec<_> = friends.iter().map(|friend| ("ann", *friend)).collect();
    cluster.gateways[0].populate(&["ann", "w0", "w1", "w2", "w3"], &pairs).await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered: Vec<_> = friends.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
    let writers: Vec<_> = friends
        .iter()
        .enumerate()
        .map(|(at, friend)| {
            let url = cluster.gateways[at % 2].url();
            tokio::spawn(write_on(url, (*friend).to_owned(), answered[at].clone(), stop.clone()))
        })
        .collect();
    let mut ann = cluster.gateways[0].login("ann", Encoding::Json).await;
    let (begun, mut moves) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        moves += 1;
        let nick = format!("Ann {moves}");
        let done = ann.nick(&nick).await;
        let held = ann.replica.clone();
        drop(ann);
        let known: Vec<u64> = answered.iter().map(|answered| answered.load(Ordering::Acquire)).collect();
        ann = cluster.gateways[(moves % 2) as usize].resume("ann", Encoding::Json, held.clone()).await;
        assert_ne!(ann.reply.sync, v1::SyncMode::Full as i32, "after {moves} moves");
        let me = ann.replica.me().unwrap();
        assert_eq!((me.nick.as_str(), me.version), (nick.as_str(), done.version), "its own change is there");
        assert_goes_on(&held, &ann.replica);
        // What was answered to others before it logged in is there, on whichever gateway that was.
        for (friend, known) in friends.iter().zip(known) {
            let held = number(&ann.replica.users()[*friend].nick);
            assert!(held >= known, "{friend} is {held}, answered was {known}");
        }
        // And nothing goes back afterwards, while updates come in.
        let before = ann.replica.clone();
        for _ in 0..3 {
            // A disk that is busy may hold all writes up for longer.
            let Ok(frame) = timeout(Duration::from_millis(100), ann.client.next()).await else { break };
            ann.replica.apply(&frame.unwrap()).unwrap();
        }
        assert_goes_on(&before, &ann.replica);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        timeout(PATIENCE, writer).await.expect("an end in time").unwrap();
    }
    let written: u64 = answered.iter().map(|answered| answered.load(Ordering::Acquire)).sum();
    println!("{moves} moves beside {written} writes");
    assert!(moves >= seconds && written >= seconds, "{moves} moves beside {written} writes");
    for gateway in &cluster.gateways {
        for because in ["CURSOR_FOREIGN", "CURSOR_EXPIRED", "CURSOR_FROM_FUTURE"] {
            assert_eq!(gateway.metric_of("rosterd_full_syncs_total", because).await, 0.0, "{because}");
        }
    }
    let last: Vec<u64> = answered.iter().map(|answered| answered.load(Ordering::Acquire)).collect();
    ann.until(|replica| {
        friends.iter().zip(&last).all(|(friend, last)| number(&replica.users()[*friend].nick) == *last)
    })
    .await;
    ann.agrees(&cluster.gateways[1], Encoding::Json).await;
}
