//! The rules about who sees and who writes what, in the row of facts.

use super::values::{number, value};
use crate::store::StoredRules;
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{PgSession, call};
use rosterd_engine::model::Visibility;

/// Reads the rules.
pub(in crate::store::postgres) async fn stored(session: &PgSession) -> PgResult<StoredRules> {
    let sql = "SELECT rules, rules_since, visibility, coalesce(own_fields, ''), coalesce(write_rights, '') FROM meta";
    let found = session.row(call!(sql)).await?;
    Ok(StoredRules {
        number: value(&found, 0)?,
        since: number(&found, 1)?,
        visibility: value(&found, 2)?,
        own_fields: value(&found, 3)?,
        write: value(&found, 4)?,
    })
}

/// Keeps who sees what. Returns the number of the rules, which is another if anything of them is.
pub(in crate::store::postgres) async fn keep(session: &PgSession, rules: &Visibility) -> PgResult<i64> {
    let stored: String = value(&session.row(call!("SELECT visibility FROM meta")).await?, 0)?;
    let sql =
        "UPDATE meta SET rules = rules + CASE WHEN visibility = $1 THEN 0 ELSE 1 END, visibility = $1 RETURNING rules";
    value(&session.row(call!(sql, rules.to_text(&stored))).await?, 0)
}

/// Keeps rules in the place of others. Returns their number, which is another if anything of them is.
pub(in crate::store::postgres) async fn replace(session: &PgSession, rules: &StoredRules) -> PgResult<i64> {
    let sql = "UPDATE meta SET rules = rules + 1, rules_since = $1, visibility = $2, own_fields = $3, write_rights = $4
               WHERE visibility <> $2 OR own_fields IS DISTINCT FROM $3 OR write_rights IS DISTINCT FROM $4";
    let StoredRules { since, visibility, own_fields, write, .. } = rules.clone();
    session.query(call!(sql, super::values::int(since), visibility, own_fields, write)).await?;
    value(&session.row(call!("SELECT rules FROM meta")).await?, 0)
}
