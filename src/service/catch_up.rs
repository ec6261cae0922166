//! Brings a session from its cursor to the present, one page of its friend list at a time, then its requests and blocks.

use std::mem;
use std::sync::Arc;

use super::Service;
use super::visible::Page;
use crate::hub::SessionHandle;
use crate::store::{LoginRows, StoreError};
use rosterd_engine::model::{Account, Block, CloseReason, Cursor, Edge, Request};
use rosterd_engine::sync::delta::{Plan, RowDelta, row_delta};
use rosterd_engine::sync::repair::ListDigest;
use rosterd_protocol::EncodedProfile;

/// Where a catch-up stands. The place in the list is the last account read, so a list that changes meanwhile
/// loses nothing: what entered behind it is marked.
#[derive(Debug)]
pub struct CatchUp {
    plan: Plan,
    cursor: Cursor,
    stage: CatchUpStage,
    requests: Vec<Request>,
    blocks: Vec<Block>,
    sum: ListDigest,
}

/// What is told next.
#[derive(Debug)]
enum CatchUpStage {
    /// The first page of friends, which the login read when the account's relations stood so.
    First(Vec<Edge>, u32),
    /// Friends after this account.
    Friends(Account),
    /// All requests, and the first page of blocks, as the login read them: what changed since is marked.
    Requests,
    /// Blocks after this account.
    Blocks(Account),
    Done,
}

