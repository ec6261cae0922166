//! Counts every record sent and received once, so that losses, duplicates and regressions are exact. Pure.
//!
//! Updates of one user are numbered from 1. A receiver that gets number 5 after number 3 has missed nothing: number 4 was
//! conflated, which the gateway may do. An update is lost if it is the last one of its sender and some friend still lacks
//! it when nothing more arrives.

use std::collections::VecDeque;

use super::graph::Graph;

/// The effect of one record that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordArrival {
    /// It is new to the receiver.
    New {
        /// Nanoseconds since the update was due; none if the run does not wait for this receiver.
        after: Option<u64>,
        /// The receiver is the first to get it.
        first: bool,
        /// The receiver is the last to get it.
        last: bool,
    },
    /// The receiver had it already.
    Duplicate,
    /// The receiver had a newer one already.
    Regressed,
    /// It was not for this receiver, or was never sent.
    Stranger,
}

/// The counts since the last [`Ledger::reset_counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerCounts {
    /// Records that were new to their receiver.
    pub delivered: u64,
    /// Updates that a receiver skipped because it got a newer one.
    pub conflated: u64,
    /// Records that came twice.
    pub duplicates: u64,
    /// Records that came after newer ones.
    pub regressed: u64,
    /// Records that came to a receiver they were not for.
    pub strangers: u64,
    /// Updates sent.
    pub sent: u64,
}

#[derive(Debug)]
struct Pending {
    number: u32,
    due: u64,
    /// Receivers that the run waits for, and how many of them still lack it.
    all: u32,
    left: u32,
}

#[derive(Debug, Default)]
struct Sender {
    sent: u32,
    pending: VecDeque<Pending>,
}

/// The updates and deliveries of one run.
#[derive(Debug)]
pub struct Ledger {
    graph: Graph,
    senders: Vec<Sender>,
    /// The highest number that came over each friendship, by the friendship's place in the graph.
    seen: Vec<u32>,
    /// Whether the run waits for each receiver; not for one that has stopped reading.
    awaited: Vec<bool>,
    outstanding: u32,
    counts: LedgerCounts,
}

impl Ledger {
    /// Makes an empty ledger.
    #[must_use]
    pub fn new(graph: Graph) -> Self {
        let users = graph.users() as usize;
        let senders = std::iter::repeat_with(Sender::default).take(users).collect();
        let (seen, awaited) = (vec![0; graph.edges()], vec![true; users]);
        Self { graph, senders, seen, awaited, outstanding: 0, counts: LedgerCounts::default() }
    }

    /// Returns the friendships.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Numbers a new update by `sender`, due at `due` (nanoseconds).
    pub fn send(&mut self, sender: u32, due: u64) -> u32 {
        let left = self.graph.friends(sender).iter().filter(|friend| self.awaited[**friend as usize]).count() as u32;
        let books = &mut self.senders[sender as usize];
        books.sent += 1;
        self.counts.sent += 1;
        if left > 0 {
            books.pending.push_back(Pending { number: books.sent, due, all: left, left });
            self.outstanding += 1;
        }
        books.sent
    }

    /// Notes that update `number` of `sender` came to `receiver` at `now`.
    pub fn arrive(&mut self, sender: u32, receiver: u32, number: u32, now: u64) -> RecordArrival {
        let place = if sender < self.graph.users() { self.graph.place(sender, receiver) } else { None };
        let Some(place) = place.filter(|_| (1..=self.senders[sender as usize].sent).contains(&number)) else {
            self.counts.strangers += 1;
            return RecordArrival::Stranger;
        };
        let before = std::mem::replace(&mut self.seen[place], number);
        if number <= before {
            self.seen[place] = before;
            let again = number == before;
            *if again { &mut self.counts.duplicates } else { &mut self.counts.regressed } += 1;
            return if again { RecordArrival::Duplicate } else { RecordArrival::Regressed };
        }
        self.counts.delivered += 1;
        self.counts.conflated += u64::from(number - before - 1);
        self.settle(sender, receiver, before, number, now)
    }

    /// Removes `receiver` from the updates in (`before`, `number`] that wait for it.
    fn settle(&mut self, sender: u32, receiver: u32, before: u32, number: u32, now: u64) -> RecordArrival {
        let books = &mut self.senders[sender as usize];
        let (mut after, mut first, mut last) = (None, false, false);
        if self.awaited[receiver as usize] {
            for pending in books.pending.iter_mut().filter(|p| before < p.number && p.number <= number) {
                first = pending.left == pending.all;
                pending.left -= 1;
                last = pending.left == 0;
                after = Some(now.saturating_sub(pending.due));
            }
            while books.pending.front().is_some_and(|pending| pending.left == 0) {
                books.pending.pop_front();
                self.outstanding -= 1;
            }
        }
        RecordArrival::New { after, first, last }
    }

    /// Counts the updates that a receiver the run waits for still lacks.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Returns the number of a user's last update.
    #[must_use]
    pub fn last_sent(&self, sender: u32) -> u32 {
        self.senders[sender as usize].sent
    }

    /// Returns whether every update of this user has reached everyone.
    #[must_use]
    pub fn is_settled(&self, sender: u32) -> bool {
        self.senders[sender as usize].pending.is_empty()
    }

    /// Sets whether the run waits for a receiver from now on. Only while nothing is outstanding.
    pub fn set_awaited(&mut self, receiver: u32, awaited: bool) {
        debug_assert_eq!(self.outstanding, 0);
        self.awaited[receiver as usize] = awaited;
    }

