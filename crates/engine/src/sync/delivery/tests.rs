use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::{FeedPosition, LogHistory, Millis, Revision, SeenNumber};

const HOUR: Millis = 3_600_000;

/// Random numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

fn at(history: u64, revision: Revision, index: Option<u32>) -> FeedPosition {
    FeedPosition { history: LogHistory(history), revision, index, seen: 0 }
}

fn begun(position: FeedPosition) -> KeptDelivery {
    KeptDelivery { position, state: DeliveryState::Running, since: 0, failures: 0, failing_since: 0 }
}

/// An event in the histories that a plan goes through.
type ModelEvent = (u64, EventKey);

/// Whether whoever is at a position has an event of its history.
fn has(position: FeedPosition, key: EventKey) -> bool {
    match key {
        EventKey::Change { revision, index } => position.has(revision, index),
        EventKey::Presence(seen) => seen <= position.seen,
    }
}

/// A log, an endpoint, and what became of each event.
struct Model {
    history: u64,
    floor: Revision,
    /// The number of events of each change from revision 1 on, with one bit for each that is wanted.
    changes: Vec<(u32, u64)>,
    /// The number of the last presence transition, and that of each account.
    seen: SeenNumber,
    present: BTreeMap<u64, SeenNumber>,
    /// Whether the endpoint asks for presence.
    wants_presence: bool,
    /// Presence that newer presence replaced: it may arrive or not.
    replaced: BTreeSet<ModelEvent>,
    poisonous: BTreeSet<ModelEvent>,
    all: BTreeSet<ModelEvent>,
    delivered: BTreeSet<ModelEvent>,
    dead: BTreeSet<ModelEvent>,
    gap: BTreeSet<ModelEvent>,
    /// What arrived in which order for the first time.
    arrivals: Vec<ModelEvent>,
    /// What had arrived when the process was killed before that was kept: it may arrive, be refused or be a gap again.
    uncertain: BTreeSet<ModelEvent>,
    kept: KeptDelivery,
    delivery: Delivery,
    now: Millis,
    requests: usize,
}

impl Model {
    fn new(batch: usize) -> Self {
        let kept = begun(at(1, 0, None));
        Self {
            history: 1,
            floor: 0,
            changes: Vec::new(),
            seen: 0,
            present: BTreeMap::new(),
            wants_presence: true,
            replaced: BTreeSet::new(),
            poisonous: BTreeSet::new(),
            all: BTreeSet::new(),
            delivered: BTreeSet::new(),
            dead: BTreeSet::new(),
            gap: BTreeSet::new(),
            arrivals: Vec::new(),
            uncertain: BTreeSet::new(),
            delivery: Delivery::new(kept.clone(), batch),
            kept,
            now: 1_000_000,
            requests: 0,
        }
    }

    fn write(&mut self, events: u32, wanted: u64, poisonous: u64) {
        self.changes.push((events, wanted));
        let revision = self.changes.len() as Revision;
        for index in (0..events).filter(|index| wanted >> index & 1 == 1) {
            let event = (self.history, EventKey::Change { revision, index });
            self.all.insert(event);
            if poisonous >> index & 1 == 1 {
                self.poisonous.insert(event);
            }
        }
    }

    /// An account comes or goes.
    fn pass(&mut self, account: u64, is_poisonous: bool) {
        self.seen += 1;
        let event = (self.history, EventKey::Presence(self.seen));
        if let Some(before) = self.present.insert(account, self.seen) {
            self.replaced.insert((self.history, EventKey::Presence(before)));
        }
        if self.wants_presence {
            self.all.insert(event);
        }
        if is_poisonous {
            self.poisonous.insert(event);
        }
    }

    /// Another store is put in place, with its own history and the presence that it knows.
    fn replace(&mut self, changes: usize) {
        let lost = self.present.values().map(|seen| (self.history, EventKey::Presence(*seen)));
        self.replaced.extend(lost);
        self.history += 1;
        self.changes.truncate(changes);
        self.floor = self.changes.len() as Revision;
        if self.wants_presence {
            self.all.extend(self.present.values().map(|seen| (self.history, EventKey::Presence(*seen))));
        }
    }