/// Records to tell a session.
#[derive(Debug, Default)]
pub struct RecordPage {
    /// Relations, each with the friend's whole card.
    pub friends: Vec<(Edge, Arc<EncodedProfile>)>,
    /// Newer cards of friends the client holds.
    pub cards: Vec<Arc<EncodedProfile>>,
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
    Friend(&'a Edge, &'a EncodedProfile),
    /// A newer card.
    EncodedProfile(&'a EncodedProfile),
    /// A request.
    Request(&'a Request),
    /// A block.
    Block(&'a Block),
}

impl RecordPage {
    /// Everything to tell, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let removed = self.removed.iter().map(Record::Removed);
        let friends = self.friends.iter().map(|(edge, card)| Record::Friend(edge, card));
        let cards = self.cards.iter().map(|card| Record::EncodedProfile(card));
        let requests = self.requests.iter().map(Record::Request);
        removed.chain(friends).chain(cards).chain(requests).chain(self.blocks.iter().map(Record::Block))
    }
}

impl CatchUp {
    /// From what the login read while the account's relations stood so.
    pub(super) fn new(plan: Plan, cursor: Cursor, read: LoginRows, relations: u32) -> Self {
        let LoginRows { edges, mut requests, blocks, .. } = read;
        if let Some(since) = plan.since() {
            requests.retain(|request| request.version > since);
        }
        let stage = CatchUpStage::First(edges, relations);
        Self { plan, cursor, stage, requests, blocks, sum: ListDigest::default() }
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
    pub fn sum(&self) -> ListDigest {
        self.sum
    }
}

impl Service {
    /// What a login is to read of an account for a plan.
    pub(super) async fn read_login(&self, account: &Account, plan: Plan) -> Result<LoginRows, StoreError> {
        self.store.login_rows(account.clone(), self.machine.page, plan.since()).await
    }

    /// Reads the next page and says what of it is owed; `None` after the last. The session follows every friend it was
    /// read.
    ///
    /// # Errors
    /// The store cannot be read, or the plan no longer holds: the client is to come back.
    pub async fn catch_up(
        &self,
        seat: &mut SessionHandle,
        at: &mut CatchUp,
    ) -> Result<Option<RecordPage>, CloseReason> {
        let read = match mem::replace(&mut at.stage, CatchUpStage::Done) {
            CatchUpStage::First(edges, relations) => self.first_friends(seat, at, edges, relations).await,
            CatchUpStage::Friends(after) => self.read_friends(seat, at, Some(after)).await,
            CatchUpStage::Requests => {
                let (requests, blocks) = (mem::take(&mut at.requests), mem::take(&mut at.blocks));
                Ok(RecordPage { requests, blocks: tell_blocks(at, blocks, self.machine.page), ..RecordPage::default() })
            }
            CatchUpStage::Blocks(after) => self.read_blocks(seat, at, after).await,
            CatchUpStage::Done if at.plan.since().is_some_and(|since| since < self.store.lineage().compacted) => {
                // Tombstones this client needed were dropped while it was reading.
                return Err(CloseReason::Internal);
            }
            CatchUpStage::Done => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            tracing::error!(%error, "a catch-up could not be read");
            CloseReason::Internal
        })
    }

    async fn read_friends(
        &self,
        seat: &mut SessionHandle,
        at: &mut CatchUp,
        after: Option<Account>,
    ) -> Result<RecordPage, StoreError> {
        let page = self.friends_page(seat, after, at.plan.since()).await?;
        Ok(tell(at, page))
    }

    async fn first_friends(
        &self,
        seat: &mut SessionHandle,
        at: &mut CatchUp,
        edges: Vec<Edge>,
        relations: u32,
    ) -> Result<RecordPage, StoreError> {
        match self.follow_page(seat, edges, relations).await? {
            Some(page) => Ok(tell(at, page)),
            None => self.read_friends(seat, at, None).await,
        }
    }

    async fn read_blocks(
        &self,
        seat: &SessionHandle,
        at: &mut CatchUp,
        after: Account,
    ) -> Result<RecordPage, StoreError> {
        let blocks = self.store.blocks(seat.account().clone(), Some(after), self.machine.page, at.plan.since()).await?;
        Ok(RecordPage { blocks: tell_blocks(at, blocks, self.machine.page), ..RecordPage::default() })
    }
}

/// Picks what is owed of a page of blocks.
fn tell_blocks(at: &mut CatchUp, mut blocks: Vec<Block>, page: usize) -> Vec<Block> {
    if let Some(last) = blocks.last().filter(|_| blocks.len() == page) {
        at.stage = CatchUpStage::Blocks(last.peer.clone());
    }
    if let Some(since) = at.plan.since() {
        blocks.retain(|block| block.version > since);
    }
    blocks
}

/// Adds a page to the sums and picks what is owed.
fn tell(at: &mut CatchUp, page: Page) -> RecordPage {
    at.stage = page.next.map_or(CatchUpStage::Requests, CatchUpStage::Friends);
    let mut told = RecordPage::default();
    if at.plan.since().is_none() {
        told.friends.reserve_exact(page.edges.len());
    }
    for (edge, card) in page.edges {
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
        match (row_delta(at.plan, &edge, version), card) {
            (RowDelta::Removal, _) => told.removed.push(edge.peer),
            (RowDelta::Friend, Some(card)) => told.friends.push((edge, card)),
            (RowDelta::EncodedProfile, Some(card)) => told.cards.push(card),
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::Epoch;
    use rosterd_engine::sync::delta::Because;

    /// Between its edge and its card an account may be deleted. Whoever holds it must not be told a sum without it, and
    /// not that it is gone.
    #[test]
    fn a_friend_whose_account_went_while_this_read_is_told_as_removed_to_who_may_hold_it() {
        let edge = Edge::new(Account::stored("ann").unwrap(), Account::stored("bob").unwrap(), 3, 0);
        for (plan, removed) in [(Plan::Since(5), 1), (Plan::Full(Because::NoCursor), 0)] {
            let cursor = Cursor { epoch: Epoch(7), horizon: 9 };
            let mut at = CatchUp::new(plan, cursor, LoginRows::default(), 0);
            let told = tell(&mut at, Page { edges: vec![(edge.clone(), None)], next: None });
            assert_eq!(
                (told.removed.len(), told.records().count(), at.sum()),
                (removed, removed, ListDigest::default())
            );
        }
    }
}
