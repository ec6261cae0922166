//! Reads and writes single values of rows.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row as Record};

use rosterd_engine::model::Account;

/// Text that is held as bytes.
pub(in crate::store::sqlite) fn text(record: &Record<'_>, column: usize) -> Result<Box<str>> {
    let bytes = record.get_ref(column)?.as_blob()?;
    let text = std::str::from_utf8(bytes);
    text.map(Box::from).map_err(|e| Error::FromSqlConversionFailure(column, Type::Blob, Box::new(e)))
}

pub(in crate::store::sqlite) fn account(record: &Record<'_>, column: usize) -> Result<Account> {
    let text = record.get_ref(column)?.as_str()?;
    let too_long = || Error::FromSqlConversionFailure(column, Type::Text, "it is too long for an account".into());
    Account::stored(text).ok_or_else(too_long)
}

/// A revision or a time of a row; none is written negative.
pub(in crate::store::sqlite) fn number(record: &Record<'_>, column: usize) -> Result<u64> {
    let value: i64 = record.get(column)?;
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(column, value))
}

/// `SQLite`'s integers end at 2^63 - 1. Rows stay far below; a bound asked for may be anything, and means the same.
pub(in crate::store::sqlite) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
