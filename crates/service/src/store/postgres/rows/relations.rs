//! Edges, requests and blocks.

use std::sync::LazyLock;

use tokio_postgres::Row as Record;

use super::extent_of;
use super::friend_lists::AskedRows;
use super::values::{InnerRows, RowColumns, account, int, meaning, names, number, pairs, plain, text, value};
use crate::store::columns::{self, shown_number, side_number, state_number};
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{Call, PgSession, call};
use crate::store::{PresenceRow, Relations};
use rosterd_engine::model::{
    Account, Block, Edge, LastChange, Lineage, Millis, Request, RequestSide, Revision, SeenChanges,
};

macro_rules! edge_columns {
    () => {
        "owner, peer, removed, alias, custom, create_time, update_time, version"
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

/// Reads the edges of these keys, owner and peer.
pub(in crate::store::postgres) fn edges(keys: &[(Account, Account)]) -> Call {
    let (owners, peers) = pairs(keys);
    let sql = concat!(
        "SELECT ",
        edge_columns!(),
        " FROM unnest($1::text[], $2::text[]) AS given (o, p) JOIN edge ON owner = o AND peer = p"
    );
    call!(sql, owners, peers)
}

/// Reads all copies of the requests of these keys, sender and receiver.
pub(in crate::store::postgres) fn requests_between(keys: &[(Account, Account)]) -> Call {
    let (senders, receivers) = pairs(keys);
    let sql = concat!(
        "SELECT ",
        request_columns!(),
        " FROM unnest($1::text[], $2::text[]) AS given (s, r) JOIN request ON sender = s AND receiver = r"
    );
    call!(sql, senders, receivers)
}

/// Reads the blocks of these keys, owner and peer.
pub(in crate::store::postgres) fn blocks_between(keys: &[(Account, Account)]) -> Call {
    let (owners, peers) = pairs(keys);
    let sql = concat!(
        "SELECT ",
        block_columns!(),
        " FROM unnest($1::text[], $2::text[]) AS given (o, p) JOIN block ON owner = o AND peer = p"
    );
    call!(sql, owners, peers)
}

/// Reads the live edges of some accounts, the other direction of each, and those to them of the accounts that they block.
pub(in crate::store::postgres) fn all_edges(accounts: &[Account]) -> Call {
    let sql = concat!(
        "WITH mine AS (SELECT ",
        edge_columns!(),
        " FROM edge WHERE owner = ANY($1) AND NOT removed),
         back AS (SELECT peer AS o, owner AS p FROM mine
                  UNION SELECT peer, owner FROM block WHERE owner = ANY($1) AND NOT removed)
         SELECT ",
        edge_columns!(),
        " FROM mine UNION ALL SELECT ",
        edge_columns!(),
        " FROM back JOIN edge ON owner = o AND peer = p AND NOT owner = ANY($1)"
    );
    call!(sql, names(accounts))
}

/// Reads every copy of the open requests from and to some accounts.
pub(in crate::store::postgres) fn all_requests(accounts: &[Account]) -> Call {
    let sql = concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE sender = ANY($1) AND state = 0
         UNION ALL SELECT ",
        request_columns!(),
        " FROM request WHERE receiver = ANY($1) AND NOT sender = ANY($1) AND state = 0"
    );
    call!(sql, names(accounts))
}

/// Reads the live blocks by some accounts and of them.
pub(in crate::store::postgres) fn all_blocks(accounts: &[Account]) -> Call {
    let sql = concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ANY($1) AND NOT removed
         UNION ALL SELECT ",
        block_columns!(),
        " FROM block WHERE peer = ANY($1) AND NOT owner = ANY($1) AND NOT removed"
    );
    call!(sql, names(accounts))
}

