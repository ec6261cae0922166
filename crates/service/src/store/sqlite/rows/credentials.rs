//! Credentials: the static token of an account, and the time of its last revocation.

use rusqlite::{Connection, OptionalExtension, Result, Row as Record, params};

use super::values::{account, int, number};
use rosterd_engine::model::{Account, Credential, StaticToken, TokenHash};

pub(in crate::store::sqlite) fn credential(conn: &Connection, account: &Account) -> Result<Credential> {
    let mut select =
        conn.prepare_cached("SELECT revoked_before, salt, hash, issued FROM credential WHERE account = ?1")?;
    Ok(select.query_row([account.as_str()], record).optional()?.unwrap_or_default())
}

/// Reads the credentials after an account, in order of the account.
pub(super) fn credentials_after(conn: &Connection, after: &str, limit: usize) -> Result<Vec<(Account, Credential)>> {
    let sql = "SELECT revoked_before, salt, hash, issued, account FROM credential WHERE account > ?1
               ORDER BY account LIMIT ?2";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map(params![after, int(limit as u64)], |found| Ok((account(found, 4)?, record(found)?)))?;
    rows.collect()
}

/// Stores a credential; an empty one has no row.
pub(super) fn put(conn: &Connection, account: &Account, credential: &Credential) -> Result<()> {
    if *credential == Credential::default() {
        let mut delete = conn.prepare_cached("DELETE FROM credential WHERE account = ?1")?;
        return delete.execute([account.as_str()]).map(drop);
    }
    let Credential { revoked_before, token } = credential;
    let hash = token.as_ref().map(|token| token.hash);
    let (salt, issued) = (hash.map(|hash| hash.salt), token.as_ref().map_or(0, |token| token.issued));
    conn.prepare_cached(
        "INSERT OR REPLACE INTO credential (account, revoked_before, salt, hash, issued) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![account.as_str(), int(*revoked_before), salt, hash.map(|hash| hash.hash), int(issued)])
    .map(drop)
}

fn record(record: &Record<'_>) -> Result<Credential> {
    let token = match (record.get(1)?, record.get(2)?) {
        (Some(salt), Some(hash)) => Some(StaticToken { hash: TokenHash { salt, hash }, issued: number(record, 3)? }),
        _ => None,
    };
    Ok(Credential { revoked_before: number(record, 0)?, token })
}
