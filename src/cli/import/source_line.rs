//! One line of an import, whatever it was read from.

/// A line of an import that is not blank.
pub(super) struct SourceLine {
    /// Where it begins, from 1.
    pub(super) number: u64,
    /// Its JSON, or why it has none.
    pub(super) text: Result<String, String>,
}
