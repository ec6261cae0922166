//! A breaker: stops calls to a server that mostly fails, and lets one through now and then to see whether it is back.
//!
//! Times are in milliseconds of a clock that never goes back.

use crate::model::Millis;

const SECOND: Millis = 1000;
/// How long a result counts, in seconds.
const WINDOW: usize = 10;
/// The fewest results from which something follows.
const ENOUGH: u32 = 20;
/// How long calls are stopped for the first time, and at most; each failed probe doubles it.
const STOPPED: [Millis; 2] = [5 * SECOND, 60 * SECOND];

/// Decides which calls to one server go out.
///
/// Invariant: while calls are stopped, at most one is out that [`Breaker::begin`] let through since.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    /// The results of the last seconds, each with the second that it is of.
    seconds: [SecondTally; WINDOW],
    stop: Option<Stop>,
    /// Moves when calls are stopped and when they go on: results of calls from before say nothing any more.
    generation: u64,
}

/// The results of one second.
#[derive(Debug, Clone, Copy, Default)]
struct SecondTally {
    second: Millis,
    calls: u32,
    failed: u32,
}

/// How long calls are stopped.
#[derive(Debug, Clone, Copy)]
struct Stop {
    until: Millis,
    lasts: Millis,
    /// Whether the call that looks after the server is out.
    probing: bool,
}

/// A call that may go out. It is given back to [`Breaker::finish`] or [`Breaker::abandon`].
#[derive(Debug)]
#[must_use]
pub struct BreakerPass {
    generation: u64,
}

/// Whether calls go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All of them.
    Closed,
    /// None before this time.
    Open {
        /// The time of the next call.
        until: Millis,
    },
    /// One is out, and its result decides.
    Probing,
}

impl Breaker {
    /// Lets a call out, or not.
    pub fn begin(&mut self, now: Millis) -> Option<BreakerPass> {
        match &mut self.stop {
            None => {}
            Some(stop) if !stop.probing && now >= stop.until => stop.probing = true,
            Some(_) => return None,
        }
        Some(BreakerPass { generation: self.generation })
    }

    /// Takes the result of a call.
    pub fn finish(&mut self, BreakerPass { generation }: BreakerPass, failed: bool, now: Millis) {
        if generation != self.generation {
            return;
        }
        match self.stop {
            Some(stop) if failed => self.stop(now, (stop.lasts * 2).min(STOPPED[1])),
            Some(_) => {
                self.stop = None;
                self.begin_anew();
            }
            None => {
                self.count(failed, now);
                if self.mostly_fails(now) {
                    self.stop(now, STOPPED[0]);
                }
            }
        }
    }

    /// Takes back a call that has no result because nobody waits for it any more.
    pub fn abandon(&mut self, BreakerPass { generation }: BreakerPass) {
        if let Some(stop) = self.stop.as_mut().filter(|_| generation == self.generation) {
            stop.probing = false;
        }
    }

