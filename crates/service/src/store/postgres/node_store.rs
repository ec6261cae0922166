//! The store as gateways that share it know each other through it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;

use super::adapter::Postgres;
use super::messages::StoreTask;
use super::readers::PgReaders;
use super::rows::{nodes, rules};
use super::rules::take_rules;
use super::schema::random;
use super::session::PgSession;
use crate::store::StoreError;
use crate::store::nodes::{JoiningNode, NodeBeat, NodeLook, NodeSessionChange, NodeSessionsPage, NodeStore};
use rosterd_engine::model::{Millis, NodeId};

impl Postgres {
    fn node_sessions(&self) -> Result<&PgReaders, StoreError> {
        self.nodes.as_ref().ok_or_else(|| StoreError("this gateway is alone at its database".into()))
    }
}

impl NodeStore for Postgres {
    fn join(&self, node: JoiningNode) -> BoxFuture<'_, Result<NodeId, StoreError>> {
        Box::pin(async move {
            let id = random().map_err(|error| StoreError(error.to_string()))?;
            let rules = self.writer.rules().clone();
            let join = move |session: Arc<PgSession>| async move {
                let joined = nodes::join(&session, &node, (id, rules.number())).await?;
                // Whoever changes them for all waits for this gateway from now on, but did not before.
                take_rules(&rules, &rules::stored(&session).await?)?;
                Ok(joined)
            };
            self.node_sessions()?.read(join).await?.map_err(StoreError)?;
            self.node.store(id, Ordering::Release);
            Ok(NodeId(id.cast_unsigned()))
        })
    }

    fn beat(&self, me: NodeId, beat: NodeBeat) -> BoxFuture<'_, Result<NodeLook, StoreError>> {
        Box::pin(async move {
            let shows = self.writer.rules().number();
            let beat = move |session: Arc<PgSession>| async move { nodes::beat(&session, (me, shows), &beat).await };
            self.node_sessions()?.read(beat).await
        })
    }

    fn put_sessions(&self, me: NodeId, changes: Vec<NodeSessionChange>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let put = move |session: Arc<PgSession>| async move { nodes::put_sessions(&session, me, changes).await };
            self.node_sessions()?.read(put).await
        })
    }

    fn read_sessions(
        &self,
        me: NodeId,
        read: Vec<(NodeId, u64)>,
    ) -> BoxFuture<'_, Result<Vec<NodeSessionsPage>, StoreError>> {
        Box::pin(async move {
            let read = move |session: Arc<PgSession>| async move { nodes::read_sessions(&session, me, &read).await };
            self.node_sessions()?.read(read).await
        })
    }

    fn call_dead(&self, node: NodeId, beat: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let call = move |session: Arc<PgSession>| async move { nodes::call_dead(&session, node, beat).await };
            self.node_sessions()?.read(call).await
        })
    }

    fn bury(&self, node: NodeId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            while self.task(StoreTask::Bury(node)).await? > 0 {}
            Ok(())
        })
    }

    fn send(&self, messages: Vec<(NodeId, Vec<u8>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let send = move |session: Arc<PgSession>| async move { nodes::send(&session, messages).await };
            self.node_sessions()?.read(send).await
        })
    }

    fn receive(&self, me: NodeId) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>> {
        Box::pin(async move {
            let receive = move |session: Arc<PgSession>| async move { nodes::receive(&session, me).await };
            self.node_sessions()?.read(receive).await
        })
    }

    fn lease(&self, me: NodeId, name: &'static str, length: Millis) -> BoxFuture<'_, Result<NodeId, StoreError>> {
        Box::pin(async move {
            let lease = move |session: Arc<PgSession>| async move { nodes::lease(&session, me, name, length).await };
            self.node_sessions()?.read(lease).await
        })
    }

    fn release(&self, me: NodeId, name: &'static str) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let release = move |session: Arc<PgSession>| async move { nodes::release(&session, me, name).await };
            self.node_sessions()?.read(release).await
        })
    }

    fn told(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.live.notified())
    }
}
