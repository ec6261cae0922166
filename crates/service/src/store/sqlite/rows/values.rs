//! Reads and writes single values of rows.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row as Record};

use rosterd_engine::model::Account;

/// Reads text that is stored as bytes.
pub(in crate::store::sqlite) fn text(record: &Record<'_>, column: usize) -> Result<Box<str>> {
    let bytes = record.get_ref(column)?.as_blob()?;
    let text = std::str::from_utf8(bytes);
    text.map(Box::from).map_err(|e| Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))
}

/// Reads an account.
pub(in crate::store::sqlite) fn account(record: &Record<'_>, column: usize) -> Result<Account> {
    let text = record.get_ref(column)?.as_str()?;
    let too_long = || Error::FromSqlConversionFailure(column, Type::Text, "it is too long for an account".into());
    Account::stored(text).ok_or_else(too_long)
}

/// Reads a revision or a time. None is ever written as a negative number.
pub(in crate::store::sqlite) fn number(record: &Record<'_>, column: usize) -> Result<u64> {
    let value: i64 = record.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// Converts a number for `SQLite`, whose integers end at 2^63 - 1.
///
/// Values of rows stay far below that. A bound of a query may be larger, and means the same when it is cut off.
pub(in crate::store::sqlite) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
