//! The sessions of a gateway that ended, until each is live again at another one. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use hdrhistogram::Histogram;

use super::tally::{self, histogram};

/// A session that has lost its gateway.
#[derive(Debug, Clone, Copy)]
struct AwaySession {
    /// When its connection ended, in nanoseconds of the crowd's clock.
    since: u64,
    /// How many attempts to come back have ended.
    attempts: u32,
    /// How many friends its login has shown online so far.
    online: u32,
}

/// Who lost the gateway, who is back, and what they saw.
#[derive(Debug)]
pub struct Returns {
    /// The gateway that ended, once one has.
    pub gateway: Option<usize>,
    /// When the first of its sessions ended, in nanoseconds of the crowd's clock.
    pub since: u64,
    /// How many of its sessions have ended.
    pub lost: u32,
    /// How many of them are live again.
    pub back: u32,
    /// When the last attempt began, on the same clock.
    pub last_attempt: u64,
    /// When the last session was back, on the same clock.
    pub last_back: u64,
    /// Attempts that were made.
    pub attempts: u64,
    /// Logins that brought everything.
    pub full_syncs: u64,
    /// How often a session was shown a friend as offline, or not at all.
    pub offline: u64,
    /// The times from the end of a session to its return.
    pub times: Histogram<u64>,
    /// When who makes the next attempt.
    due: BinaryHeap<Reverse<(u64, u32)>>,
    away: HashMap<u32, AwaySession>,
}

impl Default for Returns {
    fn default() -> Self {
        Self {
            gateway: None,
            since: 0,
            lost: 0,
            back: 0,
            last_attempt: 0,
            last_back: 0,
            attempts: 0,
            full_syncs: 0,
            offline: 0,
            times: histogram(),
            due: BinaryHeap::new(),
            away: HashMap::new(),
        }
    }
}

impl Returns {
    /// Notes that a session of `gateway` ended, and returns how many attempts it has made; none if that is no matter of the
    /// gateway that ended.
    pub fn ended(&mut self, who: u32, gateway: usize, now: u64) -> Option<u32> {
        if let Some(away) = self.away.get_mut(&who) {
            away.attempts += 1;
            away.online = 0;
            return Some(away.attempts);
        }
        if *self.gateway.get_or_insert(gateway) != gateway {
            return None;
        }
        if self.lost == 0 {
            self.since = now;
        }
        self.lost += 1;
        self.away.insert(who, AwaySession { since: now, attempts: 0, online: 0 });
        Some(0)
    }

    /// Has a session make an attempt at this time.
    pub fn attempt_at(&mut self, who: u32, at: u64) {
        self.due.push(Reverse((at, who)));
    }

    /// Returns a session whose time for an attempt has come.
    pub fn next_due(&mut self, now: u64) -> Option<u32> {
        let Reverse((at, who)) = *self.due.peek()?;
        if at > now {
            return None;
        }
        self.due.pop();
        self.attempts += 1;
        self.last_attempt = now;
        Some(who)
    }

    /// Returns how many nanoseconds there are until the next attempt.
    #[must_use]
    pub fn until_next(&self, now: u64) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _))| at.saturating_sub(now))
    }

    /// Returns whether a session has lost its gateway and is not back.
    #[must_use]
    pub fn is_away(&self, who: u32) -> bool {
        self.away.contains_key(&who)
    }

    /// Notes what a presence frame showed to a session. That of a login is complete, so friends that it leaves out are offline.
    pub fn saw(&mut self, who: u32, online: u32, offline: u32) {
        match self.away.get_mut(&who) {
            Some(away) => away.online += online,
            None => self.offline += u64::from(offline),
        }
    }

    /// Notes that a session with so many friends is live again.
    pub fn is_back(&mut self, who: u32, friends: u32, now: u64) {
        let Some(away) = self.away.remove(&who) else { return };
        self.back += 1;
        self.last_back = now;
        self.offline += u64::from(friends.saturating_sub(away.online));
        tally::record(&mut self.times, now.saturating_sub(away.since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_gateway_that_ended_come_back_in_the_order_of_their_times() {
        let mut returns = Returns::default();
        assert_eq!(returns.ended(4, 1, 100), Some(0));
        assert_eq!(returns.ended(7, 1, 150), Some(0));
        assert_eq!(returns.ended(5, 0, 160), None, "another gateway is not to end");
        returns.attempt_at(4, 300);
        returns.attempt_at(7, 200);
        assert_eq!((returns.next_due(199), returns.until_next(150)), (None, Some(50)));
        assert_eq!((returns.next_due(400), returns.next_due(400), returns.next_due(400)), (Some(7), Some(4), None));
        assert_eq!(returns.ended(4, 2, 420), Some(1), "an attempt that failed, wherever it went");
        returns.attempt_at(4, 500);
        assert!(returns.is_away(7) && !returns.is_away(5));
        returns.saw(7, 2, 1);
        returns.is_back(7, 3, 1_000_000_150);
        assert_eq!((returns.back, returns.lost, returns.offline), (1, 2, 1), "one of three friends was not there");
        assert_eq!(returns.next_due(600), Some(4));
        returns.saw(4, 1, 0);
        returns.saw(4, 2, 0);
        returns.is_back(4, 3, 2_000_000_100);
        assert_eq!((returns.back, returns.offline, returns.attempts), (2, 1, 3));
        assert_eq!((returns.since, returns.last_attempt, returns.last_back), (100, 600, 2_000_000_100));
        // The bounds of a histogram's bucket.
        assert!(returns.times.len() == 2 && (999_000..=1_000_000).contains(&returns.times.min()));
        assert!(!returns.is_away(4));
        returns.saw(9, 0, 2);
        assert_eq!(returns.offline, 3, "told while it was live");
    }
}
