//! The cache of a client, if it has one: without the feature `cache`, or without a folder, none of this does anything.

use std::sync::Arc;

#[cfg(feature = "cache")]
use super::cache_writer::CacheWriter;
use super::edits::KeptUpdate;
use super::error::RosterdError;
use super::options::ClientOptions;
use super::restored::RestoredCache;
use crate::Replica;

/// Keeps what a client holds, if it is to be kept.
pub(super) struct CacheSaver(#[cfg(feature = "cache")] Option<CacheWriter>);

#[cfg_attr(
    not(feature = "cache"),
    allow(clippy::unused_async, unused_variables, reason = "with a cache they are used")
)]
impl CacheSaver {
    pub(super) fn new(options: &ClientOptions) -> Self {
        Self(
            #[cfg(feature = "cache")]
            options.cache.as_ref().map(|folder| CacheWriter::new(folder, options)),
        )
    }

    /// Opens the cache, and returns what it holds and what is wrong with it.
    pub(super) async fn load(&mut self) -> RestoredCache {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            return writer.load().await;
        }
        RestoredCache::default()
    }

    /// Begins to write what the replica holds, if it is whole, and the changes that wait, unless the cache has them or a write
    /// is under way.
    pub(super) fn save(&mut self, replica: &Replica, kept: &Arc<Vec<KeptUpdate>>) {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            writer.save(replica, kept);
        }
    }

    /// Waits for the end of the write that is under way. Cancel safe.
    pub(super) async fn written(&mut self) -> Result<(), RosterdError> {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            return writer.written().await;
        }
        std::future::pending().await
    }

    /// Waits until all is written and closes the cache, but does not wait for ever. Returns what went wrong.
    pub(super) async fn idle(&mut self, replica: &Replica, kept: &Arc<Vec<KeptUpdate>>) -> Vec<RosterdError> {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            return writer.idle(replica, kept).await;
        }
        Vec::new()
    }

    /// Deletes the cache, also one that failed.
    pub(super) async fn wipe(&mut self) -> Result<(), RosterdError> {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            return writer.wipe().await;
        }
        Ok(())
    }
}
