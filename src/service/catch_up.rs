//! Brings a session from its cursor to the present, one page of its friend list at a time, then its requests and blocks.

use std::mem;
use std::sync::Arc;

use super::Service;
use crate::hub::Seat;
use crate::model::{Account, Block, CloseReason, Cursor, Edge, Request};
use crate::store::{Arrival, StoreError};
use crate::sync::delta::{Owed, Plan, owed};
use crate::sync::digest::Digest;
use crate::wire::Card;

/// Edges read at a time; what a session holds in memory while it catches up.
const PAGE: usize = 500;

/// Where a catch-up stands. The place in the list is the last account read, so a list that changes meanwhile
/// loses nothing: what entered behind it is marked.
#[derive(Debug)]
pub struct CatchUp {
    plan: Plan,
    cursor: Cursor,
    stage: Stage,
    requests: Vec<Request>,
    blocks: Vec<Block>,
    count: u32,
    digest: Digest,
}

/// What is told next.
#[derive(Debug)]
enum Stage {
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
    /// From what the login read while the account's relations stood so.
    pub(super) fn new(plan: Plan, cursor: Cursor, read: Arrival, relations: u32) -> Self {
        let Arrival { edges, mut requests, blocks, .. } = read;
        if let Some(since) = plan.since() {
            requests.retain(|request| request.version > since);
        }
        let stage = Stage::First(edges, relations);
        Self { plan, cursor, stage, requests, blocks, count: 0, digest: Digest::default() }
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

    /// How many friends there are; whole once the last page was read.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The digest of the friend list; whole once the last page was read.
    #[must_use]
    pub fn digest(&self) -> u32 {
        self.digest.value()
    }
}

impl Service {
    /// What a login is to read of an account for a plan.
    pub(super) async fn read_arrival(&self, account: &Account, plan: Plan) -> Result<Arrival, StoreError> {
        self.store.arrival(account.clone(), PAGE, plan.since()).await
    }

    /// Reads the next page and says what of it is owed; `None` after the last. The session follows every friend it was
    /// read.
    ///
    /// # Errors
    /// The store cannot be read, or the plan no longer holds: the client is to come back.
    pub async fn catch_up(&self, seat: &mut Seat, at: &mut CatchUp) -> Result<Option<Told>, CloseReason> {
        let read = match mem::replace(&mut at.stage, Stage::Done) {
            Stage::First(edges, relations) => self.tell_friends(seat, at, None, Some((edges, relations))).await,
            Stage::Friends(after) => self.tell_friends(seat, at, Some(after), None).await,
            Stage::Requests => {
                let (requests, blocks) = (mem::take(&mut at.requests), mem::take(&mut at.blocks));
                Ok(Told { requests, blocks: tell_blocks(at, blocks), ..Told::default() })
            }
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

    /// Tells a page of friends, the one given if nothing has changed since it was read.
    async fn tell_friends(
        &self,
        seat: &mut Seat,
        at: &mut CatchUp,
        after: Option<Account>,
        mut read: Option<(Vec<Edge>, u32)>,
    ) -> Result<Told, StoreError> {
        let (edges, cards) = loop {
            let (edges, before) = if let Some(read) = read.take() {
                read
            } else {
                let before = seat.relations();
                let page = self.store.page(seat.account().clone(), after.clone(), PAGE, at.plan.since());
                (page.await?, before)
            };
            let peers: Vec<_> = edges.iter().filter(|e| !e.removed).map(|e| e.peer.clone()).collect();
            seat.expect(peers.len());
            let cards = self.follow_friends(seat, &peers).await?;
            // A relation that changed while its page was read may have taken the right to see a card with it.
            if seat.relations() == before {
                break (edges, cards);
            }
        };
        at.stage = match edges.last() {
            Some(last) if edges.len() == PAGE => Stage::Friends(last.peer.clone()),
            _ => Stage::Requests,
        };
        Ok(tell(at, edges, cards))
    }

    async fn read_blocks(&self, seat: &Seat, at: &mut CatchUp, after: Account) -> Result<Told, StoreError> {
        let blocks = self.store.blocks(seat.account().clone(), Some(after), PAGE, at.plan.since()).await?;
        Ok(Told { blocks: tell_blocks(at, blocks), ..Told::default() })
    }
}

/// Picks what is owed of a page of blocks.
fn tell_blocks(at: &mut CatchUp, mut blocks: Vec<Block>) -> Vec<Block> {
    if let Some(last) = blocks.last().filter(|_| blocks.len() == PAGE) {
        at.stage = Stage::Blocks(last.peer.clone());
    }
    if let Some(since) = at.plan.since() {
        blocks.retain(|block| block.version > since);
    }
    blocks
}

/// Adds a page to the sums and picks what is owed; `cards` are those of the edges that are not removed, in order.
fn tell(at: &mut CatchUp, edges: Vec<Edge>, cards: Vec<Option<Arc<Card>>>) -> Told {
    let mut told = Told::default();
    let mut cards = cards.into_iter();
    for edge in edges {
        let card = if edge.removed { None } else { cards.next().flatten() };
        let version = card.as_ref().map_or(0, |card| card.profile().version);
        if !edge.removed && card.is_none() {
            continue; // The account is being deleted: its edge is a tombstone by now, and is marked as one.
        }
        if card.is_some() {
            at.count += 1;
            at.digest.add(edge.peer.as_str(), edge.version, version);
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
