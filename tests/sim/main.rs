//! Plays simulated histories: the real hub, feed, service and session tasks on one thread, with a clock, a network and
//! a disk that a seed controls.
//!
//! At every rest, each client must hold the same as a plain model of the commits says, and the same as a fresh client.
//! `cluster` does the same with several gateways on one database.
//!
//! `ROSTERD_SIM_SEED=7 cargo test --test sim` plays one seed; `ROSTERD_SIM_TRACE=1` also prints every frame;
//! `ROSTERD_SIM_MINUTES=10 cargo test --release --test sim -- --ignored --nocapture soak` plays new ones for ten
//! minutes.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::cast_sign_loss, reason = "simulated times are small")]
#![allow(unreachable_pub, reason = "what the parts of the test share is public to them all, and nobody is outside")]

mod check;
mod client;
mod cluster;
mod device;
mod disk;
mod model;
mod net;
mod node;
mod plan;
mod privacy;
mod random;
mod world;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rosterd_engine::model::{Audience, FieldWriter, OwnField, OwnKind, OwnValue, Visibility};

use crate::privacy::Relation;
use crate::world::{History, play};

/// The seeds of every run.
const FIXED: std::ops::RangeInclusive<u64> = 1..=24;
/// One more, in which a frame for a session that is asleep is not taken: that happens in few histories.
const RARE: u64 = 138;
/// One more of several gateways, in which a client logs in at a database that has lost commits before any gateway has found out.
const RARE_WITH_SEVERAL: u64 = 1_796_073_659_366_059;
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
    "acknowledged: status",
    "acknowledged: mute",
    "acknowledged: own fields",
    "watch",
    "befriend",
    "unfriend",
    "erase",
    "erase, and made again",
    "make",
    "prefetch",
    "signal",
    "a kind of device was seen",
    "several kinds of devices were seen",
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
    "other rules while clients live",
    "other rules at a restart",
    "a view moved",
    "mismatch noticed",
    "repair",
    "rest",
];

/// The visibility in every history: the account alone sees `custom` and `diary`, friends see `tel` and `mood`, and everyone
/// sees the rest.
fn visibility() -> Visibility {
    let field = |name: &str, audience, default| {
        let kind = OwnKind::Integer { min: 0, max: 999 };
        (name.into(), OwnField { kind, default, audience, writer: FieldWriter::Account })
    };
    let own = [
        field("diary", Audience::Own, None),
        field("level", Audience::Everyone, Some(OwnValue::Integer(1))),
        field("mood", Audience::Friends, None),
    ];
    let own = Arc::new(own.into_iter().collect());
    Visibility { tel: Audience::Friends, custom: Audience::Own, own, ..Visibility::default() }
}

/// How many rules there are that histories change between; the first are those of [`visibility`].
const RULES: u64 = 6;

/// The rules of a number. `diary` and `custom` are never for others, `mood` is always there; all else changes.
fn rules(number: u64) -> Visibility {
    use Audience::{Everyone, Friends, Own};
    let (tel, level, diary, mood) = match number % RULES {
        0 => return visibility(),
        1 => (Everyone, Some(Friends), Some(Own), Everyone),
        2 => (Own, None, Some(Own), Friends),
        3 => (Friends, Some(Own), None, Own),
        4 => (Everyone, None, None, Everyone),
        _ => (Own, Some(Everyone), Some(Own), Own),
    };
    let all = visibility();
    let own = all.own.iter().filter_map(|(name, field)| {
        let audience = match name {
            "level" => level?,
            "diary" => diary?,
            _ => mood,
        };
        Some((name.into(), OwnField { audience, ..field.clone() }))
    });
    let own = Arc::new(own.collect());
    Visibility { tel, own, ..all }
}

/// Plays a seed. The error says how to play it again.
fn passes(seed: u64) -> Result<History, String> {
    let history = play(seed);
    let Some(wrong) = &history.wrong else { return Ok(history) };
    let steps = plan::plan(seed).into_iter().map(|step| (step.after, step.act));
    Err(write_plan(&seed.to_string(), steps, &format!("ROSTERD_SIM_SEED={seed}"), wrong))
}

