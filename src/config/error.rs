//! Why there are no settings.

/// Every problem that was found, one on a line, each with its place, its key and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Error(pub(super) Vec<String>);
