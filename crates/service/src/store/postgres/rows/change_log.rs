//! The change log's rows.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::Row as Record;

use super::values::{account, int, names, number};
use super::{credentials, profiles, relations};
use crate::store::log_rows::{LogRow, PackedChanges, log_rows, unpack};
use crate::store::postgres::database::{FeedBatch, LogTail, TailRow};
use crate::store::postgres::pg_error::{PgError, PgResult};
use crate::store::postgres::position::LogPosition;
use crate::store::postgres::session::{Call, PgSession, call};
use crate::store::{LOG_PAGE, LogExtent, LogPage, SnapshotKind};
use rosterd_engine::model::{Account, Change, LoggedChange, Millis, Revision};
use rosterd_protocol::SnapshotRow;

/// The most bytes of a page, as they are stored and before they were compressed, unless one row has more.
const PAGE_BYTES: usize = 1024 * 1024;
/// The most rows and bytes that are dropped or rewritten in a transaction, so that no write waits long behind it.
const AT_A_TIME: (usize, u64) = (200, 1_000_000);
/// The most rows that another gateway reads at a time.
const TAIL: usize = 64;
/// How long rows are kept for gateways that are away for a while.
const KEPT_FOR_NODES: Millis = 6 * 60 * 60 * 1000;
/// The form of a row without changes, which the first migration and the log's end name, too.
const EMPTY: i64 = 1;

/// Adds the calls that append the changes of a batch.
pub(in crate::store::postgres) fn append(batch: FeedBatch, changes: &[Change], calls: &mut Vec<Call>) {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
    if batch.kept {
        return calls.extend(log_rows(changes).into_iter().map(|row| insert(batch, row)));
    }
    calls.push(call!("DELETE FROM feed"));
    let packed = PackedChanges { format: EMPTY, bytes: Vec::new() };
    calls.push(insert(batch, LogRow { span: (first.revision, last.revision), packed }));
}

fn insert(batch: FeedBatch, row: LogRow) -> Call {
    let FeedBatch { epoch, nonce, time, writer, .. } = batch;
    let LogRow { span: (first, last), packed: PackedChanges { format, bytes } } = row;
    let (format, size) = (small(format), size(&bytes));
    let sql = "INSERT INTO feed (first, last, epoch, writer, nonce, time, format, size, changes)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    call!(sql, int(first), int(last), epoch, writer, nonce, int(time), format, size, bytes)
}

