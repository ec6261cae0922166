//! Rows on their way from one store to another, as they are: what moves a deployment to a database server.

use super::error::StoreError;
use rosterd_engine::model::{Revision, SeenNumber};

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopiedValue<'a> {
    /// None.
    Null,
    /// A number, or whether something is so.
    Number(i64),
    /// Text or bytes.
    Bytes(&'a [u8]),
}

/// Takes rows one after the other.
pub type TakeRow<'a> = dyn FnMut(&[CopiedValue<'_>]) -> Result<(), StoreError> + 'a;

/// The facts that a store keeps about itself, and that a copy takes over. An epoch and a change log are not among them: the
/// copy begins its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedFacts {
    /// The last revision.
    pub head: Revision,
    /// Tombstones up to this revision may be missing.
    pub compacted: Revision,
    /// The rules of visibility, in one line.
    pub visibility: String,
    /// The number of the last presence transition.
    pub seen: SeenNumber,
    /// Whether transitions get numbers.
    pub numbers_seen: bool,
    /// The salt of erased accounts in the audit log.
    pub audit_salt: Vec<u8>,
    /// The last number of an entry of the audit log.
    pub last_entry: u64,
    /// The rows of all tables.
    pub rows: u64,
}

/// A store that is copied. Nobody writes to it meanwhile.
pub trait CopySource: Send + 'static {
    /// Reads the facts.
    ///
    /// # Errors
    /// The store cannot be read.
    fn facts(&self) -> Result<CopiedFacts, StoreError>;

    /// Reads the rows of a table: these columns, in any order of rows.
    ///
    /// # Errors
    /// The store cannot be read, or the rows are not taken.
    fn rows(&self, table: &str, columns: &[&str], take: &mut TakeRow<'_>) -> Result<(), StoreError>;
}
