//! A user's id.
//!
//! Accounts belong to the operator's own user base, so they are compared byte for byte: identity
//! providers hand out ids that differ only in case, and folding them would merge two people.

use std::borrow::Borrow;
use std::fmt;

use arrayvec::ArrayString;

use super::limits::ACCOUNT_CHARS;
use super::{Reason, RequestError};

/// A user's id: 1 to 32 characters out of letters, digits and `_ @ . -`. Cheap to clone: it has its text in itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account(ArrayString<ACCOUNT_CHARS>);

impl Account {
    /// Parses an account; an error names `field`.
    ///
    /// # Errors
    /// 414 when it is empty, longer than 32 characters, only dots, or holds a character outside the set.
    pub fn parse(text: &str, field: &'static str) -> Result<Self, RequestError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@' | b'.' | b'-');
        // Dots alone mean something else in the path of a URL, where accounts stand.
        let dots = text.bytes().all(|b| b == b'.');
        let fits = if dots || !text.bytes().all(allowed) { None } else { Self::stored(text) };
        fits.ok_or_else(|| {
            let message = format!(
                "{field} must be 1 to {ACCOUNT_CHARS} characters out of letters, digits and _ @ . -, and not only dots"
            );
            RequestError::new(Reason::InvalidArgument, message).field(field)
        })
    }

    /// An account read back from the store, where only checked ones are written; `None` if it cannot be one.
    #[must_use]
    pub fn stored(text: &str) -> Option<Self> {
        ArrayString::from(text).ok().map(Self)
    }

    /// The empty text, which is no account and sorts before all of them.
    #[must_use]
    pub fn none() -> Self {
        Self(ArrayString::new())
    }

    /// The id itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Account {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl RequestError {
    /// Makes the 404 for an account that does not exist.
    #[must_use]
    pub fn unknown_account(account: &Account) -> Self {
        Self::new(Reason::NotFound, format!("account \"{account}\" does not exist"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_characters_and_the_length_are_enforced() {
        for good in ["a", "Alice", "a.b-c_d@e", &"x".repeat(32)] {
            assert_eq!(Account::parse(good, "account").unwrap().as_str(), good);
            assert_eq!(Account::stored(good).unwrap().as_str(), good);
        }
        assert_eq!(Account::stored(&"x".repeat(33)), None);
        for bad in ["", " ", "a b", ".", "..", "ümlaut", "a/b", "a\0", &"x".repeat(33)] {
            let error = Account::parse(bad, "account").unwrap_err();
            assert_eq!((error.reason, error.field.as_deref()), (Reason::InvalidArgument, Some("account")), "{bad:?}");
        }
    }

    #[test]
    fn it_is_found_and_shown_as_its_text() {
        let ann = Account::parse("ann", "account").unwrap();
        let known = std::collections::BTreeSet::from([ann.clone()]);
        assert!(known.contains("ann") && !known.contains("bob"));
        assert_eq!(format!("{ann} {ann:?}"), "ann \"ann\"");
    }

    #[test]
    fn case_tells_accounts_apart() {
        assert_ne!(Account::parse("Ann", "account").unwrap(), Account::parse("ann", "account").unwrap());
    }
}
