//! Abuse: attacks on a real gateway beside a client that behaves, and what that client notices of them.
//!
//! `cargo test` runs a short form of each attack, `make abuse` the whole, with the release binary, and prints its table.
//! Everything is on loopback. Another attack is one function in `attacks` and one line in `ATTACKS`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(unreachable_pub, reason = "what the modules share is public to them all, and nobody is outside")]

mod attacks;
mod honest;
#[path = "../suite/support.rs"]
#[allow(
    dead_code,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "a gateway in a process of its own; not all of it is used here"
)]
mod support;
mod table;

use std::time::{Duration, Instant};

use attacks::{Attack, Stage, Strength};
use honest::Probe;
use support::World;
use table::{Goal, Row, Table};

/// How long an attack may take to have done anything.
const PATIENCE: Duration = Duration::from_mins(2);

/// An attack, and what the honest client does meanwhile.
struct Trial {
    name: &'static str,
    /// How the gateway is started.
    world: fn() -> World,
    settings: &'static [&'static str],
    probe: Probe,
    goal: Goal,
    attack: Attack,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_client_is_served_beside_every_attack() {
    let is_full = std::env::var("ABUSE").is_ok_and(|value| value == "full");
    let only = std::env::var("ABUSE_ONLY").unwrap_or_default();
    let strength = if is_full { Strength::FULL } else { Strength::SHORT };
    let mut table = Table::default();
    for trial in attacks::trials() {
        if only.is_empty() || only.split(',').any(|part| trial.name.contains(part)) {
            table.add(run(&trial, strength).await);
        }
    }
    println!("\n{table}");
    // A short run on a busy machine says whether the honest client is served, and not how fast.
    let missed: Vec<_> = table.rows().filter(|row| is_full && !row.is_met()).map(|row| row.attack).collect();
    assert!(missed.is_empty(), "missed: {missed:?}");
}

async fn run(trial: &Trial, strength: Strength) -> Row {
    let begun = Instant::now();
    let world = (trial.world)();
    let gateway = world.start_with(trial.settings);
    let stage = Stage::set(gateway, &world, strength).await;
    let calm = trial.probe.measure(&stage, strength.calm).await;
    let mut under_way = (trial.attack)(&stage).await;
    let mut attacked = trial.probe.measure(&stage, strength.attack).await;
    // A busy machine is slow for attackers as well.
    while under_way.did() < under_way.least && begun.elapsed() < PATIENCE {
        attacked.extend(trial.probe.measure(&stage, strength.calm).await);
    }
    let did = under_way.did();
    under_way.end().await;
    assert!(did >= under_way.least, "{}: the attack did {did}, at least {} were wanted", trial.name, under_way.least);
    // And once it is over, everything is as it was.
    let after = trial.probe.measure(&stage, Duration::from_millis(1)).await;
    assert!(!after.is_empty(), "{}: the honest client is not served afterwards", trial.name);
    eprintln!("{}: {did} done, {:.1} s", trial.name, begun.elapsed().as_secs_f64());
    Row { attack: trial.name, figure: trial.probe.name(), calm, attacked, goal: trial.goal, did }
}
