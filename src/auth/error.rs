//! Why a token is not accepted.

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It never was good, or is not yet. The text says why in one sentence, without any content of the token.
    #[error("{0}")]
    Rejected(String),
    /// It was good, and has ended.
    #[error("the token has expired")]
    Expired,
    /// It names a key that is not known yet; [`Authenticator::learn`] may find it.
    #[error("the token's key is not known")]
    UnknownKey(Option<String>),
    /// Whether it is good cannot be said now.
    #[error("{0}")]
    Unavailable(String),
}
