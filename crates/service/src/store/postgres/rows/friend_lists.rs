//! Pages of friend lists, of several accounts at a time.

use tokio_postgres::Row as Record;

use super::values::{account, int, names, number, plain, text, value};
use crate::store::postgres::pg_error::{PgError, PgResult};
use crate::store::postgres::session::{Call, call};
use rosterd_engine::model::{Account, Edge, ListedEdge, Revision};

/// Of whose rows the next are read, and what of them the reader has already.
#[derive(Debug, Clone)]
pub(in crate::store::postgres) struct AskedRows {
    pub owner: Account,
    /// The last account that was read.
    pub after: Option<Account>,
    pub since: Option<Revision>,
}

/// Converts what is asked for arrays: owners, accounts that were read last, and the revisions later than which tombstones
/// are read.
pub(super) fn arrays(asked: &[AskedRows]) -> (Vec<String>, Vec<String>, Vec<i64>) {
    let owners = names(asked.iter().map(|asked| &asked.owner));
    // No account is empty, so the empty text sorts before all. No tombstone is later than the largest number.
    let after = asked.iter().map(|asked| asked.after.as_ref().map_or("", Account::as_str).to_owned());
    (owners, after.collect(), asked.iter().map(|asked| asked.since.map_or(i64::MAX, int)).collect())
}

/// Reads the next edges of some owners: live ones, and tombstones later than `since`. Those up to `since` come without
/// anything but their version. [`listed_edges`] takes them.
///
/// Logins read more of these rows than of all others: so they come without an order of their own, and with the number of the
/// owner among those that are asked for instead of the name.
pub(in crate::store::postgres) fn listed(asked: &[AskedRows], limit: usize) -> Call {
    let sql = "SELECT number, edges.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                 WITH ORDINALITY AS asked (me, done, since, had, number),
                 LATERAL (SELECT peer, version, removed,
                                 CASE WHEN version > had THEN alias END, CASE WHEN version > had THEN custom END,
                                 CASE WHEN version > had THEN create_time END, CASE WHEN version > had THEN update_time END
                          FROM edge WHERE owner = me AND peer > done AND (NOT removed OR version > since)
                          ORDER BY peer LIMIT $5) AS edges";
    let (owners, after, since) = arrays(asked);
    let had: Vec<_> = asked.iter().map(|asked| asked.since.map_or(-1, int)).collect();
    call!(sql, owners, after, since, had, int(limit as u64))
}

/// Reads the result of [`listed`]: the edges of each that was asked for, in order of the peer.
pub(in crate::store::postgres) fn listed_edges(
    asked: &[AskedRows],
    records: &[Record],
) -> PgResult<Vec<Vec<ListedEdge>>> {
    let mut all = vec![Vec::new(); asked.len()];
    for record in records {
        let place = usize::try_from(number(record, 0)?).unwrap_or_default().wrapping_sub(1);
        let (Some(asked), Some(edges)) = (asked.get(place), all.get_mut(place)) else {
            return Err(PgError::Damaged("the database gives rows that were not asked for".into()));
        };
        edges.push(listed_edge(record, asked)?);
    }
    for edges in &mut all {
        edges.sort_by(|one: &ListedEdge, other| one.peer.cmp(&other.peer));
    }
    Ok(all)
}

fn listed_edge(record: &Record, asked: &AskedRows) -> PgResult<ListedEdge> {
    let (peer, version) = (account(record, 1)?, number(record, 2)?);
    if asked.since.is_some_and(|since| version <= since) {
        return Ok(ListedEdge { peer, removed: false, version, edge: None });
    }
    Ok(ListedEdge::from(Edge {
        owner: asked.owner.clone(),
        peer,
        removed: value(record, 3)?,
        alias: plain(record, 4)?,
        custom: text(record, 5)?,
        create_time: number(record, 6)?,
        update_time: number(record, 7)?,
        version,
    }))
}
