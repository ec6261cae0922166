//! Writes what a client holds to its cache, in the background, and does without a file that fails.
//!
//! Changes that come during a write are part of the next one, so a busy list needs few transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::cache::{CacheError, CacheFile, CacheImage, wipe};
use super::edits::KeptUpdate;
use super::error::RosterdError;
use super::options::ClientOptions;
use super::restored::RestoredCache;
use crate::Replica;

/// How long an end waits for what is being written.
const IDLE: Duration = Duration::from_secs(5);
/// The waits before the attempts of a wipe.
const WIPE_WAITS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1)];

/// The file, back from a write, and what became of that.
type WriteOutcome = (CacheFile, Result<(), CacheError>);

/// Writes to the file of one account, one write at a time.
pub(super) struct CacheWriter {
    path: PathBuf,
    url: String,
    account: String,
    /// Not there during a write, nor after a failure.
    file: Option<CacheFile>,
    writing: Option<JoinHandle<WriteOutcome>>,
    /// What the file holds, or will after the write.
    saved: CacheImage,
}

impl CacheWriter {
    pub(super) fn new(folder: &Path, options: &ClientOptions) -> Self {
        let ClientOptions { url, account, .. } = options;
        let path = CacheFile::path(folder, url, account);
        let (url, account) = (url.clone(), account.clone());
        Self { path, url, account, file: None, writing: None, saved: CacheImage::default() }
    }

    /// Opens the cache, and returns what it holds and what is wrong with it.
    pub(super) async fn load(&mut self) -> RestoredCache {
        if self.file.is_some() || self.writing.is_some() {
            return RestoredCache::default();
        }
        let path = self.path.clone();
        let (url, account) = (self.url.clone(), self.account.clone());
        let opened = spawn_blocking(move || CacheFile::open(&path, &url, &account)).await;
        match opened {
            Ok(Ok((file, image, wrong))) => {
                self.file = Some(file);
                self.saved = image.clone();
                let CacheImage { lists, cursor, kept } = image;
                let held = lists.me.is_some() || cursor.is_some();
                let replica = held.then(|| Replica::restored(lists, cursor));
                RestoredCache { replica, kept, errors: wrong.iter().map(|error| failed("reading", error)).collect() }
            }
            Ok(Err(error)) => RestoredCache { errors: vec![failed("reading", &error)], ..Default::default() },
            Err(_) => {
                RestoredCache { errors: vec![RosterdError::store("reading the cache failed")], ..Default::default() }
            }
        }
    }

    /// Begins to write what the replica holds, if it is whole, and the changes that wait, if the file holds something else and
    /// no write is under way.
    pub(super) fn save(&mut self, replica: &Replica, kept: &Arc<Vec<KeptUpdate>>) {
        let saved = &self.saved.lists;
        let (lists, cursor) = if replica.is_synced() {
            (replica.lists(), replica.cursor())
        } else {
            (saved, self.saved.cursor.as_deref())
        };
        let is_saved = *kept == self.saved.kept
            && cursor == self.saved.cursor.as_deref()
            && lists.users.is_same(&saved.users)
            && lists.friends.is_same(&saved.friends)
            && lists.blocks.is_same(&saved.blocks)
            && Arc::ptr_eq(&lists.requests, &saved.requests)
            && lists.me == saved.me;
        if is_saved {
            return;
        }
        let Some(mut file) = self.file.take() else { return };
        let after = CacheImage { lists: lists.clone(), cursor: cursor.map(str::to_owned), kept: kept.clone() };
        let before = std::mem::replace(&mut self.saved, after.clone());
        self.writing = Some(spawn_blocking(move || {
            let written = file.write(&before, &after);
            (file, written)
        }));
    }

    /// Waits for the end of the write that is under way. A file that failed is not written any more: what it holds is
    /// consistent and has a cursor, so the next start can use it. Cancel safe.
    pub(super) async fn written(&mut self) -> Result<(), RosterdError> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let outcome = writing.await;
        self.writing = None;
        match outcome {
            Ok((file, Ok(()))) => {
                self.file = Some(file);
                Ok(())
            }
            Ok((_, Err(error))) => Err(failed("writing", &error)),
            Err(_) => Err(RosterdError::store("writing the cache failed")),
        }
    }

    /// Waits until all is written and closes the file, but does not wait for ever. Returns what went wrong.
    pub(super) async fn idle(&mut self, replica: &Replica, kept: &Arc<Vec<KeptUpdate>>) -> Vec<RosterdError> {
        let mut errors = Vec::new();
        let all = async {
            while self.writing.is_some() {
                errors.extend(self.written().await.err());
                self.save(replica, kept);
            }
        };
        // A slow write goes on in its thread.
        let _ = timeout(IDLE, all).await;
        self.file = None;
        errors
    }

    /// Deletes the file, also one that failed.
    pub(super) async fn wipe(&mut self) -> Result<(), RosterdError> {
        if self.writing.is_some() {
            let _ = timeout(IDLE, self.written()).await;
        }
        self.saved = CacheImage::default();
        let mut file = self.file.take();
        let mut result = Ok(());
        for wait in WIPE_WAITS {
            sleep(wait).await;
            let (path, file) = (self.path.clone(), file.take());
            let wiped = spawn_blocking(move || file.map_or_else(|| wipe(&path), CacheFile::wipe)).await;
            result = match wiped {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => Err(still_there(&error.to_string())),
                Err(_) => Err(still_there("it panicked")),
            };
        }
        result
    }
}

fn failed(what: &str, error: &CacheError) -> RosterdError {
    RosterdError::store(format!("{what} the cache failed: {error}"))
}

fn still_there(why: &str) -> RosterdError {
    RosterdError::store(format!("the records of this account are still in the cache; call forget again: {why}"))
}
