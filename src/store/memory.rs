//! A store that forgets: maps under one lock, behind the same decisions and the same feed as the durable ones.
//!
//! Nothing outlives it, and a write of several commands copies the maps to be able to take itself back.
//! Made for tests; never offered to operators.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::commit::{Done, Rows, Stop, carry_out};
use super::{Batch, COMPACTION, Clock, FEED, Opened, Store, StoreError, Write, WriteError, Written};
use crate::model::{Account, Edge, Epoch, Lineage, Millis, Profile, Row, Stamp};
use crate::sync::decide::{Current, Reads};

/// Makes an empty store.
///
/// # Errors
/// The system has no randomness for its epoch.
pub fn open(clock: Clock) -> Result<Opened, StoreError> {
    let epoch = getrandom::u64().map_err(|e| StoreError(format!("no randomness for an epoch: {e}")))?;
    let (feed, commits) = mpsc::channel(FEED);
    let store = Memory { clock, epoch: Epoch(epoch), state: Mutex::default(), feed: Mutex::new(Some(feed)) };
    Ok(Opened { store: Arc::new(store), feed: commits, head: 0 })
}

struct Memory {
    clock: Clock,
    epoch: Epoch,
    state: Mutex<State>,
    /// Taken away by `close`.
    feed: Mutex<Option<mpsc::Sender<Batch>>>,
}

#[derive(Default)]
struct State {
    tables: Tables,
    stamp: Stamp,
    floor: Stamp,
}

#[derive(Default, Clone)]
struct Tables {
    users: BTreeMap<Account, Arc<Profile>>,
    edges: BTreeMap<(Account, Account), Edge>,
}

impl Tables {
    /// The owner's edges in order of the peer, tombstones included.
    fn of<'a>(&'a self, owner: &'a Account, after: Option<&Account>) -> impl Iterator<Item = &'a Edge> {
        // No account is empty, so the empty one stands before all.
        let after = after.cloned().unwrap_or_else(|| Account::stored(""));
        let from = (Bound::Excluded((owner.clone(), after)), Bound::Unbounded);
        self.edges.range(from).map(|(_, edge)| edge).take_while(move |edge| edge.owner == *owner)
    }

    fn friends<'a>(&'a self, owner: &'a Account) -> impl Iterator<Item = &'a Edge> {
        self.of(owner, None).filter(|edge| !edge.removed)
    }
}

impl Rows for Tables {
    type Error = Infallible;

    fn current(&self, reads: Reads) -> Result<Current, Infallible> {
        let mut edges: Vec<_> = reads.edges.iter().filter_map(|key| self.edges.get(key).cloned()).collect();
        edges.extend(reads.friends_of.iter().flat_map(|owner| self.friends(owner)).cloned());
        let counts = reads.counts.into_iter().map(|owner| (owner.clone(), self.friends(&owner).count() as u64));
        Ok(Current {
            users: reads.users.iter().filter_map(|account| self.users.get(account).cloned()).collect(),
            edges,
            counts: counts.collect(),
        })
    }

    fn put(&mut self, row: &Row) -> Result<(), Infallible> {
        match row {
            Row::Profile(profile) => drop(self.users.insert(profile.account.clone(), profile.clone())),
            Row::Gone { account, .. } => drop(self.users.remove(account)),
            Row::Edge(edge) => drop(self.edges.insert((edge.owner.clone(), edge.peer.clone()), edge.clone())),
        }
        Ok(())
    }
}

impl State {
    fn write(&mut self, write: &Write, now: Millis) -> Result<Done, WriteError> {
        // The refusal of a single command comes before its first row.
        let before = (write.commands.len() > 1).then(|| self.tables.clone());
        match carry_out(&mut self.tables, write, self.stamp, now) {
            Ok(done) => {
                self.stamp += done.changes.len() as Stamp;
                Ok(done)
            }
            Err(Stop::Refused { at, error }) => {
                if let Some(before) = before {
                    self.tables = before;
                }
                Err(WriteError::Refused { at, error })
            }
        }
    }

    fn compact(&mut self, before: Millis) -> u64 {
        let old = self.tables.edges.iter().filter(|(_, edge)| edge.removed && edge.update_time < before);
        let mut old: Vec<_> = old.map(|(key, edge)| (edge.update_time, key.clone(), edge.version)).collect();
        old.sort_unstable();
        old.truncate(COMPACTION);
        for (_, key, version) in &old {
            self.tables.edges.remove(key);
            self.floor = self.floor.max(*version);
        }
        old.len() as u64
    }
}

impl Memory {
    async fn commit(&self, write: Write) -> Written {
        let feed = self.feed.lock().clone().ok_or_else(|| StoreError("the store is closed".into()))?;
        // Room in the feed first: then the commit and its place in the feed are one step under the lock.
        let room = feed.reserve().await.ok();
        let (answer, told) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let (changes, written) = match state.write(&write, (self.clock)()) {
                Ok(done) => (done.changes, Ok(done.answers)),
                Err(refusal) => (Vec::new(), Err(refusal)),
            };
            let batch = Batch { changes, answers: vec![(answer, written)] };
            match room {
                Some(room) => room.send(batch),
                None => batch.answer(),
            }
        }
        told.await.unwrap_or_else(|_| Err(StoreError("the consumer of the feed gave no answer".into()).into()))
    }
}

impl Store for Memory {
    fn write(&self, write: Write) -> BoxFuture<'_, Written> {
        Box::pin(self.commit(write))
    }

    fn profiles(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>> {
        let state = self.state.lock();
        let found = accounts.iter().filter_map(|account| state.tables.users.get(account).cloned()).collect();
        Box::pin(async { Ok(found) })
    }

    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Stamp>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>> {
        let state = self.state.lock();
        let shown = |edge: &&Edge| !edge.removed || since.is_some_and(|since| edge.version > since);
        let page = state.tables.of(&owner, after.as_ref()).filter(shown).take(limit).cloned().collect();
        Box::pin(async { Ok(page) })
    }

    fn edges(&self, owner: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>> {
        let state = self.state.lock();
        let edge = |peer: Account| state.tables.edges.get(&(owner.clone(), peer)).cloned();
        let found = peers.into_iter().filter_map(edge).collect();
        Box::pin(async { Ok(found) })
    }

    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>> {
        let dropped = self.state.lock().compact(before);
        Box::pin(async move { Ok(dropped) })
    }

    fn lineage(&self) -> Lineage {
        Lineage { epoch: self.epoch, floor: self.state.lock().floor }
    }

    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let empty = self.state.lock().tables.users.is_empty();
        Box::pin(async move { Ok(empty) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.feed.lock().take();
        Box::pin(async {})
    }
}
