//! The error of a log that cannot be read.

/// Bytes that are no changes, or those of a newer release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the change log cannot be read")]
pub struct MalformedChange;