    /// Counts the friendships whose last update has not come. Once nothing more arrives, these are lost.
    #[must_use]
    pub fn missing(&self) -> u64 {
        let missing = |user: u32| {
            let sent = self.senders[user as usize].sent;
            let start = self.graph.friends(user).first().and_then(|first| self.graph.place(user, *first));
            let places = start.map_or(0..0, |start| start..start + self.graph.friends(user).len());
            self.seen[places].iter().filter(|seen| **seen < sent).count() as u64
        };
        (0..self.graph.users()).map(missing).sum()
    }

    /// Counts the friends of `receiver` whose last update it still lacks.
    #[must_use]
    pub fn pending(&self, receiver: u32) -> u64 {
        let friends = self.graph.friends(receiver).iter();
        let owes = |friend: &&u32| {
            let place = self.graph.place(**friend, receiver);
            place.is_some_and(|place| self.seen[place] < self.senders[**friend as usize].sent)
        };
        friends.filter(owes).count() as u64
    }

    /// Returns the counts.
    #[must_use]
    pub fn counts(&self) -> LedgerCounts {
        self.counts
    }

    /// Starts to count from zero again; outstanding updates stay outstanding.
    pub fn reset_counts(&mut self) {
        self.counts = LedgerCounts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users 0, 1 and 2 are each other's friends.
    fn three() -> Ledger {
        Ledger::new(Graph::regular(3, 2, 1).unwrap())
    }

    #[test]
    fn an_update_is_outstanding_until_everyone_has_it() {
        let mut ledger = three();
        assert_eq!(ledger.send(0, 100), 1);
        assert_eq!((ledger.outstanding(), ledger.missing(), ledger.is_settled(0)), (1, 2, false));
        assert_eq!(ledger.arrive(0, 1, 1, 150), RecordArrival::New { after: Some(50), first: true, last: false });
        assert_eq!((ledger.outstanding(), ledger.missing()), (1, 1));
        assert_eq!(ledger.arrive(0, 2, 1, 170), RecordArrival::New { after: Some(70), first: false, last: true });
        assert_eq!((ledger.outstanding(), ledger.missing(), ledger.is_settled(0)), (0, 0, true));
        assert_eq!(ledger.counts(), LedgerCounts { delivered: 2, sent: 1, ..LedgerCounts::default() });
    }

    #[test]
    fn what_is_newer_stands_for_what_was_conflated() {
        let mut ledger = three();
        ledger.send(0, 0);
        ledger.send(0, 10);
        ledger.send(0, 20);
        assert_eq!(ledger.arrive(0, 1, 3, 25), RecordArrival::New { after: Some(5), first: true, last: false });
        assert_eq!(ledger.arrive(0, 2, 1, 30), RecordArrival::New { after: Some(30), first: false, last: true });
        assert_eq!((ledger.outstanding(), ledger.counts().conflated), (2, 2));
        assert_eq!(ledger.arrive(0, 2, 3, 40), RecordArrival::New { after: Some(20), first: false, last: true });
        assert_eq!((ledger.outstanding(), ledger.missing(), ledger.counts().conflated), (0, 0, 3));
        assert_eq!(ledger.counts().delivered, 3);
    }

    #[test]
    fn doubles_returns_and_strays_are_told_apart_and_settle_nothing() {
        let mut ledger = three();
        ledger.send(0, 0);
        ledger.send(0, 0);
        ledger.arrive(0, 1, 2, 5);
        assert_eq!(ledger.arrive(0, 1, 2, 6), RecordArrival::Duplicate);
        assert_eq!(ledger.arrive(0, 1, 1, 7), RecordArrival::Regressed);
        // Not sent yet, no such user, and one's own.
        for (sender, receiver, number) in [(0, 1, 3), (0, 1, 0), (9, 1, 1), (0, 0, 1)] {
            assert_eq!(ledger.arrive(sender, receiver, number, 8), RecordArrival::Stranger);
        }
        let counts = ledger.counts();
        assert_eq!((counts.duplicates, counts.regressed, counts.strangers), (1, 1, 4));
        assert_eq!(ledger.missing(), 1);
        // A regressed record does not make a newer one count again.
        assert_eq!(ledger.arrive(0, 1, 2, 9), RecordArrival::Duplicate);
    }

    #[test]
    fn who_does_not_read_is_not_waited_for_but_owed() {
        let mut ledger = three();
        ledger.set_awaited(2, false);
        ledger.send(0, 0);
        ledger.send(0, 0);
        ledger.arrive(0, 1, 1, 1);
        assert_eq!(ledger.arrive(0, 1, 2, 2), RecordArrival::New { after: Some(2), first: true, last: true });
        assert_eq!((ledger.outstanding(), ledger.missing()), (0, 1));
        assert_eq!((ledger.pending(2), ledger.pending(1)), (1, 0));
        ledger.set_awaited(2, true);
        assert!(matches!(ledger.arrive(0, 2, 2, 3), RecordArrival::New { .. }));
        assert_eq!((ledger.outstanding(), ledger.missing()), (0, 0));
    }

    #[test]
    fn an_update_for_nobody_is_never_outstanding() {
        let mut ledger = Ledger::new(Graph::regular(2, 0, 1).unwrap());
        ledger.send(0, 0);
        assert_eq!((ledger.outstanding(), ledger.missing(), ledger.counts().sent), (0, 0, 1));
    }
}
