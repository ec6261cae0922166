//! Static tokens, `ACCOUNT:SECRET`: the same at every login until the backend sets another.
//!
//! They are for operators who come from a service that had them. The store keeps a salted hash of each secret, and only
//! the call that sets a secret returns it. A plain hash is enough because a secret is no password: it is random, or the
//! backend says that it is.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};

use super::error::AuthError;
use rosterd_engine::model::{Account, Reason, RequestError, StaticToken, TokenHash};

/// Separates account and secret. No account contains it, nor does a JSON Web Token.
const SEPARATOR: char = ':';
/// How long a secret from the backend may be, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// A static token from a login, not yet compared with the one in the store.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The account that the token names.
    pub account: Account,
    secret: TokenSecret<'a>,
}

/// A secret that must not be logged.
struct TokenSecret<'a>(&'a str);

impl std::fmt::Debug for TokenSecret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl<'a> Shown<'a> {
    /// Parses a static token; `None` for a token of another form.
    pub(super) fn read(token: &'a str) -> Result<Option<Self>, AuthError> {
        let Some((account, secret)) = token.split_once(SEPARATOR) else {
            return Ok(None);
        };
        let account = Account::parse(account, "token")
            .map_err(|_| AuthError::Rejected("what is before the colon of the token is not an account".to_owned()))?;
        Ok(Some(Self { account, secret: TokenSecret(secret) }))
    }

    /// Reports whether this is the token in the store. The time does not depend on how much of it is right.
    #[must_use]
    pub fn is(&self, held: Option<&StaticToken>) -> bool {
        held.is_some_and(|held| {
            verify_slices_are_equal(&digest(&held.hash.salt, self.secret.0), &held.hash.hash).is_ok()
        })
    }
}

/// Creates a token for `account` with this secret or a random one. Returns the token, and the hash for the store.
///
/// # Errors
/// 414 for a secret that is too short, too long, or not of visible ASCII characters.
pub fn static_token(account: &Account, secret: Option<String>) -> Result<(String, TokenHash), RequestError> {
    let secret = match secret {
        None => hex(&random::<32>()),
        Some(secret) if SECRET_BYTES.contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic()) => secret,
        Some(_) => {
            let (least, most) = SECRET_BYTES.into_inner();
            let message = format!("secret must be {least} to {most} visible ASCII characters, without blanks");
            return Err(RequestError::new(Reason::InvalidArgument, message).field("secret"));
        }
    };
    let salt = random();
    let hash = TokenHash { salt, hash: digest(&salt, &secret) };
    Ok((format!("{account}{SEPARATOR}{secret}"), hash))
}

fn digest(salt: &[u8], secret: &str) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(secret.as_bytes());
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random source works once it has started");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Account {
        Account::parse("ann", "account").unwrap()
    }

    fn held(hash: TokenHash) -> StaticToken {
        StaticToken { hash, issued: 0 }
    }

    #[test]
    fn a_token_is_known_again_and_no_other_is() {
        let (token, hash) = static_token(&ann(), None).unwrap();
        let shown = Shown::read(&token).unwrap().unwrap();
        assert_eq!(shown.account, ann());
        assert!(shown.is(Some(&held(hash))) && !shown.is(None));
        let (other, other_hash) = static_token(&ann(), None).unwrap();
        assert!(token != other && token.len() == "ann:".len() + 64 && !shown.is(Some(&held(other_hash))));
        for wrong in ["ann:", "ann:x", &token[..token.len() - 1], &format!("{token}0"), &token.to_uppercase()] {
            let shown = Shown::read(wrong).ok().flatten();
            assert!(shown.is_none_or(|shown| !shown.is(Some(&held(hash)))), "{wrong}");
        }
    }

    #[test]
    fn the_same_secret_is_kept_otherwise_each_time_and_never_shown() {
        let secret = || Some("a-secret-of-NIM:with:colons".to_owned());
        let (one, two) = (static_token(&ann(), secret()).unwrap(), static_token(&ann(), secret()).unwrap());
        assert_eq!(one.0, two.0);
        assert!(one.1 != two.1 && one.1.hash != two.1.hash);
        let shown = Shown::read(&one.0).unwrap().unwrap();
        assert!(shown.is(Some(&held(one.1))) && shown.is(Some(&held(two.1))));
        assert!(!format!("{shown:?} {:?}", one.1).contains("secret-of-NIM"));
    }

    #[test]
    fn other_forms_are_distinguished() {
        assert!(Shown::read("a.b.c").unwrap().is_none());
        for bad in [":secret", "a b:secret", "jürgen:secret"] {
            let Err(AuthError::Rejected(why)) = Shown::read(bad) else { panic!("{bad}") };
            assert!(!why.contains("secret"), "{why}");
        }
        for bad in ["short", "fifteen-bytes-x", "with a blank in it", "tab\tin-the-middle-of-it", &"x".repeat(129)] {
            assert_eq!(static_token(&ann(), Some(bad.to_owned())).unwrap_err().field.as_deref(), Some("secret"));
        }
        assert!(static_token(&ann(), Some("x".repeat(128))).is_ok());
    }
}
