//! The store as those who follow it from outside use it: its change log, its audit log, and what is kept of deliveries.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::adapter::Postgres;
use super::messages::StoreTask;
use super::rows;
use super::session::PgSession;
use crate::store::{
    AuditEntry, AuditLog, AuditQuery, AuditRow, ChangeLog, DeadLetter, DeliveryStore, LogExtent, LogPage, SnapshotKind,
    StoreError,
};
use rosterd_engine::model::{Account, LogHistory, LoggedChange, Millis, NumberedPresence, Revision, SeenNumber};
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};
use rosterd_protocol::SnapshotRow;

impl ChangeLog for Postgres {
    fn history(&self) -> Option<LogHistory> {
        self.history
    }

    fn log_page(&self, after: Revision) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        let read = move |session: Arc<PgSession>| async move { rows::change_log::page(&session, after).await };
        Box::pin(self.log_reader.read(read))
    }

    fn log_change(&self, revision: Revision) -> BoxFuture<'_, Result<Option<LoggedChange>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move { rows::change_log::change(&session, revision).await };
        Box::pin(self.log_reader.read(read))
    }

    fn log_extent(&self) -> BoxFuture<'_, Result<LogExtent, StoreError>> {
        Box::pin(self.log_reader.read(|session| async move { rows::change_log::extent(&session).await }))
    }

    fn seen(&self) -> Option<watch::Receiver<SeenNumber>> {
        self.seen.clone()
    }

    fn seen_page(
        &self,
        after: SeenNumber,
        until: SeenNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<NumberedPresence>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            rows::profiles::seen_page(&session, after, until, limit).await
        };
        Box::pin(self.log_reader.read(read))
    }

    fn snapshot_page(
        &self,
        kind: SnapshotKind,
        after: Option<(Account, Account)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SnapshotRow>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            rows::change_log::snapshot_page(&session, kind, after.as_ref(), limit).await
        };
        Box::pin(self.log_reader.read(read))
    }

    fn prune_log(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.task(StoreTask::PruneLog { before, most }).await? > 0) })
    }

    fn scrub_log(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(self.task(StoreTask::ScrubLog).await? > 0) })
    }
}

impl AuditLog for Postgres {
    fn record(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.task(StoreTask::Record(entry)).await.map(drop) })
    }

    fn audit_page(&self, query: AuditQuery) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>> {
        let salt = self.salt.clone();
        let read = move |session: Arc<PgSession>| async move { rows::audit::page(&session, &query, &salt).await };
        Box::pin(self.log_reader.read(read))
    }

    fn prune_audit(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.task(StoreTask::PruneAudit { before, most }).await? > 0) })
    }
}

impl DeliveryStore for Postgres {
    fn delivery(&self, name: String) -> BoxFuture<'_, Result<Option<KeptDelivery>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move { rows::delivery::delivery(&session, name).await };
        Box::pin(self.log_reader.read(read))
    }

    fn put_delivery(
        &self,
        name: String,
        kept: KeptDelivery,
        dead: Option<DeadLetter>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let task = StoreTask::PutDelivery { name, kept, dead, now: (self.clock)() };
        Box::pin(async move { self.task(task).await.map(drop) })
    }

    fn forget_deliveries(&self, except: Vec<String>, before: Millis) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.task(StoreTask::ForgetDeliveries { except, before }).await.map(drop) })
    }

    fn dead_letters(
        &self,
        name: String,
        after: Option<EventKey>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            rows::delivery::dead_letters(&session, name, after, limit).await
        };
        Box::pin(self.log_reader.read(read))
    }

    fn count_dead_letters(&self, name: String) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.log_reader.read(move |session| async move { rows::delivery::count(&session, name).await }))
    }

    fn remove_dead_letter(&self, name: String, event: EventKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.task(StoreTask::RemoveDead { name, event }).await? > 0) })
    }
}
