//! What a store keeps about an account's tokens, beside the tokens' own claims.

use std::fmt;

use super::Millis;

/// The stored facts about one account's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// Tokens issued before this time are not accepted; 0 if none was revoked.
    pub revoked_before: Millis,
    /// The static token, if it has one.
    pub token: Option<StaticToken>,
}

/// A token that stays the same at every login until another takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticToken {
    /// The hash of its secret.
    pub hash: TokenHash,
    /// When it was set.
    pub issued: Millis,
}

/// A salted hash, which recognizes a secret and does not reveal it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash {
    /// Random, so that equal secrets have different hashes.
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