    /// Returns the next request and its events. Moves over what is not wanted, as a driver does.
    fn request(&mut self, most: usize) -> Option<(DeliveryBatch, Vec<ModelEvent>)> {
        let position = self.delivery.kept().position;
        if position.history.0 != self.history || position.after() < self.floor {
            let seen = if position.history.0 == self.history { position.seen } else { 0 };
            let end = FeedPosition { seen, ..at(self.history, self.floor, None) };
            return Some((DeliveryBatch { content: DeliveryContent::Gap, end }, Vec::new()));
        }
        let (mut end, mut events, mut is_full) = (position, Vec::new(), false);
        'log: for revision in position.after() + 1..=self.changes.len() as Revision {
            let (count, wanted) = self.changes[revision as usize - 1];
            for index in (0..count).filter(|index| !position.has(revision, *index)) {
                if wanted >> index & 1 == 1 {
                    if events.len() == most {
                        is_full = true;
                        break 'log;
                    }
                    events.push((self.history, EventKey::Change { revision, index }));
                }
                end = FeedPosition { index: Some(index), revision, ..end };
            }
            end = FeedPosition { index: None, revision, ..end };
        }
        // Presence comes once no change waits.
        let newer: BTreeSet<_> = self.present.values().copied().filter(|seen| *seen > position.seen).collect();
        for seen in newer.into_iter().filter(|_| self.wants_presence && !is_full).take(most - events.len()) {
            events.push((self.history, EventKey::Presence(seen)));
            end.seen = seen;
        }
        if !is_full && events.len() < most {
            end.seen = self.seen;
        }
        match events.first() {
            None => {
                if end != position {
                    self.delivery.skip(end);
                }
                None
            }
            Some((_, first)) => {
                Some((DeliveryBatch { content: DeliveryContent::Events(events.len(), *first), end }, events))
            }
        }
    }

    /// Does the next step with an endpoint that answers so unless it refuses the content. Returns whether there was a
    /// request.
    fn step(&mut self, answer: DeliveryOutcome, chance: u64) -> bool {
        let DeliveryStep::Send(most) = self.delivery.step(self.now) else { return false };
        let from = self.delivery.kept().position;
        let Some((batch, events)) = self.request(most) else { return false };
        self.requests += 1;
        self.delivery.begin(batch);
        let refuses = answer == DeliveryOutcome::Accepted && events.iter().any(|event| self.poisonous.contains(event));
        let outcome = if refuses { DeliveryOutcome::Refused } else { answer };
        match self.delivery.finish(outcome, self.now, chance) {
            DeliveryEffect::Delivered(DeliveryContent::Events(count, _)) => {
                assert_eq!(count, events.len());
                for event in events {
                    if self.delivered.insert(event) {
                        self.arrivals.push(event);
                    }
                }
            }
            DeliveryEffect::Delivered(DeliveryContent::Gap) => {
                let floor = (self.history, EventKey::Change { revision: self.floor + 1, index: 0 });
                let is_missing = |event: &&ModelEvent| {
                    matches!(event.1, EventKey::Change { .. })
                        && **event < floor
                        && !(event.0 == from.history.0 && has(from, event.1))
                        && event.0 >= from.history.0
                };
                self.gap.extend(self.all.iter().filter(is_missing));
                self.keep();
            }
            DeliveryEffect::Dead(event) | DeliveryEffect::Ended(_, Some(event)) => {
                self.dead.insert((self.history, event));
                // A driver keeps the dead letter and the position together.
                self.keep();
            }
            DeliveryEffect::Nothing | DeliveryEffect::Retried | DeliveryEffect::Ended(_, None) => {}
        }
        true
    }

    fn keep(&mut self) {
        self.kept = self.delivery.kept().clone();
    }

    fn kill(&mut self, batch: usize) {
        let kept = self.kept.position;
        let is_again =
            |(history, key): &&ModelEvent| *history > kept.history.0 || *history == kept.history.0 && !has(kept, *key);
        self.uncertain.extend(self.delivered.iter().filter(is_again));
        self.delivery = Delivery::new(self.kept.clone(), batch);
    }

    /// Lets the endpoint work until nothing is left, and checks what became of each event.
    fn settle(&mut self, seed: u64) {
        for _ in 0..100_000 {
            match self.delivery.step(self.now) {
                DeliveryStep::Rest => self.delivery.resume(self.now),
                DeliveryStep::Wait(until) => self.now = until,
                DeliveryStep::Send(_) => {
                    if !self.step(DeliveryOutcome::Accepted, 500) {
                        break;
                    }
                }
            }
        }
        let head = FeedPosition { seen: self.seen, ..at(self.history, self.changes.len() as Revision, None) };
        assert_eq!(self.delivery.kept().position, head, "seed {seed}: it comes to the end");
        let mut became = self.delivered.clone();
        became.extend(&self.dead);
        became.extend(&self.gap);
        let left: Vec<_> = self.all.difference(&became).filter(|event| !self.replaced.contains(event)).collect();
        assert!(left.is_empty(), "seed {seed}: {left:?} are neither delivered, nor dead, nor in a gap");
        assert!(became.is_subset(&self.all), "seed {seed}: {:?} is no event", became.difference(&self.all).next());
        for (one, other) in [(&self.delivered, &self.dead), (&self.delivered, &self.gap), (&self.dead, &self.gap)] {
            let both: Vec<_> = one.intersection(other).filter(|event| !self.uncertain.contains(event)).collect();
            assert!(both.is_empty(), "seed {seed}: {both:?} became two things");
        }
        for of_presence in [false, true] {
            let is_one = |event: &&ModelEvent| matches!(event.1, EventKey::Presence(_)) == of_presence;
            let arrivals = self.arrivals.iter().filter(is_one);
            assert!(arrivals.is_sorted(), "seed {seed}: first arrivals are in order (presence: {of_presence})");
        }
    }
}

