//! What a store knows of an account's tokens, beside what they say themselves.

use std::fmt;

use super::Millis;

/// The tokens of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// Tokens issued before this time are not accepted; 0: none was revoked.
    pub revoked_before: Millis,
    /// The static token, if it has one.
    pub token: Option<StaticToken>,
}

/// A token that is the same at every login, until another takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticToken {
    /// What is kept of its secret.
    pub hash: TokenHash,
    /// When it was set.
    pub issued: Millis,
}

/// What is kept of a secret: enough to know it again, nothing to make it from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash {
    /// Random; two equal secrets have different hashes.
    pub salt: [u8; 16],
    /// SHA-256 of the salt and the secret.
    pub hash: [u8; 32],
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_not_shown() {
        let held = Credential {
            token: Some(StaticToken { hash: TokenHash { salt: [71; 16], hash: [83; 32] }, issued: 1 }),
            ..Credential::default()
        };
        let shown = format!("{held:?}");
        assert!(shown.contains("TokenHash") && !shown.contains("71") && !shown.contains("83"), "{shown}");
    }
}