fn size(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

fn small(format: i64) -> i16 {
    i16::try_from(format).unwrap_or(i16::MAX)
}

/// Reads the rows after a position, in one snapshot with the epoch. Rows of `own` come without their changes.
pub(in crate::store::postgres) async fn tail(session: &PgSession, after: Revision, own: i64) -> PgResult<LogTail> {
    let sql = "SELECT meta.epoch, floor, first, last, nonce, writer, tail.format, changes,
                      greatest((extract(epoch FROM clock_timestamp()) * 1000)::bigint - time, 0), seen, rules FROM meta LEFT JOIN (
                   SELECT first, last, nonce, writer, format, time, CASE WHEN writer = $2 THEN '' ELSE changes END AS changes
                   FROM feed WHERE first > $1 ORDER BY first LIMIT $3) AS tail ON true ORDER BY first";
    let found = session.query(call!(sql, int(after), own, TAIL as i64)).await?;
    let meta = found.first().ok_or_else(|| PgError::Damaged("there is no row in meta".into()))?;
    let mut rows = Vec::with_capacity(found.len());
    for record in &found {
        if record.try_get::<_, Option<i64>>(2)?.is_none() {
            continue;
        }
        let writer = record.try_get(5)?;
        let changes = if writer == own { Vec::new() } else { changes(record, 6)?.0 };
        let (first, last) = (number(record, 2)?, number(record, 3)?);
        let age = Duration::from_millis(number(record, 8)?);
        rows.push(TailRow { first, last, nonce: record.try_get(4)?, writer, age, changes });
    }
    let is_full = rows.len() == TAIL;
    let (epoch, rules) = (meta.try_get(0)?, meta.try_get(10)?);
    Ok(LogTail { epoch, compacted: number(meta, 1)?, seen: number(meta, 9)?, rules, rows, is_full })
}

/// Reads the newest batch that begins at a revision or before it.
pub(in crate::store::postgres) async fn position_at(
    session: &PgSession,
    head: Revision,
) -> PgResult<Option<LogPosition>> {
    let sql = "SELECT last, nonce FROM feed WHERE first <= $1 ORDER BY first DESC LIMIT 1";
    let found = session.query(call!(sql, int(head))).await?;
    found.first().map(|row| Ok(LogPosition { head: number(row, 0)?, nonce: row.try_get(1)? })).transpose()
}

/// Reads changes after a position, in one snapshot.
pub(in crate::store::postgres) async fn page(session: &PgSession, after: Revision) -> PgResult<LogPage> {
    // The row that the position is in, and those after it, as many as a page holds.
    let rows = "SELECT format, changes FROM (
                    SELECT first, size, format, changes, sum(size) OVER (ORDER BY first) AS total FROM (
                        SELECT first, size, format, changes FROM feed
                        WHERE first >= coalesce((SELECT max(first) FROM feed WHERE first <= $1), $1)
                        ORDER BY first LIMIT $2) AS picked) AS found
                WHERE total - size < $3 ORDER BY first";
    let rows = call!(rows, int(after.saturating_add(1)), LOG_PAGE as i64, PAGE_BYTES as i64);
    let found = session.pipeline(&[call!(super::SNAPSHOT), floor(), erased(), rows, call!("COMMIT")]).await?;
    let mut page = LogPage { floor: floor_of(&found[1])?, changes: Vec::new() };
    if after < page.floor {
        return Ok(page);
    }
    let erased = found[2].iter().map(erased_account).collect::<PgResult<Vec<_>>>()?;
    let mut bytes = 0;
    for record in &found[3] {
        let (changes, size) = changes(record, 0)?;
        bytes += size;
        if !page.changes.is_empty() && bytes > PAGE_BYTES {
            break;
        }
        for mut logged in changes.into_iter().filter(|logged| logged.change.revision > after) {
            if page.changes.len() >= LOG_PAGE {
                return Ok(page);
            }
            for (account, below) in &erased {
                logged.erase(account, *below);
            }
            page.changes.push(logged);
        }
    }
    Ok(page)
}

/// Reads the change of a revision.
pub(in crate::store::postgres) async fn change(
    session: &PgSession,
    revision: Revision,
) -> PgResult<Option<LoggedChange>> {
    let row = call!(
        "SELECT format, changes FROM feed WHERE first <= $1 AND last >= $1 ORDER BY first DESC LIMIT 1",
        int(revision)
    );
    let found = session.pipeline(&[call!(super::SNAPSHOT), floor(), erased(), row, call!("COMMIT")]).await?;
    let row = found[3].first().map(|record| changes(record, 0)).transpose()?;
    let is_kept = revision > floor_of(&found[1])?;
    let mut change = row
        .into_iter()
        .flat_map(|(changes, _)| changes)
        .find(|logged| logged.change.revision == revision)
        .filter(|_| is_kept);
    if let Some(logged) = &mut change {
        for record in &found[2] {
            let (account, below) = erased_account(record)?;
            logged.erase(&account, below);
        }
    }
    Ok(change)
}

/// Reads the columns `format` and `changes`, which begin at `first`. Returns the bytes of the changes too.
fn changes(record: &Record, first: usize) -> PgResult<(Vec<LoggedChange>, usize)> {
    let (format, bytes): (i16, &[u8]) = (record.try_get(first)?, record.try_get(first + 1)?);
    let damaged = |error| PgError::Damaged(format!("a row of the change log: {error}"));
    unpack(format.into(), bytes).map_err(damaged)
}

/// Reads the first position from which nothing is missing.
fn floor() -> Call {
    call!("SELECT feed_floor FROM meta")
}

fn floor_of(found: &[Record]) -> PgResult<Revision> {
    found.first().map_or(Err(PgError::Damaged("there is no row in meta".into())), |record| number(record, 0))
}

/// Returns what the log holds.
pub(in crate::store::postgres) async fn extent(session: &PgSession) -> PgResult<LogExtent> {
    let held = "SELECT feed_floor, (SELECT time FROM feed WHERE last > feed_floor ORDER BY first LIMIT 1),
                       (SELECT coalesce(sum(size), 0)::bigint FROM feed WHERE last > feed_floor) FROM meta";
    let held = session.row(call!(held)).await?;
    let since: Option<i64> = held.try_get(1)?;
    Ok(LogExtent {
        floor: number(&held, 0)?,
        since: since.map(|since| u64::try_from(since).unwrap_or_default()),
        bytes: number(&held, 2)?,
    })
}