fn play(seed: u64) -> [usize; 6] {
    let mut random = Random(seed);
    let batches = [1, 2, 3, 10, 100];
    let mut batch = batches[random.below(5) as usize];
    let mut model = Model::new(batch);
    model.wants_presence = random.below(4) > 0;
    for _ in 0..random.below(200) {
        match random.below(22) {
            0..=5 => {
                let poisonous = if random.below(8) == 0 { random.below(8) } else { 0 };
                model.write(1 + random.below(3) as u32, random.below(8), poisonous);
            }
            6..=11 => {
                model.step(DeliveryOutcome::Accepted, random.below(1001));
            }
            12 => {
                model.step(DeliveryOutcome::Refused, 0);
            }
            13 => {
                let retry_after = (random.below(2) == 0).then(|| random.below(2 * HOUR));
                model.step(DeliveryOutcome::Unavailable(retry_after), random.below(1001));
            }
            14 => {
                if random.below(4) == 0 {
                    model.step(DeliveryOutcome::Gone, 0);
                } else {
                    model.keep();
                }
            }
            15 => model.now += random.below(HOUR),
            16 => match random.below(3) {
                0 => model.kill(batch),
                1 => {
                    model.keep();
                    model.kill(batch);
                }
                _ => {
                    batch = batches[random.below(5) as usize];
                    model.delivery.set_batch(batch);
                }
            },
            17 => match model.delivery.kept().state {
                DeliveryState::Running if random.below(4) == 0 => model.delivery.pause(model.now),
                DeliveryState::Running => {}
                _ => model.delivery.resume(model.now),
            },
            18 if random.below(4) == 0 => {
                let head = model.changes.len() as u64;
                model.floor = model.floor.max(random.below(head + 1));
            }
            19 if random.below(20) == 0 => {
                model.replace(random.below(5) as usize);
            }
            20 | 21 => model.pass(random.below(4), random.below(16) == 0),
            _ => {}
        }
    }
    model.settle(seed);
    let presence = model.delivered.iter().filter(|(_, key)| matches!(key, EventKey::Presence(_))).count();
    let unseen = model.replaced.iter().filter(|event| model.all.contains(event) && !model.delivered.contains(event));
    let fates = [model.delivered.len(), model.dead.len(), model.gap.len(), model.uncertain.len()];
    [fates[0], fates[1], fates[2], fates[3], presence, unseen.count()]
}

