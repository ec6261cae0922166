//! What a session may see of accounts: from the registry what is live, the rest from the store, and of who blocks it
//! the state from before.

use std::collections::HashMap;
use std::sync::Arc;

use super::Service;
use crate::hub::{SessionHandle, UserRef, VisibleProfile};
use crate::store::StoreError;
use rosterd_engine::model::{Account, Audience, Edge, Revision};
use rosterd_protocol::{EncodedProfile, ProfileViews};

/// A page of a friend list.
pub(super) struct Page {
    /// Each relation with the friend's card; none with one that is removed, or whose account is being deleted.
    pub(super) edges: Vec<(Edge, Option<Arc<EncodedProfile>>)>,
    /// Where the next page begins, if there may be one.
    pub(super) next: Option<Account>,
}

/// Cards in the order of the accounts asked for; `None` for one that does not exist.
pub(super) type VisibleProfiles = Vec<Option<Arc<EncodedProfile>>>;

impl Service {
    /// Reads the friends after an account, following each from now on. With `since`, relations that ended after it are
    /// among them.
    pub(super) async fn friends_page(
        &self,
        seat: &mut SessionHandle,
        after: Option<Account>,
        since: Option<Revision>,
    ) -> Result<Page, StoreError> {
        loop {
            let relations = seat.relations_epoch();
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
        seat: &mut SessionHandle,
        edges: Vec<Edge>,
        relations: u32,
    ) -> Result<Option<Page>, StoreError> {
        let peers = || edges.iter().filter(|edge| !edge.removed).map(|edge| &edge.peer);
        seat.expect(peers().count());
        let cards = self.follow_friends(seat, peers()).await?;
        if seat.relations_epoch() != relations {
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
        seat: &mut SessionHandle,
        accounts: impl Iterator<Item = &Account>,
    ) -> Result<VisibleProfiles, StoreError> {
        let users: Vec<_> = accounts.map(|account| seat.add_friend(account)).collect();
        self.settle(seat, &users).await
    }

    /// What the session may see of accounts, whether or not it follows them.
    pub(super) async fn look_up(
        &self,
        seat: &SessionHandle,
        accounts: &[Account],
    ) -> Result<VisibleProfiles, StoreError> {
        let name = |account: &Account| self.hub.user(account).unwrap_or_else(|| UserRef::detached(account.clone()));
        let users: Vec<_> = accounts.iter().map(name).collect();
        self.settle(seat, &users).await
    }

    /// What the session may see of each.
    pub(super) async fn settle(&self, seat: &SessionHandle, users: &[UserRef]) -> Result<VisibleProfiles, StoreError> {
        let mut settled: VisibleProfiles = Vec::with_capacity(users.len());
        let (mut unknown, mut frozen) = (Vec::new(), Vec::new());
        for (at, user) in users.iter().enumerate() {
            settled.push(match seat.view().visible_profile(user) {
                VisibleProfile::EncodedProfile(card) => Some(card),
                VisibleProfile::Unknown => {
                    unknown.push(at);
                    None
                }
                VisibleProfile::Frozen => {
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
        seat: &SessionHandle,
        users: &[UserRef],
        unknown: &[usize],
        settled: &mut VisibleProfiles,
        frozen: &mut Vec<usize>,
    ) -> Result<(), StoreError> {
        let found = self.store.users(names(users, unknown)).await?;
        let found: HashMap<_, _> = found.iter().map(|user| (&user.profile.account, user)).collect();
        for at in unknown {
            let user = &users[*at];
            self.hub.offer(user, found.get(user.account()).copied());
            match seat.view().visible_profile(user) {
                VisibleProfile::EncodedProfile(card) => settled[*at] = Some(card),
                VisibleProfile::Frozen => frozen.push(*at),
                VisibleProfile::Unknown => {}
            }
        }
        Ok(())
    }

    async fn settle_frozen(
        &self,
        seat: &SessionHandle,
        users: &[UserRef],
        frozen: &[usize],
        settled: &mut VisibleProfiles,
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

    fn view(&self, profile: Arc<rosterd_engine::model::Profile>, audience: Audience) -> Arc<EncodedProfile> {
        ProfileViews::new(profile, self.hub.visibility()).encoded(audience).clone()
    }
}

fn names(users: &[UserRef], at: &[usize]) -> Vec<Account> {
    at.iter().map(|at| users[*at].account().clone()).collect()
}
