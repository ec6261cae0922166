//! Plays simulated histories: the real hub, feed, service and session tasks on one thread, with a clock, a network and
//! a disk that a seed controls.
//!
//! At every rest, each client must hold the same as a plain model of the commits says, and the same as a fresh client.
//!
//! `ROSTERD_SIM_SEED=7 cargo test --test sim` plays one seed; `ROSTERD_SIM_TRACE=1` also prints every frame;
//! `ROSTERD_SIM_MINUTES=10 cargo test --release --test sim -- --ignored --nocapture soak` plays new ones for ten
//! minutes.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::cast_sign_loss, reason = "simulated times are small")]
#![allow(unreachable_pub, reason = "what the parts of the test share is public to them all, and nobody is outside")]

mod client;
mod disk;
mod model;
mod net;
mod node;
mod plan;
mod random;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use rosterd_engine::model::{Audience, Visibility};

use crate::world::{History, play};

/// The seeds of every run.
const FIXED: std::ops::RangeInclusive<u64> = 1..=24;
/// The number of new seeds in every run.
const FRESH: u64 = 4;

/// The events that must happen in the fixed seeds, because otherwise they prove nothing about them.
const FAULTS: &[&str] = &[
    "connect",
    "drop",
    "cut",
    "half-open, at the gateway",
    "half-open, at the client",
    "silence noticed",
    "stall",
    "several keys were pending",
    world::FLUSHED,
    world::FLUSHED_IN_PART,
    world::REFUSED,
    "write of the backend",
    "write of a burst",
    "acknowledged write",
    "acknowledged: add a friend",
    "acknowledged: request",
    "acknowledged: accept",
    "acknowledged: reject",
    "acknowledged: cancel",
    "acknowledged: remove",
    "acknowledged: alias",
    "acknowledged: block",
    "acknowledged: unblock",
    "acknowledged: hide or show",
    "acknowledged: own fields",
    "watch",
    "befriend",
    "unfriend",
    "erase",
    "erase, and made again",
    "make",
    "prefetch",
    "signal",
    "crash before a commit",
    "crash inside a commit",
    "crash after a commit",
    "kill",
    "backup",
    "restore of a backup",
    "clock set back",
    "clock set forward",
    "compaction",
    "writes fail",
    "reads fail",
    "refused: UNAVAILABLE",
    "full sync, cursor of another history",
    "full sync, cursor expired",
    "delta sync",
    "current sync",
    "corruption",
    "mismatch noticed",
    "repair",
    "rest",
];

/// The visibility in every history: the account alone sees `custom`, friends see `tel`, and everyone sees the rest.
fn visibility() -> Visibility {
    Visibility { tel: Audience::Friends, custom: Audience::Own, ..Visibility::default() }
}

/// Plays a seed. The error says how to play it again.
fn passes(seed: u64) -> Result<History, String> {
    let history = play(seed);
    let Some(wrong) = &history.wrong else { return Ok(history) };
    let steps =
        plan::plan(seed).into_iter().enumerate().map(|(at, step)| format!("{at}: +{} {:?}\n", step.after, step.act));
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sim-{seed}.plan"));
    std::fs::write(&file, format!("{}{wrong}\n", steps.collect::<String>())).unwrap();
    Err(format!("ROSTERD_SIM_SEED={seed} fails, its plan is in {}: {wrong}", file.display()))
}

fn play_all(seeds: impl Iterator<Item = u64>) -> BTreeMap<String, u64> {
    let (mut happened, mut failed) = (BTreeMap::new(), Vec::new());
    for seed in seeds {
        match passes(seed) {
            Ok(history) => history.happened.into_iter().for_each(|(what, n)| *happened.entry(what).or_default() += n),
            Err(why) => failed.push(why),
        }
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
    happened
}

fn seed_from_environment() -> Option<u64> {
    std::env::var("ROSTERD_SIM_SEED").ok().map(|seed| seed.parse().expect("ROSTERD_SIM_SEED is a whole number"))
}

/// Returns seeds that have not been played before.
fn new_seeds() -> impl Iterator<Item = u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (now.as_millis() as u64 * 1000)..
}

#[test]
fn every_client_holds_what_it_should_after_any_history() {
    if let Some(seed) = seed_from_environment() {
        println!("{:#?}", play_all([seed].into_iter()));
        return;
    }
    let happened = play_all(FIXED);
    for fault in FAULTS {
        assert!(
            happened.get(*fault).is_some_and(|times| *times > 0),
            "never in the fixed seeds: {fault}\n{happened:#?}"
        );
    }
    play_all(new_seeds().take(FRESH as usize));
}

#[test]
fn a_seed_is_one_history() {
    let seed = seed_from_environment().unwrap_or(3);
    let (once, again) = (play(seed), play(seed));
    assert_eq!((once.trace, &once.happened), (again.trace, &again.happened));
    assert_ne!(play(seed + 1).trace, once.trace);
}

/// Plays new seeds for `ROSTERD_SIM_MINUTES`; not part of a normal run.
#[test]
#[ignore = "runs for ROSTERD_SIM_MINUTES"]
fn soak() {
    let minutes: u64 = std::env::var("ROSTERD_SIM_MINUTES").map_or(1, |text| text.parse().expect("whole minutes"));
    let (begun, mut histories, mut happened, mut failed) = (Instant::now(), 0, BTreeMap::new(), Vec::new());
    for seed in new_seeds() {
        if begun.elapsed() >= Duration::from_secs(60 * minutes) {
            break;
        }
        histories += 1;
        match passes(seed) {
            Ok(history) => {
                history.happened.into_iter().for_each(|(what, n)| *happened.entry(what).or_insert(0) += n);
            }
            Err(why) => {
                println!("{why}");
                failed.push(seed);
            }
        }
    }
    println!("{happened:#?}");
    let rate = f64::from(histories) * 60.0 / begun.elapsed().as_secs_f64();
    println!("{histories} histories, {rate:.0} a minute, {} failed: {failed:?}", failed.len());
    assert!(failed.is_empty());
}
