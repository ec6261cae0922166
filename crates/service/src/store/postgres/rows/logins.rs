//! What logins read.

use std::sync::LazyLock;

use tokio_postgres::Row as Record;

use super::friend_lists::{AskedRows, arrays, edges_of, listed_edges};
use super::relations::{self, blocks_of, requests_of};
use super::users::{SINGLE, UsersFound};
use super::values::{InnerRow, RowColumns, int, value};
use super::{credentials, extent_of};
use crate::store::LoginRows;
use crate::store::postgres::pg_error::{PgError, PgResult};
use crate::store::postgres::session::{Call, call};

/// What a login asks for.
#[derive(Debug, Clone)]
pub(in crate::store::postgres) struct AskedLogin {
    pub rows: AskedRows,
    /// The most rows of a kind.
    pub limit: usize,
    /// With how many blocks the account itself is read, if it is.
    pub few: Option<usize>,
}

/// Reads what each of these logins needs, in a row of its own: the extent of the history, friends, the credential, requests,
/// blocks, and the account itself if that is asked for. It is one statement, and so all of one snapshot: a transaction of
/// several costs a login more than what they find. All of them come with what their clients have, or none,
/// and have one limit.
pub(in crate::store::postgres) fn logins(asked: &[AskedLogin]) -> Call {
    static SQL: LazyLock<[String; 2]> = LazyLock::new(|| {
        [false, true].map(|are_whole| {
            format!(
                "SELECT {}, number, (SELECT ROW(revoked_before, salt, hash, issued, account) FROM credential WHERE account = me),
                    ARRAY({}), ARRAY({}), (SELECT ROW({}) FROM users WHERE account = me AND is_wanted), edges.*
                 FROM meta, unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[])
                     WITH ORDINALITY AS asked (me, done, since, is_wanted, number), LATERAL {} AS edges",
                extent_columns!(),
                requests_of(),
                blocks_of("$5"),
                *SINGLE,
                edges_of(are_whole, "$5")
            )
        })
    });
    let (owners, after, since) = arrays(asked.iter().map(|asked| &asked.rows));
    let wanted: Vec<bool> = asked.iter().map(|asked| asked.few.is_some()).collect();
    let are_whole = asked.first().is_some_and(|asked| asked.rows.since.is_none());
    let limit = asked.first().map_or(0, |asked| asked.limit);
    call!(SQL[usize::from(are_whole)].as_str(), owners, after, since, wanted, int(limit as u64))
}

/// Reads the result of [`logins`]. Of the accounts themselves those that block somebody are only named.
pub(in crate::store::postgres) fn login_rows(
    asked: &[AskedLogin],
    records: &[Record],
) -> PgResult<(Vec<LoginRows>, UsersFound)> {
    if records.len() != asked.len() {
        return Err(PgError::Damaged("there is no row in meta, or more than one".into()));
    }
    let (mut all, mut users) = (vec![LoginRows::default(); asked.len()], UsersFound::default());
    for record in records {
        let place = usize::try_from(value::<i64>(record, 3)?).unwrap_or_default().wrapping_sub(1);
        let (Some(asked), Some(rows)) = (asked.get(place), all.get_mut(place)) else {
            return Err(PgError::Damaged("the database gives rows that were not asked for".into()));
        };
        (rows.lineage, rows.head) = extent_of(record)?;
        rows.edges = listed_edges(&asked.rows, record, 8)?;
        if let Some(credential) = record.read::<Option<InnerRow<'_>>>(4)? {
            rows.credential = credentials::credential(&credential)?.1;
        }
        rows.requests = relations::request_list(record, 5)?;
        rows.blocks = relations::block_list(record, 6)?;
        if let Some(user) = record.read::<Option<InnerRow<'_>>>(7)? {
            users.take(&user)?;
        }
    }
    Ok((all, users))
}
