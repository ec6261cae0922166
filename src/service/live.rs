//! Resolves what a drain cannot read off the hub: relations, and cards of accounts the session does not follow.

use std::sync::Arc;

use super::{RecordPage, Service};
use crate::hub::SessionHandle;
use crate::store::StoreError;
use rosterd_engine::model::{Account, CloseReason};
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::EncodedProfile;

impl Service {
    /// The present state of what is marked between the session's account and these. Who entered the friend list is
    /// followed from now on, who left it no more.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn relations(
        &self,
        seat: &mut SessionHandle,
        marked: Vec<(Account, RecordKinds)>,
    ) -> Result<RecordPage, CloseReason> {
        self.read_relations(seat, marked).await.map_err(|error| unreadable(&error))
    }

    /// What the session may see of these accounts now; nothing of those that do not exist.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn profiles(
        &self,
        seat: &SessionHandle,
        accounts: &[Account],
    ) -> Result<Vec<Arc<EncodedProfile>>, CloseReason> {
        let found = self.look_up(seat, accounts).await.map_err(|error| unreadable(&error))?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn read_relations(
        &self,
        seat: &mut SessionHandle,
        marked: Vec<(Account, RecordKinds)>,
    ) -> Result<RecordPage, StoreError> {
        let peers = marked.iter().map(|(peer, _)| peer.clone()).collect();
        let read = self.store.relations(seat.account().clone(), peers).await?;
        let is = |peer: &Account, kind| marked.iter().any(|(marked, kinds)| marked == peer && kinds.has(kind));
        let live = read.edges.into_iter().filter(|edge| !edge.removed && is(&edge.peer, RecordKinds::EDGE));
        let live: Vec<_> = live.collect();
        let cards = self.follow_friends(seat, live.iter().map(|edge| &edge.peer)).await?;
        let friends: Vec<_> = live.into_iter().zip(cards).filter_map(|(edge, card)| Some((edge, card?))).collect();
        let listed = |peer: &Account| friends.iter().any(|(edge, _)| edge.peer == *peer);
        let removed = marked.iter().filter(|(peer, kinds)| kinds.has(RecordKinds::EDGE) && !listed(peer));
        let removed: Vec<_> = removed.map(|(peer, _)| peer.clone()).collect();
        let mut cards = Vec::new();
        for peer in &removed {
            seat.remove_friend(peer);
            // Who is still watched is seen as a stranger sees it: the client forgets the friend's card.
            if let Some(user) = self.hub.user(peer).filter(|user| seat.view().follows(user)) {
                cards.extend(self.settle(seat, std::slice::from_ref(&user)).await?.into_iter().flatten());
            }
        }
        let me = seat.account();
        let requests =
            read.requests.into_iter().filter(|request| is(request.peer_of(me), RecordKinds::REQUEST)).collect();
        let blocks = read.blocks.into_iter().filter(|block| is(&block.peer, RecordKinds::BLOCK)).collect();
        Ok(RecordPage { friends, cards, removed, requests, blocks })
    }
}

fn unreadable(error: &StoreError) -> CloseReason {
    tracing::error!(%error, "what a session is owed could not be read");
    CloseReason::Internal
}
