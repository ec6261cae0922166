//! The content of a token that has been verified.

use rosterd_engine::model::{Account, Millis};

/// Says whose a token is, and how long it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The account.
    pub account: Account,
    /// The first moment at which the token is no longer valid, in milliseconds since the epoch. `None`: it has no end.
    pub expires_at: Option<Millis>,
    /// When the token was issued, in milliseconds since the epoch; 0 if it does not say.
    pub issued_at: Millis,
}