fn play_all(seeds: u64) {
    let mut reached = [0; 6];
    for seed in 0..seeds {
        let counts = play(seed);
        for (sum, count) in reached.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    assert!(reached.iter().all(|sum| *sum > 0), "events of each fate: {reached:?}");
}

#[test]
fn whatever_happens_each_event_is_delivered_dead_or_in_a_gap() {
    play_all(5000);
}

#[test]
#[ignore = "a hundred thousand plans; a minute in a debug build"]
fn whatever_happens_many_times_each_event_is_delivered_dead_or_in_a_gap() {
    play_all(100_000);
}

#[test]
fn an_hour_down_costs_35_requests_and_the_first_one_after_it_has_one_event() {
    for chance in [0, 500, 1000] {
        let mut model = Model::new(100);
        for _ in 0..100_000 {
            model.write(1, 1, 0);
        }
        let end = model.now + HOUR;
        while model.now < end {
            match model.delivery.step(model.now) {
                DeliveryStep::Wait(until) => model.now = until,
                _ => assert!(model.step(DeliveryOutcome::Unavailable(None), chance)),
            }
        }
        assert!((5..=35).contains(&model.requests), "{} requests", model.requests);
        assert_eq!(model.delivery.step(model.now), DeliveryStep::Send(1));
        model.requests = 0;
        model.settle(0);
        // One, two, four and so on, up to a hundred at a time.
        assert_eq!((model.delivered.len(), model.requests), (100_000, 1006));
    }
}

#[test]
fn after_a_day_of_failures_there_is_one_request_an_hour() {
    let mut delivery = Delivery::new(begun(at(1, 0, None)), 100);
    let batch = DeliveryBatch {
        content: DeliveryContent::Events(1, EventKey::Change { revision: 1, index: 0 }),
        end: at(1, 1, None),
    };
    let (mut now, mut requests) = (0, 0);
    while now < 8 * 24 * HOUR {
        if let DeliveryStep::Wait(until) = delivery.step(now) {
            now = until;
            continue;
        }
        requests += usize::from(now > 2 * 24 * HOUR);
        delivery.begin(batch);
        delivery.finish(DeliveryOutcome::Unavailable(None), now, 1000);
    }
    assert_eq!(requests, 6 * 24);
}

#[test]
fn an_endpoint_may_ask_for_more_time_up_to_an_hour() {
    for (asked, wait) in [(None, 500), (Some(100), 500), (Some(90_000), 90_000), (Some(u64::MAX), HOUR)] {
        let mut delivery = Delivery::new(begun(at(1, 0, None)), 100);
        delivery.begin(DeliveryBatch { content: DeliveryContent::Gap, end: at(1, 1, None) });
        delivery.finish(DeliveryOutcome::Unavailable(asked), 7, 0);
        assert_eq!(delivery.step(7), DeliveryStep::Wait(7 + wait), "{asked:?}");
        // A clock that is set back does not make it wait for ever.
        assert_eq!(delivery.step(6), DeliveryStep::Send(1));
    }
}

#[test]
fn one_poisonous_event_is_found_and_skipped_after_half_a_minute_and_the_rest_goes_on() {
    let mut model = Model::new(100);
    for n in 0..1000 {
        model.write(1, 1, u64::from(n == 500));
    }
    let begin = model.now;
    model.settle(0);
    assert_eq!((model.delivered.len(), model.dead.len()), (999, 1));
    assert!((30_000..60_000).contains(&(model.now - begin)), "after {} ms", model.now - begin);
    assert!(model.requests < 60, "{} requests", model.requests);
}

#[test]
fn an_endpoint_that_refuses_everything_is_not_skipped_through() {
    let mut model = Model::new(100);
    for _ in 0..1000 {
        model.write(1, 1, 1);
    }
    while model.delivery.step(model.now) != DeliveryStep::Rest {
        match model.delivery.step(model.now) {
            DeliveryStep::Wait(until) => model.now = until,
            _ => assert!(model.step(DeliveryOutcome::Accepted, 0)),
        }
    }
    assert_eq!((model.delivery.kept().state, model.dead.len()), (DeliveryState::Held, 10));
}

#[test]
fn what_is_wrong_with_the_endpoint_is_not_held_against_the_events() {
    use DeliveryOutcome::{Accepted, Gone, Refused, Unavailable};
    for (status, outcome) in [
        (200, Accepted),
        (204, Accepted),
        (301, Unavailable(None)),
        (302, Unavailable(None)),
        (304, Unavailable(None)),
        (400, Refused),
        (413, Refused),
        (422, Refused),
        (418, Refused),
        (401, Unavailable(None)),
        (403, Unavailable(None)),
        (404, Unavailable(None)),
        (405, Unavailable(None)),
        (408, Unavailable(None)),
        (409, Unavailable(None)),
        (410, Gone),
        (425, Unavailable(None)),
        (429, Unavailable(None)),
        (500, Unavailable(None)),
        (503, Unavailable(None)),
    ] {
        assert_eq!(DeliveryOutcome::of_status(status, None), outcome, "{status}");
    }
    assert_eq!(DeliveryOutcome::of_status(503, Some(7)), Unavailable(Some(7)));
}

#[test]
fn a_replay_sends_once_more_and_ends_where_it_was() {
    let mut model = Model::new(3);
    for _ in 0..10 {
        model.write(1, 1, 0);
    }
    model.settle(0);
    model.delivery.replay(at(1, 4, None));
    assert_eq!(model.delivery.replay_end(), Some(at(1, 10, None)));
    let before = model.requests;
    while model.step(DeliveryOutcome::Accepted, 0) {}
    assert_eq!((model.delivery.replay_end(), model.delivery.kept().position), (None, at(1, 10, None)));
    assert_eq!(model.requests - before, 2);
    // Presence comes once more from the number of the position, and a replay skips none.
    model.pass(1, false);
    model.pass(2, false);
    while model.step(DeliveryOutcome::Accepted, 0) {}
    assert_eq!(model.delivery.kept().position.seen, 2);
    model.delivery.replay(FeedPosition { seen: 1, ..at(1, 10, None) });
    let before = model.requests;
    while model.step(DeliveryOutcome::Accepted, 0) {}
    assert_eq!((model.requests - before, model.delivery.replay_end()), (1, None));
    model.delivery.replay(FeedPosition { seen: 1, ..at(1, 10, None) });
    model.delivery.replay(FeedPosition { seen: 9, ..at(1, 9, None) });
    assert_eq!(model.delivery.kept().position, FeedPosition { seen: 1, ..at(1, 9, None) });
    while model.step(DeliveryOutcome::Accepted, 0) {}
    assert_eq!(model.delivery.replay_end(), None);
    // A request that was out when the replay began does not move the position.
    model.write(1, 1, 0);
    let (batch, _) = model.request(3).unwrap();
    model.delivery.begin(batch);
    model.delivery.replay(at(1, 0, None));
    assert_eq!(model.delivery.finish(DeliveryOutcome::Accepted, model.now, 0), DeliveryEffect::Nothing);
    assert_eq!(model.delivery.kept().position, at(1, 0, None));
}

#[test]
fn the_id_of_an_event_is_read_as_it_was_written() {
    for (key, text) in [
        (EventKey::Change { revision: 4711, index: 2 }, "0000000000000007-4711-2"),
        (EventKey::Presence(9), "0000000000000007-p9"),
    ] {
        assert_eq!((key.id(LogHistory(7)), EventKey::of_id(text)), (text.to_owned(), Some((LogHistory(7), key))));
    }
    for text in
        ["", "1-2-3", "0000000000000007-1", "0000000000000007-p1-0", "0000000000000007-p", "0000000000000007-1-2-3"]
    {
        assert_eq!(EventKey::of_id(text), None, "{text}");
    }
}
