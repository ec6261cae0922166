//! Reads and writes single values of rows.

use std::num::TryFromIntError;

use tokio_postgres::Row as Record;
use tokio_postgres::types::FromSqlOwned;

use crate::store::postgres::pg_error::{PgError, PgResult};
use rosterd_engine::model::{Account, Muted, OwnFields};
use rosterd_protocol::further_fields_from_bytes;

/// Reads a value.
pub(in crate::store::postgres) fn value<T: FromSqlOwned>(record: &Record, column: usize) -> PgResult<T> {
    Ok(record.try_get(column)?)
}

/// Reads text that is stored as bytes.
pub(in crate::store::postgres) fn text(record: &Record, column: usize) -> PgResult<Box<str>> {
    let bytes: &[u8] = record.try_get(column)?;
    std::str::from_utf8(bytes).map(Box::from).map_err(|_| damaged(record, column, "is no UTF-8"))
}

/// Reads text.
pub(in crate::store::postgres) fn plain(record: &Record, column: usize) -> PgResult<Box<str>> {
    Ok(record.try_get::<_, &str>(column)?.into())
}

/// Reads the own fields of a profile, and whom it mutes.
pub(in crate::store::postgres) fn further_fields(record: &Record, column: usize) -> PgResult<(OwnFields, Muted)> {
    let bytes: &[u8] = record.try_get(column)?;
    further_fields_from_bytes(bytes).ok_or_else(|| damaged(record, column, "holds no own fields"))
}

/// Reads an account.
pub(in crate::store::postgres) fn account(record: &Record, column: usize) -> PgResult<Account> {
    let text: &str = record.try_get(column)?;
    Account::stored(text).ok_or_else(|| damaged(record, column, "is too long for an account"))
}

/// Reads a revision or a time. None is ever written as a negative number.
pub(in crate::store::postgres) fn number(record: &Record, column: usize) -> PgResult<u64> {
    let number: i64 = record.try_get(column)?;
    u64::try_from(number).map_err(|_: TryFromIntError| damaged(record, column, "is negative"))
}

/// Reads a small number that stands for something.
pub(in crate::store::postgres) fn meaning<T>(
    record: &Record,
    column: usize,
    meaning: impl FnOnce(i64) -> Option<T>,
) -> PgResult<T> {
    let number: i16 = record.try_get(column)?;
    meaning(number.into()).ok_or_else(|| damaged(record, column, "has a number without a meaning"))
}

fn damaged(record: &Record, column: usize, what: &str) -> PgError {
    let name = record.columns().get(column).map_or("?", |column| column.name());
    PgError::Damaged(format!("the value of a column {name} {what}"))
}

/// Converts a number for a `bigint`, which ends at 2^63 - 1.
///
/// Values of rows stay far below that. A bound of a query may be larger, and means the same when it is cut off.
pub(in crate::store::postgres) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Converts accounts for an array.
pub(in crate::store::postgres) fn names<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Vec<String> {
    accounts.into_iter().map(ToString::to_string).collect()
}

/// Converts pairs of accounts for two arrays.
pub(in crate::store::postgres) fn pairs<'a>(
    pairs: impl IntoIterator<Item = &'a (Account, Account)>,
) -> (Vec<String>, Vec<String>) {
    pairs.into_iter().map(|(one, other)| (one.to_string(), other.to_string())).unzip()
}

/// Returns text for a `text`, which cannot hold U+0000.
pub(in crate::store::postgres) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