/// Reads all relations between an account and some others that it may see.
pub(in crate::store::postgres) async fn between(
    session: &PgSession,
    me: &Account,
    peers: &[Account],
) -> PgResult<Relations> {
    let mine: Vec<_> = peers.iter().map(|peer| (me.clone(), peer.clone())).collect();
    let both: Vec<_> =
        mine.iter().flat_map(|(me, peer)| [(me.clone(), peer.clone()), (peer.clone(), me.clone())]).collect();
    let calls = [call!(super::SNAPSHOT), edges(&mine), requests_between(&both), blocks_between(&mine), call!("COMMIT")];
    let found = session.pipeline(&calls).await?;
    let mut relations = Relations {
        edges: found[1].iter().map(edge).collect::<PgResult<_>>()?,
        requests: found[2].iter().map(request).collect::<PgResult<_>>()?,
        blocks: found[3].iter().map(block).collect::<PgResult<_>>()?,
    };
    relations.requests.retain(|request| request.owner() == me);
    Ok(relations)
}

/// Reads an owner's edges in order of the peer: live ones, and tombstones later than `since`.
pub(in crate::store::postgres) fn page(
    owner: &Account,
    after: Option<&Account>,
    limit: usize,
    since: Option<Revision>,
) -> Call {
    // No account is empty, so the empty text sorts before all. No tombstone is later than the largest number.
    let after = after.map_or("", Account::as_str).to_owned();
    let sql = concat!(
        "SELECT ",
        edge_columns!(),
        " FROM edge WHERE owner = $1 AND peer > $2 AND (NOT removed OR version > $3) ORDER BY peer LIMIT $4"
    );
    call!(sql, owner.to_string(), after, since.map_or(i64::MAX, int), int(limit as u64))
}

/// Selects the next blocks of `me` after `done`, in order of the peer: live ones, and tombstones later than `since`.
pub(super) fn blocks_of(limit: &str) -> String {
    format!(
        "SELECT ROW({}) FROM block WHERE owner = me AND peer > done AND (NOT removed OR version > since)
         ORDER BY peer LIMIT {limit}",
        block_columns!()
    )
}

/// Selects the copies that `me` has of the requests from and to it, in order of the other one: open ones, and closed ones later
/// than `since`.
pub(super) fn requests_of() -> String {
    const COLUMNS: &str = request_columns!();
    format!(
        "SELECT ROW({COLUMNS})
         FROM (SELECT {COLUMNS}, receiver AS other FROM request
               WHERE sender = me AND side = 0 AND (state = 0 OR version > since)
               UNION ALL SELECT {COLUMNS}, sender FROM request
               WHERE receiver = me AND side = 1 AND (state = 0 OR version > since)) AS requests
         ORDER BY other, sender"
    )
}

/// Reads the next blocks of an owner, as of [`blocks_of`], and how far the history went then; [`block_page`] takes them.
pub(in crate::store::postgres) fn blocks(asked: &AskedRows, limit: usize) -> Call {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {}, ARRAY({}) FROM meta, (VALUES ($1::text, $2::text, $3::bigint)) AS asked (me, done, since)",
            extent_columns!(),
            blocks_of("$4")
        )
    });
    call!(SQL.as_str(), asked.owner.to_string(), asked.done().to_owned(), asked.since(), int(limit as u64))
}

/// Reads a result of [`blocks`].
pub(in crate::store::postgres) fn block_page(record: &Record) -> PgResult<(Vec<Block>, Lineage)> {
    Ok((block_list(record, 3)?, extent_of(record)?.0))
}

/// Reads blocks out of a column.
pub(super) fn block_list(record: &Record, column: usize) -> PgResult<Vec<Block>> {
    let blocks: InnerRows<'_> = record.read(column)?;
    blocks.0.iter().map(block).collect()
}

/// Reads the copies that an account has of requests, as of [`requests_of`]; [`request_list`] takes them.
pub(in crate::store::postgres) fn requests(asked: &AskedRows) -> Call {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("SELECT ARRAY({}) FROM (VALUES ($1::text, $2::bigint)) AS asked (me, since)", requests_of())
    });
    call!(SQL.as_str(), asked.owner.to_string(), asked.since())
}

/// Reads requests out of a column.
pub(in crate::store::postgres) fn request_list(record: &Record, column: usize) -> PgResult<Vec<Request>> {
    let requests: InnerRows<'_> = record.read(column)?;
    requests.0.iter().map(request).collect()
}