/// Reads the records of a kind for a snapshot.
pub(in crate::store::postgres) async fn snapshot_page(
    session: &PgSession,
    kind: SnapshotKind,
    after: Option<&(Account, Account)>,
    limit: usize,
) -> PgResult<Vec<SnapshotRow>> {
    // No account is empty, so the empty text is before all.
    let after = after.map_or(("", ""), |(first, second)| (first.as_str(), second.as_str()));
    Ok(match kind {
        SnapshotKind::Users => {
            let users = profiles::users_after(session, after.0, limit).await?.into_iter();
            users.map(|(profile, presence)| SnapshotRow::User(profile, presence)).collect()
        }
        SnapshotKind::Friends => {
            relations::edges_after(session, after, limit).await?.into_iter().map(SnapshotRow::Friend).collect()
        }
        SnapshotKind::Requests => {
            let requests = relations::requests_after(session, after, limit).await?.into_iter();
            requests.map(|(request, hidden)| SnapshotRow::Request(request, hidden)).collect()
        }
        SnapshotKind::Blocks => {
            let blocks = relations::blocks_after(session, after, limit).await?;
            let keys: Vec<_> = blocks.iter().map(|block| (block.peer.clone(), block.owner.clone())).collect();
            let copies = session.query(profiles::copies(&keys)).await?;
            let mut frozen = HashMap::new();
            for record in &copies {
                let (viewer, profile) = profiles::copy(record)?;
                frozen.insert((viewer, profile.account.clone()), profile);
            }
            let kept = keys.into_iter().map(|key| frozen.remove(&key));
            blocks.into_iter().zip(kept).map(|(block, kept)| SnapshotRow::Block(block, kept)).collect()
        }
        SnapshotKind::Credentials => {
            let found = credentials::credentials_after(session, after.0, limit).await?.into_iter();
            found.map(|(account, credential)| SnapshotRow::Credential(account, credential)).collect()
        }
    })
}

/// Drops the oldest rows while they are older than `before`, or there are more than `most` bytes. The newest row stays, but
/// without its changes. Returns whether it dropped any.
///
/// Where gateways share the log, followers are given less from then on, and the rows stay for the gateways for hours.
pub(in crate::store::postgres) async fn prune(
    session: &PgSession,
    before: Millis,
    most: u64,
    is_shared: bool,
) -> PgResult<bool> {
    let held = extent(session).await?.bytes;
    let oldest = "SELECT first, last, time, size FROM feed, meta WHERE last > feed_floor ORDER BY first LIMIT $1";
    let (mut rows, mut bytes, mut dropped) = (0, 0, None);
    for record in session.query(call!(oldest, AT_A_TIME.0 as i64)).await? {
        let (time, size) = (number(&record, 2)?, u64::try_from(record.try_get::<_, i32>(3)?).unwrap_or_default());
        let is_over = time < before || held.saturating_sub(bytes) > most;
        if !is_over || rows > 0 && bytes + size > AT_A_TIME.1 {
            break;
        }
        (rows, bytes, dropped) = (rows + 1, bytes + size, Some((number(&record, 0)?, number(&record, 1)?)));
    }
    let mut calls = Vec::new();
    if let Some((first, last)) = dropped {
        calls.push(call!("UPDATE meta SET feed_floor = $1", int(last)));
        if !is_shared {
            calls.push(call!(
                "DELETE FROM feed WHERE first <= $1 AND first < (SELECT max(first) FROM feed)",
                int(first)
            ));
            calls.push(call!("UPDATE feed SET changes = '', size = 0, format = 1 WHERE first = $1", int(first)));
        }
    }
    if is_shared {
        calls.push(drop_old());
    }
    let done = session.pipeline(&calls).await?;
    Ok(dropped.is_some() || is_shared && done.last().is_some_and(|rows| rows.len() == AT_A_TIME.0))
}

