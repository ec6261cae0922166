//! Reads what a flush needs and the hub does not have: friends, requests and blocks, and profiles of accounts that the
//! session does not follow.

use std::sync::Arc;

use super::record::RecordPage;
use super::state::Service;
use crate::hub::SessionHandle;
use crate::store::StoreError;
use rosterd_engine::model::{Account, CloseReason};
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::EncodedProfile;

impl Service {
    /// Reads the present state of what is marked between the session's account and these. The session follows those that
    /// entered the friend list from now on, and those that left it no more.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn relations(
        &self,
        handle: &mut SessionHandle,
        marked: Vec<(Account, RecordKinds)>,
    ) -> Result<RecordPage, CloseReason> {
        self.read_relations(handle, marked).await.map_err(|error| unreadable(&error))
    }

    /// Reads what the session may see of these accounts now; nothing of those that do not exist.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn profiles(
        &self,
        handle: &SessionHandle,
        accounts: &[Account],
    ) -> Result<Vec<Arc<EncodedProfile>>, CloseReason> {
        let found = self.look_up(handle, accounts).await.map_err(|error| unreadable(&error))?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn read_relations(
        &self,
        handle: &mut SessionHandle,
        marked: Vec<(Account, RecordKinds)>,
    ) -> Result<RecordPage, StoreError> {
        let peers = marked.iter().map(|(peer, _)| peer.clone()).collect();
        let read = self.store.relations(handle.account().clone(), peers).await?;
        let is = |peer: &Account, kind| marked.iter().any(|(marked, kinds)| marked == peer && kinds.has(kind));
        let live = read.edges.into_iter().filter(|edge| !edge.removed && is(&edge.peer, RecordKinds::EDGE));
        let live: Vec<_> = live.collect();
        let profiles = self.follow_friends(handle, live.iter().map(|edge| &edge.peer)).await?;
        let friends: Vec<_> =
            live.into_iter().zip(profiles).filter_map(|(edge, profile)| Some((edge, profile?))).collect();
        let listed = |peer: &Account| friends.iter().any(|(edge, _)| edge.peer == *peer);
        let removed = marked.iter().filter(|(peer, kinds)| kinds.has(RecordKinds::EDGE) && !listed(peer));
        let removed: Vec<_> = removed.map(|(peer, _)| peer.clone()).collect();
        let mut profiles = Vec::new();
        for peer in &removed {
            handle.remove_friend(peer);
            // A removed friend that is still watched comes as strangers see it: the client forgets the friend's profile.
            if let Some(user) = self.hub.user(peer).filter(|user| handle.view().follows(user)) {
                profiles.extend(self.settle(handle, std::slice::from_ref(&user)).await?.into_iter().flatten());
            }
        }
        let requests = read.requests.into_iter().filter(|request| is(request.peer(), RecordKinds::REQUEST)).collect();
        let blocks = read.blocks.into_iter().filter(|block| is(&block.peer, RecordKinds::BLOCK)).collect();
        Ok(RecordPage { friends, profiles, removed, requests, blocks })
    }
}

fn unreadable(error: &StoreError) -> CloseReason {
    tracing::error!(%error, "what is pending for a session could not be read");
    CloseReason::Internal
}