/// Reads open requests that were made before a time, the oldest first.
pub(in crate::store::postgres) fn stale_requests(before: Millis, limit: usize) -> Call {
    let sql = concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE state = 0 AND side = 0 AND create_time < $1 ORDER BY create_time, sender, receiver LIMIT $2"
    );
    call!(sql, int(before), int(limit as u64))
}

/// Reads the live edges of all owners after a pair, in order of owner and peer.
pub(super) async fn edges_after(session: &PgSession, (owner, peer): (&str, &str), limit: usize) -> PgResult<Vec<Edge>> {
    let sql = concat!(
        "SELECT ",
        edge_columns!(),
        " FROM edge WHERE (owner, peer) > ($1, $2) AND NOT removed ORDER BY owner, peer LIMIT $3"
    );
    let found = session.query(call!(sql, owner.to_owned(), peer.to_owned(), int(limit as u64))).await?;
    found.iter().map(edge).collect()
}

/// Reads the live blocks of all owners after a pair, in order of owner and peer.
pub(super) async fn blocks_after(
    session: &PgSession,
    (owner, peer): (&str, &str),
    limit: usize,
) -> PgResult<Vec<Block>> {
    let sql = concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE (owner, peer) > ($1, $2) AND NOT removed ORDER BY owner, peer LIMIT $3"
    );
    let found = session.query(call!(sql, owner.to_owned(), peer.to_owned(), int(limit as u64))).await?;
    found.iter().map(block).collect()
}

/// Reads the open requests after a pair, in order of sender and receiver: the newer one of the two copies, and whether the
/// receiver does not see it.
pub(super) async fn requests_after(
    session: &PgSession,
    (sender, receiver): (&str, &str),
    limit: usize,
) -> PgResult<Vec<(Request, bool)>> {
    let sql = concat!(
        "SELECT ",
        request_columns!(),
        " FROM request WHERE (sender, receiver) > ($1, $2) AND side = 0 AND state = 0
         ORDER BY sender, receiver LIMIT $3"
    );
    let sent = session.query(call!(sql, sender.to_owned(), receiver.to_owned(), int(limit as u64))).await?;
    let sent: Vec<Request> = sent.iter().map(request).collect::<PgResult<_>>()?;
    let keys: Vec<_> = sent.iter().map(|sent| (sent.sender.clone(), sent.receiver.clone())).collect();
    let copies = session.query(requests_between(&keys)).await?;
    let copies: Vec<Request> = copies.iter().map(request).collect::<PgResult<_>>()?;
    let mut theirs: std::collections::HashMap<_, _> = copies
        .into_iter()
        .filter(|copy| copy.side == RequestSide::Receiver)
        .map(|copy| ((copy.sender.clone(), copy.receiver.clone()), copy))
        .collect();
    let newer = |sent: Request| {
        let theirs = theirs.remove(&(sent.sender.clone(), sent.receiver.clone()));
        let theirs = theirs.filter(|theirs| theirs.version >= sent.version);
        let hidden = theirs.is_none();
        (theirs.filter(|theirs| theirs.version > sent.version).unwrap_or(sent), hidden)
    };
    Ok(sent.into_iter().map(newer).collect())
}

/// Puts edges, each once.
pub(in crate::store::postgres) fn put_edges(edges: &[Edge]) -> Call {
    let numbers = |of: fn(&Edge) -> u64| edges.iter().map(|edge| int(of(edge))).collect::<Vec<_>>();
    let sql = concat!(
        "INSERT INTO edge (",
        edge_columns!(),
        ") SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::bytea[], $6::bigint[],
                                $7::bigint[], $8::bigint[])
         ON CONFLICT (owner, peer) DO UPDATE SET
             removed = excluded.removed, alias = excluded.alias, custom = excluded.custom,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version"
    );
    call!(
        sql,
        names(edges.iter().map(|edge| &edge.owner)),
        names(edges.iter().map(|edge| &edge.peer)),
        edges.iter().map(|edge| edge.removed).collect::<Vec<_>>(),
        edges.iter().map(|edge| edge.alias.to_string()).collect::<Vec<_>>(),
        edges.iter().map(|edge| edge.custom.as_bytes().to_vec()).collect::<Vec<_>>(),
        numbers(|edge| edge.create_time),
        numbers(|edge| edge.update_time),
        numbers(|edge| edge.version),
    )
}

