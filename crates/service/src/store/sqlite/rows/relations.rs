//! Edges, requests and blocks.

use rusqlite::{Connection, Error, OptionalExtension, Result, Row as Record, params};

use super::values::{account, int, number, text};
use crate::store::Relations;
use crate::store::columns::{self, shown_number, side_number, state_number};
use rosterd_engine::model::{
    Account, Block, Edge, LastChange, ListedEdge, Millis, Request, RequestSide, RequestState, Revision, SeenChanges,
    SeenPresence,
};

macro_rules! edge_columns {
    () => {
        "owner, peer, removed, alias, custom, create_time, update_time, version"
    };
}

macro_rules! page_of_edges {
    () => {
        concat!(
            "SELECT ",
            edge_columns!(),
            " FROM edge WHERE owner = ?1 AND peer > ?2 AND (removed = 0 OR version > ?3) ORDER BY peer LIMIT ?4"
        )
    };
}

macro_rules! request_columns {
    () => {
        "sender, receiver, side, message, state, create_time, update_time, version"
    };
}

macro_rules! block_columns {
    () => {
        "owner, peer, removed, last_seen, create_time, update_time, version,
         shown, friends_version, friends_time, everyone_version, everyone_time"
    };
}

pub(super) fn edge(conn: &Connection, owner: &Account, peer: &Account) -> Result<Option<Edge>> {
    conn.prepare_cached(concat!("SELECT ", edge_columns!(), " FROM edge WHERE owner = ?1 AND peer = ?2"))?
        .query_row([owner.as_str(), peer.as_str()], |record| record_edge(owner, record))
        .optional()
}

/// Reads the copies of a request: of one side, or of both.
pub(super) fn request(
    conn: &Connection,
    sender: &Account,
    receiver: &Account,
    side: Option<RequestSide>,
) -> Result<Vec<Request>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE sender = ?1 AND receiver = ?2 AND side = coalesce(?3, side)"
    ))?;
    select.query_map(params![sender.as_str(), receiver.as_str(), side.map(side_number)], record_request)?.collect()
}

pub(super) fn block(conn: &Connection, owner: &Account, peer: &Account) -> Result<Option<Block>> {
    conn.prepare_cached(concat!("SELECT ", block_columns!(), " FROM block WHERE owner = ?1 AND peer = ?2"))?
        .query_row([owner.as_str(), peer.as_str()], record_block)
        .optional()
}

/// Reads all relations between an account and some others that it may see.
pub(in crate::store::sqlite) fn between(conn: &Connection, me: &Account, peers: &[Account]) -> Result<Relations> {
    let mut found = Relations::default();
    for peer in peers {
        found.edges.extend(edge(conn, me, peer)?);
        found.requests.extend(request(conn, me, peer, Some(RequestSide::Sender))?);
        found.requests.extend(request(conn, peer, me, Some(RequestSide::Receiver))?);
        found.blocks.extend(block(conn, me, peer)?);
    }
    Ok(found)
}

/// Reads an owner's edges in order of the peer: live ones, and tombstones later than `since`.
pub(in crate::store::sqlite) fn page(
    conn: &Connection,
    owner: &Account,
    after: Option<&Account>,
    limit: usize,
    since: Option<Revision>,
) -> Result<Vec<Edge>> {
    let mut select = conn.prepare_cached(page_of_edges!())?;
    // No account is empty, so the empty text sorts before all. No tombstone is later than the largest number.
    let after = after.map_or("", Account::as_str);
    let bounds = params![owner.as_str(), after, since.map_or(i64::MAX, int), int(limit as u64)];
    select.query_map(bounds, |record| record_edge(owner, record))?.collect()
}

