//! What is done to the store now and then: dropping what is past its retention, and removing what was erased.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::config::FeedConfig;
use crate::service::Service;
use crate::store::{AuditLog, ChangeLog, Store, StoreError};
use rosterd_engine::model::Millis;

/// How often it is looked whether something is to be done.
const PAUSE: Duration = Duration::from_secs(10);
/// How often tombstones and entries of the audit log past their retention are dropped.
const COMPACTION: Duration = Duration::from_hours(1);
/// How long after a pass over the change log, which takes out what was erased, the next one begins.
const SCRUB: Duration = Duration::from_mins(10);

/// The most entries of the audit log.
const AUDIT_ENTRIES: u64 = 1_000_000;

/// What is kept, and for how long.
pub(super) struct Retention {
    /// Of tombstones.
    pub tombstones: Duration,
    /// Of changes.
    pub feed: FeedConfig,
    /// Of what operators did.
    pub audit: Duration,
}

/// What a store keeps.
pub(super) struct KeptData {
    pub store: Arc<dyn Store>,
    pub log: Arc<dyn ChangeLog>,
    pub audit: Arc<dyn AuditLog>,
}

/// Drops what is past its retention, and removes erased data from the store's files, for ever.
pub(super) async fn clean(service: Arc<Service>, kept: KeptData, retention: Retention) {
    let KeptData { store, log, audit } = kept;
    let (mut compacted, mut scrubbed): (Option<Instant>, Option<Instant>) = (None, None);
    let is_due = |last: Option<Instant>, pause| last.is_none_or(|at| at.elapsed() >= pause);
    loop {
        // By a clock that has not jumped of late. The size of the log is no matter of time.
        let now = service.settled_now();
        let before = |kept: Duration| now.map_or(0, |now| now.saturating_sub(kept.as_millis() as u64));
        if now.is_some() && is_due(compacted, COMPACTION) {
            compact(&*store, before(retention.tombstones)).await;
            let before = before(retention.audit);
            repeat("old entries of the audit log could not be dropped", || audit.prune_audit(before, AUDIT_ENTRIES))
                .await;
            compacted = Some(Instant::now());
        }
        if log.history().is_some() {
            measure(&service, &*log).await;
            let (before, most) = (before(retention.feed.retention), retention.feed.max_bytes as u64);
            repeat("old changes could not be dropped", || log.prune_log(before, most)).await;
            let failed = "what was erased may still be in the change log";
            if is_due(scrubbed, SCRUB) && repeat(failed, || log.scrub_log()).await {
                scrubbed = Some(Instant::now());
            }
        }
        if let Err(error) = store.purge().await {
            tracing::warn!(%error, "what was erased may still be in the store's log; it is tried again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Shows how large the change log is, and how far it goes back.
async fn measure(service: &Service, log: &dyn ChangeLog) {
    match log.log_extent().await {
        Ok(extent) => {
            let age = extent.since.map_or(0, |since| service.now().saturating_sub(since) / 1000);
            service.metrics().feed_bytes.set(extent.bytes as i64);
            service.metrics().feed_age.set(age as i64);
        }
        Err(error) => tracing::warn!(%error, "the size of the change log could not be read"),
    }
}

/// Does a bounded part of some work until there is no more, and returns whether there was any.
async fn repeat<'a>(failed: &str, part: impl Fn() -> BoxFuture<'a, Result<bool, StoreError>>) -> bool {
    let mut any = false;
    loop {
        match part().await {
            Ok(true) => any = true,
            Ok(false) => return any,
            Err(error) => {
                tracing::warn!(%error, "{failed}; it is tried again");
                return any;
            }
        }
    }
}

async fn compact(store: &dyn Store, before: Millis) {
    loop {
        match store.compact(before).await {
            Ok(0) => return,
            Ok(dropped) => tracing::info!(dropped, "tombstones past their retention were dropped"),
            Err(error) => {
                tracing::warn!(%error, "tombstones could not be dropped");
                return;
            }
        }
    }
}