/// Puts copies of requests, each once.
pub(in crate::store::postgres) fn put_requests(requests: &[Request]) -> Call {
    let numbers = |of: fn(&Request) -> u64| requests.iter().map(|request| int(of(request))).collect::<Vec<_>>();
    let sql = concat!(
        "INSERT INTO request (",
        request_columns!(),
        ") SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::smallint[], $6::bigint[],
                                $7::bigint[], $8::bigint[])
         ON CONFLICT (sender, receiver, side) DO UPDATE SET
             message = excluded.message, state = excluded.state,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version"
    );
    call!(
        sql,
        names(requests.iter().map(|request| &request.sender)),
        names(requests.iter().map(|request| &request.receiver)),
        requests.iter().map(|request| side_number(request.side)).collect::<Vec<_>>(),
        requests.iter().map(|request| request.message.as_bytes().to_vec()).collect::<Vec<_>>(),
        requests.iter().map(|request| state_number(request.state)).collect::<Vec<_>>(),
        numbers(|request| request.create_time),
        numbers(|request| request.update_time),
        numbers(|request| request.version),
    )
}

/// Puts blocks, each once.
pub(in crate::store::postgres) fn put_blocks(blocks: &[Block]) -> Call {
    let numbers = |of: fn(&Block) -> u64| blocks.iter().map(|block| int(of(block))).collect::<Vec<_>>();
    let sql = concat!(
        "INSERT INTO block (",
        block_columns!(),
        ") SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[],
               $7::bigint[], $8::smallint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
         ON CONFLICT (owner, peer) DO UPDATE SET
             removed = excluded.removed, last_seen = excluded.last_seen,
             create_time = excluded.create_time, update_time = excluded.update_time, version = excluded.version,
             shown = excluded.shown,
             friends_version = excluded.friends_version, friends_time = excluded.friends_time,
             everyone_version = excluded.everyone_version, everyone_time = excluded.everyone_time"
    );
    call!(
        sql,
        names(blocks.iter().map(|block| &block.owner)),
        names(blocks.iter().map(|block| &block.peer)),
        blocks.iter().map(|block| block.removed).collect::<Vec<_>>(),
        numbers(|block| block.presence.map_or(0, |seen| seen.last_seen)),
        numbers(|block| block.create_time),
        numbers(|block| block.update_time),
        numbers(|block| block.version),
        blocks.iter().map(|block| shown_number(block.presence)).collect::<Vec<_>>(),
        numbers(|block| block.views.map_or(0, |views| views.friends.version)),
        numbers(|block| block.views.map_or(0, |views| views.friends.time)),
        numbers(|block| block.views.map_or(0, |views| views.everyone.version)),
        numbers(|block| block.views.map_or(0, |views| views.everyone.time)),
    )
}

/// Stores what the peers of blocks now see of their owners' presence.
pub(in crate::store::postgres) fn put_seen(seen: &[PresenceRow]) -> Option<Call> {
    // A statement may touch a row once: the last one wins.
    let mut last = std::collections::BTreeMap::new();
    for row in seen {
        if let Some(peer) = &row.peer {
            last.insert((row.account.clone(), peer.clone()), row.seen);
        }
    }
    if last.is_empty() {
        return None;
    }
    let (owners, peers) = pairs(last.keys());
    let sql = "UPDATE block SET shown = s, last_seen = t
               FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bigint[]) AS given (o, p, s, t)
               WHERE owner = o AND peer = p AND (removed OR s <> 0)";
    let shown: Vec<i16> = last.values().map(|seen| shown_number(*seen)).collect();
    let times: Vec<i64> = last.values().map(|seen| int(seen.map_or(0, |seen| seen.last_seen))).collect();
    Some(call!(sql, owners, peers, shown, times))
}

/// Reads all blocks of owners that decide what somebody sees.
pub(super) fn deciding_blocks(owners: &[Account]) -> Call {
    let sql = concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ANY($1) AND (NOT removed OR shown <> 0 OR friends_version <> 0)
         ORDER BY owner, peer"
    );
    call!(sql, names(owners))
}