/// Reads the same page for a reader that has every edge up to `since`. Reading a column costs as much as finding the row, so
/// of these edges few are read.
pub(in crate::store::sqlite) fn listed(
    conn: &Connection,
    owner: &Account,
    after: Option<&Account>,
    limit: usize,
    since: Option<Revision>,
) -> Result<Vec<ListedEdge>> {
    let Some(since) = since else {
        return Ok(page(conn, owner, after, limit, None)?.into_iter().map(ListedEdge::from).collect());
    };
    let mut select = conn.prepare_cached(page_of_edges!())?;
    let bounds = params![owner.as_str(), after.map_or("", Account::as_str), int(since), int(limit as u64)];
    let listed = |record: &Record<'_>| {
        let version = number(record, 7)?;
        if version > since {
            return record_edge(owner, record).map(ListedEdge::from);
        }
        Ok(ListedEdge { peer: account(record, 1)?, removed: false, version, edge: None })
    };
    select.query_map(bounds, listed)?.collect()
}

/// Reads an owner's blocks in order of the peer: live ones, and tombstones later than `since`.
pub(in crate::store::sqlite) fn blocks(
    conn: &Connection,
    owner: &Account,
    after: Option<&Account>,
    limit: usize,
    since: Option<Revision>,
) -> Result<Vec<Block>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ?1 AND peer > ?2 AND (removed = 0 OR version > ?3) ORDER BY peer LIMIT ?4"
    ))?;
    let after = after.map_or("", Account::as_str);
    let bounds = params![owner.as_str(), after, since.map_or(i64::MAX, int), int(limit as u64)];
    select.query_map(bounds, record_block)?.collect()
}

/// Reads an account's copies of the requests from and to it: open ones, and closed ones later than `since`.
pub(in crate::store::sqlite) fn requests(
    conn: &Connection,
    me: &Account,
    since: Option<Revision>,
) -> Result<Vec<Request>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        request_columns!(),
        ", receiver AS other FROM request WHERE sender = ?1 AND side = 0 AND (state = 0 OR version > ?2)
         UNION ALL SELECT ",
        request_columns!(),
        ", sender AS other FROM request WHERE receiver = ?1 AND side = 1 AND (state = 0 OR version > ?2)
         ORDER BY other, sender"
    ))?;
    select.query_map(params![me.as_str(), since.map_or(i64::MAX, int)], record_request)?.collect()
}

/// Reads every copy of the open requests from and to an account.
pub(super) fn open_requests(conn: &Connection, me: &Account) -> Result<Vec<Request>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE (sender = ?1 OR receiver = ?1) AND state = 0"
    ))?;
    select.query_map([me.as_str()], record_request)?.collect()
}

/// Reads open requests that were made before a time, the oldest first.
pub(in crate::store::sqlite) fn stale_requests(
    conn: &Connection,
    before: Millis,
    limit: usize,
) -> Result<Vec<Request>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE state = 0 AND side = 0 AND create_time < ?1 ORDER BY create_time LIMIT ?2"
    ))?;
    select.query_map([int(before), int(limit as u64)], record_request)?.collect()
}

/// Reads the live blocks by an account and of it.
pub(super) fn live_blocks(conn: &Connection, account: &Account) -> Result<Vec<Block>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ?1 AND removed = 0
         UNION ALL SELECT ",
        block_columns!(),
        " FROM block WHERE peer = ?1 AND removed = 0"
    ))?;
    select.query_map([account.as_str()], record_block)?.collect()
}

/// Puts an edge. Like requests and blocks, it is updated and never replaced, or the triggers that keep the counts would
/// not see the row before.
/// Reads the live edges of all owners after a pair, in order of owner and peer.
pub(super) fn edges_after(conn: &Connection, (owner, peer): (&str, &str), limit: usize) -> Result<Vec<Edge>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        edge_columns!(),
        " FROM edge WHERE (owner, peer) > (?1, ?2) AND removed = 0 ORDER BY owner, peer LIMIT ?3"
    ))?;
    let rows = select
        .query_map(params![owner, peer, int(limit as u64)], |record| record_edge(&account(record, 0)?, record))?;
    rows.collect()
}

