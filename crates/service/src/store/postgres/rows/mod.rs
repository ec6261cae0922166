//! Rows and their SQL: everything that names a table or a column, except the migrations and their bookkeeping.
//!
//! No function here begins or ends a transaction that writes: the writer calls them inside its own.

pub(super) mod audit;
pub(super) mod change_log;
pub(super) mod credentials;
pub(super) mod delivery;
pub(super) mod nodes;
pub(super) mod profiles;
pub(super) mod relations;
pub(super) mod tombstones;
pub(super) mod values;

/// Begins a transaction that only reads, and all of whose statements see one state.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
