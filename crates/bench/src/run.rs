//! A run under way: the crowd, the gauge, and the steps that scenarios consist of.

use std::ops::Range;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::crowd::Crowd;
use super::error::BenchError;
use super::gauge::{Gauge, Reading, Span};
use super::graph::Chance;
use super::ops::OpsConnection;
use super::outcome::{BenchOutcome, MeasuredRow, Unit};
use super::tally::Timeline;
use super::world::World;

/// How long updates may take to arrive after the last one was sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The silence after which nothing more is expected.
const QUIET: Duration = Duration::from_millis(300);
/// The longest wait in one round of the loop.
const ROUND: Duration = Duration::from_millis(20);
/// How often a sender is drawn again to avoid one whose last update is still under way.
const DRAWS: usize = 64;

/// The load of updates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// So many are under way at any time.
    Outstanding(u32),
    /// So many are sent each second, whether or not earlier ones have arrived.
    Rate(f64),
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outstanding(count) => write!(f, "{count} outstanding"),
            Self::Rate(rate) => write!(f, "{rate} updates/s"),
        }
    }
}

/// A run under way.
pub struct Run {
    /// The sessions.
    pub crowd: Crowd,
    /// The measure of the gateway's cost.
    pub gauge: Gauge,
    /// The gateway's server API, where it is used.
    pub ops: Option<OpsConnection>,
    /// The accounts.
    pub world: World,
    /// The random choice of senders.
    pub chance: Chance,
    /// Logins under way at once.
    pub parallel: u32,
    /// The results.
    pub outcome: BenchOutcome,
}