/// Reads the live blocks of all owners after a pair, in order of owner and peer.
pub(super) fn blocks_after(conn: &Connection, (owner, peer): (&str, &str), limit: usize) -> Result<Vec<Block>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE (owner, peer) > (?1, ?2) AND removed = 0 ORDER BY owner, peer LIMIT ?3"
    ))?;
    select.query_map(params![owner, peer, int(limit as u64)], record_block)?.collect()
}

/// Reads the open requests after a pair, in order of sender and receiver: the newer one of the two copies, and whether the
/// receiver does not see it.
pub(super) fn requests_after(
    conn: &Connection,
    (sender, receiver): (&str, &str),
    limit: usize,
) -> Result<Vec<(Request, bool)>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE (sender, receiver) > (?1, ?2) AND side = 0 AND state = 0
         ORDER BY sender, receiver LIMIT ?3"
    ))?;
    let copies = select.query_map(params![sender, receiver, int(limit as u64)], record_request)?;
    copies
        .map(|copy| {
            let copy = copy?;
            let theirs = request(conn, &copy.sender, &copy.receiver, Some(RequestSide::Receiver))?.pop();
            let theirs = theirs.filter(|theirs| theirs.version >= copy.version);
            let hidden = theirs.is_none();
            Ok((theirs.filter(|theirs| theirs.version > copy.version).unwrap_or(copy), hidden))
        })
        .collect()
}

pub(super) fn put_edge(conn: &Connection, edge: &Edge) -> Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO edge (",
        edge_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (owner, peer) DO UPDATE SET
             removed = excluded.removed, alias = excluded.alias, custom = excluded.custom,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version"
    ))?
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

pub(super) fn put_request(conn: &Connection, request: &Request) -> Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO request (",
        request_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (sender, receiver, side) DO UPDATE SET
             message = excluded.message, state = excluded.state,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version"
    ))?
    .execute(params![
        request.sender.as_str(),
        request.receiver.as_str(),
        side_number(request.side),
        request.message.as_bytes(),
        state_number(request.state),
        int(request.create_time),
        int(request.update_time),
        int(request.version),
    ])
    .map(drop)
}

pub(super) fn put_block(conn: &Connection, block: &Block) -> Result<()> {
    conn.prepare_cached(concat!(
        "INSERT INTO block (",
        block_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (owner, peer) DO UPDATE SET
             removed = excluded.removed, last_seen = excluded.last_seen,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version,
             shown = excluded.shown,
             friends_version = excluded.friends_version, friends_time = excluded.friends_time,
             everyone_version = excluded.everyone_version, everyone_time = excluded.everyone_time"
    ))?
    .execute(params![
        block.owner.as_str(),
        block.peer.as_str(),
        block.removed,
        int(block.presence.map_or(0, |seen| seen.last_seen)),
        int(block.create_time),
        int(block.update_time),
        int(block.version),
        shown_number(block.presence),
        int(block.views.map_or(0, |views| views.friends.version)),
        int(block.views.map_or(0, |views| views.friends.time)),
        int(block.views.map_or(0, |views| views.everyone.version)),
        int(block.views.map_or(0, |views| views.everyone.time)),
    ])
    .map(drop)
}

/// Stores what the peer of a block now sees of the owner's presence.
pub(super) fn put_seen(
    conn: &Connection,
    owner: &Account,
    peer: &Account,
    presence: Option<SeenPresence>,
) -> Result<()> {
    let sql = "UPDATE block SET shown = ?3, last_seen = ?4 WHERE owner = ?1 AND peer = ?2 AND (removed = 1 OR ?3 <> 0)";
    let last_seen = int(presence.map_or(0, |seen| seen.last_seen));
    let seen = params![owner.as_str(), peer.as_str(), shown_number(presence), last_seen];
    conn.prepare_cached(sql)?.execute(seen).map(drop)
}

