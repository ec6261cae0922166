//! Bounds the memory that is held for clients that read slowly, and ends those that hold most when it is too much.
//!
//! A session holds one batch at a time, but a batch may be large, and there may be very many sessions. Only bytes that
//! wait are counted: a write that the system takes at once costs nothing here, and what a client takes is given back.
//! The address or account that holds most pays first, so that a flood from one of them cannot push out anyone else.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::admission::SourceAddress;
use crate::metrics::{Kind, Metrics};
use rosterd_engine::model::Account;

/// The memory that all connections hold.
pub(super) struct MemoryBudget {
    usage: Mutex<HeldBytes>,
    /// Turns an account into eight bytes, which each connection has room for.
    keys: ahash::RandomState,
    metrics: Arc<Metrics>,
}

/// A connection that holds memory, and those for whom it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    /// The number of the connection: later connections have greater ones.
    pub(super) number: u64,
    /// The address of the client, if it counts.
    pub(super) source: Option<SourceAddress>,
    /// The hash of the account, or of the connection before it has logged in.
    pub(super) account: u64,
}

/// An address or an account, with all of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum HolderGroup {
    Account(u64),
    Address(SourceAddress),
}

#[derive(Default)]
struct HeldBytes {
    bytes: usize,
    by: HashMap<u64, Holding, ahash::RandomState>,
    groups: HashMap<HolderGroup, GroupMembers, ahash::RandomState>,
    /// Every group by its bytes: the one that holds most is last.
    by_size: BTreeSet<(usize, HolderGroup)>,
}

struct Holding {
    holder: Holder,
    bytes: usize,
    end: oneshot::Sender<()>,
}

#[derive(Default)]
struct GroupMembers {
    bytes: usize,
    /// The connections by [`magnitude`] and number: of those that hold about as much, the newest is last.
    connections: BTreeSet<(u32, u64)>,
}

/// The memory that one connection holds. Dropping it gives the memory back.
pub(super) struct HeldMemory<'a> {
    memory_budget: &'a MemoryBudget,
    number: u64,
    shed: oneshot::Receiver<()>,
}

impl MemoryBudget {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { usage: Mutex::default(), keys: ahash::RandomState::new(), metrics }
    }

    /// Returns the key of an account in [`Holder`].
    pub(super) fn key(&self, account: &Account) -> u64 {
        self.keys.hash_one(account)
    }

    /// Counts `bytes` that a connection holds, which holds nothing else. If all connections then hold more than `most`,
    /// connections of those who hold most have to end until they hold less, this one perhaps among them.
    pub(super) fn hold(&self, holder: Holder, bytes: usize, most: usize) -> HeldMemory<'_> {
        let (end, shed) = oneshot::channel();
        let mut usage = self.usage.lock();
        usage.add(Holding { holder, bytes, end });
        while usage.bytes > most {
            let Some(holding) = usage.take_largest() else { break };
            self.metrics.refused.get_or_create(&Kind { kind: "OUTBOUND_BYTES" }).inc();
            let _ = holding.end.send(());
        }
        self.metrics.outbound.set(usage.bytes as i64);
        HeldMemory { memory_budget: self, number: holder.number, shed }
    }
}

