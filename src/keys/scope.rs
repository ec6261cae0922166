//! What a key may do.

/// One thing that a key may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Reading users without their private fields, relations, sessions and presence.
    Read,
    /// Private fields in any answer, and the export of a user.
    Private,
    /// Writing users, friends, requests, blocks and presence; hints, signals and imports.
    Write,
    /// Setting, withdrawing and revoking tokens.
    Tokens,
    /// Deleting users.
    Erase,
    /// Ending sessions.
    Sessions,
    /// The feed of changes and the snapshot.
    Feed,
    /// What only the operators of the gateway do, such as reading the audit log.
    Operate,
}

impl Scope {
    /// All scopes, in the order in which they are listed.
    pub const ALL: [Self; 8] =
        [Self::Read, Self::Private, Self::Write, Self::Tokens, Self::Erase, Self::Sessions, Self::Feed, Self::Operate];

    /// Returns the word in settings and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Private => "private",
            Self::Write => "write",
            Self::Tokens => "tokens",
            Self::Erase => "erase",
            Self::Sessions => "sessions",
            Self::Feed => "feed",
            Self::Operate => "operate",
        }
    }

    /// Returns the scope of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub const ALL: Self = Self(u8::MAX);

    /// Reports whether the set has a scope.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    /// Reports whether the set has no scope.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the scopes, in the order in which they are listed.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    fn bit(scope: Scope) -> u8 {
        1 << scope as u8
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | Self::bit(scope)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_scopes_it_is_made_of() {
        assert_eq!(Scope::ALL.into_iter().collect::<Scopes>(), Scopes::ALL);
        assert_eq!(Scopes::ALL.iter().collect::<Vec<_>>(), Scope::ALL);
        for scope in Scope::ALL {
            let one: Scopes = [scope].into_iter().collect();
            assert!(one.has(scope) && one.iter().count() == 1 && !one.is_empty());
            assert_eq!(Scope::of(scope.word()), Some(scope));
        }
        assert!(Scopes::default().is_empty() && Scope::of("Read").is_none());
    }
}
