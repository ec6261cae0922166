//! Rows and their SQL: everything that names a table or a column, except the migrations and their bookkeeping.
//!
//! It neither begins nor ends a transaction. Called by the writer inside its own, and by the readers.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row as Record, params};

use crate::model::{Account, Edge, Gender, Millis, Profile, Row, Stamp};
use crate::store::commit::Rows;
use crate::sync::decide::{Current, Reads};

/// The tables as the transaction open on a connection sees them.
pub(super) struct Tables<'a>(pub &'a Connection);

impl Rows for Tables<'_> {
    type Error = Error;

    fn current(&self, reads: Reads) -> Result<Current> {
        let mut current = Current { users: profiles(self.0, &reads.users)?, ..Current::default() };
        for (owner, peer) in &reads.edges {
            current.edges.extend(edge(self.0, owner, peer)?);
        }
        if let Some(owner) = &reads.friends_of {
            current.edges.extend(page(self.0, owner, None, usize::MAX, None)?);
        }
        for owner in reads.counts {
            let count = friends(self.0, &owner)?;
            current.counts.push((owner, count));
        }
        Ok(current)
    }

    fn put(&mut self, row: &Row) -> Result<()> {
        match row {
            Row::Profile(profile) => put_profile(self.0, profile),
            Row::Gone { account, .. } => {
                self.0.prepare_cached("DELETE FROM user WHERE account = ?1")?.execute([account.as_str()]).map(drop)
            }
            Row::Edge(edge) => put_edge(self.0, edge),
        }
    }
}

/// The profiles of those accounts that exist.
pub(super) fn profiles(conn: &Connection, accounts: &[Account]) -> Result<Vec<Arc<Profile>>> {
    let mut select = conn.prepare_cached(
        "SELECT nick, avatar, sign, gender, email, birth, tel, custom, create_time, update_time, version
         FROM user WHERE account = ?1",
    )?;
    let mut found = Vec::with_capacity(accounts.len());
    for account in accounts {
        let profile = select.query_row([account.as_str()], |record| profile(account, record)).optional()?;
        found.extend(profile.map(Arc::new));
    }
    Ok(found)
}

/// Those of the edges from `owner` to `peers` that exist.
pub(super) fn edges(conn: &Connection, owner: &Account, peers: &[Account]) -> Result<Vec<Edge>> {
    let mut found = Vec::with_capacity(peers.len());
    for peer in peers {
        found.extend(edge(conn, owner, peer)?);
    }
    Ok(found)
}

fn edge(conn: &Connection, owner: &Account, peer: &Account) -> Result<Option<Edge>> {
    conn.prepare_cached(
        "SELECT peer, removed, alias, custom, create_time, update_time, version
         FROM edge WHERE owner = ?1 AND peer = ?2",
    )?
    .query_row([owner.as_str(), peer.as_str()], |record| record_edge(owner, record))
    .optional()
}

/// An owner's edges in order of the peer: live ones, and tombstones later than `since`.
pub(super) fn page(
    conn: &Connection,
    owner: &Account,
    after: Option<&Account>,
    limit: usize,
    since: Option<Stamp>,
) -> Result<Vec<Edge>> {
    let mut select = conn.prepare_cached(
        "SELECT peer, removed, alias, custom, create_time, update_time, version
         FROM edge WHERE owner = ?1 AND peer > ?2 AND (removed = 0 OR version > ?3) ORDER BY peer LIMIT ?4",
    )?;
    // No account is empty, so the empty one stands before all; no tombstone is later than the last stamp there is.
    let after = after.map_or("", Account::as_str);
    let since = since.map_or(i64::MAX, int);
    let page = select.query_map(params![owner.as_str(), after, since, int(limit as u64)], |r| record_edge(owner, r))?;
    page.collect()
}

/// Whether no account exists.
pub(super) fn is_empty(conn: &Connection) -> Result<bool> {
    conn.prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM user)")?.query_row([], |record| record.get(0))
}

fn friends(conn: &Connection, owner: &Account) -> Result<u64> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM edge WHERE owner = ?1 AND removed = 0")?;
    count.query_row([owner.as_str()], |record| number(record, 0))
}

