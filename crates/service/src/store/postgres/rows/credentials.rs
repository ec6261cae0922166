//! Credentials and counts of relations: what is kept of an account besides its profile.

use tokio_postgres::Row as Record;

use super::values::{RowColumns, account, int, names, number, value};
use crate::store::postgres::pg_error::{PgError, PgResult};
use crate::store::postgres::session::{Call, PgSession, call};
use rosterd_engine::model::{Account, Credential, StaticToken, TokenHash};
use rosterd_engine::sync::decide::RelationCounts;

/// Reads the credentials of accounts that have one; [`credential`] takes each.
pub(in crate::store::postgres) fn credentials<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Call {
    let sql = "SELECT revoked_before, salt, hash, issued, account FROM credential WHERE account = ANY($1)";
    call!(sql, names(accounts))
}

/// Reads the credentials after an account, in order of the account.
pub(super) async fn credentials_after(
    session: &PgSession,
    after: &str,
    limit: usize,
) -> PgResult<Vec<(Account, Credential)>> {
    let sql = "SELECT revoked_before, salt, hash, issued, account FROM credential WHERE account > $1
               ORDER BY account LIMIT $2";
    let found = session.query(call!(sql, after.to_owned(), int(limit as u64))).await?;
    found.iter().map(credential).collect()
}

/// Reads a credential and its account.
pub(in crate::store::postgres) fn credential(record: &impl RowColumns) -> PgResult<(Account, Credential)> {
    let (salt, hash): (Option<Vec<u8>>, Option<Vec<u8>>) = (value(record, 1)?, value(record, 2)?);
    let damaged = || PgError::Damaged("a token's hash has a wrong length".into());
    let token = match (salt, hash) {
        (Some(salt), Some(hash)) => {
            let (salt, hash) = (salt.try_into().map_err(|_| damaged())?, hash.try_into().map_err(|_| damaged())?);
            Some(StaticToken { hash: TokenHash { salt, hash }, issued: number(record, 3)? })
        }
        _ => None,
    };
    Ok((account(record, 4)?, Credential { revoked_before: number(record, 0)?, token }))
}

/// Stores credentials, each account once.
pub(in crate::store::postgres) fn put(credentials: &[(Account, Credential)]) -> Call {
    let hash = |credential: &Credential| credential.token.as_ref().map(|token| token.hash);
    let salts = credentials.iter().map(|(_, it)| hash(it).map(|hash| hash.salt.to_vec())).collect::<Vec<_>>();
    let hashes = credentials.iter().map(|(_, it)| hash(it).map(|hash| hash.hash.to_vec())).collect::<Vec<_>>();
    let issued = credentials.iter().map(|(_, it)| int(it.token.as_ref().map_or(0, |token| token.issued)));
    call!(
        "INSERT INTO credential (account, revoked_before, salt, hash, issued)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[])
         ON CONFLICT (account) DO UPDATE SET revoked_before = excluded.revoked_before, salt = excluded.salt,
             hash = excluded.hash, issued = excluded.issued",
        names(credentials.iter().map(|(account, _)| account)),
        credentials.iter().map(|(_, credential)| int(credential.revoked_before)).collect::<Vec<_>>(),
        salts,
        hashes,
        issued.collect::<Vec<_>>(),
    )
}

/// Removes credentials: an empty one has no row.
pub(in crate::store::postgres) fn remove(accounts: &[Account]) -> Call {
    call!("DELETE FROM credential WHERE account = ANY($1)", names(accounts))
}

/// Reads the counts of accounts that have any; [`count`] takes each.
pub(in crate::store::postgres) fn counts(accounts: &[Account]) -> Call {
    let sql = "SELECT account, friends, sent, received, blocks FROM relation_count WHERE account = ANY($1)";
    call!(sql, names(accounts))
}

/// Reads the counts of an account.
pub(in crate::store::postgres) fn count(record: &Record) -> PgResult<(Account, RelationCounts)> {
    let counts = RelationCounts {
        friends: number(record, 1)?,
        sent: number(record, 2)?,
        received: number(record, 3)?,
        blocks: number(record, 4)?,
    };
    Ok((account(record, 0)?, counts))
}
