//! The error of the live client, with the codes and reasons that all clients have.

use rosterd_protocol::v1;

pub(super) const UNAUTHENTICATED: u32 = 302;
pub(super) const DENIED: u32 = 403;
pub(super) const NOT_FOUND: u32 = 404;
pub(super) const TIMEOUT: u32 = 408;
pub(super) const MISMATCH: u32 = 412;
pub(super) const INVALID: u32 = 414;
pub(super) const INTERNAL: u32 = 500;

/// A call that failed, or the cause of a [`ClientChange::Error`](crate::ClientChange::Error).
///
/// `code` and `reason` stay the same between versions and are those of all clients; `message` is a sentence for
/// developers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct RosterdError {
    /// The number of the kind of error.
    pub code: u32,
    /// The kind of error, as a word.
    pub reason: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The invalid field, if one is to blame.
    pub field: Option<String>,
    /// How long to wait before another attempt, if the gateway named a time.
    pub retry_after_ms: Option<u64>,
    /// With `REJECTED`, the word of the operator's hook that refused.
    pub detail: Option<String>,
}

impl RosterdError {
    pub(super) fn new(code: u32, reason: &str, message: impl Into<String>) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        Self { code, reason, message, field: None, retry_after_ms: None, detail: None }
    }

    pub(super) fn disconnected() -> Self {
        Self::new(TIMEOUT, "DISCONNECTED", "the client was disconnected")
    }

    pub(super) fn lost() -> Self {
        let message = "the connection was lost before the answer; it may have been carried out";
        Self::new(TIMEOUT, "CONNECTION_LOST", message)
    }

    pub(super) fn superseded() -> Self {
        let message = "another device has changed the same record since; what is held now is in force";
        Self::new(MISMATCH, "SUPERSEDED", message)
    }

    pub(super) fn bad_frame(message: impl Into<String>) -> Self {
        Self::new(INTERNAL, "BAD_FRAME", message)
    }

    #[cfg(feature = "cache")]
    pub(super) fn store(message: impl Into<String>) -> Self {
        Self::new(INTERNAL, "STORE", message)
    }
}

impl From<v1::Error> for RosterdError {
    fn from(error: v1::Error) -> Self {
        let v1::Error { code, reason, message, field, retry_after_ms, detail, .. } = error;
        Self { code, reason, message, field, retry_after_ms, detail }
    }
}
