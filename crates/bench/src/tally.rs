//! The measurements of a run: latencies, replies, logins, bytes, and their course over time. Pure.

use hdrhistogram::Histogram;

/// The longest time that is recorded exactly, in microseconds.
const LONGEST: u64 = 120_000_000;
/// The most intervals that are kept.
const STRETCHES: usize = 5000;

/// Makes a histogram of microseconds with three exact digits.
///
/// # Panics
/// Never: the bounds are good.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("these bounds are good")
}

/// Records a time in nanoseconds.
pub fn record(histogram: &mut Histogram<u64>, nanoseconds: u64) {
    histogram.saturating_record((nanoseconds / 1000).max(1));
}

/// Everything counted since the last [`Tally::reset`].
#[derive(Debug)]
pub struct Tally {
    /// The times from when an update was due to when a receiver had it.
    pub latencies: Histogram<u64>,
    /// The same for the first receiver of each update.
    pub firsts: Histogram<u64>,
    /// The same for the last receiver.
    pub lasts: Histogram<u64>,
    /// The times from when an update was due to when a receiver at another gateway had it.
    pub elsewhere: Histogram<u64>,
    /// The times from the reply to an update to when a receiver at another gateway had it; next to none where it came first.
    pub after_reply: Histogram<u64>,
    /// The times from a command to its reply.
    pub replies: Histogram<u64>,
    /// The times from the start of a connection to `synced`.
    pub logins: Histogram<u64>,
    /// Bytes read.
    pub bytes: u64,
    /// The course over time, while a measurement is under way.
    pub timeline: Timeline,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latencies: histogram(),
            firsts: histogram(),
            lasts: histogram(),
            elsewhere: histogram(),
            after_reply: histogram(),
            replies: histogram(),
            logins: histogram(),
            bytes: 0,
            timeline: Timeline::default(),
        }
    }
}

impl Tally {
    /// Clears everything.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// One interval of a run.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The events in it.
    pub count: u64,
    /// The latencies of these events, with two exact digits.
    pub latencies: Histogram<u32>,
}

/// The course of a run, in intervals of the same length.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The clock at the start, and the length of an interval; both in nanoseconds.
    start: u64,
    length: u64,
    recording: bool,
    /// In order of time.
    pub stretches: Vec<Stretch>,
}

impl Timeline {
    /// Starts to record.
    #[must_use]
    pub fn start(now: u64, length: u64) -> Self {
        Self { start: now, length: length.max(1), recording: true, stretches: Vec::new() }
    }

    /// Returns the length of an interval in seconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a length of some milliseconds or seconds")]
    pub fn seconds(&self) -> f64 {
        self.length as f64 / 1e9
    }

    /// Counts one event, at `now`.
    ///
    /// # Panics
    /// Never: the bounds are good.
    pub fn count(&mut self, now: u64, latency: u64) {
        if !self.recording {
            return;
        }
        let at = (now.saturating_sub(self.start) / self.length) as usize;
        while self.stretches.len() <= at.min(STRETCHES) {
            let latencies = Histogram::new_with_bounds(1, LONGEST, 2).expect("these bounds are good");
            self.stretches.push(Stretch { count: 0, latencies });
        }
        if let Some(stretch) = self.stretches.get_mut(at) {
            stretch.count += 1;
            stretch.latencies.saturating_record((latency / 1000).max(1));
        }
    }

    /// Ends the recording.
    pub fn stop(&mut self) {
        self.recording = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_counts_by_stretches_and_only_while_it_records() {
        let mut timeline = Timeline::default();
        timeline.count(5, 5);
        assert!(timeline.stretches.is_empty());
        timeline = Timeline::start(1000, 100);
        for (now, latency) in [(1000, 2000), (1099, 4000), (1250, 7_000_000)] {
            timeline.count(now, latency);
        }
        timeline.stop();
        timeline.count(1260, 1);
        let counts: Vec<_> = timeline.stretches.iter().map(|stretch| stretch.count).collect();
        assert_eq!(counts, [2, 0, 1]);
        assert_eq!(timeline.stretches[0].latencies.max(), 4);
    }

    #[test]
    fn times_are_kept_in_microseconds_and_none_is_lost_at_the_ends() {
        let mut histogram = histogram();
        for nanoseconds in [0, 999, 5_000_000, u64::MAX] {
            record(&mut histogram, nanoseconds);
        }
        assert_eq!((histogram.len(), histogram.min()), (4, 1));
        assert!(histogram.max() >= LONGEST);
    }
}
