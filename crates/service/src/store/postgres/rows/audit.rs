//! The audit log's rows.

use tokio_postgres::Row as Record;

use super::SNAPSHOT;
use super::values::{int, names, number, value, without_nul};
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{Call, PgSession, call};
use crate::store::{AuditEntry, AuditQuery, AuditRow, erased_subject};
use rosterd_engine::model::{Account, Millis};

/// The most rows that are dropped in a transaction, so that no write waits long behind it.
const AT_A_TIME: u64 = 1000;

/// Appends entries.
pub(in crate::store::postgres) fn append(entries: &[(AuditEntry, String)]) -> Call {
    let texts =
        |of: fn(&AuditEntry) -> &str| entries.iter().map(|(entry, _)| without_nul(of(entry))).collect::<Vec<_>>();
    call!(
        "WITH given AS (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])
                        WITH ORDINALITY AS g (time, caller, action, subject, detail, n)),
              raised AS (UPDATE audit_last SET number = number + (SELECT count(*) FROM given) RETURNING number)
         INSERT INTO audit (number, time, caller, action, subject, detail)
         SELECT raised.number - (SELECT count(*) FROM given) + n, time, caller, action, subject, detail
         FROM given, raised",
        entries.iter().map(|(entry, _)| int(entry.time)).collect::<Vec<_>>(),
        texts(|entry| &entry.caller),
        texts(|entry| entry.action),
        entries.iter().map(|(_, subject)| subject.clone()).collect::<Vec<_>>(),
        texts(|entry| &entry.detail),
    )
}

/// Reads entries.
pub(in crate::store::postgres) async fn page(
    session: &PgSession,
    query: &AuditQuery,
    salt: &[u8],
) -> PgResult<Vec<AuditRow>> {
    let AuditQuery { newest_first, limit, caller, subject, .. } = query;
    if caller.as_ref().is_some_and(|caller| caller.contains('\0')) {
        return Ok(Vec::new());
    }
    let subjects = subject.as_ref().map(|account| vec![account.to_string(), erased_subject(salt, account)]);
    macro_rules! ordered {
        ($order:literal) => {
            concat!(
                "SELECT number, time, caller, action, subject, detail FROM audit
                 WHERE number > $1 AND number < $2 AND ($3::text IS NULL OR caller = $3)
                 AND ($4::text[] IS NULL OR subject = ANY($4))
                 ORDER BY number ",
                $order,
                " LIMIT $5"
            )
        };
    }
    let sql = if *newest_first { ordered!("DESC") } else { ordered!("ASC") };
    let (above, below) = query.between();
    let call = call!(sql, int(above), int(below), caller.clone(), subjects, int(*limit as u64));
    // Which filters are given decides which index serves.
    let by_what_is_given = call!("SET LOCAL plan_cache_mode = force_custom_plan");
    let mut found = session.pipeline(&[call!(SNAPSHOT), by_what_is_given, call, call!("COMMIT")]).await?;
    found.swap_remove(2).iter().map(row).collect()
}

fn row(record: &Record) -> PgResult<AuditRow> {
    Ok(AuditRow {
        number: number(record, 0)?,
        time: number(record, 1)?,
        caller: value(record, 2)?,
        action: value(record, 3)?,
        subject: value(record, 4)?,
        detail: value(record, 5)?,
    })
}

/// Drops the oldest entries that are older than `before`, or more than `most`, and returns whether there were any.
pub(in crate::store::postgres) async fn prune(session: &PgSession, before: Millis, most: u64) -> PgResult<bool> {
    // Entries are dropped from the oldest on, so the numbers in between have no gaps.
    let newest = number(&session.row(call!("SELECT coalesce(max(number), 0) FROM audit")).await?, 0)?;
    let oldest = call!("SELECT number, time FROM audit ORDER BY number LIMIT $1", int(AT_A_TIME));
    let mut last = None;
    for record in session.query(oldest).await? {
        let (number, time) = (number(&record, 0)?, number(&record, 1)?);
        if time >= before && newest.saturating_sub(number) < most {
            break;
        }
        last = Some(number);
    }
    if let Some(last) = last {
        session.query(call!("DELETE FROM audit WHERE number <= $1", int(last))).await?;
    }
    Ok(last.is_some())
}

/// Takes the names of accounts out of all entries.
pub(in crate::store::postgres) fn erase(accounts: &[Account], salt: &[u8]) -> Call {
    let hashes: Vec<String> = accounts.iter().map(|account| erased_subject(salt, account)).collect();
    call!(
        "UPDATE audit SET subject = h FROM unnest($1::text[], $2::text[]) AS given (a, h) WHERE subject = a",
        names(accounts),
        hashes
    )
}
