//! Rows and their SQL: everything that names a table or a column, except the migrations and their bookkeeping.
//! [`profiles`] has what concerns one account, [`credentials`] its tokens, [`relations`] what is between two.
//!
//! It neither begins nor ends a transaction. Called by the writer inside its own, and by the readers.

pub(super) mod credentials;
pub(super) mod profiles;
pub(super) mod relations;
mod tables;
mod values;

pub(super) use self::tables::{SqliteTables, drop_tombstones, put_compacted, put_revision};
pub(super) use self::values::number;
