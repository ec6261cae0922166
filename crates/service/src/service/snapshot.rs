//! Reads everything that is kept, for those who begin to follow the feed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::state::{Service, unavailable};
use crate::store::SnapshotKind;
use rosterd_engine::model::{Account, RequestError, Revision};
use rosterd_protocol::SnapshotRow;

/// The records that are read at a time: few, for a write that comes meanwhile to get a core soon. With 500 the slowest of a
/// hundred writes waited a quarter longer.
const SNAPSHOT_PAGE: usize = 100;
/// How much longer than for a page a snapshot rests after it while others write, and for how long at most.
const REST: (u32, Duration) = (4, Duration::from_millis(20));
/// How long after a write it does so.
const WRITING: Duration = Duration::from_millis(500);

/// A snapshot that is being read, page by page: no read lasts longer than a page, so some records are newer than others.
///
/// It gives way to writes. Reading and encoding take all of a core or two, for which writes would wait at every step; so
/// while others write, it rests after each page.
pub struct Snapshot {
    service: Arc<Service>,
    /// The position of the kind in [`SnapshotKind::ALL`].
    kind: usize,
    after: Option<(Account, Account)>,
    /// The last revision when the last page was read, and when it was seen to have moved.
    head: Revision,
    moved: Option<Instant>,
    rest: Duration,
}

impl Snapshot {
    /// Begins a snapshot.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        let head = service.store.head();
        Self { service, kind: 0, after: None, head, moved: None, rest: Duration::ZERO }
    }

    /// Goes on with a snapshot that broke off after a record.
    #[must_use]
    pub fn resume(self, kind: SnapshotKind, after: (Account, Account)) -> Self {
        let kind = SnapshotKind::ALL.iter().position(|one| *one == kind).unwrap_or_default();
        Self { kind, after: Some(after), ..self }
    }

    /// Reads the next records; `None` after the last.
    ///
    /// # Errors
    /// 403 if no log is kept, 503.
    pub async fn page(&mut self) -> Result<Option<Vec<SnapshotRow>>, RequestError> {
        let (log, _) = self.service.log()?;
        let head = self.service.store.head();
        if head != self.head {
            (self.head, self.moved) = (head, Some(Instant::now()));
        }
        if self.moved.is_some_and(|moved| moved.elapsed() < WRITING) {
            sleep(self.rest).await;
        }
        let begun = Instant::now();
        while let Some(kind) = SnapshotKind::ALL.get(self.kind) {
            let rows = log.snapshot_page(*kind, self.after.take(), SNAPSHOT_PAGE).await;
            let rows = rows.map_err(|error| unavailable(&error))?;
            if let Some(last) = rows.last() {
                self.after = Some(last.key());
                self.rest = REST.1.min(begun.elapsed() * REST.0);
                return Ok(Some(rows));
            }
            self.kind += 1;
        }
        Ok(None)
    }
}
