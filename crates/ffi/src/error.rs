//! The error that calls fail with.

use rosterd_client::RosterdError;

/// What an error says, in the words of all clients.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ErrorDetail {
    /// The number of the kind of error.
    pub code: u32,
    /// The kind of error, as a word.
    pub reason: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The invalid field, if one is to blame.
    pub field: Option<String>,
    /// How long to wait before another attempt, in milliseconds, if the gateway named a time.
    pub retry_after_ms: Option<u64>,
    /// The word of the operator's hook that refused.
    pub detail: Option<String>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[uniffi(name = "RosterdException")]
pub enum ForeignError {
    /// It failed, and `error` says why.
    #[error("{} {}: {}", .error.code, .error.reason, .error.message)]
    Failed {
        /// Why.
        error: ErrorDetail,
    },
}

impl From<&RosterdError> for ErrorDetail {
    fn from(error: &RosterdError) -> Self {
        let RosterdError { code, reason, message, field, retry_after_ms, detail } = error.clone();
        Self { code, reason, message, field, retry_after_ms, detail }
    }
}

impl From<RosterdError> for ForeignError {
    fn from(error: RosterdError) -> Self {
        Self::Failed { error: (&error).into() }
    }
}
