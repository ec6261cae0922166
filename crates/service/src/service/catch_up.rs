//! Brings a session from its cursor to the present, one page of its friend list at a time, then its requests and blocks.

use std::mem;

use super::record::RecordPage;
use super::state::{Service, unavailable};
use super::visible::{EdgesRead, ListPlace, Page, reaches_back};
use crate::hub::SessionHandle;
use crate::store::{LoginRows, StoreError};
use rosterd_engine::model::{Account, Block, Cursor, Request, RequestError};
use rosterd_engine::sync::delta::{Plan, RowDelta, plan, row_delta};
use rosterd_engine::sync::repair::ListDigest;

/// The progress of a catch-up.
///
/// The place in the friend list is the last account read, so a list that changes meanwhile loses nothing: a friend that
/// enters behind that place is marked.
#[derive(Debug)]
pub struct CatchUp {
    plan: Plan,
    cursor: Cursor,
    stage: CatchUpStage,
    requests: Vec<Request>,
    blocks: Vec<Block>,
    sum: ListDigest,
}

/// The step that comes next.
#[derive(Debug)]
enum CatchUpStage {
    /// Friends from this place on. The login has read the first page.
    Friends(ListPlace),
    /// All requests, and the first page of blocks, as the login read them. A change since is marked.
    Requests,
    /// Blocks after this account.
    Blocks(Account),
    Done,
}

impl CatchUp {
    /// Begins with what the login read at this relations epoch.
    pub(super) fn new(plan: Plan, cursor: Cursor, read: LoginRows, relations_epoch: u32) -> Self {
        let LoginRows { edges, mut requests, blocks, .. } = read;
        if let Some(since) = plan.since() {
            requests.retain(|request| request.version > since);
        }
        let stage = CatchUpStage::Friends(ListPlace { after: None, ahead: Some(EdgesRead { edges, relations_epoch }) });
        Self { plan, cursor, stage, requests, blocks, sum: ListDigest::default() }
    }

    /// Returns how the client is brought up to date.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Returns the cursor for the client's next login, which holds once the client has everything.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns whether the friend list goes on after the page that was read last.
    #[must_use]
    pub fn has_more_friends(&self) -> bool {
        matches!(self.stage, CatchUpStage::Friends(_))
    }

    /// Returns how many friends there are, and their digest; complete once the last page was read.
    #[must_use]
    pub fn sum(&self) -> ListDigest {
        self.sum
    }
}

impl Service {
    /// Plans how a client is brought up to date, and reads the rows of its account that a login needs for that; with `few`
    /// also the account itself.
    pub(super) async fn read_login(
        &self,
        account: &Account,
        cursor: Option<&str>,
        few: Option<usize>,
    ) -> Result<(Plan, LoginRows), StoreError> {
        let mut guess = plan(cursor, self.store.lineage(), self.store.head());
        loop {
            let applied = *self.hub.applied().borrow();
            let read = self.store.login_rows(account.clone(), self.environment.page, guess.since(), few).await?;
            if read.head < applied {
                // Its epoch may still be the known one: nobody has written since.
                return Err(StoreError("the store lacks changes that are applied here: it lost them".into()));
            }
            let plan = plan(cursor, read.lineage, read.head);
            if plan.since() == guess.since() {
                return Ok((plan, read));
            }
            // What is known here was older than the snapshot. Both only rise, so this ends.
            guess = plan;
        }
    }

    /// Reads the next page and returns its pending records; `None` after the last. The session follows every friend that
    /// was read.
    ///
    /// # Errors
    /// 503: the store cannot be read, or the plan no longer holds. The client is to come back.
    pub async fn catch_up(
        &self,
        handle: &mut SessionHandle,
        at: &mut CatchUp,
    ) -> Result<Option<RecordPage>, RequestError> {
        let read = match mem::replace(&mut at.stage, CatchUpStage::Done) {
            CatchUpStage::Friends(place) => self.read_friends(handle, at, place).await,
            CatchUpStage::Requests => {
                let (requests, blocks) = (mem::take(&mut at.requests), mem::take(&mut at.blocks));
                Ok(RecordPage {
                    requests,
                    blocks: pick_blocks(at, blocks, self.environment.page),
                    ..RecordPage::default()
                })
            }
            CatchUpStage::Blocks(after) => self.read_blocks(handle, at, after).await,
            CatchUpStage::Done => return Ok(None),
        };
        read.map(Some).map_err(|error| {
            tracing::error!(%error, "a catch-up could not be read");
            unavailable(&error)
        })
    }

