//! Development mode: the token is the account itself, and never ends.
//!
//! It verifies nothing. `config` refuses it wherever others than this machine can connect.

use super::{AuthError, Authenticator, Identity};
use crate::model::{Account, Millis};

/// Believes everyone.
pub(super) struct Development;

impl Authenticator for Development {
    fn verify(&self, token: &str, _now: Millis) -> Result<Identity, AuthError> {
        let account = Account::parse(token, "token").map_err(|error| AuthError::Rejected(error.message))?;
        Ok(Identity { account, expires_at: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_account() {
        let ann = Development.verify("ann", 0).unwrap();
        assert_eq!((ann.account.as_str(), ann.expires_at), ("ann", None));
        for bad in ["", "not an account", &"x".repeat(5000)] {
            let Err(AuthError::Rejected(why)) = Development.verify(bad, 0) else { panic!("{bad}") };
            assert!(why.contains("token must be") && !why.contains("not an account"), "{why}");
        }
    }
}
