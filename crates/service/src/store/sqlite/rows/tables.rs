//! The tables as one transaction sees them, and the bookkeeping of revisions.

use rusqlite::{Connection, Error, OptionalExtension, Result, Row as Record};

use super::values::{int, number};
use super::{audit, change_log, credentials, profiles, relations};
use crate::store::commit::Rows;
use crate::store::{AuditEntry, PresenceRow};
use rosterd_engine::model::{Account, Epoch, Lineage, Millis, Revision, Row, SeenPresence};
use rosterd_engine::sync::decide::{CurrentRows, Reads, RelationCounts};

/// The tables as the transaction open on a connection sees them.
pub(in crate::store::sqlite) struct SqliteTables<'a>(pub &'a Connection);

impl Rows for SqliteTables<'_> {
    type Error = Error;

    fn current(&self, reads: Reads) -> Result<CurrentRows> {
        let conn = self.0;
        let mut current = CurrentRows { users: profiles::profiles(conn, &reads.users)?, ..CurrentRows::default() };
        if let Some((a, b)) = &reads.pair {
            for (one, other) in [(a, b), (b, a)] {
                current.edges.extend(relations::edge(conn, one, other)?);
                current.requests.extend(relations::request(conn, one, other, None)?);
                current.blocks.extend(relations::block(conn, one, other)?);
            }
        }
        if let Some(account) = &reads.all_of {
            current.edges = relations::page(conn, account, None, usize::MAX, None)?;
            current.requests = relations::open_requests(conn, account)?;
            current.blocks = relations::live_blocks(conn, account)?;
            for block in current.blocks.iter().filter(|block| block.owner == *account) {
                current.edges.extend(relations::edge(conn, &block.peer, account)?.filter(|edge| !edge.removed));
            }
        }
        if let Some(account) = &reads.presence {
            current.presence = profiles::noted(conn, account)?;
        }
        if let Some((owner, peer)) = &reads.frozen {
            current.frozen = profiles::frozen(conn, peer, std::slice::from_ref(owner))?.pop();
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
            Row::Gone { account, version } => {
                change_log::erase_below(conn, account, *version)?;
                audit::erase(conn, account)?;
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
            Row::Presence { account, chosen, .. } => profiles::put_chosen(conn, account, chosen),
            Row::Credential { account, credential } => credentials::put(conn, account, credential),
        }
    }

    fn put_last_seen(&mut self, account: &Account, last_seen: Millis) -> Result<()> {
        let seen = Some(SeenPresence { online: false, last_seen });
        // Nobody came or went, so it takes no number.
        let row = PresenceRow { account: account.clone(), peer: None, seen, devices: Vec::new() };
        profiles::put_seen(self.0, &[row], &mut None)
    }

    fn record(&mut self, entry: &AuditEntry) -> Result<()> {
        audit::append(self.0, entry)
    }
}

/// Reads the counts that triggers keep.
fn counts(conn: &Connection, account: &Account) -> Result<RelationCounts> {
    let mut select =
        conn.prepare_cached("SELECT friends, sent, received, blocks FROM relation_count WHERE account = ?1")?;
    let counts = |record: &Record<'_>| {
        Ok(RelationCounts {
            friends: number(record, 0)?,
            sent: number(record, 1)?,
            received: number(record, 2)?,
            blocks: number(record, 3)?,
        })
    };
    // An account without any has no row.
    Ok(select.query_row([account.as_str()], counts).optional()?.unwrap_or_default())
}

/// Reads the lineage and the last revision.
pub(in crate::store::sqlite) fn extent(conn: &Connection) -> Result<(Lineage, Revision)> {
    let sql =
        "SELECT epoch, floor, max(stamp, coalesce((SELECT last FROM feed ORDER BY first DESC LIMIT 1), 0)) FROM meta";
    conn.prepare_cached(sql)?.query_row([], |record| {
        let epoch = Epoch(record.get::<_, i64>(0)?.cast_unsigned());
        Ok((Lineage { epoch, compacted: number(record, 1)? }, number(record, 2)?))
    })
}

/// Stores the last revision, and the size of the log up to it. The newest row of the log has its revision itself, so a commit
/// with such a row need not write this one as well.
pub(in crate::store::sqlite) fn put_head(conn: &Connection, revision: Revision, log_bytes: u64) -> Result<()> {
    let mut update = conn.prepare_cached("UPDATE meta SET stamp = ?1, feed_bytes = ?2")?;
    update.execute([int(revision), int(log_bytes)]).map(drop)
}

/// Stores the compacted revision.
pub(in crate::store::sqlite) fn put_compacted(conn: &Connection, compacted: Revision) -> Result<()> {
    conn.prepare_cached("UPDATE meta SET floor = ?1")?.execute([int(compacted)]).map(drop)
}

/// Drops the oldest tombstones, closed requests and ended blocks from before a time, at most `limit`, and returns their
/// versions. An ended block stays while it decides what its peer sees of the owner.
pub(in crate::store::sqlite) fn drop_tombstones(
    conn: &Connection,
    before: Millis,
    limit: usize,
) -> Result<Vec<Revision>> {
    let mut versions = Vec::new();
    for sql in [
        "DELETE FROM edge WHERE (owner, peer) IN (
             SELECT owner, peer FROM edge WHERE removed = 1 AND update_time < ?1
             ORDER BY update_time, owner, peer LIMIT ?2)
         RETURNING version",
        "DELETE FROM request WHERE (sender, receiver, side) IN (
             SELECT sender, receiver, side FROM request WHERE state <> 0 AND update_time < ?1
             ORDER BY update_time, sender, receiver, side LIMIT ?2)
         RETURNING version",
        "DELETE FROM block WHERE (owner, peer) IN (
             SELECT owner, peer FROM block WHERE removed = 1 AND update_time < ?1 AND shown = 0
                 AND (friends_version = 0 OR NOT EXISTS (
                     SELECT 1 FROM user WHERE user.account = block.owner AND (
                         user.friends_version <= block.version OR user.everyone_version <= block.version)))
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