impl Run {
    /// Logs in some sessions, `parallel` at once, and waits until they are live and nothing more arrives.
    ///
    /// # Errors
    /// A session ended, no socket could be opened, or it takes too long.
    pub fn log_in(&mut self, who: Range<u32>, parallel: u32, name: &'static str) -> Result<(), BenchError> {
        let bar = bar(name, u64::from(who.end - who.start));
        let (before, begun) = (self.crowd.live(), self.crowd.now());
        let (mut next, mut seen, mut seen_at) = (who.start, before, begun);
        while self.crowd.live() - before < who.end - who.start {
            while next < who.end && self.crowd.logging_in() < parallel {
                self.crowd
                    .log_in(next)
                    .map_err(|error| BenchError(format!("session {next} has no socket: {error}")))?;
                next += 1;
                // Serves the first of very many while the last still start.
                if next.is_multiple_of(64) {
                    break;
                }
            }
            self.crowd.come_back();
            let eager = next < who.end && self.crowd.logging_in() < parallel;
            self.crowd.turn(if eager { Duration::ZERO } else { ROUND }).map_err(BenchError::of)?;
            self.check()?;
            if self.crowd.live() != seen {
                (seen, seen_at) = (self.crowd.live(), self.crowd.now());
                bar.set_position(u64::from(seen - before));
            } else if self.crowd.now() - seen_at > 3 * PATIENCE.as_nanos() as u64 {
                let waiting = who.end - who.start - (seen - before);
                return Err(BenchError(format!(
                    "{waiting} sessions are not live after {} s of silence",
                    3 * PATIENCE.as_secs()
                )));
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Sends updates until the crowd's clock says `until`. `begun` is when the load began, and `sent` what it has sent.
    ///
    /// # Errors
    /// A session ended.
    pub fn drive(
        &mut self,
        load: Load,
        begun: u64,
        sent: &mut u64,
        until: u64,
        name: &'static str,
    ) -> Result<(), BenchError> {
        let bar = bar(name, until.saturating_sub(self.crowd.now()) / 1_000_000);
        let start = self.crowd.now();
        loop {
            let now = self.crowd.now();
            if now >= until {
                break;
            }
            let wait = match load {
                Load::Outstanding(count) => {
                    for _ in self.crowd.ledger.outstanding()..count {
                        let due = self.crowd.now();
                        self.send(due);
                    }
                    ROUND
                }
                Load::Rate(rate) => self.send_due(rate, begun, sent, until),
            };
            self.crowd.turn(wait.min(ROUND).min(Duration::from_nanos(until - now))).map_err(BenchError::of)?;
            self.check()?;
            bar.set_position((self.crowd.now() - start) / 1_000_000);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Has the first `writers` send updates until the crowd's clock says `until`, each its next one as soon as the last
    /// one is answered.
    ///
    /// # Errors
    /// A session ended.
    pub fn exchange(&mut self, writers: u32, until: u64, name: &'static str) -> Result<(), BenchError> {
        let (start, bar) = (self.crowd.now(), bar(name, until.saturating_sub(self.crowd.now()) / 1_000_000));
        let mut ready: Vec<u32> = (0..writers).collect();
        self.crowd.answered = Some(Vec::with_capacity(writers as usize));
        let mut served = Ok(());
        while self.crowd.now() < until && served.is_ok() {
            for who in ready.drain(..) {
                let due = self.crowd.now();
                self.crowd.update(who, due);
            }
            served = self.crowd.turn(ROUND).map_err(BenchError::of).and_then(|()| self.check());
            if let Some(answered) = &mut self.crowd.answered {
                std::mem::swap(answered, &mut ready);
            }
            bar.set_position((self.crowd.now() - start) / 1_000_000);
        }
        self.crowd.answered = None;
        bar.finish_and_clear();
        served
    }

    /// Changes the profile of every `each`th user through the server API; false if there is none to use.
    ///
    /// # Errors
    /// The gateway refuses or does not answer.
    pub fn touch(&mut self, each: u32) -> Result<bool, BenchError> {
        let Some(ops) = &mut self.ops else { return Ok(false) };
        self.world.touch(ops, each, &format!("changed at {}", self.crowd.now()))?;
        self.gauge.settle(PATIENCE)?;
        Ok(true)
    }

    /// Sends the updates that are due, and returns the time until the next.
    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "nanoseconds of a run are far below 2^52")]
    fn send_due(&mut self, rate: f64, begun: u64, sent: &mut u64, until: u64) -> Duration {
        loop {
            let due = begun + (*sent as f64 * 1e9 / rate) as u64;
            let now = self.crowd.now();
            if due > now {
                return Duration::from_nanos(due - now);
            }
            if due >= until {
                return Duration::ZERO;
            }
            self.send(due);
            *sent += 1;
        }
    }

    fn send(&mut self, due: u64) {
        if let Some(who) = self.pick() {
            self.crowd.update(who, due);
        }
    }

    /// Draws a sender that is live and reads, with no update under way if possible.
    fn pick(&mut self) -> Option<u32> {
        let users = self.world.graph.users();
        let mut draw = |settled: bool| {
            (0..DRAWS)
                .map(|_| self.chance.below(users))
                .find(|who| self.crowd.is_active(*who) && (!settled || self.crowd.ledger.is_settled(*who)))
        };
        draw(true).or_else(|| draw(false))
    }

    /// Waits until every receiver that counts has everything, and then until nothing more arrives.
    ///
    /// Updates that are missing after some seconds are lost.
    ///
    /// # Errors
    /// A session ended.
    pub fn settle(&mut self) -> Result<(), BenchError> {
        let begun = self.crowd.now();
        while self.crowd.ledger.outstanding() > 0 && self.crowd.now() - begun < PATIENCE.as_nanos() as u64 {
            self.crowd.turn(ROUND).map_err(BenchError::of)?;
            self.check()?;
        }
        self.quiet(QUIET)
    }

    /// Reads until nothing has arrived for this long, ten seconds at most.
    ///
    /// # Errors
    /// A session ended.
    pub fn quiet(&mut self, quiet: Duration) -> Result<(), BenchError> {
        let begun = self.crowd.now();
        let since = |run: &Self| run.crowd.now() - run.crowd.last_heard().max(begun);
        while since(self) < quiet.as_nanos() as u64 && self.crowd.now() - begun < PATIENCE.as_nanos() as u64 {
            self.crowd.turn(ROUND).map_err(BenchError::of)?;
        }
        self.check()
    }

    /// Serves the sessions for this long.
    ///
    /// # Errors
    /// A session ended.
    pub fn rest(&mut self, rest: Duration, name: &'static str) -> Result<(), BenchError> {
        let begun = self.crowd.now();
        let bar = bar(name, rest.as_millis() as u64);
        while self.crowd.now() - begun < rest.as_nanos() as u64 {
            self.crowd.turn(ROUND).map_err(BenchError::of)?;
            bar.set_position((self.crowd.now() - begun) / 1_000_000);
        }
        bar.finish_and_clear();
        self.check()
    }

    /// Clears the measurements, and starts to record over intervals.
    pub fn start_measuring(&mut self, length: Duration) {
        self.crowd.tally.reset();
        self.crowd.ledger.reset_counts();
        self.crowd.tally.timeline = Timeline::start(self.crowd.now(), (length.as_nanos() as u64 / 80).max(20_000_000));
    }

    /// Closes every session and waits until the gateway has noticed.
    ///
    /// # Errors
    /// The gateway does not answer any more.
    pub fn leave(&mut self) -> Result<(), BenchError> {
        self.crowd.leave();
        self.gauge.settle(PATIENCE)
    }

    /// Checks that all is as it should be.
    ///
    /// # Errors
    /// Sessions ended.
    pub fn check(&self) -> Result<(), BenchError> {
        let trouble = &self.crowd.trouble;
        if trouble.ended == 0 {
            return Ok(());
        }
        let first = trouble.first().unwrap_or_default();
        Err(BenchError(format!("{} session(s) ended, with {} left: {first}", trouble.ended, self.crowd.live())))
    }

    /// Adds losses, duplicates and the like to `row`, and to the outcome's failures those that must not happen.
    pub fn audit(&mut self, row: &mut MeasuredRow) {
        let (counts, missing) = (self.crowd.ledger.counts(), self.crowd.ledger.missing());
        row.count("lost", "lost", missing);
        row.count("conflated", "conflated", counts.conflated);
        row.count("duplicates", "duplicate", counts.duplicates);
        row.count("regressed", "regressed", counts.regressed);
        row.count("strangers", "for someone else", counts.strangers);
        let wrong = [
            (missing, "updates never came"),
            (counts.regressed, "records came after newer ones"),
            (counts.strangers, "records came to someone they were not for"),
        ];
        for (count, what) in wrong {
            if count > 0 {
                self.outcome.problems.push(format!("{count} {what}"));
            }
        }
        let trouble = &self.crowd.trouble;
        for (count, what) in
            [(trouble.refused, "commands were refused"), (trouble.miscounted, "friend lists were wrong")]
        {
            if count > 0 {
                self.outcome.problems.push(format!("{count} {what}: {}", trouble.first().unwrap_or_default()));
            }
        }
    }
}

/// Adds the cost of something, for each of `count` things of this name.
#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub fn cost(row: &mut MeasuredRow, span: &Span, count: u64, keys: [&'static str; 2]) {
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count.max(1) as f64;
    let cores = |cpu: Duration| cpu.as_secs_f64() / span.wall.as_secs_f64().max(1e-9);
    if let Some(server) = span.server {
        row.add(keys[0], "gateway's CPU for each", each(server), Unit::Micros);
    }
    row.add(keys[1], "generator's CPU for each", each(span.own), Unit::Micros);
    if let Some(server) = span.server {
        row.add("server_cores", "gateway keeps busy", cores(server), Unit::Cores);
    }
    row.add("generator_cores", "generator keeps busy", cores(span.own), Unit::Cores);
    if let Some(foreign) = span.foreign {
        row.add("foreign_cores", "other work on the machine", cores(foreign), Unit::Cores);
    }
}

/// Adds the gateway's resident memory.
#[allow(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
pub fn resident(row: &mut MeasuredRow, reading: &Reading) {
    if let Some(bytes) = reading.resident {
        row.add("resident_bytes", "gateway's memory", bytes as f64, Unit::Bytes);
    }
}

/// Makes a progress bar, which is drawn on standard error and only on a terminal.
///
/// # Panics
/// Never: the template is valid.
pub fn bar(name: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {percent}% {eta}").expect("the template is right");
    ProgressBar::new(length).with_style(style).with_message(name)
}
