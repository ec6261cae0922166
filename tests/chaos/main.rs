//! Chaos: a real gateway with a real file, many clients on real sockets, and everything that can go wrong with
//! processes, disks and peers. Nothing that was acknowledged is lost, and every client's view becomes what the store
//! holds. The same with three gateways on PostgreSQL and its standby. `cargo test` runs a little of it, `make chaos` the whole, with the release binary, and prints its figures.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "the metrics that are compared count, in whole numbers"
)]
#![allow(unreachable_pub, reason = "what the modules share is public to them all, and nobody is outside")]

mod client;
mod cluster;
mod cluster_faults;
mod crowd;
mod database_proxy;
mod disk;
mod faults;
mod follower;
mod guests;
mod ledger;
#[path = "../sim/random.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod random;
mod scale;
#[path = "../suite/support.rs"]
#[allow(dead_code, clippy::cast_sign_loss, reason = "a gateway in a process of its own; not all of it is used here")]
mod support;
mod table;
mod truth;

use cluster::ClusterCrowd;
use crowd::Crowd;
use database_proxy::ProxyFlow;
use random::Random;
use scale::Scale;
use support::World;
use table::Table;

/// What a client that does not read may cost the gateway, in bytes: a few frames and what is pending for it.
const SLOW: u64 = 256 << 10;
/// What faults may cost besides, in bytes: catch-ups at once, and what the allocator keeps of them for a while.
const SPARE: u64 = 64 << 20;

/// One at a time: each measures.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_every_view_becomes_the_true_one() {
    let _alone = ALONE.lock().await;
    let scale = Scale::from_environment();
    println!("chaos: CHAOS_SEED={} repeats what chance decides here", scale.seed);
    let mut random = Random::new(scale.seed);
    let mut crowd = Crowd::gather(World::new(), scale.accounts, scale.clients, &random).await;
    let mut table = Table(Vec::new());
    table.add(faults::calm(&crowd, &scale).await);
    table.add(faults::kills(&mut crowd, &scale, &mut random).await);
    table.add(faults::stops(&crowd, &scale, &mut random).await);
    table.add(faults::slow_readers(&crowd, &scale).await);
    table.add(faults::half_open(&mut crowd, &scale).await);
    table.add(faults::storms(&mut crowd, &scale).await);
    let (events, broken) = crowd.follower.figures();
    crowd.end().await;
    let bound = table.0[0].memory + (scale.clients as u64 / 10) * SLOW + SPARE;
    let most = table.0.iter().map(|row| row.memory).max().unwrap_or_default();
    table.add(disk::full_disk(&scale, &mut random).await);
    println!("a backend that follows the feed: {events} events, each once and in order; {broken} answers broke off");
    assert!(events > 0 && broken > 0, "{events} events, {broken} answers broke off");
    println!("\n{table}\nmemory: at most {} MiB, allowed were {} MiB; seed {}", most >> 20, bound >> 20, scale.seed);
    assert!(most > 0 && most <= bound, "the gateway took {most} bytes, allowed were {bound}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_gateways_on_one_database_lose_nothing_and_stand_still_for_nobody() {
    let _alone = ALONE.lock().await;
    let scale = Scale::from_environment();
    println!("chaos of several gateways: CHAOS_SEED={} repeats what chance decides here", scale.seed);
    let random = Random::new(scale.seed);
    let worlds = (0..3).map(|_| World::new()).collect();
    let Some(mut crowd) = ClusterCrowd::gather(worlds, &scale, &random).await else {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: apt-get install postgresql");
        println!("skipped: PostgreSQL is not installed (apt-get install postgresql)");
        return;
    };
    crowd.new_standby();
    let mut table = Table(Vec::new());
    table.add(cluster_faults::calm(&crowd, &scale).await);
    table.add(cluster_faults::node_kills(&mut crowd, &scale).await);
    table.add(cluster_faults::database_kills(&mut crowd, &scale).await);
    table.add(cluster_faults::stopped_holders(&crowd, &scale).await);
    table.add(cluster_faults::cuts(&crowd, &scale, ProxyFlow::HoldToDatabase).await);
    table.add(cluster_faults::cuts(&crowd, &scale, ProxyFlow::HoldFromDatabase).await);
    table.add(cluster_faults::lossless_failovers(&mut crowd, &scale).await);
    crowd.logs_are_good();
    let (events, broken) = crowd.follower.as_ref().map(follower::Follower::figures).unwrap_or_default();
    table.add(cluster_faults::lossy_failovers(&mut crowd, &scale).await);
    crowd.end().await;
    println!("a backend that follows the feed: {events} events, each once and in order; {broken} answers broke off");
    assert!(events > 0, "no event came");
    println!("\n{table}\nseed {}", scale.seed);
}
