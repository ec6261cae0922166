//! Tells other nodes what the sessions here do.

use super::own_changes::SOME;
use super::shared_node::SharedNode;
use crate::service::Service;
use crate::store::StoreError;

impl Service {
    /// Stores what the sessions here did, so that other nodes read it. Does nothing if nothing happened.
    pub(in crate::service) async fn publish_sessions(&self) -> Result<(), StoreError> {
        let Some(node) = &self.shared else { return Ok(()) };
        publish(self, node).await
    }
}

pub(super) async fn publish(service: &Service, node: &SharedNode) -> Result<(), StoreError> {
    let mut own = node.own.lock().await;
    loop {
        own.add(service.hub.take_own_changes(SOME));
        let changes = own.numbered();
        if changes.is_empty() {
            return Ok(());
        }
        let stored = changes.len();
        let me = node.id();
        node.store.put_sessions(me, changes).await?;
        own.unstored.drain(..stored);
    }
}