    async fn read_friends(
        &self,
        handle: &mut SessionHandle,
        at: &mut CatchUp,
        place: ListPlace,
    ) -> Result<RecordPage, StoreError> {
        let page = self.friends_page(handle, place, at.plan.since()).await?;
        Ok(pick(at, page))
    }

    async fn read_blocks(
        &self,
        handle: &SessionHandle,
        at: &mut CatchUp,
        after: Account,
    ) -> Result<RecordPage, StoreError> {
        let (limit, since) = (self.environment.page, at.plan.since());
        let read = self.store.blocks(handle.account().clone(), Some(after), limit, since).await?;
        reaches_back(&read, since)?;
        Ok(RecordPage { blocks: pick_blocks(at, read.rows, limit), ..RecordPage::default() })
    }
}

/// Picks the pending blocks of a page.
fn pick_blocks(at: &mut CatchUp, mut blocks: Vec<Block>, page: usize) -> Vec<Block> {
    if let Some(last) = blocks.last().filter(|_| blocks.len() == page) {
        at.stage = CatchUpStage::Blocks(last.peer.clone());
    }
    if let Some(since) = at.plan.since() {
        blocks.retain(|block| block.version > since);
    }
    blocks
}

/// Adds a page to the digest and picks its pending records.
fn pick(at: &mut CatchUp, page: Page) -> RecordPage {
    at.stage = page.next.map_or(CatchUpStage::Requests, CatchUpStage::Friends);
    let mut picked = RecordPage::default();
    if at.plan.since().is_none() {
        picked.friends.reserve_exact(page.edges.len());
    }
    for (edge, profile) in page.edges {
        let version = profile.as_ref().map_or(0, |profile| profile.profile().version);
        if !edge.removed && profile.is_none() {
            // The account is being deleted: its edge is a tombstone by now. The removal is marked, but a flush would send
            // it only after the digest, which does not contain it.
            picked.removed.extend(at.plan.since().map(|_| edge.peer));
            continue;
        }
        if profile.is_some() {
            at.sum.add(edge.peer.as_str(), edge.version, version);
        }
        match (row_delta(at.plan, &edge, version), profile) {
            (RowDelta::Removal, _) => picked.removed.push(edge.peer),
            (RowDelta::Friend, Some(profile)) => picked.friends.extend(edge.edge.map(|edge| (*edge, profile))),
            (RowDelta::EncodedProfile, Some(profile)) => picked.profiles.push(profile),
            _ => {}
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::{Edge, Epoch};
    use rosterd_engine::sync::delta::Because;

    /// An account may be deleted between the reads of its edge and its profile. A client that may have the friend
    /// must not get a digest without it and no removal.
    #[test]
    fn a_friend_whose_account_is_deleted_meanwhile_is_removed_on_clients_that_may_have_it() {
        let edge = Edge::new(Account::stored("ann").unwrap(), Account::stored("bob").unwrap(), 3, 0);
        for (plan, removed) in [(Plan::Since(5), 1), (Plan::Full(Because::NoCursor), 0)] {
            let cursor = Cursor { epoch: Epoch(7), watermark: 9 };
            let mut at = CatchUp::new(plan, cursor, LoginRows::default(), 0);
            let picked = pick(&mut at, Page { edges: vec![(edge.clone().into(), None)], next: None });
            assert_eq!(
                (picked.removed.len(), picked.records().count(), at.sum()),
                (removed, removed, ListDigest::default())
            );
        }
    }
}
