//! Limits how much of long lists is read for one account: by full syncs, logins and repairs.
//!
//! A login or a repair reads the whole friend list, a page at a time, and costs as much as there are pages. What it reads
//! is counted. An account that is ahead of its rate has to wait before it begins another, and before the next page of
//! those that it has begun: many at once would otherwise all begin before the first of them counts.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::rate_limit::{Rate, RateLimit};
use rosterd_engine::model::Account;

/// The rate, in pages. A list of 10,000 friends is 20 pages, so that is a login of such an account every second, and five
/// of its devices at once.
const PAGES: Rate = Rate { per_second: 20, burst: 100 };

/// The accounts that have read lately.
#[derive(Default)]
pub(super) struct ListReads(Mutex<RecentReaders>);

#[derive(Default)]
struct RecentReaders {
    known: HashMap<Account, RateLimit, ahash::RandomState>,
    /// The number of accounts at which those that are not needed are dropped.
    sweep_at: usize,
}

impl ListReads {
    /// Lets an account begin to read, or says how long it must wait.
    pub(super) fn may_begin(&self, account: &Account, now: u64) -> Result<(), Duration> {
        match self.0.lock().known.get(account) {
            Some(reads) => reads.wait(PAGES, now).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Counts what was read for an account, and returns how long it waits before the next page. Whoever reads one page, as
    /// most do, is not remembered for long.
    pub(super) fn count(&self, account: &Account, pages: u32, now: u64) -> Option<Duration> {
        let mut readers = self.0.lock();
        if readers.known.len() >= readers.sweep_at {
            readers.known.retain(|_, reads| !reads.is_idle(now));
            readers.known.shrink_to_fit();
            readers.sweep_at = (2 * readers.known.len()).max(1024);
        }
        let reads = readers.known.entry(account.clone()).or_default();
        reads.add(PAGES, pages, now);
        reads.wait(PAGES, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn who_reads_long_lists_over_and_over_waits_and_nobody_else() {
        let (reads, ann, bob) =
            (ListReads::default(), Account::stored("ann").unwrap(), Account::stored("bob").unwrap());
        let begun = (0..100).filter(|_| {
            let may = reads.may_begin(&ann, SECOND).is_ok();
            if may {
                reads.count(&ann, 20, SECOND);
            }
            may
        });
        assert_eq!(begun.count(), 5);
        let wait = reads.may_begin(&ann, SECOND).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(2), "{wait:?}");
        assert!(reads.may_begin(&bob, SECOND).is_ok());
        assert!(reads.may_begin(&ann, SECOND + wait.as_nanos() as u64).is_ok());
    }

    #[test]
    fn however_many_read_a_long_list_at_once_their_pages_keep_to_the_rate() {
        let (reads, ann) = (ListReads::default(), Account::stored("ann").unwrap());
        // When each of a hundred sessions, which all began at once, reads its next page.
        let mut next = [SECOND; 100];
        let mut read = 0;
        while let Some(turn) = next.iter_mut().min().filter(|turn| **turn < 11 * SECOND) {
            read += 1;
            *turn += reads.count(&ann, 1, *turn).unwrap_or_default().as_nanos() as u64;
        }
        assert!((300..=400).contains(&read), "{read} pages in ten seconds");
    }

    #[test]
    fn accounts_that_have_not_read_lately_are_forgotten() {
        let reads = ListReads::default();
        for n in 0..100_000_u64 {
            reads.count(&Account::stored(&format!("a{n}")).unwrap(), 1, n * SECOND / 1000);
        }
        assert!(reads.0.lock().known.len() <= 2048, "{}", reads.0.lock().known.len());
    }
}