/// Drops some of the oldest rows that no follower is given any more and no gateway needs.
pub(in crate::store::postgres) fn drop_old() -> Call {
    let sql = "DELETE FROM feed WHERE first IN (
                   SELECT first FROM (SELECT first, last, time FROM feed ORDER BY first LIMIT $2) AS oldest, meta
                   WHERE (last <= feed_floor OR history = 0)
                       AND time < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1)
               AND first < (SELECT max(first) FROM feed) RETURNING first";
    call!(sql, int(KEPT_FOR_NODES), AT_A_TIME.0 as i64)
}

/// Empties the log, and begins another or none.
pub(in crate::store::postgres) fn begin(history: i64) -> [Call; 4] {
    [
        call!("DELETE FROM feed WHERE first < (SELECT max(first) FROM feed)"),
        call!("UPDATE feed SET changes = '', size = 0, format = 1"),
        call!("DELETE FROM feed_erase"),
        call!("UPDATE meta SET history = $1, feed_floor = (SELECT max(last) FROM feed)", history),
    ]
}

/// Notes that the personal data of accounts is to be taken out of changes below a revision.
pub(in crate::store::postgres) fn erase_below(erased: &[(Account, Revision)]) -> Call {
    call!(
        "INSERT INTO feed_erase (account, below) SELECT * FROM unnest($1::text[], $2::bigint[])
         ON CONFLICT (account) DO UPDATE SET below = excluded.below",
        names(erased.iter().map(|(account, _)| account)),
        erased.iter().map(|(_, below)| int(*below)).collect::<Vec<_>>()
    )
}

fn erased() -> Call {
    call!("SELECT account, below FROM feed_erase")
}

fn erased_account(record: &Record) -> PgResult<(Account, Revision)> {
    Ok((account(record, 0)?, number(record, 1)?))
}

/// One pass over the log, which takes out the personal data of all accounts that waited when it began.
pub(in crate::store::postgres) struct PgScrubPass {
    accounts: Vec<(Account, Revision)>,
    next: Revision,
}

impl PgScrubPass {
    /// Begins a pass, unless no account waits.
    pub(in crate::store::postgres) async fn begin(session: &PgSession) -> PgResult<Option<Self>> {
        let accounts = session.query(erased()).await?.iter().map(erased_account).collect::<PgResult<Vec<_>>>()?;
        Ok((!accounts.is_empty()).then_some(Self { accounts, next: 0 }))
    }

    /// Rewrites some rows, and returns whether the pass is over. The accounts do not wait any more then.
    pub(in crate::store::postgres) async fn some(&mut self, session: &PgSession) -> PgResult<bool> {
        let below = self.accounts.iter().map(|(_, below)| *below).max().unwrap_or_default();
        let sql = "SELECT first, format, changes FROM (
                       SELECT first, size, format, changes, sum(size) OVER (ORDER BY first) AS total FROM (
                           SELECT first, size, format, changes FROM feed WHERE first >= $1 AND first < $2
                           ORDER BY first LIMIT $3) AS picked) AS found
                   WHERE total - size < $4 ORDER BY first";
        let some = call!(sql, int(self.next), int(below), AT_A_TIME.0 as i64, AT_A_TIME.1 as i64);
        let rows = session.query(some).await?;
        for record in &rows {
            let first = number(record, 0)?;
            self.rewrite(session, first, changes(record, 1)?.0).await?;
            self.next = first + 1;
        }
        if !rows.is_empty() {
            return Ok(false);
        }
        for (account, below) in &self.accounts {
            // Unless the account was made again and deleted again meanwhile.
            let sql = "DELETE FROM feed_erase WHERE account = $1 AND below = $2";
            session.query(call!(sql, account.to_string(), int(*below))).await?;
        }
        Ok(true)
    }

    /// Writes a row without the personal data, if it has any.
    async fn rewrite(&self, session: &PgSession, first: Revision, mut changes: Vec<LoggedChange>) -> PgResult<()> {
        let mut touched = false;
        for logged in &mut changes {
            for (account, below) in &self.accounts {
                touched |= logged.erase(account, *below);
            }
        }
        if !touched {
            return Ok(());
        }
        let PackedChanges { format, bytes } = PackedChanges::of_logged(&changes);
        let (format, size) = (small(format), size(&bytes));
        let sql = "UPDATE feed SET size = $2, format = $3, changes = $4 WHERE first = $1";
        session.query(call!(sql, int(first), size, format, bytes)).await?;
        Ok(())
    }
}
