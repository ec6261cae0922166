//! Brings a session from its cursor to the present, one page of its friend list at a time, then its requests and blocks.

use std::sync::Arc;

use super::Service;
use super::sight::Page;
use crate::hub::Seat;
use crate::model::{Account, Block, CloseReason, Cursor, Edge, Request};
use crate::store::StoreError;
use crate::sync::delta::{Owed, Plan, owed};
use crate::sync::repair::Sum;
use crate::wire::Card;

/// Where a catch-up stands. The place in the list is the last account read, so a list that changes meanwhile
/// loses nothing: what entered behind it is marked.
#[derive(Debug)]
pub struct CatchUp {
    plan: Plan,
    cursor: Cursor,
    stage: Stage,
    sum: Sum,
}

/// What is read next.
#[derive(Debug, Clone)]
enum Stage {
    /// Friends after this account.
    Friends(Option<Account>),
    /// All requests; there are few.
    Requests,
    /// Blocks after this account.
    Blocks(Option<Account>),
    Done,
}

/// Records to tell a session.
#[derive(Debug, Default)]
pub struct Told {
    /// Relations, each with the friend's whole card.
    pub friends: Vec<(Edge, Arc<Card>)>,
    /// Newer cards of friends the client holds.
    pub cards: Vec<Arc<Card>>,
    /// Accounts that left the list.
    pub removed: Vec<Account>,
    /// Requests from and to the account.
    pub requests: Vec<Request>,
    /// Whom it blocks, or did.
    pub blocks: Vec<Block>,
}

/// One thing to tell.
#[derive(Debug, Clone, Copy)]
pub enum Record<'a> {
    /// An account left the list.
    Removed(&'a Account),
    /// A relation, with the friend's whole card.
    Friend(&'a Edge, &'a Card),
    /// A newer card.
    Card(&'a Card),
    /// A request.
    Request(&'a Request),
    /// A block.
    Block(&'a Block),
}

impl Told {
    /// Everything to tell, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let removed = self.removed.iter().map(Record::Removed);
        let friends = self.friends.iter().map(|(edge, card)| Record::Friend(edge, card));
        let cards = self.cards.iter().map(|card| Record::Card(card));
        let requests = self.requests.iter().map(Record::Request);
        removed.chain(friends).chain(cards).chain(requests).chain(self.blocks.iter().map(Record::Block))
    }
}

impl CatchUp {
    pub(super) fn new(plan: Plan, cursor: Cursor) -> Self {
        Self { plan, cursor, stage: Stage::Friends(None), sum: Sum::default() }
    }

    /// How the client is brought up to date.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// What the client may show next time, once it holds all of this.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// How many friends there are, and their digest; whole once the last page was read.
    #[must_use]
    pub fn sum(&self) -> Sum {
        self.sum
    }
}

impl Service {
    /// Reads the next page and says what of it is owed; `None` after the last. The session follows every friend it was
    /// read.
    ///
    /// # Errors
    /// The store cannot be read, or the plan no longer holds: the client is to come back.
    pub async fn catch_up(&self, seat: &mut Seat, at: &mut CatchUp) -> Result<Option<Told>, CloseReason> {
        let read = match at.stage.clone() {
            Stage::Friends(after) => self.read_friends(seat, at, after).await,
            Stage::Requests => self.read_requests(seat, at).await,
            Stage::Blocks(after) => self.read_blocks(seat, at, after).await,
            Stage::Done if at.plan.since().is_some_and(|since| since < self.store.lineage().floor) => {
                // Tombstones this client needed were dropped while it was reading.
                return Err(CloseReason::Internal);
            }
            Stage::Done => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            tracing::error!(%error, "a catch-up could not be read");
            CloseReason::Internal
        })
    }

    async fn read_friends(
        &self,
        seat: &mut Seat,
        at: &mut CatchUp,
        after: Option<Account>,
    ) -> Result<Told, StoreError> {
        let Page { edges, next } = self.friends_page(seat, after, at.plan.since()).await?;
        at.stage = next.map_or(Stage::Requests, |last| Stage::Friends(Some(last)));
        Ok(tell(at, edges))
    }

    async fn read_requests(&self, seat: &Seat, at: &mut CatchUp) -> Result<Told, StoreError> {
        let since = at.plan.since();
        let mut requests = self.store.requests(seat.account().clone(), since).await?;
        requests.retain(|request| since.is_none_or(|since| request.version > since));
        at.stage = Stage::Blocks(None);
        Ok(Told { requests, ..Told::default() })
    }

    async fn read_blocks(&self, seat: &Seat, at: &mut CatchUp, after: Option<Account>) -> Result<Told, StoreError> {
        let since = at.plan.since();
        let mut blocks = self.store.blocks(seat.account().clone(), after, self.machine.page, since).await?;
        at.stage = match blocks.last() {
            Some(last) if blocks.len() == self.machine.page => Stage::Blocks(Some(last.peer.clone())),
            _ => Stage::Done,
        };
        blocks.retain(|block| since.is_none_or(|since| block.version > since));
        Ok(Told { blocks, ..Told::default() })
    }
}

/// Adds a page to the sums and picks what is owed.
fn tell(at: &mut CatchUp, edges: Vec<(Edge, Option<Arc<Card>>)>) -> Told {
    let mut told = Told::default();
    for (edge, card) in edges {
        let version = card.as_ref().map_or(0, |card| card.profile().version);
        if !edge.removed && card.is_none() {
            // The account is being deleted: its edge is a tombstone by now. That is marked, but told after the sum, in
            // which it is not.
            told.removed.extend(at.plan.since().map(|_| edge.peer));
            continue;
        }
        if card.is_some() {
            at.sum.add(edge.peer.as_str(), edge.version, version);
        }
        match (owed(at.plan, &edge, version), card) {
            (Owed::Removal, _) => told.removed.push(edge.peer),
            (Owed::Friend, Some(card)) => told.friends.push((edge, card)),
            (Owed::Card, Some(card)) => told.cards.push(card),
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Epoch;
    use crate::sync::delta::Because;

    /// Between its edge and its card an account may be deleted. Whoever holds it must not be told a sum without it, and
    /// not that it is gone.
    #[test]
    fn a_friend_whose_account_went_while_this_read_is_told_as_removed_to_who_may_hold_it() {
        let edge = Edge::new(Account::stored("ann"), Account::stored("bob"), 3, 0);
        for (plan, removed) in [(Plan::Since(5), 1), (Plan::Full(Because::NoCursor), 0)] {
            let cursor = Cursor { epoch: Epoch(7), horizon: 9 };
            let mut at = CatchUp::new(plan, cursor);
            let told = tell(&mut at, vec![(edge.clone(), None)]);
            assert_eq!((told.removed.len(), told.records().count(), at.sum()), (removed, removed, Sum::default()));
        }
    }
}
