//! A simple classifier (naive Bayes): how much more often each word occurs in one world than in the other.

use std::collections::HashMap;

use super::Side;

/// The words of each history, and the world that it was played in.
pub type Examples = Vec<(Vec<String>, Side)>;

/// Learns from some examples, and returns for how many others it guesses the world.
pub fn guesses(learn: &Examples, test: &Examples) -> u64 {
    let index = |side: Side| usize::from(side == Side::Secret);
    let (mut words, mut histories) = (HashMap::<&str, [f64; 2]>::new(), [0.0; 2]);
    for (seen, side) in learn {
        histories[index(*side)] += 1.0;
        for word in seen {
            words.entry(word).or_default()[index(*side)] += 1.0;
        }
    }
    let share = |count: f64, side: usize| (count + 1.0) / (histories[side] + 2.0);
    let evidence = |word: &String| {
        let [plain, secret] = words.get(word.as_str())?;
        let (a, b) = (share(*plain, 0), share(*secret, 1));
        let both = f64::midpoint(a, b);
        let chance = (both * (1.0 - both) * (1.0 / (histories[0] + 2.0) + 1.0 / (histories[1] + 2.0))).sqrt();
        // The difference must be more than what chance makes of two equal shares.
        ((b - a).abs() > 2.5 * chance).then(|| (b / a).ln())
    };
    let guess = |seen: &[String]| {
        let sum: f64 = seen.iter().filter_map(evidence).sum();
        if sum > 0.0 { Side::Secret } else { Side::Plain }
    };
    test.iter().filter(|(seen, side)| guess(seen) == *side).count() as u64
}