impl HeldMemory<'_> {
    /// Counts `bytes`, which are fewer than before.
    pub(super) fn shrink_to(&self, bytes: usize) {
        let mut usage = self.memory_budget.usage.lock();
        if let Some(holding) = usage.remove(self.number) {
            usage.add(Holding { bytes, ..holding });
        }
        self.memory_budget.metrics.outbound.set(usage.bytes as i64);
    }

    /// Resolves when the connection has to end.
    pub(super) async fn shed(&mut self) {
        // The sender is dropped with this.
        if (&mut self.shed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for HeldMemory<'_> {
    fn drop(&mut self) {
        let mut usage = self.memory_budget.usage.lock();
        usage.remove(self.number);
        self.memory_budget.metrics.outbound.set(usage.bytes as i64);
    }
}

impl Holder {
    fn groups(self) -> impl Iterator<Item = HolderGroup> {
        self.source.map(HolderGroup::Address).into_iter().chain([HolderGroup::Account(self.account)])
    }
}

impl HeldBytes {
    fn add(&mut self, holding: Holding) {
        let Holding { holder, bytes, .. } = holding;
        self.bytes += bytes;
        for group in holder.groups() {
            let members = self.groups.entry(group).or_default();
            self.by_size.remove(&(members.bytes, group));
            members.bytes += bytes;
            members.connections.insert((magnitude(bytes), holder.number));
            self.by_size.insert((members.bytes, group));
        }
        self.by.insert(holder.number, holding);
    }

    fn remove(&mut self, number: u64) -> Option<Holding> {
        let holding = self.by.remove(&number)?;
        self.bytes -= holding.bytes;
        for group in holding.holder.groups() {
            let Some(members) = self.groups.get_mut(&group) else { continue };
            self.by_size.remove(&(members.bytes, group));
            members.bytes -= holding.bytes;
            members.connections.remove(&(magnitude(holding.bytes), number));
            if members.connections.is_empty() {
                self.groups.remove(&group);
            } else {
                self.by_size.insert((members.bytes, group));
            }
        }
        Some(holding)
    }

    /// Takes a connection of the group that holds most: the one that holds most in it, and of several the newest.
    fn take_largest(&mut self) -> Option<Holding> {
        let (_, group) = self.by_size.last()?;
        let (_, number) = *self.groups.get(group)?.connections.last()?;
        self.remove(number)
    }
}

/// Returns the order of magnitude, so that a few bytes more do not decide which of several connections ends.
fn magnitude(bytes: usize) -> u32 {
    bytes.checked_ilog2().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn gone(holding: &mut HeldMemory<'_>) -> bool {
        holding.shed().now_or_never().is_some()
    }

    fn holder(number: u64, source: SourceAddress, account: u64) -> Holder {
        Holder { number, source: (source > 0).then_some(source), account }
    }

    #[test]
    fn the_newest_of_one_account_go_until_it_fits_and_what_is_let_go_makes_room() {
        let memory_budget = MemoryBudget::new(Arc::default());
        let hold = |number, bytes| memory_budget.hold(holder(number, 0, 7), bytes, 1000);
        let (mut one, mut three) = (hold(1, 400), hold(3, 400));
        let mut two = hold(2, 300);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut three)), (false, false, true));
        let mut four = hold(4, 301);
        assert_eq!((gone(&mut two), gone(&mut four)), (false, true));
        drop((three, four));
        assert_eq!(memory_budget.metrics.outbound.get(), 700);
        // One that is too much by itself goes, and leaves the others alone.
        let mut huge = hold(2000, 5000);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut huge)), (false, false, true));
        // What the client took is room for others.
        one.shrink_to(10);
        let mut five = hold(5, 600);
        assert_eq!((gone(&mut one), gone(&mut two), gone(&mut five)), (false, false, false));
        assert_eq!(memory_budget.metrics.outbound.get(), 910);
        drop((one, two, five, huge));
        let usage = memory_budget.usage.lock();
        assert_eq!((memory_budget.metrics.outbound.get(), usage.by.len()), (0, 0));
        assert!(usage.groups.is_empty() && usage.by_size.is_empty());
    }

    #[test]
    fn who_holds_most_by_address_or_by_account_pays_first() {
        for attacker in [|n| holder(n, 1, 100 + n), |n| holder(n, 100 + u128::from(n), 1)] {
            let memory_budget = MemoryBudget::new(Arc::default());
            let mut all: Vec<_> = (0..9).map(|n| memory_budget.hold(attacker(n), 100, 1000)).collect();
            // The newest of all, and more than each of the others: yet theirs together is more.
            let mut honest = memory_budget.hold(holder(50, 2, 2), 300, 1000);
            assert!(!gone(&mut honest));
            all.retain_mut(|holding| !gone(holding));
            assert_eq!(all.len(), 7);
            // However many more of them come.
            for n in 60..90 {
                all.push(memory_budget.hold(attacker(n), 100, 1000));
            }
            all.retain_mut(|holding| !gone(holding));
            assert_eq!((gone(&mut honest), all.len()), (false, 7));
        }
    }

    #[test]
    fn of_one_address_the_connection_that_holds_far_more_goes_first() {
        let memory_budget = MemoryBudget::new(Arc::default());
        let mut large = memory_budget.hold(holder(1, 1, 1), 600, 1000);
        let mut small = memory_budget.hold(holder(2, 1, 2), 100, 1000);
        let mut newest = memory_budget.hold(holder(3, 1, 3), 400, 1000);
        assert_eq!((gone(&mut large), gone(&mut small), gone(&mut newest)), (true, false, false));
    }
}