/// Writes the steps of a history that failed, and says how to play it again.
fn write_plan<A: Debug>(name: &str, steps: impl Iterator<Item = (u64, A)>, again: &str, wrong: &str) -> String {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sim-{name}.plan"));
    let steps: Vec<_> = steps.enumerate().map(|(at, (after, act))| format!("{at}: +{after} {act:?}\n")).collect();
    std::fs::write(&file, format!("{}{wrong}\n", steps.concat())).unwrap();
    format!("{again} fails, its plan is in {}: {wrong}", file.display())
}

fn play_all(seeds: impl Iterator<Item = u64>, passes: fn(u64) -> Result<History, String>) -> BTreeMap<String, u64> {
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
        println!("{:#?}", play_all([seed].into_iter(), passes));
        return;
    }
    assert_all_happened(&play_all(FIXED.chain([RARE]), passes), FAULTS);
    play_all(new_seeds().take(FRESH as usize), passes);
}

fn assert_all_happened(happened: &BTreeMap<String, u64>, faults: &[&str]) {
    for fault in faults {
        assert!(
            happened.get(*fault).is_some_and(|times| *times > 0),
            "never in the fixed seeds: {fault}\n{happened:#?}"
        );
    }
}

/// The events that must happen in the fixed seeds of several gateways.
const CLUSTER_FAULTS: &[&str] = &[
    "a client changed gateways",
    "a gateway was killed",
    "a gateway is started again",
    "a gateway stood still",
    "a gateway was cut off from the database",
    "a gateway was removed",
    "a commit got lost",
    "a commit was late",
    "the answer to a commit got lost",
    "a lock was waited for in vain",
    "a holder that stood still was ended by one that waited",
    "a session was ended that was idle in a transaction",
    "the database crashed",
    "a promotion lost commits",
    "a promotion lost nothing",
    "a failover without a loss",
    "another epoch begins, at a start",
    "another epoch begins, by a writer that missed something",
    "a word was lost",
    "a batch came besides the log",
    "a batch was lost between gateways",
    "a batch came twice",
    "a friend on no gateway shows as offline",
    "compaction",
    "compaction while a client reads its friends",
    "other rules for all gateways",
    "prefetch",
    "signal",
    "a kind of device was seen",
    "several kinds of devices were seen",
    "write of the backend",
    "acknowledged write",
    "refused: UNAVAILABLE",
    "full sync, cursor of another history",
    "full sync, cursor expired",
    "delta sync",
    "current sync",
    "rest",
];

/// Plays a seed of several gateways. The error says how to play it again.
fn passes_with_several(seed: u64) -> Result<History, String> {
    let history = cluster::play(seed);
    let Some(wrong) = &history.wrong else { return Ok(history) };
    let steps = cluster::plan(seed).into_iter().map(|step| (step.after, step.act));
    Err(write_plan(&format!("cluster-{seed}"), steps, &format!("ROSTERD_SIM_SEED={seed}"), wrong))
}

#[test]
fn every_client_holds_what_it_should_on_whichever_gateway() {
    if let Some(seed) = seed_from_environment() {
        println!("{:#?}", play_all([seed].into_iter(), passes_with_several));
        return;
    }
    assert_all_happened(&play_all(FIXED.chain([RARE_WITH_SEVERAL]), passes_with_several), CLUSTER_FAULTS);
    play_all(new_seeds().take(FRESH as usize), passes_with_several);
}

#[test]
fn a_seed_is_one_history_of_several_gateways() {
    let seed = seed_from_environment().unwrap_or(3);
    let (once, again) = (cluster::play(seed), cluster::play(seed));
    assert_eq!((once.trace, &once.happened), (again.trace, &again.happened));
}

#[test]
fn a_seed_is_one_history() {
    let seed = seed_from_environment().unwrap_or(3);
    let (once, again) = (play(seed), play(seed));
    assert_eq!((once.trace, &once.happened), (again.trace, &again.happened));
    assert_ne!(play(seed + 1).trace, once.trace);
}

/// Plays new seeds for `ROSTERD_SIM_MINUTES`.
#[expect(clippy::print_stdout, reason = "a test says what happened")]
fn play_for_minutes(what: &str, passes: fn(u64) -> Result<History, String>) {
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
    println!("{what}: {happened:#?}");
    let rate = f64::from(histories) * 60.0 / begun.elapsed().as_secs_f64();
    println!("{what}: {histories} histories, {rate:.0} a minute, {} failed: {failed:?}", failed.len());
    assert!(failed.is_empty());
}

/// Not part of a normal run.
#[test]
#[ignore = "runs for ROSTERD_SIM_MINUTES"]
fn soak() {
    play_for_minutes("one gateway", passes);
}

