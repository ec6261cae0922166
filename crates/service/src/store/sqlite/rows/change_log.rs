//! The change log's rows.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row as Record, params};

use super::values::{account, int, number};
use super::{credentials, profiles, relations};
use crate::store::log_rows::{LogRow, PackedChanges, log_rows, unpack};
use crate::store::{LOG_PAGE, LogExtent, LogPage, SnapshotKind};
use rosterd_engine::model::{Account, Block, Change, LoggedChange, Millis, Revision};
use rosterd_protocol::SnapshotRow;

/// The most bytes of a page before they are compressed, unless one row has more.
const PAGE_BYTES: usize = 1024 * 1024;
/// The most rows and bytes that are dropped or rewritten in a transaction, so that no write waits long behind it. What is
/// rewritten is counted before it is compressed.
const AT_A_TIME: (usize, u64) = (200, 5_000_000);

/// Appends the changes of a transaction, and returns the bytes they took.
pub(in crate::store::sqlite) fn append(conn: &Connection, epoch: i64, now: Millis, changes: &[Change]) -> Result<u64> {
    let sql = "INSERT INTO feed (first, last, epoch, writer, nonce, time, format, size, changes)
               VALUES (?1, ?2, ?3, 0, 0, ?4, ?5, ?6, ?7)";
    let mut insert = conn.prepare_cached(sql)?;
    let mut bytes = 0;
    for LogRow { span: (first, last), packed } in log_rows(changes) {
        let size = packed.bytes.len() as u64;
        insert.execute(params![int(first), int(last), epoch, int(now), packed.format, int(size), packed.bytes])?;
        bytes += size;
    }
    Ok(bytes)
}