/// Reads those of `viewer`.
pub(super) fn seen_blocks(owners: &[Account], viewer: &Account) -> Call {
    let sql = concat!(
        "SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ANY($1) AND peer = $2 AND (NOT removed OR shown <> 0 OR friends_version <> 0)"
    );
    call!(sql, names(owners), viewer.to_string())
}

/// Reads those of owners with at most `few` live ones; of others that of `viewer` and those shown online. Those that ended
/// come in any case.
pub(super) fn followed_blocks(owners: &[Account], viewer: &Account, few: usize) -> Call {
    let sql = concat!(
        "WITH kept AS (SELECT account, blocks FROM relation_count WHERE account = ANY($1) AND blocks > 0)
         SELECT ",
        block_columns!(),
        " FROM block WHERE owner IN (SELECT account FROM kept WHERE blocks <= $3) AND NOT removed
         UNION ALL SELECT ",
        block_columns!(),
        " FROM block WHERE owner IN (SELECT account FROM kept WHERE blocks > $3) AND peer = $2 AND NOT removed
         UNION ALL SELECT ",
        block_columns!(),
        " FROM block WHERE owner IN (SELECT account FROM kept WHERE blocks > $3)
             AND shown = 2 AND peer <> $2 AND NOT removed
         UNION ALL SELECT ",
        block_columns!(),
        " FROM block WHERE owner = ANY($1) AND removed AND (shown <> 0 OR friends_version <> 0)
         ORDER BY owner, peer"
    );
    call!(sql, names(owners), viewer.to_string(), int(few as u64))
}

/// Reads all blocks, ended ones included, whose peer has a view of its own and sees the owner online.
pub(super) fn shown_blocks() -> Call {
    call!(concat!("SELECT ", block_columns!(), " FROM block WHERE shown = 2 ORDER BY owner, peer"))
}

/// Erases the messages and the frozen profiles of deleted accounts.
pub(in crate::store::postgres) fn forget(accounts: &[Account]) -> [Call; 4] {
    [
        call!("DELETE FROM frozen WHERE viewer = ANY($1)", names(accounts)),
        call!("DELETE FROM frozen WHERE account = ANY($1)", names(accounts)),
        call!("UPDATE request SET message = '' WHERE sender = ANY($1)", names(accounts)),
        call!("UPDATE request SET message = '' WHERE receiver = ANY($1)", names(accounts)),
    ]
}

/// Reads an edge.
pub(in crate::store::postgres) fn edge(record: &Record) -> PgResult<Edge> {
    Ok(Edge {
        owner: account(record, 0)?,
        peer: account(record, 1)?,
        removed: value(record, 2)?,
        alias: plain(record, 3)?,
        custom: text(record, 4)?,
        create_time: number(record, 5)?,
        update_time: number(record, 6)?,
        version: number(record, 7)?,
    })
}

/// Reads a copy of a request.
pub(in crate::store::postgres) fn request(record: &impl RowColumns) -> PgResult<Request> {
    Ok(Request {
        sender: account(record, 0)?,
        receiver: account(record, 1)?,
        side: meaning(record, 2, columns::side)?,
        message: text(record, 3)?,
        state: meaning(record, 4, columns::state)?,
        create_time: number(record, 5)?,
        update_time: number(record, 6)?,
        version: number(record, 7)?,
    })
}

/// Reads a block.
pub(in crate::store::postgres) fn block(record: &impl RowColumns) -> PgResult<Block> {
    let last_seen = number(record, 3)?;
    let friends = LastChange { version: number(record, 8)?, time: number(record, 9)? };
    let everyone = LastChange { version: number(record, 10)?, time: number(record, 11)? };
    Ok(Block {
        owner: account(record, 0)?,
        peer: account(record, 1)?,
        removed: value(record, 2)?,
        presence: meaning(record, 7, |number| columns::shown(number, last_seen).ok())?,
        views: (friends.version != 0).then_some(SeenChanges { friends, everyone }),
        create_time: number(record, 4)?,
        update_time: number(record, 5)?,
        version: number(record, 6)?,
    })
}