    /// Returns whether calls go out.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.stop {
            None => BreakerState::Closed,
            Some(Stop { probing: true, .. }) => BreakerState::Probing,
            Some(Stop { until, .. }) => BreakerState::Open { until },
        }
    }

    fn stop(&mut self, now: Millis, lasts: Millis) {
        self.stop = Some(Stop { until: now + lasts, lasts, probing: false });
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.generation += 1;
        self.seconds = Default::default();
    }

    fn count(&mut self, failed: bool, now: Millis) {
        let second = now / SECOND;
        let tally = &mut self.seconds[second as usize % WINDOW];
        if tally.second != second {
            *tally = SecondTally { second, ..SecondTally::default() };
        }
        tally.calls += 1;
        tally.failed += u32::from(failed);
    }

    fn mostly_fails(&self, now: Millis) -> bool {
        let counts = |tally: &&SecondTally| tally.second + WINDOW as Millis > now / SECOND;
        let (calls, failed) =
            self.seconds.iter().filter(counts).fold((0, 0), |sum, tally| (sum.0 + tally.calls, sum.1 + tally.failed));
        calls >= ENOUGH && failed * 2 >= calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(breaker: &mut Breaker, failed: bool, now: Millis) -> bool {
        let pass = breaker.begin(now);
        let goes_out = pass.is_some();
        if let Some(pass) = pass {
            breaker.finish(pass, failed, now);
        }
        goes_out
    }

    #[test]
    fn a_server_that_is_dead_is_called_once_in_five_seconds_and_then_more_rarely() {
        let mut breaker = Breaker::default();
        // Ten a second: the breaker opens after two seconds.
        let out: Vec<Millis> = (0..600).map(|n| n * 100).filter(|now| call(&mut breaker, true, *now)).collect();
        let (before, after) = out.split_at(ENOUGH as usize);
        assert_eq!(before.last(), Some(&1900));
        assert_eq!(after, [6900, 16_900, 36_900]);
        assert_eq!(breaker.state(), BreakerState::Open { until: 76_900 });
        for n in 0..5 {
            assert!(call(&mut breaker, true, 76_900 + 60_000 * n), "it never waits longer than a minute");
        }
    }

    #[test]
    fn one_good_probe_closes_it_and_the_next_stop_is_short_again() {
        let mut breaker = Breaker::default();
        (0..20).for_each(|n| assert!(call(&mut breaker, true, n)));
        assert!(!call(&mut breaker, true, 5018), "5 s are not over");
        let probe = breaker.begin(5019).unwrap();
        assert_eq!(breaker.state(), BreakerState::Probing);
        assert!(breaker.begin(5019).is_none(), "one probe at a time");
        breaker.finish(probe, false, 5100);
        assert_eq!(breaker.state(), BreakerState::Closed);
        (0..20).for_each(|n| assert!(call(&mut breaker, true, 5200 + n)));
        assert_eq!(breaker.state(), BreakerState::Open { until: 5219 + 5000 });
    }

    #[test]
    fn few_calls_and_few_failures_open_nothing() {
        let mut breaker = Breaker::default();
        // Nineteen in ten seconds, all failed: too few to say anything.
        (0..400).for_each(|n| assert!(call(&mut breaker, true, n * 530)));
        let mut breaker = Breaker::default();
        (0..10_000).for_each(|n| assert!(call(&mut breaker, n % 5 < 2, n * 3), "40 % fail"));
        let mut breaker = Breaker::default();
        assert!((0..100).any(|n| !call(&mut breaker, n % 2 == 0, n * 3)), "50 % fail");
    }

    #[test]
    fn a_probe_that_nobody_waits_for_makes_room_for_the_next() {
        let mut breaker = Breaker::default();
        (0..20).for_each(|n| assert!(call(&mut breaker, true, n)));
        let probe = breaker.begin(6000).unwrap();
        breaker.abandon(probe);
        let probe = breaker.begin(6000).unwrap();
        breaker.finish(probe, true, 6001);
        assert_eq!(breaker.state(), BreakerState::Open { until: 16_001 });
    }

    #[test]
    fn results_of_calls_from_before_say_nothing() {
        let mut breaker = Breaker::default();
        let late: Vec<_> = (0..100).map(|n| breaker.begin(n).unwrap()).collect();
        (0..20).for_each(|n| assert!(call(&mut breaker, true, 100 + n)));
        let until = breaker.state();
        let mut late = late.into_iter();
        late.by_ref().take(50).for_each(|pass| breaker.finish(pass, false, 200));
        assert_eq!(breaker.state(), until, "it opened since, and a call from before does not close it");
        let probe = breaker.begin(10_000).unwrap();
        breaker.finish(probe, false, 10_001);
        late.for_each(|pass| breaker.finish(pass, true, 10_002));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    proptest! {
        /// Compared with a list of all results, from which the sum of the last seconds is taken.
        #[test]
        fn it_opens_as_a_list_of_results_says_and_lets_one_call_out_meanwhile(
            steps in prop::collection::vec((0..3000u64, any::<bool>(), 0..4u8), 1..400),
        ) {
            let mut breaker = Breaker::default();
            let (mut now, mut since, mut results) = (0, 0, Vec::new());
            let (mut open_until, mut lasts): (Option<Millis>, Millis) = (None, 5000);
            for (wait, failed, kind) in steps {
                now += if kind == 0 { wait } else { wait / 50 };
                let pass = breaker.begin(now);
                if let Some(until) = open_until {
                    prop_assert_eq!(pass.is_some(), now >= until);
                    let Some(pass) = pass else { continue };
                    prop_assert!(breaker.begin(now).is_none());
                    if kind == 1 {
                        breaker.abandon(pass);
                        continue;
                    }
                    breaker.finish(pass, failed, now);
                    lasts = if failed { (lasts * 2).min(60_000) } else { 5000 };
                    open_until = failed.then_some(now + lasts);
                    since = results.len();
                } else {
                    breaker.finish(pass.unwrap(), failed, now);
                    results.push((now, failed));
                    let recent = |(at, _): &&(Millis, bool)| at / SECOND + 10 > now / SECOND;
                    let recent: Vec<_> = results[since..].iter().filter(recent).collect();
                    let failures = recent.iter().filter(|(_, failed)| *failed).count();
                    if recent.len() >= 20 && failures * 2 >= recent.len() {
                        (open_until, lasts, since) = (Some(now + 5000), 5000, results.len());
                    }
                }
                prop_assert_eq!(breaker.state() == BreakerState::Closed, open_until.is_none());
            }
        }
    }
}
