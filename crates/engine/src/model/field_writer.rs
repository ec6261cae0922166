//! Who may write a field of a profile.

/// Who may write a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldWriter {
    /// The account's own clients, and the backend.
    #[default]
    Account,
    /// Only the backend.
    Backend,
}

impl FieldWriter {
    /// Every writer.
    pub const ALL: [Self; 2] = [Self::Account, Self::Backend];

    /// Returns the word in settings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Account => "self",
            Self::Backend => "backend",
        }
    }
}