/// Not part of a normal run.
#[test]
#[ignore = "runs for ROSTERD_SIM_MINUTES"]
fn soak_of_several_gateways() {
    play_for_minutes("several gateways", passes_with_several);
}

/// The events that must happen in the histories of each relation, because otherwise they prove nothing about them.
fn privacy_events(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::Block => &[
            "an event while she is there",
            "an event while she is away",
            "an event with several devices",
            "an event with several kinds of devices",
            "she takes another kind of device",
            "a change during a block",
            "a change was taken back",
            "a status during an event",
            "she moves",
            "she returns",
            "she returns, changed",
            "it ends while she is away",
            "it ends while she is away, changed",
            "a restart",
            "GetUsers",
            "Reconnect",
            "Fresh",
            "Repair",
            "Note",
        ],
        Relation::Invisible => &[
            "an event while she is there",
            "an event while she is away",
            "an event with several devices",
            "an event with several kinds of devices",
            "she takes another kind of device",
            "a change for all to see",
            "a status during an event",
            "she moves",
            "she returns",
            "it ends while she is away",
            "a restart",
            "Reconnect",
            "Fresh",
        ],
        Relation::Hidden => &[
            "a field for herself changes",
            "a field for friends changes",
            "a change for all to see",
            "she moves",
            "a restart",
            "GetUsers",
            "Reconnect",
            "Fresh",
            "Repair",
        ],
    }
}

/// Plays each relation with these seeds, and prints what happened.
#[expect(clippy::print_stdout, reason = "a test says what happened")]
fn play_pairs(seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    for relation in Relation::ALL {
        let mut happened = BTreeMap::new();
        for seed in seeds.clone() {
            match privacy::pair(relation, seed) {
                Ok(some) => some.into_iter().for_each(|(what, n)| *happened.entry(what).or_insert(0) += n),
                Err(why) => failed.push(why),
            }
        }
        println!("{relation:?}: {} histories, each in both worlds\n{happened:#?}", seeds.end - seeds.start);
        for event in privacy_events(relation) {
            let event = format!("{relation:?}: {event}");
            assert!(happened.contains_key(&event) || !failed.is_empty(), "never: {event}\n{happened:#?}");
        }
    }
    assert!(failed.is_empty(), "{} could be told apart, the first:\n{}", failed.len(), failed[0]);
}

#[test]
fn a_viewer_sees_the_same_of_a_secret_as_of_what_it_looks_like() {
    match seed_from_environment() {
        Some(seed) => play_pairs(seed..seed + 1),
        None => play_pairs(1..61),
    }
}

/// A fair coin is right this often at most, but for one case in 100,000.
fn chance(guesses: u64) -> u64 {
    guesses / 2 + 43 * guesses.isqrt() / 20
}

/// A classifier does no better than chance, and sees what is obvious: the same without offline grace.
#[expect(clippy::print_stdout, reason = "a test says what happened")]
fn cannot_be_told_apart(relation: Relation) {
    const LEARN: u64 = 300;
    const TEST: u64 = 1000;
    const OBVIOUS: u64 = 100;
    let right = privacy::classify(relation, 1_000_000, (LEARN, TEST), false);
    println!("{relation:?}: {right} of {TEST} guesses are right; chance is at most {}", chance(TEST));
    assert!(right <= chance(TEST), "{relation:?}: {right}");
    let right = privacy::classify(relation, 2_000_000, (OBVIOUS, OBVIOUS), true);
    println!("{relation:?}, seen at once: {right} of {OBVIOUS} guesses are right");
    assert!(right > chance(OBVIOUS), "{relation:?}: {right}");
}

#[test]
fn a_classifier_cannot_tell_a_block_from_a_departure() {
    cannot_be_told_apart(Relation::Block);
}

#[test]
fn a_classifier_cannot_tell_invisibility_from_a_departure() {
    cannot_be_told_apart(Relation::Invisible);
}

/// Plays `ROSTERD_SIM_HISTORIES` new pairs of each relation; not part of a normal run.
#[test]
#[ignore = "plays ROSTERD_SIM_HISTORIES pairs of histories"]
fn privacy_soak() {
    let histories: u64 = std::env::var("ROSTERD_SIM_HISTORIES").map_or(100, |text| text.parse().expect("a number"));
    let first = new_seeds().next().expect("there is no end");
    play_pairs(first..first + histories);
}