/// Reads the blocks of an owner that ended, and after which the peer still sees it otherwise than others do.
pub(super) fn ended_blocks(conn: &Connection, owner: &Account) -> Result<Vec<Block>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ?1 AND removed = 1 AND (shown <> 0 OR friends_version <> 0)"
    ))?;
    select.query_map([owner.as_str()], record_block)?.collect()
}

/// Reads an owner's live blocks whose peer sees it online.
pub(super) fn blocks_shown_online(conn: &Connection, owner: &Account) -> Result<Vec<Block>> {
    let mut select = conn.prepare_cached(concat!(
        "SELECT ",
        block_columns!(),
        " FROM block INDEXED BY block_shown WHERE owner = ?1 AND shown = 2 AND removed = 0"
    ))?;
    select.query_map([owner.as_str()], record_block)?.collect()
}

/// Reads all blocks, ended ones included, whose peer has a view of its own and sees the owner online.
pub(super) fn shown_blocks(conn: &Connection) -> Result<Vec<Block>> {
    let mut select = conn.prepare_cached(concat!("SELECT ", block_columns!(), " FROM block WHERE shown = 2"))?;
    select.query_map([], record_block)?.collect()
}

/// Erases the messages and the frozen profiles of a deleted account.
pub(super) fn forget(conn: &Connection, account: &Account) -> Result<()> {
    for sql in [
        "DELETE FROM frozen WHERE viewer = ?1",
        "DELETE FROM frozen WHERE account = ?1",
        "UPDATE request SET message = x'' WHERE sender = ?1",
        "UPDATE request SET message = x'' WHERE receiver = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([account.as_str()])?;
    }
    Ok(())
}

fn record_edge(owner: &Account, record: &Record<'_>) -> Result<Edge> {
    Ok(Edge {
        // A clone of the known account, instead of reading it again for each edge.
        owner: owner.clone(),
        peer: account(record, 1)?,
        removed: record.get(2)?,
        alias: record.get(3)?,
        custom: text(record, 4)?,
        create_time: number(record, 5)?,
        update_time: number(record, 6)?,
        version: number(record, 7)?,
    })
}

fn record_request(record: &Record<'_>) -> Result<Request> {
    Ok(Request {
        sender: account(record, 0)?,
        receiver: account(record, 1)?,
        side: side(record, 2)?,
        message: text(record, 3)?,
        state: state(record, 4)?,
        create_time: number(record, 5)?,
        update_time: number(record, 6)?,
        version: number(record, 7)?,
    })
}

fn record_block(record: &Record<'_>) -> Result<Block> {
    Ok(Block {
        owner: account(record, 0)?,
        peer: account(record, 1)?,
        removed: record.get(2)?,
        presence: shown(record)?,
        views: views(record)?,
        create_time: number(record, 4)?,
        update_time: number(record, 5)?,
        version: number(record, 6)?,
    })
}

fn side(record: &Record<'_>, column: usize) -> Result<RequestSide> {
    let number = record.get(column)?;
    columns::side(number).ok_or(Error::IntegralValueOutOfRange(column, number))
}

fn views(record: &Record<'_>) -> Result<Option<SeenChanges>> {
    let friends = LastChange { version: number(record, 8)?, time: number(record, 9)? };
    let everyone = LastChange { version: number(record, 10)?, time: number(record, 11)? };
    Ok((friends.version != 0).then_some(SeenChanges { friends, everyone }))
}

fn shown(record: &Record<'_>) -> Result<Option<SeenPresence>> {
    let shown = columns::shown(record.get(7)?, number(record, 3)?);
    shown.map_err(|other| Error::IntegralValueOutOfRange(7, other))
}

fn state(record: &Record<'_>, column: usize) -> Result<RequestState> {
    let number = record.get(column)?;
    columns::state(number).ok_or(Error::IntegralValueOutOfRange(column, number))
}
