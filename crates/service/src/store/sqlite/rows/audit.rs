//! The audit log's rows.

use rusqlite::{Connection, Result, Row as Record, params, params_from_iter};

use super::values::{int, number};
use crate::store::{AuditEntry, AuditQuery, AuditRow, erased_subject};
use rosterd_engine::model::{Account, Millis};

/// The most rows that are dropped in a transaction, so that no write waits long behind it.
const AT_A_TIME: u64 = 1000;

/// Appends an entry.
pub(in crate::store::sqlite) fn append(conn: &Connection, entry: &AuditEntry) -> Result<()> {
    let AuditEntry { time, caller, action, subject, detail } = entry;
    let sql = "INSERT INTO audit (time, caller, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
    conn.prepare_cached(sql)?.execute(params![int(*time), &**caller, action, subject.as_str(), detail]).map(drop)
}

/// Reads entries.
pub(in crate::store::sqlite) fn page(conn: &Connection, query: &AuditQuery) -> Result<Vec<AuditRow>> {
    let AuditQuery { newest_first, limit, caller, subject, .. } = query;
    let (above, below) = query.between();
    let columns = "number, time, caller, action, subject, detail";
    let mut sql = format!("SELECT {columns} FROM audit WHERE number > ? AND number < ?");
    let mut values = vec![rusqlite::types::Value::from(int(above)), int(below).into()];
    if let Some(caller) = caller {
        sql.push_str(" AND caller = ?");
        values.push(caller.clone().into());
    }
    if let Some(subject) = subject {
        sql.push_str(" AND subject IN (?, ?)");
        values.extend([subject.to_string().into(), hashed(conn, subject)?.into()]);
    }
    sql.push_str(if *newest_first { " ORDER BY number DESC LIMIT ?" } else { " ORDER BY number LIMIT ?" });
    values.push(int(*limit as u64).into());
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(params_from_iter(values), row)?;
    rows.collect()
}

fn row(record: &Record<'_>) -> Result<AuditRow> {
    Ok(AuditRow {
        number: number(record, 0)?,
        time: number(record, 1)?,
        caller: record.get(2)?,
        action: record.get(3)?,
        subject: record.get(4)?,
        detail: record.get(5)?,
    })
}

/// Drops the oldest entries that are older than `before`, or more than `most`, and returns whether there were any.
pub(in crate::store::sqlite) fn prune(conn: &Connection, before: Millis, most: u64) -> Result<bool> {
    // Entries are dropped from the oldest on, so the numbers in between have no gaps.
    let newest = "SELECT coalesce(max(number), 0) FROM audit";
    let newest = conn.prepare_cached(newest)?.query_row([], |record| number(record, 0))?;
    let mut last = None;
    {
        let mut select = conn.prepare_cached("SELECT number, time FROM audit ORDER BY number LIMIT ?1")?;
        let mut rows = select.query([int(AT_A_TIME)])?;
        while let Some(record) = rows.next()? {
            let (number, time) = (number(record, 0)?, number(record, 1)?);
            if time >= before && newest.saturating_sub(number) < most {
                break;
            }
            last = Some(number);
        }
    }
    if let Some(last) = last {
        conn.prepare_cached("DELETE FROM audit WHERE number <= ?1")?.execute([int(last)])?;
    }
    Ok(last.is_some())
}

/// Takes the name of an account out of all entries.
pub(super) fn erase(conn: &Connection, account: &Account) -> Result<()> {
    let mut update = conn.prepare_cached("UPDATE audit SET subject = ?2 WHERE subject = ?1")?;
    update.execute([account.as_str(), &hashed(conn, account)?]).map(drop)
}

fn hashed(conn: &Connection, account: &Account) -> Result<String> {
    let salt: Vec<u8> = conn.prepare_cached("SELECT audit_salt FROM meta")?.query_row([], |record| record.get(0))?;
    Ok(erased_subject(&salt, account))
}
