//! Brings a session from its cursor to the present, one page of its friend list at a time, then its requests and blocks.

use std::sync::Arc;

use super::Service;
use crate::hub::Seat;
use crate::model::{Account, Block, CloseReason, Cursor, Edge, Request};
use crate::store::StoreError;
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
    count: u32,
    digest: Digest,
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
        Self { plan, cursor, stage: Stage::Friends(None), count: 0, digest: Digest::default() }
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
        let (edges, cards) = loop {
            let before = seat.relations();
            let edges = self.store.page(seat.account().clone(), after.clone(), PAGE, at.plan.since()).await?;
            let peers: Vec<_> = edges.iter().filter(|e| !e.removed).map(|e| e.peer.clone()).collect();
            seat.expect(peers.len());
            let cards = self.follow_friends(seat, &peers).await?;
            // A relation that changed while its page was read may have taken the right to see a card with it.
            if seat.relations() == before {
                break (edges, cards);
            }
        };
        at.stage = match edges.last() {
            Some(last) if edges.len() == PAGE => Stage::Friends(Some(last.peer.clone())),
            _ => Stage::Requests,
        };
        Ok(tell(at, edges, cards))
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
        let mut blocks = self.store.blocks(seat.account().clone(), after, PAGE, since).await?;
        at.stage = match blocks.last() {
            Some(last) if blocks.len() == PAGE => Stage::Blocks(Some(last.peer.clone())),
            _ => Stage::Done,
        };
        blocks.retain(|block| since.is_none_or(|since| block.version > since));
        Ok(Told { blocks, ..Told::default() })
    }
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
