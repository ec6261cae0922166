//! Reads and writes single values of rows.

use std::error::Error;
use std::num::TryFromIntError;

use tokio_postgres::Row as Record;
use tokio_postgres::types::{FromSql, FromSqlOwned, Type};

use crate::store::postgres::pg_error::{PgError, PgResult};
use rosterd_engine::model::{Account, Muted, OwnFields};
use rosterd_protocol::further_fields_from_bytes;

/// A row of a result, or one within a value.
pub(in crate::store::postgres) trait RowColumns {
    fn read<'a, T: FromSql<'a>>(&'a self, column: usize) -> PgResult<T>;

    /// The name of a column, for people.
    fn name(&self, column: usize) -> String;
}

impl RowColumns for Record {
    fn read<'a, T: FromSql<'a>>(&'a self, column: usize) -> PgResult<T> {
        Ok(self.try_get(column)?)
    }

    fn name(&self, column: usize) -> String {
        self.columns().get(column).map_or("?", |column| column.name()).to_owned()
    }
}

/// A row within a value, as `ROW(…)` makes it.
pub(in crate::store::postgres) struct InnerRow<'a>(Vec<(Type, Option<&'a [u8]>)>);

impl<'a> FromSql<'a> for InnerRow<'a> {
    fn from_sql(_: &Type, mut raw: &'a [u8]) -> Result<Self, BadValue> {
        let mut columns = Vec::new();
        for _ in 0..take_number(&mut raw)? {
            let oid = take_number(&mut raw)?.cast_unsigned();
            let kind = Type::from_oid(oid).ok_or("a column is of an unknown type")?;
            columns.push((kind, take_value(&mut raw)?));
        }
        Ok(Self(columns))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::RECORD
    }
}

/// An array of rows.
pub(in crate::store::postgres) struct InnerRows<'a>(pub Vec<InnerRow<'a>>);

impl<'a> FromSql<'a> for InnerRows<'a> {
    fn from_sql(_: &Type, mut raw: &'a [u8]) -> Result<Self, BadValue> {
        let (dimensions, _has_nulls, _oid) = (take_number(&mut raw)?, take_number(&mut raw)?, take_number(&mut raw)?);
        let mut rows = Vec::new();
        if dimensions > 0 {
            let (length, _first_index) = (take_number(&mut raw)?, take_number(&mut raw)?);
            for _ in 0..length {
                let row = take_value(&mut raw)?.ok_or("a row is NULL")?;
                rows.push(InnerRow::from_sql(&Type::RECORD, row)?);
            }
        }
        Ok(Self(rows))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::RECORD_ARRAY
    }
}

type BadValue = Box<dyn Error + Sync + Send>;

fn take_number(raw: &mut &[u8]) -> Result<i32, BadValue> {
    let (number, rest) = raw.split_first_chunk().ok_or("it ends early")?;
    *raw = rest;
    Ok(i32::from_be_bytes(*number))
}

/// Takes a value after its length, which is negative for NULL.
fn take_value<'a>(raw: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadValue> {
    let Ok(length) = usize::try_from(take_number(raw)?) else { return Ok(None) };
    let (held, rest) = raw.split_at_checked(length).ok_or("it ends early")?;
    *raw = rest;
    Ok(Some(held))
}

impl RowColumns for InnerRow<'_> {
    fn read<'a, T: FromSql<'a>>(&'a self, column: usize) -> PgResult<T> {
        let (kind, held) = self.0.get(column).ok_or_else(|| damaged(self, column, "is not there"))?;
        if !T::accepts(kind) {
            return Err(damaged(self, column, "has another type"));
        }
        T::from_sql_nullable(kind, *held).map_err(|error| damaged(self, column, &format!("cannot be read: {error}")))
    }

    fn name(&self, column: usize) -> String {
        (column + 1).to_string()
    }
}

/// Reads a value.
pub(in crate::store::postgres) fn value<T: FromSqlOwned>(record: &impl RowColumns, column: usize) -> PgResult<T> {
    record.read(column)
}

/// Reads text that is stored as bytes.
pub(in crate::store::postgres) fn text(record: &impl RowColumns, column: usize) -> PgResult<Box<str>> {
    let bytes: &[u8] = record.read(column)?;
    std::str::from_utf8(bytes).map(Box::from).map_err(|_| damaged(record, column, "is no UTF-8"))
}

/// Reads text.
pub(in crate::store::postgres) fn plain(record: &impl RowColumns, column: usize) -> PgResult<Box<str>> {
    Ok(record.read::<&str>(column)?.into())
}

/// Reads the own fields of a profile, and whom it mutes.
pub(in crate::store::postgres) fn further_fields(
    record: &impl RowColumns,
    column: usize,
) -> PgResult<(OwnFields, Muted)> {
    let bytes: &[u8] = record.read(column)?;
    further_fields_from_bytes(bytes).ok_or_else(|| damaged(record, column, "holds no own fields"))
}

/// Reads an account.
pub(in crate::store::postgres) fn account(record: &impl RowColumns, column: usize) -> PgResult<Account> {
    let text: &str = record.read(column)?;
    Account::stored(text).ok_or_else(|| damaged(record, column, "is too long for an account"))
}

/// Reads a revision or a time. None is ever written as a negative number.
pub(in crate::store::postgres) fn number(record: &impl RowColumns, column: usize) -> PgResult<u64> {
    let number: i64 = record.read(column)?;
    u64::try_from(number).map_err(|_: TryFromIntError| damaged(record, column, "is negative"))
}

/// Reads a small number that stands for something.
pub(in crate::store::postgres) fn meaning<T>(
    record: &impl RowColumns,
    column: usize,
    meaning: impl FnOnce(i64) -> Option<T>,
) -> PgResult<T> {
    let number: i16 = record.read(column)?;
    meaning(number.into()).ok_or_else(|| damaged(record, column, "has a number without a meaning"))
}

fn damaged(record: &impl RowColumns, column: usize, what: &str) -> PgError {
    PgError::Damaged(format!("the value of a column {} {what}", record.name(column)))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Each a number of four bytes: what these bytes are made of.
    fn bytes(numbers: &[i32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    #[test]
    fn inner_rows_are_read_and_whatever_is_malformed_is_refused() {
        let (int4, record) = (23, 2249);
        let row = [2, int4, 4, 7, int4, -1];
        let whole = bytes(&[&[1, 0, record, 1, 1, 24][..], &row].concat());
        let rows = InnerRows::from_sql(&Type::RECORD_ARRAY, &whole).unwrap().0;
        assert_eq!(rows.len(), 1);
        assert_eq!(value::<i32>(&rows[0], 0).unwrap(), 7);
        assert_eq!(value::<Option<i32>>(&rows[0], 1).unwrap(), None);
        for (column, what) in [(0, "has another type"), (1, "cannot be read"), (2, "is not there")] {
            let error =
                if column == 0 { plain(&rows[0], 0).unwrap_err() } else { value::<i32>(&rows[0], column).unwrap_err() };
            assert!(error.to_string().contains(what), "{error}");
        }
        assert_eq!(InnerRows::from_sql(&Type::RECORD_ARRAY, &bytes(&[0, 0, record])).unwrap().0.len(), 0);
        for length in 0..whole.len() {
            assert!(InnerRows::from_sql(&Type::RECORD_ARRAY, &whole[..length]).is_err(), "{length}");
        }
        for malformed in [&[1, -1, 4, 7][..], &[1, int4, 5, 7], &[i32::MAX, int4, 4, 7]] {
            assert!(InnerRow::from_sql(&Type::RECORD, &bytes(malformed)).is_err(), "{malformed:?}");
        }
    }
}
