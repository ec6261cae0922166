//! Pages of friend lists, of several accounts at a time.

use std::sync::LazyLock;

use tokio_postgres::Row as Record;
use tokio_postgres::types::FromSql;

use super::extent_of;
use super::values::{InnerRow, InnerRows, RowColumns, int, names, number, plain, text, value};
use crate::store::postgres::pg_error::{PgError, PgResult};
use crate::store::postgres::session::{Call, call};
use rosterd_engine::model::{Account, Edge, Lineage, ListedEdge, Revision};

/// Of whose rows the next are read, and what of them the reader has already.
#[derive(Debug, Clone)]
pub(in crate::store::postgres) struct AskedRows {
    pub owner: Account,
    /// The last account that was read.
    pub after: Option<Account>,
    pub since: Option<Revision>,
}

/// Converts what is asked for arrays: owners, accounts that were read last, and the revisions that the readers have.
pub(super) fn arrays<'a>(asked: impl Iterator<Item = &'a AskedRows> + Clone) -> (Vec<String>, Vec<String>, Vec<i64>) {
    (
        names(asked.clone().map(|asked| &asked.owner)),
        asked.clone().map(|asked| asked.done().to_owned()).collect(),
        asked.map(AskedRows::since).collect(),
    )
}

impl AskedRows {
    /// The last account that was read. No account is empty, so the empty text sorts before all.
    pub(super) fn done(&self) -> &str {
        self.after.as_ref().map_or("", Account::as_str)
    }

    /// The revision later than which tombstones are read. None is later than the largest number.
    pub(super) fn since(&self) -> i64 {
        self.since.map_or(i64::MAX, int)
    }
}

/// Selects the next edges of `me` after `done`, in one row: live ones, and tombstones later than `since`. Those up to `since`
/// come without anything but their peer and version, unless all of them are wanted whole, and so no tombstone.
/// [`listed_edges`] takes the row.
///
/// Logins read more of these than of all other rows, and a row for each edge costs more than what is in it. So does a record
/// within a value, but of those there are few: what is new to a reader.
pub(super) fn edges_of(are_whole: bool, limit: &str) -> String {
    let rest = if are_whole {
        "array_agg(alias), array_agg(custom), array_agg(create_time), array_agg(update_time)"
    } else {
        "array_agg(ROW(removed, alias, custom, create_time, update_time)) FILTER (WHERE version > since)"
    };
    // No account has a space.
    format!(
        "(SELECT string_agg(peer, ' '), array_agg(version), {rest}
          FROM (SELECT peer, version, removed, alias, custom, create_time, update_time FROM edge
                WHERE owner = me AND peer > done AND (NOT removed OR version > since) ORDER BY peer LIMIT {limit}) AS page)"
    )
}

/// Reads the next edges of an owner; [`listed_page`] takes them.
pub(in crate::store::postgres) fn listed(asked: &AskedRows, limit: usize) -> Call {
    static SQL: LazyLock<[String; 2]> = LazyLock::new(|| {
        [false, true].map(|are_whole| {
            format!(
                "SELECT {}, edges.* FROM meta, (VALUES ($1::text, $2::text, $3::bigint)) AS asked (me, done, since),
                    LATERAL {} AS edges",
                extent_columns!(),
                edges_of(are_whole, "$4")
            )
        })
    });
    let sql = SQL[usize::from(asked.since.is_none())].as_str();
    call!(sql, asked.owner.to_string(), asked.done().to_owned(), asked.since(), int(limit as u64))
}

/// Reads the result of [`listed`], and how far the history went then.
pub(in crate::store::postgres) fn listed_page(
    asked: &AskedRows,
    record: &Record,
) -> PgResult<(Vec<ListedEdge>, Lineage, Revision)> {
    let (lineage, head) = extent_of(record)?;
    Ok((listed_edges(asked, record, 3)?, lineage, head))
}

/// Reads the columns of [`edges_of`], which begin at `first`.
pub(super) fn listed_edges(asked: &AskedRows, record: &Record, first: usize) -> PgResult<Vec<ListedEdge>> {
    let (peers, versions): (Option<&str>, Vec<i64>) = (record.read(first)?, list(record, first + 1)?);
    let peers = peers.iter().flat_map(|peers| peers.split(' ')).zip(versions);
    let mut edges = Vec::with_capacity(peers.size_hint().0);
    let mut contents = contents(asked, record, first + 2)?.into_iter();
    for (peer, version) in peers {
        let peer = Account::stored(peer).ok_or_else(|| damaged("the name of a friend is too long for an account"))?;
        let version = u64::try_from(version).map_err(|_| damaged("the version of an edge is negative"))?;
        edges.push(if asked.since.is_some_and(|since| version <= since) {
            ListedEdge { peer, removed: false, version, edge: None }
        } else {
            let content = contents.next().ok_or_else(|| damaged("an edge has no content"))?;
            let EdgeContent { removed, alias, custom, create_time, update_time } = content;
            Edge { owner: asked.owner.clone(), peer, removed, alias, custom, create_time, update_time, version }.into()
        });
    }
    // They came in this order, unless the server aggregates otherwise one day.
    edges.sort_by(|one: &ListedEdge, other| one.peer.cmp(&other.peer));
    Ok(edges)
}

/// What is in an edge besides its peer and version.
struct EdgeContent {
    removed: bool,
    alias: Box<str>,
    custom: Box<str>,
    create_time: u64,
    update_time: u64,
}

/// Reads the content of those edges that come with it, in their order.
fn contents(asked: &AskedRows, record: &Record, first: usize) -> PgResult<Vec<EdgeContent>> {
    if asked.since.is_some() {
        let rows: Option<InnerRows<'_>> = record.read(first)?;
        let content = |row: &InnerRow<'_>| {
            Ok(EdgeContent {
                removed: value(row, 0)?,
                alias: plain(row, 1)?,
                custom: text(row, 2)?,
                create_time: number(row, 3)?,
                update_time: number(row, 4)?,
            })
        };
        return rows.iter().flat_map(|rows| &rows.0).map(content).collect();
    }
    let (aliases, customs): (Vec<&str>, Vec<&[u8]>) = (list(record, first)?, list(record, first + 1)?);
    let (created, updated): (Vec<i64>, Vec<i64>) = (list(record, first + 2)?, list(record, first + 3)?);
    let time = |stored: i64| u64::try_from(stored).map_err(|_| damaged("the time of an edge is negative"));
    let content = |(((alias, custom), created), updated): (((&str, &[u8]), i64), i64)| {
        let custom = std::str::from_utf8(custom).map_err(|_| damaged("the custom of an edge is no UTF-8"))?;
        Ok(EdgeContent {
            removed: false,
            alias: alias.into(),
            custom: custom.into(),
            create_time: time(created)?,
            update_time: time(updated)?,
        })
    };
    aliases.into_iter().zip(customs).zip(created).zip(updated).map(content).collect()
}

/// Reads an array, which there is none of without rows.
fn list<'a, T: FromSql<'a>>(record: &'a Record, column: usize) -> PgResult<Vec<T>> {
    Ok(record.read::<Option<Vec<T>>>(column)?.unwrap_or_default())
}

fn damaged(what: &str) -> PgError {
    PgError::Damaged(what.to_owned())
}
