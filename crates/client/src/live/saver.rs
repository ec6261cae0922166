//! The cache of a client, if it has one: without the feature `cache`, or without a folder, none of this does anything.

#[cfg(feature = "cache")]
use super::cache_writer::CacheWriter;
use super::error::RosterdError;
use super::options::ClientOptions;
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
    pub(super) async fn load(&mut self) -> (Option<Replica>, Vec<RosterdError>) {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            return writer.load().await;
        }
        (None, Vec::new())
    }

    /// Begins to write what the replica holds, if that is not in the cache and no write is under way.
    pub(super) fn save(&mut self, replica: &Replica) {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            writer.save(replica);
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
    pub(super) async fn idle(&mut self, replica: &Replica) -> Vec<RosterdError> {
        #[cfg(feature = "cache")]
        if let Some(writer) = &mut self.0 {
            return writer.idle(replica).await;
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
