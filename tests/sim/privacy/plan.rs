//! Draws a history of an owner and her viewers. Both worlds carry out the same steps, each in its way.

use std::time::Duration;

use crate::node::LINGER;
use crate::random::Random;

/// What must look the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// A block and a departure.
    Block,
    /// Going invisible and a departure.
    Invisible,
    /// A change of a field that the viewers may not see, and no change.
    Hidden,
}

impl Relation {
    pub const ALL: [Self; 3] = [Self::Block, Self::Invisible, Self::Hidden];
}

/// What a viewer does to find out more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Asks for the owner's profile.
    GetUsers,
    /// Leaves, and comes back with its cursor.
    Reconnect,
    /// Logs in on another device, which syncs in full.
    Fresh,
    /// Has its list compared and repaired.
    Repair,
    /// Changes what it notes about the owner.
    Note,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The owner connects one more device.
    Comes,
    /// The owner leaves with all devices.
    Leaves,
    /// She blocks, hides or changes something hidden, or leaves.
    Event,
    /// She does something that the viewers must not see.
    Secretly,
    /// She comes or leaves, unseen.
    MovesSecretly,
    /// The backend changes her profile, for all to see.
    Publicly,
    /// The event ends; she is there then, or away.
    Return(bool),
    Viewer(usize, Look),
    /// Another friend of the viewers comes or leaves.
    Bystander,
    /// The gateway is killed, and starts again.
    Restart,
}

#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Milliseconds since the beginning.
    pub at: u64,
    pub act: Act,
}

/// Draws the steps of a seed. If they are `calm`, none of them falls into the spread in which an account may or may not
/// have gone offline already.
pub fn plan(relation: Relation, seed: u64, calm: bool) -> Vec<Step> {
    let random = Random::new(seed ^ 0x9417);
    let mut acts = vec![];
    for _ in 0..random.below(4) {
        acts.push([Act::Comes, Act::Leaves, Act::Publicly, Act::Bystander, Act::Restart][random.index(5)]);
    }
    if random.percent(85) {
        acts.push(Act::Comes);
    }
    if random.percent(15) {
        acts.push(Act::Leaves);
    }
    acts.push(Act::Event);
    let during = |random: &Random| match random.below(20) {
        5..8 => Act::MovesSecretly,
        8 | 9 if relation != Relation::Block => Act::Publicly,
        0..10 => Act::Secretly,
        10..12 => Act::Bystander,
        12 => Act::Restart,
        _ => Act::Viewer(random.index(2), look(random)),
    };
    acts.extend((0..=random.below(5)).map(|_| during(&random)));
    // A return takes a login more than the end of a block, which rough times would show.
    if calm && random.percent(70) {
        acts.push(Act::Return(random.percent(70)));
        acts.extend((0..random.below(4)).map(|_| match random.below(8) {
            0 => Act::Publicly,
            1 => Act::Bystander,
            2 => Act::Restart,
            3 => Act::Leaves,
            4 => Act::Comes,
            _ => Act::Viewer(random.index(2), look(&random)),
        }));
    }
    acts.push(Act::Viewer(0, Look::Fresh));
    acts.push(Act::Viewer(1, Look::Fresh));
    at_times(&acts, &random, calm)
}

fn look(random: &Random) -> Look {
    [Look::GetUsers, Look::Reconnect, Look::Fresh, Look::Repair, Look::Note][random.index(5)]
}

fn at_times(acts: &[Act], random: &Random, calm: bool) -> Vec<Step> {
    let linger = LINGER.as_millis() as u64;
    let (mut at, mut departures, mut steps) = (0, Vec::new(), Vec::new());
    for act in acts {
        at += if random.percent(50) { 400 + random.below(200) } else { 400 + random.below(1500) };
        if calm {
            // Those that left may be gone for the viewers soon after the first moment, and are at the second. A step may take
            // a quarter of a second, and what falls together with a departure may share a frame with it or not.
            let spread = |left: &u64| left + linger - 300..left + linger + 700;
            while let Some(left) = departures.iter().find(|left| spread(left).contains(&at)) {
                at = spread(left).end;
            }
        }
        if matches!(act, Act::Leaves | Act::Event | Act::Bystander | Act::Restart | Act::MovesSecretly) {
            departures.push(at);
        }
        steps.push(Step { at, act: *act });
    }
    steps
}

/// How long a history goes on after its last step.
pub const TAIL: Duration = Duration::from_millis(2500);
