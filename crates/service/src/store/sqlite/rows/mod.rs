//! Rows and their SQL: everything that names a table or a column, except the migrations and their bookkeeping.
//!
//! [`profiles`] is about one account, [`change_log`] about all, [`audit`] about operators, [`credentials`] about its tokens, [`relations`] about two accounts. No function
//! here begins or ends a transaction: the writer and the readers call them inside their own.

pub(super) mod audit;
pub(super) mod change_log;
pub(super) mod credentials;
pub(super) mod delivery;
pub(super) mod profiles;
pub(super) mod relations;
mod tables;
mod values;

pub(super) use self::tables::{SqliteTables, drop_tombstones, extent, put_compacted, put_head};
pub(super) use self::values::number;
