//! Rows and their SQL: everything that names a table or a column, except the migrations and their bookkeeping.
//! [`profiles`] has what concerns one account, [`credentials`] its tokens, [`relations`] what is between two.
//!
//! It neither begins nor ends a transaction. Called by the writer inside its own, and by the readers.

pub(super) mod credentials;
pub(super) mod profiles;
pub(super) mod relations;

use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row as Record};

use crate::store::commit::Rows;
use rosterd_engine::model::{Account, Millis, Revision, Row};
use rosterd_engine::sync::decide::{CurrentRows, Reads, RelationCounts};

/// The tables as the transaction open on a connection sees them.
pub(super) struct SqliteTables<'a>(pub &'a Connection);

impl Rows for SqliteTables<'_> {
    type Error = Error;

    fn current(&self, reads: Reads) -> Result<CurrentRows> {
        let conn = self.0;
        let mut current = CurrentRows { users: profiles::profiles(conn, &reads.users)?, ..CurrentRows::default() };
        if let Some((a, b)) = &reads.pair {
            for (one, other) in [(a, b), (b, a)] {
                current.edges.extend(relations::edge(conn, one, other)?);
                current.requests.extend(relations::request(conn, one, other)?);
                current.blocks.extend(relations::block(conn, one, other)?);
            }
        }
        if let Some(account) = &reads.all_of {
            current.edges = relations::page(conn, account, None, usize::MAX, None)?;
            current.requests = relations::open_requests(conn, account)?;
            current.blocks = relations::live_blocks(conn, account)?;
        }
        if let Some(account) = &reads.presence {
            current.presence = profiles::noted(conn, account)?;
        }
        if let Some(account) = &reads.credential {
            current.credential = credentials::credential(conn, account)?;
        }
        for account in reads.counts {
            let counts = counts(conn, &account)?;
            current.counts.push((account, counts));
        }
        Ok(current)
    }

    fn put(&mut self, row: &Row) -> Result<()> {
        let conn = self.0;
        match row {
            Row::Profile(profile) => profiles::put(conn, profile),
            Row::Gone { account, .. } => {
                profiles::delete(conn, account)?;
                relations::forget(conn, account)
            }
            Row::Edge(edge) => relations::put_edge(conn, edge),
            Row::Request(request) => relations::put_request(conn, request),
            Row::Block { block, frozen } => {
                relations::put_block(conn, block)?;
                match frozen {
                    Some(profile) => profiles::freeze(conn, &block.peer, profile),
                    None => profiles::thaw(conn, &block.peer, &block.owner),
                }
            }
            Row::Invisible { account, invisible } => profiles::put_invisible(conn, account, *invisible),
            Row::Credential { account, credential } => credentials::put(conn, account, credential),
        }
    }
}

fn counts(conn: &Connection, account: &Account) -> Result<RelationCounts> {
    let count = |sql| conn.prepare_cached(sql)?.query_row([account.as_str()], |record| number(record, 0));
    Ok(RelationCounts {
        friends: count("SELECT count(*) FROM edge WHERE owner = ?1 AND removed = 0")?,
        sent: count("SELECT count(*) FROM request WHERE sender = ?1 AND state = 0")?,
        received: count("SELECT count(*) FROM request WHERE receiver = ?1 AND state = 0 AND hidden = 0")?,
        blocks: count("SELECT count(*) FROM block WHERE owner = ?1 AND removed = 0")?,
    })
}

/// Writes down the last stamp given out.
pub(super) fn put_stamp(conn: &Connection, stamp: Revision) -> Result<()> {
    conn.prepare_cached("UPDATE meta SET stamp = ?1")?.execute([int(stamp)]).map(drop)
}

/// Stores the compacted revision.
pub(super) fn put_compacted(conn: &Connection, compacted: Revision) -> Result<()> {
    conn.prepare_cached("UPDATE meta SET floor = ?1")?.execute([int(compacted)]).map(drop)
}

/// Drops the oldest of what has ended before a time, at most `limit`; answers their versions.
pub(super) fn drop_tombstones(conn: &Connection, before: Millis, limit: usize) -> Result<Vec<Revision>> {
    let mut versions = Vec::new();
    for sql in [
        "DELETE FROM edge WHERE (owner, peer) IN (
             SELECT owner, peer FROM edge WHERE removed = 1 AND update_time < ?1
             ORDER BY update_time, owner, peer LIMIT ?2)
         RETURNING version",
        "DELETE FROM request WHERE (sender, receiver) IN (
             SELECT sender, receiver FROM request WHERE state <> 0 AND update_time < ?1
             ORDER BY update_time, sender, receiver LIMIT ?2)
         RETURNING version",
        "DELETE FROM block WHERE (owner, peer) IN (
             SELECT owner, peer FROM block WHERE removed = 1 AND update_time < ?1
             ORDER BY update_time, owner, peer LIMIT ?2)
         RETURNING version",
    ] {
        let mut delete = conn.prepare_cached(sql)?;
        let dropped = delete.query_map([int(before), int((limit - versions.len()) as u64)], |r| number(r, 0))?;
        for version in dropped {
            versions.push(version?);
        }
    }
    Ok(versions)
}

/// Text that is held as bytes.
fn text(record: &Record<'_>, column: usize) -> Result<Box<str>> {
    let bytes = record.get_ref(column)?.as_blob()?;
    let text = std::str::from_utf8(bytes);
    text.map(Box::from).map_err(|e| Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))
}

fn account(record: &Record<'_>, column: usize) -> Result<Account> {
    let text = record.get_ref(column)?.as_str()?;
    let too_long = || Error::FromSqlConversionFailure(column, Type::Text, "it is too long for an account".into());
    Account::stored(text).ok_or_else(too_long)
}

/// A stamp or a time of a row; none is written negative.
pub(super) fn number(record: &Record<'_>, column: usize) -> Result<u64> {
    let value: i64 = record.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// `SQLite`'s integers end at 2^63 - 1. Rows stay far below; a bound asked for may be anything, and means the same.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
