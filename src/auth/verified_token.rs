//! What a token that was verified says.

use rosterd_engine::model::{Account, Millis};

/// Who the bearer of a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The account.
    pub account: Account,
    /// When the token ends, in milliseconds since the epoch: the first moment at which it is not good any more.
    /// None: it never does.
    pub expires_at: Option<Millis>,
    /// When it was issued; 0 if it does not say.
    pub issued_at: Millis,
}
