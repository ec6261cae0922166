//! Holds the promise that nobody can tell a block, invisibility or a hidden change from what it looks like.
//!
//! Each history is played in two worlds that differ in one thing: the owner really leaves, or she blocks the viewer, hides
//! herself, or changes a field that the viewer may not see. Everything that the viewers receive is recorded. A calm pair
//! must be the same, frame by frame and time by time; of rough ones, a classifier must not find out which is which.

mod guess;
mod plan;
mod record;
mod world;

use std::collections::BTreeMap;

pub use self::guess::{Examples, guesses};
pub use self::plan::Relation;
use self::plan::plan;
use self::record::difference;
use self::world::World;

/// One of the two worlds of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The owner leaves, or changes nothing.
    Plain,
    /// She blocks, hides or changes something hidden.
    Secret,
}

/// How often each event happened.
pub type Happened = BTreeMap<String, u64>;

/// Plays a seed in both worlds. The error says what a viewer could tell.
pub fn pair(relation: Relation, seed: u64) -> Result<Happened, String> {
    let steps = plan(relation, seed, true);
    let [plain, secret] = [Side::Plain, Side::Secret].map(|side| World::play(relation, seed, side, &steps, false));
    if let Some(difference) = difference(&plain.seen, &secret.seen) {
        return Err(format!("{relation:?}, seed {seed}: {difference}\n{steps:?}"));
    }
    let mut happened = plain.happened;
    for (what, times) in secret.happened {
        let most = happened.entry(what).or_default();
        *most = times.max(*most);
    }
    Ok(happened)
}

/// Plays new histories, half of them in each world, and lets a classifier that learned from `learn` of them guess the
/// worlds of `test` others. Returns how often it was right. With `obvious`, a secret event is seen at once, without offline
/// grace: then the classifier must be right.
pub fn classify(relation: Relation, seed: u64, (learn, test): (u64, u64), obvious: bool) -> u64 {
    let examples = |from: u64, count: u64| -> Examples {
        let play = |seed: u64| {
            // As many of each, so that who always guesses the same is right half of the time.
            let side = if seed.is_multiple_of(2) { Side::Plain } else { Side::Secret };
            let steps = plan(relation, seed, false);
            let played = World::play(relation, seed, side, &steps, obvious && side == Side::Secret);
            (record::features(&played.seen), side)
        };
        (from..from + count).map(play).collect()
    };
    guesses(&examples(seed, learn), &examples(seed + learn, test))
}
