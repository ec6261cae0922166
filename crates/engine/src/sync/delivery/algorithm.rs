//! Decides what is sent next, and what an outcome changes.

use super::state::{
    DeliveryBatch, DeliveryContent, DeliveryEffect, DeliveryOutcome, DeliveryState, EventKey, KeptDelivery,
};
use crate::model::{FeedPosition, Millis};

const SECOND: Millis = 1000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

/// The longest wait after failures, and that after failures for a day.
pub const BACKOFF_LIMIT: [Millis; 2] = [5 * MINUTE, HOUR];
/// The longest wait that an endpoint may ask for.
const RETRY_AFTER: Millis = HOUR;
/// A single event that is refused this often, over this time, is skipped.
const REFUSALS: (u32, Millis) = (3, 30 * SECOND);
/// The wait between refusals of a single event.
const REFUSED: Millis = 15 * SECOND;
/// After this many dead letters without a success between them, events are held.
const DEAD_IN_A_ROW: u32 = 10;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStep {
    /// Send at most this many events from the position on, and wait if there are none.
    Send(usize),
    /// Wait until this time.
    Wait(Millis),
    /// Wait for an operator.
    Rest,
}

/// The delivery to one endpoint. Times are in milliseconds, by a clock that may jump.
#[derive(Debug, Clone)]
pub struct Delivery {
    kept: KeptDelivery,
    /// The most events in a request.
    batch: usize,
    /// The most events in the next request: it begins with one and doubles.
    size: usize,
    /// The request that is out.
    sending: Option<DeliveryBatch>,
    /// When the wait after a failure began, and how long it lasts.
    waiting: Option<(Millis, Millis)>,
    /// How often the event at the position was refused by itself, and when first.
    refused: Option<(u32, Millis)>,
    dead_in_a_row: u32,
    /// The position up to which events are sent once more, because an operator wanted that.
    replay_end: Option<FeedPosition>,
}

impl Delivery {
    /// Begins where it was left, with at most `batch` events in a request.
    #[must_use]
    pub fn new(kept: KeptDelivery, batch: usize) -> Self {
        Self {
            kept,
            batch: batch.max(1),
            size: 1,
            sending: None,
            waiting: None,
            refused: None,
            dead_in_a_row: 0,
            replay_end: None,
        }
    }

    /// Returns what is to be kept.
    #[must_use]
    pub fn kept(&self) -> &KeptDelivery {
        &self.kept
    }

    /// Returns the position up to which events are sent once more.
    #[must_use]
    pub fn replay_end(&self) -> Option<FeedPosition> {
        self.replay_end
    }

    /// Returns when the next request goes out after a failure.
    #[must_use]
    pub fn next_try(&self) -> Option<Millis> {
        self.waiting.map(|(since, wait)| since.saturating_add(wait))
    }

    /// Returns what is to be done at `now`.
    #[must_use]
    pub fn step(&self, now: Millis) -> DeliveryStep {
        if self.kept.state != DeliveryState::Running {
            return DeliveryStep::Rest;
        }
        match self.waiting {
            // A clock that was set back must not make a wait longer.
            Some((since, wait)) if now >= since && now < since.saturating_add(wait) => {
                DeliveryStep::Wait(since.saturating_add(wait))
            }
            _ => DeliveryStep::Send(self.size),
        }
    }

    /// Moves over events that the endpoint does not ask for.
    pub fn skip(&mut self, to: FeedPosition) {
        self.kept.position = to;
        self.end_replay();
    }

    /// Notes that a request goes out.
    pub fn begin(&mut self, batch: DeliveryBatch) {
        (self.sending, self.waiting) = (Some(batch), None);
    }

