//! What a session may see of accounts: from the registry what is live, the rest from the store, and of who blocks it
//! the state from before.

use std::collections::HashMap;
use std::sync::Arc;

use super::Service;
use crate::hub::{Seat, Sight, UserRef};
use crate::store::StoreError;
use rosterd_engine::model::{Account, Audience, Edge, Stamp};
use rosterd_protocol::{Card, Views};

/// A page of a friend list.
pub(super) struct Page {
    /// Each relation with the friend's card; none with one that is removed, or whose account is being deleted.
    pub(super) edges: Vec<(Edge, Option<Arc<Card>>)>,
    /// Where the next page begins, if there may be one.
    pub(super) next: Option<Account>,
}

/// Cards in the order of the accounts asked for; `None` for one that does not exist.
pub(super) type Settled = Vec<Option<Arc<Card>>>;

impl Service {
    /// Reads the friends after an account, following each from now on. With `since`, relations that ended after it are
    /// among them.
    pub(super) async fn friends_page(
        &self,
        seat: &mut Seat,
        after: Option<Account>,
        since: Option<Stamp>,
    ) -> Result<Page, StoreError> {
        loop {
            let relations = seat.relations();
            let edges = self.store.page(seat.account().clone(), after.clone(), self.machine.page, since).await?;
            if let Some(page) = self.follow_page(seat, edges, relations).await? {
                return Ok(page);
            }
        }
    }

    /// Follows the friends of a page that was read after the session's relations stood so. `None` if they have changed
    /// since: what changed may have taken the right to see a card with it, and the page is to be read again.
    pub(super) async fn follow_page(
        &self,
        seat: &mut Seat,
        edges: Vec<Edge>,
        relations: u32,
    ) -> Result<Option<Page>, StoreError> {
        let peers = || edges.iter().filter(|edge| !edge.removed).map(|edge| &edge.peer);
        seat.expect(peers().count());
        let cards = self.follow_friends(seat, peers()).await?;
        if seat.relations() != relations {
            return Ok(None);
        }
        let next = edges.last().filter(|_| edges.len() == self.machine.page).map(|last| last.peer.clone());
        let mut cards = cards.into_iter();
        let with_card = |edge: Edge| {
            let card = if edge.removed { None } else { cards.next().flatten() };
            (edge, card)
        };
        Ok(Some(Page { edges: edges.into_iter().map(with_card).collect(), next }))
    }

    /// The cards of these friends, following each from now on: a change after this call marks the session, one before
    /// it is in the card.
    pub(super) async fn follow_friends(
        &self,
        seat: &mut Seat,
        accounts: impl Iterator<Item = &Account>,
    ) -> Result<Settled, StoreError> {
        let users: Vec<_> = accounts.map(|account| seat.add_friend(account)).collect();
        self.settle(seat, &users).await
    }

    /// What the session may see of accounts, whether or not it follows them.
    pub(super) async fn look_up(&self, seat: &Seat, accounts: &[Account]) -> Result<Settled, StoreError> {
        let name = |account: &Account| self.hub.user(account).unwrap_or_else(|| UserRef::detached(account.clone()));
        let users: Vec<_> = accounts.iter().map(name).collect();
        self.settle(seat, &users).await
    }

    /// What the session may see of each.
    pub(super) async fn settle(&self, seat: &Seat, users: &[UserRef]) -> Result<Settled, StoreError> {
        let mut settled: Settled = Vec::with_capacity(users.len());
        let (mut unknown, mut frozen) = (Vec::new(), Vec::new());
        for (at, user) in users.iter().enumerate() {
            settled.push(match seat.view().sight(user) {
                Sight::Card(card) => Some(card),
                Sight::Unknown => {
                    unknown.push(at);
                    None
                }
                Sight::Frozen => {
                    frozen.push(at);
                    None
                }
            });
        }
        if !unknown.is_empty() {
            self.settle_unknown(seat, users, &unknown, &mut settled, &mut frozen).await?;
        }
        if !frozen.is_empty() {
            self.settle_frozen(seat, users, &frozen, &mut settled).await?;
        }
        Ok(settled)
    }

    async fn settle_unknown(
        &self,
        seat: &Seat,
        users: &[UserRef],
        unknown: &[usize],
        settled: &mut Settled,
        frozen: &mut Vec<usize>,
    ) -> Result<(), StoreError> {
        let found = self.store.users(names(users, unknown)).await?;
        let found: HashMap<_, _> = found.iter().map(|user| (&user.profile.account, user)).collect();
        for at in unknown {
            let user = &users[*at];
            self.hub.offer(user, found.get(user.account()).copied());
            match seat.view().sight(user) {
                Sight::Card(card) => settled[*at] = Some(card),
                Sight::Frozen => frozen.push(*at),
                Sight::Unknown => {}
            }
        }
        Ok(())
    }

    async fn settle_frozen(
        &self,
        seat: &Seat,
        users: &[UserRef],
        frozen: &[usize],
        settled: &mut Settled,
    ) -> Result<(), StoreError> {
        let found = self.store.frozen(seat.account().clone(), names(users, frozen)).await?;
        let mut free = Vec::new();
        for at in frozen {
            match found.iter().find(|profile| profile.account == *users[*at].account()) {
                Some(profile) => settled[*at] = Some(self.view(profile.clone(), seat.view().audience(&users[*at]))),
                None => free.push(*at),
            }
        }
        if free.is_empty() {
            return Ok(());
        }
        // The block ended while this looked.
        let now = self.store.users(names(users, &free)).await?;
        for at in free {
            let user = now.iter().find(|user| user.profile.account == *users[at].account());
            settled[at] = user.map(|user| self.view(user.profile.clone(), seat.view().audience(&users[at])));
        }
        Ok(())
    }

    fn view(&self, profile: Arc<rosterd_engine::model::Profile>, audience: Audience) -> Arc<Card> {
        Views::new(profile, self.hub.visibility()).card(audience).clone()
    }
}

fn names(users: &[UserRef], at: &[usize]) -> Vec<Account> {
    at.iter().map(|at| users[*at].account().clone()).collect()
}
