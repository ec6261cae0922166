//! The reasons for which a token is refused.

/// Says why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token never was valid, or is not valid yet. The text says why in one sentence and quotes nothing of the token.
    #[error("{0}")]
    Rejected(String),
    /// The token was valid and has expired.
    #[error("the token has expired")]
    Expired,
    /// The token names a key that is not known yet; [`Authenticator::learn`](super::Authenticator::learn) may find it.
    #[error("the token's key is not known")]
    UnknownKey(Option<String>),
    /// The token cannot be verified now.
    #[error("{0}")]
    Unavailable(String),
}
