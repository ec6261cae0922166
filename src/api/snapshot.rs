//! The server API's route for a snapshot of everything that is kept.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Deserialize;
use serde_json::json;

use super::access::Caller;
use super::feed::{NDJSON, fields};
use super::positions::{parse_position, refused};
use super::request::{Shared, named};
use crate::service::{FeedError, Snapshot, SnapshotKind};
use rosterd_engine::model::{Account, FeedPosition, Reason, RequestError};
use rosterd_protocol::{EventFields, SnapshotRow, snapshot_json};

/// The query of the snapshot.
#[derive(Debug, Deserialize)]
pub(super) struct SnapshotParameters {
    fields: Option<String>,
    after: Option<String>,
    position: Option<String>,
}

/// Everything that is kept now, a line of JSON for each record, between a first line with the position from which to
/// follow the feed, and a last line with the numbers of records.
///
/// Records are read while others are written: some are newer than the position. Keep the newer version of a record.
/// An answer that broke off is gone on with: `after` names the last record, and `position` is that of its first line.
#[utoipa::path(
    get, path = "/v1/snapshot", tag = "feed", operation_id = "readSnapshot",
    params(
        ("fields" = Option<String>, Query,
            description = "Fields in the records, with commas between; nick,avatar,sign,gender,custom unless given. `invisible`, \
                           `lastSeen` and `frozen` are in snapshots alone"),
        ("after" = Option<String>, Query,
            pattern = r"^(user:[A-Za-z0-9_@.-]{1,32}|(friend|request|block):[A-Za-z0-9_@.-]{1,32}:[A-Za-z0-9_@.-]{1,32})$",
            description = "The last record of an answer that broke off: `user:ACCOUNT`, `friend:OWNER:PEER`, \
                           `request:SENDER:RECEIVER` or `block:OWNER:PEER`; needs `position`"),
        ("position" = Option<String>, Query, pattern = r"^[0-9a-f]{16}-[0-9]{1,16}(\.[0-9]{1,9})?-[0-9]{1,16}$",
            description = "The `position` of the answer that broke off; needs `after`"),
    ),
    responses(
        (status = 200, description = "all records", content(
            (String = "application/x-ndjson"), (String = "text/plain"),
        )),
        (status = 410, description = "the feed cannot be read from the position any more; begin anew",
            body = serde_json::Value, content_type = "application/json"),
    )
)]
pub(super) async fn snapshot(
    State(api): Shared,
    caller: Caller,
    query: Result<Query<SnapshotParameters>, QueryRejection>,
) -> Response {
    let read = named(query).and_then(|Query(query)| Ok((fields(&caller, query.fields.as_deref())?, resumed(&query)?)));
    let (fields, resumed) = match read {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(),
    };
    let snapshot = Snapshot::new(api.service.clone());
    let begun = match resumed {
        // Its position is from before the first record was read.
        // Presence is not among the records, so the feed begins with all of it.
        None => {
            let head = api.service.feed_head();
            head.map(|head| (FeedPosition { seen: 0, ..head }, snapshot)).map_err(FeedError::Refused)
        }
        Some((position, kind, after)) => {
            api.service.check_position(position).await.map(|()| (position, snapshot.resume(kind, after)))
        }
    };
    let (position, snapshot) = match begun {
        Ok(begun) => begun,
        Err(error) => return refused(error),
    };
    let time = api.service.now();
    let first = json!({"snapshot": {"position": position.to_string(), "rosterd": 1, "time": time}});
    let reading = SnapshotReading { snapshot, fields, counts: [0; 4] };
    let pages = stream::unfold(Some(reading), |reading| async { reading?.page().await });
    let lines = stream::iter([Ok(format!("{first}\n"))]);
    let body = Body::from_stream(futures::StreamExt::chain(lines, pages));
    ([(CONTENT_TYPE, NDJSON)], body).into_response()
}

/// Where a snapshot that broke off goes on: its position, and the last record that the reader has.
type Resumed = (FeedPosition, SnapshotKind, (Account, Account));

fn resumed(query: &SnapshotParameters) -> Result<Option<Resumed>, RequestError> {
    let bad = |field, message: &str| Err(RequestError::new(Reason::InvalidArgument, message).field(field));
    let (after, position) = match (query.after.as_deref(), query.position.as_deref()) {
        (None, None) => return Ok(None),
        (Some(after), Some(position)) => (after, parse_position(position, "position")?),
        (Some(_), None) => return bad("position", "after needs the position of the answer that broke off"),
        (None, Some(_)) => return bad("after", "position needs after, the last record of the answer that broke off"),
    };
    let mut parts = after.split(':');
    let kind = match parts.next() {
        Some("user") => SnapshotKind::Users,
        Some("friend") => SnapshotKind::Friends,
        Some("request") => SnapshotKind::Requests,
        Some("block") => SnapshotKind::Blocks,
        _ => {
            return bad(
                "after",
                "after must be user:ACCOUNT, friend:OWNER:PEER, request:SENDER:RECEIVER or block:OWNER:PEER",
            );
        }
    };
    let first = Account::parse(parts.next().unwrap_or_default(), "after")?;
    let second = match kind {
        SnapshotKind::Users => Account::none(),
        _ => Account::parse(parts.next().unwrap_or_default(), "after")?,
    };
    if parts.next().is_some() {
        return bad("after", "after names too many accounts");
    }
    Ok(Some((position, kind, (first, second))))
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
            match row {
                SnapshotRow::User(..) => self.counts[0] += 1,
                SnapshotRow::Friend(_) => self.counts[1] += 1,
                SnapshotRow::Request(..) => self.counts[2] += 1,
                SnapshotRow::Block(..) => self.counts[3] += 1,
                SnapshotRow::Credential(..) => {}
            }
        }
        let lines = rows.iter().map(|row| snapshot_json(row, &self.fields) + "\n").collect();
        Some((Ok(lines), Some(self)))
    }
}
