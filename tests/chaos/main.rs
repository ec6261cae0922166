//! Chaos: a real gateway with a real file, many clients on real sockets, and everything that can go wrong with
//! processes, disks and peers. Nothing that was acknowledged is lost, and every client's view becomes what the store
//! holds. `cargo test` runs a little of it, `make chaos` the whole, with the release binary, and prints its figures.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "the metrics that are compared count, in whole numbers"
)]
#![allow(unreachable_pub, reason = "what the modules share is public to them all, and nobody is outside")]

mod client;
mod crowd;
mod disk;
mod faults;
mod follower;
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

use crowd::Crowd;
use random::Random;
use scale::Scale;
use support::World;
use table::Table;

/// What a client that does not read may cost the gateway, in bytes: a few frames and what is pending for it.
const SLOW: u64 = 256 << 10;
/// What faults may cost besides, in bytes: catch-ups at once, and what the allocator keeps of them for a while.
const SPARE: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_every_view_becomes_the_true_one() {
    let scale = Scale::from_environment();
    println!("chaos: CHAOS_SEED={} repeats what chance decides here", scale.seed);
    let mut random = Random::new(scale.seed);
    let mut crowd = Crowd::gather(World::new(), scale.accounts, scale.clients, &mut random).await;
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