/// Writes down the last stamp given out.
pub(super) fn put_stamp(conn: &Connection, stamp: Stamp) -> Result<()> {
    conn.prepare_cached("UPDATE meta SET stamp = ?1")?.execute([int(stamp)]).map(drop)
}

/// Writes down the floor.
pub(super) fn put_floor(conn: &Connection, floor: Stamp) -> Result<()> {
    conn.prepare_cached("UPDATE meta SET floor = ?1")?.execute([int(floor)]).map(drop)
}

/// Drops the oldest tombstones from before a time, at most `limit`; answers their versions.
pub(super) fn drop_tombstones(conn: &Connection, before: Millis, limit: usize) -> Result<Vec<Stamp>> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM edge WHERE (owner, peer) IN (
             SELECT owner, peer FROM edge WHERE removed = 1 AND update_time < ?1
             ORDER BY update_time, owner, peer LIMIT ?2)
         RETURNING version",
    )?;
    let versions = delete.query_map([int(before), int(limit as u64)], |record| number(record, 0))?;
    versions.collect()
}

fn put_profile(conn: &Connection, profile: &Profile) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO user (account, nick, avatar, sign, gender, email, birth, tel, custom,
                           create_time, update_time, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (account) DO UPDATE SET
             nick = excluded.nick, avatar = excluded.avatar, sign = excluded.sign, gender = excluded.gender,
             email = excluded.email, birth = excluded.birth, tel = excluded.tel, custom = excluded.custom,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version",
    )?
    .execute(params![
        profile.account.as_str(),
        profile.nick,
        profile.avatar,
        profile.sign,
        gender_number(profile.gender),
        profile.email,
        profile.birth,
        profile.tel,
        profile.custom.as_bytes(),
        int(profile.create_time),
        int(profile.update_time),
        int(profile.version),
    ])
    .map(drop)
}

fn put_edge(conn: &Connection, edge: &Edge) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO edge (owner, peer, removed, alias, custom, create_time, update_time, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (owner, peer) DO UPDATE SET
             removed = excluded.removed, alias = excluded.alias, custom = excluded.custom,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version",
    )?
    .execute(params![
        edge.owner.as_str(),
        edge.peer.as_str(),
        edge.removed,
        edge.alias,
        edge.custom.as_bytes(),
        int(edge.create_time),
        int(edge.update_time),
        int(edge.version),
    ])
    .map(drop)
}

fn profile(account: &Account, record: &Record<'_>) -> Result<Profile> {
    Ok(Profile {
        account: account.clone(),
        nick: record.get(0)?,
        avatar: record.get(1)?,
        sign: record.get(2)?,
        gender: gender(record, 3)?,
        email: record.get(4)?,
        birth: record.get(5)?,
        tel: record.get(6)?,
        custom: text(record, 7)?,
        create_time: number(record, 8)?,
        update_time: number(record, 9)?,
        version: number(record, 10)?,
    })
}

fn record_edge(owner: &Account, record: &Record<'_>) -> Result<Edge> {
    Ok(Edge {
        owner: owner.clone(),
        peer: Account::stored(record.get_ref(0)?.as_str()?),
        removed: record.get(1)?,
        alias: record.get(2)?,
        custom: text(record, 3)?,
        create_time: number(record, 4)?,
        update_time: number(record, 5)?,
        version: number(record, 6)?,
    })
}

/// Text that is held as bytes.
fn text(record: &Record<'_>, column: usize) -> Result<Box<str>> {
    let bytes = record.get_ref(column)?.as_blob()?;
    let text = std::str::from_utf8(bytes);
    text.map(Box::from).map_err(|e| Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))
}

fn gender_number(gender: Gender) -> i64 {
    match gender {
        Gender::Unknown => 0,
        Gender::Male => 1,
        Gender::Female => 2,
    }
}

fn gender(record: &Record<'_>, column: usize) -> Result<Gender> {
    match record.get(column)? {
        0 => Ok(Gender::Unknown),
        1 => Ok(Gender::Male),
        2 => Ok(Gender::Female),
        other => Err(Error::IntegralValueOutOfRange(column, other)),
    }
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
