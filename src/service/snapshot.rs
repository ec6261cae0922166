//! Reads everything that is kept, for those who begin to follow the feed.

use std::sync::Arc;

use super::state::{Service, unavailable};
use crate::store::SnapshotKind;
use rosterd_engine::model::{Account, RequestError};
use rosterd_protocol::SnapshotRow;

/// The records that are read at a time.
const SNAPSHOT_PAGE: usize = 1000;

/// A snapshot that is being read, page by page: no read lasts longer than a page, so some records are newer than others.
pub struct Snapshot {
    service: Arc<Service>,
    /// The position of the kind in [`SnapshotKind::ALL`].
    kind: usize,
    after: Option<(Account, Account)>,
}

impl Snapshot {
    /// Begins a snapshot.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self { service, kind: 0, after: None }
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
        while let Some(kind) = SnapshotKind::ALL.get(self.kind) {
            let rows = log.snapshot_page(*kind, self.after.take(), SNAPSHOT_PAGE).await;
            let rows = rows.map_err(|error| unavailable(&error))?;
            if let Some(last) = rows.last() {
                self.after = Some(last.key());
                return Ok(Some(rows));
            }
            self.kind += 1;
        }
        Ok(None)
    }
}