/// Reads changes after a position.
pub(in crate::store::sqlite) fn page(conn: &Connection, after: Revision) -> Result<LogPage> {
    let floor = floor(conn)?;
    let mut page = LogPage { floor, changes: Vec::new() };
    if after < floor {
        return Ok(page);
    }
    let erased = erased(conn)?;
    // The row that the position is in, and those after it.
    let sql = "SELECT format, changes FROM feed
               WHERE first >= coalesce((SELECT max(first) FROM feed WHERE first <= ?1), ?1) ORDER BY first";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query([int(after.saturating_add(1))])?;
    let mut bytes = 0;
    while let Some(record) = rows.next()? {
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
pub(in crate::store::sqlite) fn change(conn: &Connection, revision: Revision) -> Result<Option<LoggedChange>> {
    let sql = "SELECT format, changes FROM feed WHERE first <= ?1 AND last >= ?1 ORDER BY first DESC LIMIT 1";
    let row = conn.prepare_cached(sql)?.query_row([int(revision)], |record| changes(record, 0)).optional()?;
    let mut found = row.into_iter().flat_map(|(changes, _)| changes).find(|logged| logged.change.revision == revision);
    if let Some(logged) = &mut found {
        for (account, below) in erased(conn)? {
            logged.erase(&account, below);
        }
    }
    Ok(found)
}

/// Reads the columns `format` and `changes`, which begin at `first`. Returns the bytes of the changes too.
fn changes(record: &Record<'_>, first: usize) -> Result<(Vec<LoggedChange>, usize)> {
    let bytes = record.get_ref(first + 1)?.as_blob()?;
    unpack(record.get(first)?, bytes)
        .map_err(|error| Error::FromSqlConversionFailure(first + 1, Type::Blob, Box::new(error)))
}

/// Returns the first position from which nothing is missing.
fn floor(conn: &Connection) -> Result<Revision> {
    let first = conn.prepare_cached("SELECT min(first) FROM feed")?.query_row([], |r| r.get::<_, Option<i64>>(0))?;
    match first {
        Some(first) => Ok(u64::try_from(first - 1).unwrap_or_default()),
        None => conn.prepare_cached("SELECT stamp FROM meta")?.query_row([], |r| number(r, 0)),
    }
}

/// Returns what the log holds.
pub(in crate::store::sqlite) fn extent(conn: &Connection) -> Result<LogExtent> {
    let sql = "SELECT time FROM feed ORDER BY first LIMIT 1";
    let since = conn.prepare_cached(sql)?.query_row([], |r| number(r, 0)).optional()?;
    Ok(LogExtent { floor: floor(conn)?, since, bytes: bytes(conn)? })
}

/// Returns the size of the log: what is known of it up to a revision, and the rows after that.
pub(in crate::store::sqlite) fn bytes(conn: &Connection) -> Result<u64> {
    let sql = "SELECT feed_bytes + coalesce((SELECT sum(size) FROM feed WHERE first > stamp), 0) FROM meta";
    conn.prepare_cached(sql)?.query_row([], |record| number(record, 0))
}

/// Reads the records of a kind for a snapshot.
pub(in crate::store::sqlite) fn snapshot_page(
    conn: &Connection,
    kind: SnapshotKind,
    after: Option<&(Account, Account)>,
    limit: usize,
) -> Result<Vec<SnapshotRow>> {
    // No account is empty, so the empty text is before all.
    let (first, second) = after.map_or(("", ""), |(first, second)| (first.as_str(), second.as_str()));
    Ok(match kind {
        SnapshotKind::Users => {
            let users = profiles::users_after(conn, first, limit)?.into_iter();
            users.map(|(profile, presence)| SnapshotRow::User(Arc::new(profile), presence)).collect()
        }
        SnapshotKind::Friends => {
            relations::edges_after(conn, (first, second), limit)?.into_iter().map(SnapshotRow::Friend).collect()
        }
        SnapshotKind::Requests => {
            let requests = relations::requests_after(conn, (first, second), limit)?.into_iter();
            requests.map(|(request, hidden)| SnapshotRow::Request(request, hidden)).collect()
        }
        SnapshotKind::Blocks => {
            let blocks = relations::blocks_after(conn, (first, second), limit)?.into_iter();
            let frozen = |block: &Block| profiles::frozen(conn, &block.peer, std::slice::from_ref(&block.owner));
            let rows = blocks.map(|block| frozen(&block).map(|mut found| SnapshotRow::Block(block, found.pop())));
            rows.collect::<Result<_>>()?
        }
        SnapshotKind::Credentials => {
            let found = credentials::credentials_after(conn, first, limit)?.into_iter();
            found.map(|(account, credential)| SnapshotRow::Credential(account, credential)).collect()
        }
    })
}

/// Drops the oldest rows while they are older than `before`, or there are more than `most` of the `held` bytes. Returns how
/// many rows and bytes it dropped.
pub(in crate::store::sqlite) fn prune(conn: &Connection, before: Millis, most: u64, held: u64) -> Result<(usize, u64)> {
    let (mut rows, mut bytes, mut last) = (0, 0, None);
    let mut select = conn.prepare_cached("SELECT first, time, size FROM feed ORDER BY first LIMIT ?1")?;
    let mut oldest = select.query([int(AT_A_TIME.0 as u64)])?;
    while let Some(record) = oldest.next()? {
        let (first, time, size) = (number(record, 0)?, number(record, 1)?, number(record, 2)?);
        let is_over = time < before || held.saturating_sub(bytes) > most;
        if !is_over || rows > 0 && bytes + size > AT_A_TIME.1 {
            break;
        }
        (rows, bytes, last) = (rows + 1, bytes + size, Some(first));
    }
    if let Some(last) = last {
        conn.prepare_cached("DELETE FROM feed WHERE first <= ?1")?.execute([int(last)])?;
    }
    Ok((rows, bytes))
}

/// Empties the log.
pub(in crate::store::sqlite) fn clear(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "UPDATE meta SET feed_bytes = 0,
             stamp = max(stamp, coalesce((SELECT last FROM feed ORDER BY first DESC LIMIT 1), 0));
         DELETE FROM feed; DELETE FROM feed_erase",
    )
}

/// Notes that the personal data of an account is to be taken out of changes below a revision.
pub(super) fn erase_below(conn: &Connection, account: &Account, below: Revision) -> Result<()> {
    let sql = "INSERT INTO feed_erase (account, below) VALUES (?1, ?2)
               ON CONFLICT (account) DO UPDATE SET below = excluded.below";
    conn.prepare_cached(sql)?.execute(params![account.as_str(), int(below)]).map(drop)
}

fn erased(conn: &Connection) -> Result<Vec<(Account, Revision)>> {
    let mut select = conn.prepare_cached("SELECT account, below FROM feed_erase")?;
    let rows = select.query_map([], |record| Ok((account(record, 0)?, number(record, 1)?)))?;
    rows.collect()
}

/// One pass over the log, which takes out the personal data of all accounts that waited when it began.
pub(in crate::store::sqlite) struct ScrubPass {
    accounts: Vec<(Account, Revision)>,
    next: Revision,
}

/// A part of a pass.
pub(in crate::store::sqlite) struct ScrubbedPart {
    /// Whether the pass is over.
    pub is_last: bool,
    /// By how many bytes the log grew; less than nothing if it became smaller.
    pub grown: i64,
}

impl ScrubPass {
    /// Begins a pass, unless no account waits.
    pub(in crate::store::sqlite) fn begin(conn: &Connection) -> Result<Option<Self>> {
        let accounts = erased(conn)?;
        Ok((!accounts.is_empty()).then_some(Self { accounts, next: 0 }))
    }

    /// Rewrites some rows. The accounts do not wait any more once the last is rewritten.
    pub(in crate::store::sqlite) fn some(&mut self, conn: &Connection) -> Result<ScrubbedPart> {
        let below = self.accounts.iter().map(|(_, below)| *below).max().unwrap_or_default();
        let sql = "SELECT first, size, format, changes FROM feed WHERE first >= ?1 AND first < ?2
                   ORDER BY first LIMIT ?3";
        let mut select = conn.prepare_cached(sql)?;
        let mut rows = select.query([int(self.next), int(below), int(AT_A_TIME.0 as u64)])?;
        let (mut read, mut bytes, mut grown, mut next) = (0, 0, 0, self.next);
        while let Some(record) = rows.next()? {
            let (first, held) = (number(record, 0)?, number(record, 1)?);
            let (changes, size) = changes(record, 2)?;
            let size = size as u64;
            if read > 0 && bytes + size > AT_A_TIME.1 {
                self.next = next;
                return Ok(ScrubbedPart { is_last: false, grown });
            }
            grown += self.rewrite(conn, first, held, changes)?;
            (read, bytes, next) = (read + 1, bytes + size, first + 1);
        }
        self.next = next;
        let is_last = read < AT_A_TIME.0;
        if is_last {
            for (account, below) in &self.accounts {
                // Unless the account was made again and deleted again meanwhile.
                let sql = "DELETE FROM feed_erase WHERE account = ?1 AND below = ?2";
                conn.prepare_cached(sql)?.execute(params![account.as_str(), int(*below)])?;
            }
        }
        Ok(ScrubbedPart { is_last, grown })
    }

    /// Writes a row of so many bytes without the personal data, if it has any, and returns by how many it grew.
    fn rewrite(&self, conn: &Connection, first: Revision, held: u64, mut changes: Vec<LoggedChange>) -> Result<i64> {
        let mut touched = false;
        for logged in &mut changes {
            for (account, below) in &self.accounts {
                touched |= logged.erase(account, *below);
            }
        }
        if !touched {
            return Ok(0);
        }
        let PackedChanges { format, bytes } = PackedChanges::of_logged(&changes);
        let now = bytes.len() as u64;
        let sql = "UPDATE feed SET size = ?2, format = ?3, changes = ?4 WHERE first = ?1";
        conn.prepare_cached(sql)?.execute(params![int(first), int(now), format, bytes])?;
        Ok(int(now) - int(held))
    }
}
