//! The server API's route for a snapshot of everything that is kept.

use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::json;

use super::answer::Refusal;
use super::feed::{NDJSON, fields};
use super::request::{Shared, named};
use crate::service::Snapshot;
use rosterd_engine::model::RequestError;
use rosterd_protocol::{EventFields, SnapshotRow, snapshot_json};

/// The query of the snapshot.
#[derive(Debug, Deserialize)]
pub(super) struct SnapshotParameters {
    fields: Option<String>,
}

/// Everything that is kept now, a line of JSON for each record, between a first line with the position from which to
/// follow the feed, and a last line with the numbers of records.
///
/// Records are read while others are written: some are newer than the position. Keep the newer version of a record.
#[utoipa::path(
    get, path = "/v1/snapshot", tag = "feed", operation_id = "readSnapshot",
    params(("fields" = Option<String>, Query, pattern = r"^([a-z]+(,[a-z]+)*)?$",
        description = "Fields in the records, with commas between; nick,avatar,sign,gender,custom unless given")),
    responses((status = 200, description = "all records", content(
        (String = "application/x-ndjson"), (String = "text/plain"),
    )))
)]
pub(super) async fn snapshot(
    api: Shared,
    query: Result<Query<SnapshotParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = named(query)?;
    let fields = fields(query.fields.as_deref())?;
    // Before the first record is read.
    let position = api.service.feed_head()?;
    let time = api.service.now();
    let first = json!({"snapshot": {"position": position.to_string(), "rosterd": 1, "time": time}});
    let reading = SnapshotReading { snapshot: Snapshot::new(api.service.clone()), fields, counts: [0; 4] };
    let pages = stream::unfold(Some(reading), |reading| async { reading?.page().await });
    let lines = stream::iter([Ok(format!("{first}\n"))]);
    let body = Body::from_stream(futures::StreamExt::chain(lines, pages));
    Ok(([(CONTENT_TYPE, NDJSON)], body).into_response())
}

/// A snapshot that is being sent.
struct SnapshotReading {
    snapshot: Snapshot,
    fields: EventFields,
    /// The users, friends, requests and blocks so far.
    counts: [u64; 4],
}

/// A reader whose answer breaks off sees no last line.
type SnapshotPart = Result<String, RequestError>;

impl SnapshotReading {
    /// Returns the next lines, and what is left.
    async fn page(mut self) -> Option<(SnapshotPart, Option<Self>)> {
        let rows = match self.snapshot.page().await {
            Ok(Some(rows)) => rows,
            Ok(None) => {
                let [users, friends, requests, blocks] = self.counts;
                let end = json!({"end": {"users": users, "friends": friends, "requests": requests, "blocks": blocks}});
                return Some((Ok(format!("{end}\n")), None));
            }
            Err(error) => return Some((Err(error), None)),
        };
        for row in &rows {
            self.counts[match row {
                SnapshotRow::User(_) => 0,
                SnapshotRow::Friend(_) => 1,
                SnapshotRow::Request(..) => 2,
                SnapshotRow::Block(_) => 3,
            }] += 1;
        }
        let lines = rows.iter().map(|row| snapshot_json(row, &self.fields) + "\n").collect();
        Some((Ok(lines), Some(self)))
    }
}
