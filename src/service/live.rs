//! Resolves what a drain cannot read off the hub: relations.

use super::{Service, Told};
use crate::hub::Seat;
use crate::model::{Account, CloseReason};

impl Service {
    /// The present state of the relations to these accounts. Who entered is watched from now on, who left no more.
    ///
    /// # Errors
    /// The store cannot be read: the client is to come back.
    pub async fn relations(&self, seat: &mut Seat, peers: Vec<Account>) -> Result<Told, CloseReason> {
        self.read_relations(seat, peers).await.map_err(|error| {
            tracing::error!(%error, "relations could not be read");
            CloseReason::Internal
        })
    }

    async fn read_relations(&self, seat: &mut Seat, peers: Vec<Account>) -> Result<Told, crate::store::StoreError> {
        let owner = seat.session().account().clone();
        let edges = self.store.edges(owner, peers.clone()).await?;
        let live: Vec<_> = edges.into_iter().filter(|edge| !edge.removed).collect();
        let accounts: Vec<_> = live.iter().map(|edge| edge.peer.clone()).collect();
        let cards = self.watch_cards(seat, &accounts).await?;
        let friends: Vec<_> = live.into_iter().zip(cards).filter_map(|(edge, card)| Some((edge, card?))).collect();
        let removed: Vec<_> = peers.into_iter().filter(|peer| !friends.iter().any(|(e, _)| e.peer == *peer)).collect();
        for peer in &removed {
            seat.unwatch(peer);
        }
        Ok(Told { friends, cards: Vec::new(), removed })
    }
}
