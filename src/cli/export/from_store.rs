//! Exports straight from a store that no gateway uses.

use indicatif::ProgressBar;
use serde_json::json;

use super::export_file::ExportFile;
use crate::app::Core;
use crate::cli::CliError;
use crate::config::{Config, StoreUrl};
use crate::store::SnapshotKind;
use rosterd_protocol::{EventFields, RecordCounts, RecordKind, SnapshotRow, snapshot_json};

/// The records that are read at a time.
const EXPORT_PAGE: usize = 1000;

/// An open store. Nobody writes to it meanwhile, so that all records are of one moment.
pub(super) struct StoreExport {
    core: Core,
    url: StoreUrl,
}

impl StoreExport {
    pub(super) fn open(config: &Config) -> Result<Self, CliError> {
        let url = config.store.url.clone();
        if matches!(&url, StoreUrl::Sqlite(path) if !path.exists()) {
            return Err(CliError(format!(
                "there is no store {url} to export, and no gateway at {}",
                config.ops.listen
            )));
        }
        Ok(Self { core: Core::open(config).map_err(CliError::of)?, url })
    }

    /// Writes everything, and returns the numbers of records and from where they are.
    pub(super) async fn export(
        self,
        out: &mut ExportFile,
        bar: &ProgressBar,
        with_credentials: bool,
    ) -> Result<(RecordCounts, String), CliError> {
        let written = self.write(out, bar, with_credentials).await;
        let from = format!("the store {}", self.url);
        self.core.close().await;
        Ok((written?, from))
    }

    async fn write(
        &self,
        out: &mut ExportFile,
        bar: &ProgressBar,
        with_credentials: bool,
    ) -> Result<RecordCounts, CliError> {
        let mut begin = json!({"rosterd": 1, "time": self.core.service.now()});
        if let Ok(position) = self.core.service.feed_head() {
            begin["position"] = position.to_string().into();
        }
        out.line(&json!({"snapshot": begin}).to_string())?;
        let (mut counts, fields) = (RecordCounts::default(), EventFields::all());
        for kind in SnapshotKind::ALL.into_iter().chain(with_credentials.then_some(SnapshotKind::Credentials)) {
            let mut after = None;
            loop {
                let rows = self.core.log().snapshot_page(kind, after, EXPORT_PAGE).await.map_err(CliError::of)?;
                for row in &rows {
                    out.line(&snapshot_json(row, &fields))?;
                    counts.add(kind_of(row));
                }
                bar.inc(rows.len() as u64);
                let Some(last) = rows.last() else { break };
                after = Some(last.key());
            }
        }
        out.line(&json!({"end": counts}).to_string())?;
        Ok(counts)
    }
}

fn kind_of(row: &SnapshotRow) -> RecordKind {
    match row {
        SnapshotRow::User(..) => RecordKind::User,
        SnapshotRow::Friend(_) => RecordKind::Friend,
        SnapshotRow::Request(..) => RecordKind::Request,
        SnapshotRow::Block(..) => RecordKind::Block,
        SnapshotRow::Credential(..) => RecordKind::Credential,
    }
}
