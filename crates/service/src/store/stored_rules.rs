//! The rules about profiles as a database keeps them for all gateways that share it.

use std::sync::Arc;

use rosterd_engine::model::{Revision, Visibility, WriteRights};
use rosterd_protocol::{own_schema_from_bytes, own_schema_to_bytes};

/// The rules about who sees and who writes what, as they are kept.
///
/// They are changed under the lock of all writes, and so at one place in the order of all changes. Whoever has read a change
/// of a later revision has read these rules before: so no profile of such a revision is shown, or decided, by the rules
/// before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRules {
    /// Raised by every change.
    pub number: i64,
    /// The last revision before they were changed.
    pub since: Revision,
    /// Who sees each field, as of [`Visibility::to_text`].
    pub visibility: String,
    /// The own fields.
    pub own_fields: Vec<u8>,
    /// Who writes each field, as of [`WriteRights::to_text`].
    pub write: String,
}

impl StoredRules {
    /// Returns rules as they are kept in the place of those of a text, without a number. `since` is the last revision.
    #[must_use]
    pub fn of(rules: &Visibility, write: &WriteRights, since: Revision, stored: &str) -> Self {
        let (visibility, own_fields) = (rules.to_text(stored), own_schema_to_bytes(&rules.own));
        Self { number: 0, since, visibility, own_fields, write: write.to_text() }
    }

    /// Reads them; `None` if they are damaged, or know something that is not known here.
    #[must_use]
    pub fn read(&self) -> Option<(Visibility, WriteRights)> {
        let own = own_schema_from_bytes(&self.own_fields)?;
        let rules = Visibility { own: Arc::new(own), ..Visibility::from_line(&self.visibility)? };
        Some((rules.opening(&self.visibility, self.since)?, WriteRights::from_text(&self.write)?))
    }
}
