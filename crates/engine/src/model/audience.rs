//! Who may see a field of a profile.

/// The clients that may see a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Audience {
    /// Only the account's own clients.
    Own,
    /// The account's own clients and those of its friends.
    Friends,
    /// Every client.
    #[default]
    Everyone,
}

impl Audience {
    /// Every audience, the largest first.
    pub const ALL: [Self; 3] = [Self::Everyone, Self::Friends, Self::Own];

    /// Returns the word in settings and in stores.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Friends => "friends",
            Self::Everyone => "everyone",
        }
    }
}