    /// Takes the outcome of the request that is out. `chance`, from 0 to 1000, spreads the tries of many endpoints.
    pub fn finish(&mut self, outcome: DeliveryOutcome, now: Millis, chance: u64) -> DeliveryEffect {
        let Some(sent) = self.sending.take() else { return DeliveryEffect::Nothing };
        match (outcome, sent.content) {
            (DeliveryOutcome::Accepted, content) => {
                self.accepted(sent.end);
                DeliveryEffect::Delivered(content)
            }
            (DeliveryOutcome::Gone, _) => {
                self.set_state(DeliveryState::Stopped, now);
                DeliveryEffect::Ended(DeliveryState::Stopped, None)
            }
            (DeliveryOutcome::Refused, DeliveryContent::Events(1, event)) => self.refused(event, sent.end, now),
            (DeliveryOutcome::Refused, DeliveryContent::Events(count, _)) => {
                self.size = (count / 2).max(1);
                DeliveryEffect::Retried
            }
            (DeliveryOutcome::Refused, DeliveryContent::Gap) => self.failed(None, now, chance),
            (DeliveryOutcome::Unavailable(retry_after), _) => self.failed(retry_after, now, chance),
        }
    }

    fn accepted(&mut self, end: FeedPosition) {
        self.kept.position = end;
        (self.kept.failures, self.kept.failing_since) = (0, 0);
        (self.refused, self.dead_in_a_row) = (None, 0);
        self.size = (self.size * 2).min(self.batch);
        self.end_replay();
    }

    fn refused(&mut self, event: EventKey, end: FeedPosition, now: Millis) -> DeliveryEffect {
        let (tries, first) = self.refused.map_or((1, now), |(tries, first)| (tries + 1, first.min(now)));
        if tries < REFUSALS.0 || now - first < REFUSALS.1 {
            self.refused = Some((tries, first));
            self.waiting = Some((now, REFUSED));
            return DeliveryEffect::Retried;
        }
        self.refused = None;
        self.kept.position = end;
        self.end_replay();
        self.dead_in_a_row += 1;
        if self.dead_in_a_row < DEAD_IN_A_ROW {
            return DeliveryEffect::Dead(event);
        }
        self.set_state(DeliveryState::Held, now);
        DeliveryEffect::Ended(DeliveryState::Held, Some(event))
    }

    fn failed(&mut self, retry_after: Option<Millis>, now: Millis, chance: u64) -> DeliveryEffect {
        if self.kept.failures == 0 {
            self.kept.failing_since = now;
        }
        let for_a_day = now.saturating_sub(self.kept.failing_since) >= 24 * HOUR;
        let limit = BACKOFF_LIMIT[usize::from(for_a_day)];
        let doubled = SECOND << self.kept.failures.min(12);
        let spread = doubled.min(limit) * (1000 + chance.min(1000)) / 2000;
        let wait = spread.max(retry_after.unwrap_or(0).min(RETRY_AFTER));
        self.kept.failures = self.kept.failures.saturating_add(1);
        self.waiting = Some((now, wait));
        self.size = 1;
        DeliveryEffect::Retried
    }

    /// Stops sending. What is out is not waited for, and comes again.
    pub fn pause(&mut self, now: Millis) {
        self.sending = None;
        self.set_state(DeliveryState::Paused, now);
    }

    /// Sends again, at once.
    pub fn resume(&mut self, now: Millis) {
        self.set_state(DeliveryState::Running, now);
        (self.waiting, self.refused, self.dead_in_a_row, self.size) = (None, None, 0, 1);
    }

    /// Goes back to a position, from which events are sent once more. It never goes forward in presence.
    pub fn replay(&mut self, from: FeedPosition) {
        let seen = from.seen.min(self.kept.position.seen);
        let from = FeedPosition { seen, ..from };
        self.replay_end = Some(self.replay_end.unwrap_or(self.kept.position));
        self.sending = None;
        self.refused = None;
        self.kept.position = from;
        self.end_replay();
    }

    /// Takes another limit of events in a request.
    pub fn set_batch(&mut self, batch: usize) {
        self.batch = batch.max(1);
        self.size = self.size.min(self.batch);
    }

    fn set_state(&mut self, state: DeliveryState, now: Millis) {
        if self.kept.state != state {
            (self.kept.state, self.kept.since) = (state, now);
        }
    }

    fn end_replay(&mut self) {
        let position = self.kept.position;
        let is_over = |end: &FeedPosition| {
            let has_changes = position.has(end.revision, end.index.unwrap_or(u32::MAX));
            end.history != position.history || has_changes && position.seen >= end.seen
        };
        if self.replay_end.as_ref().is_some_and(is_over) {
            self.replay_end = None;
        }
    }
}
