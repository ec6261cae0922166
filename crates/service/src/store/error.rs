//! The error of a store.

/// Why a store could not carry out a call; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
