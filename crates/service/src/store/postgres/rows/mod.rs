//! Rows and their SQL: everything that names a table or a column, except the migrations and their bookkeeping.
//!
//! No function here begins or ends a transaction that writes: the writer calls them inside its own.

use tokio_postgres::Row as Record;

use self::values::{RowColumns, number, value};
use super::pg_error::{PgError, PgResult};
use rosterd_engine::model::{Epoch, Lineage, Revision};

/// The epoch, how far back rows go, and the last revision, out of `meta`.
macro_rules! extent_columns {
    () => {
        "epoch, floor, (SELECT last FROM feed ORDER BY first DESC LIMIT 1)"
    };
}

pub(super) mod audit;
pub(super) mod change_log;
pub(super) mod credentials;
pub(super) mod delivery;
pub(super) mod friend_lists;
pub(super) mod logins;
pub(super) mod nodes;
pub(super) mod profiles;
pub(super) mod relations;
pub(super) mod rules;
pub(super) mod tombstones;
pub(super) mod users;
pub(super) mod values;

/// Begins a transaction that only reads, and all of whose statements see one state.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Takes the lock before the first revision of a batch.
pub(super) const LOCK: &str = "SELECT id FROM sequencer WHERE id = 1 FOR UPDATE";

/// Reads the columns of [`extent_columns`].
pub(super) const EXTENT: &str = concat!("SELECT ", extent_columns!(), " FROM meta");

/// Reads a result of [`EXTENT`].
pub(super) fn extent(found: &[Record]) -> PgResult<(Lineage, Revision)> {
    extent_of(found.first().ok_or_else(|| PgError::Damaged("there is no row in meta".into()))?)
}

/// Reads the first columns of a record.
pub(super) fn extent_of(record: &impl RowColumns) -> PgResult<(Lineage, Revision)> {
    let epoch = Epoch(value::<i64>(record, 0)?.cast_unsigned());
    Ok((Lineage { epoch, compacted: number(record, 1)? }, number(record, 2)?))
}
