//! The rules about who sees what, which all gateways of a database have in common: how each takes them over.

use super::database::{Standing, WriterLink};
use super::handle::WriterHandle;
use super::pg_error::{PgError, PgResult};
use super::rows;
use super::session::PgSession;
use super::writer_state::PgWriter;
use crate::store::{RulesInForce, StoredRules};
use rosterd_engine::model::Profile;

/// Takes over rules that the database keeps.
pub(super) fn take_rules(rules: &RulesInForce, stored: &StoredRules) -> Result<(), PgError> {
    if rules.take(stored) {
        return Ok(());
    }
    Err(PgError::Damaged("the rules about who sees what cannot be read".into()))
}

impl PgWriter {
    /// Sees to it that what is decided under the lock is decided by the rules of the database.
    pub(super) async fn follow_rules(&self, link: &dyn WriterLink, standing: &Standing) -> Result<(), PgError> {
        let known = self.rules.number();
        if known == 0 || standing.rules == known {
            return Ok(());
        }
        if standing.rules < known {
            return Err(PgError::Lost("the database has lost a change of the rules about who sees what".into()));
        }
        take_rules(&self.rules, &link.rules().await?).map_err(|error| PgError::Lost(error.to_string()))
    }
}

/// Takes over the rules of the database if a profile is newer than all that is known here of the log: the rules may have
/// changed before it, and it must not be shown by those that held before.
pub(super) async fn look_at_rules(
    session: &PgSession,
    writer: &WriterHandle,
    found: impl Iterator<Item = &Profile>,
) -> PgResult<()> {
    let newest = found.map(|profile| profile.version).max().unwrap_or_default();
    if writer.rules().number() == 0 || newest <= writer.head() {
        return Ok(());
    }
    take_rules(writer.rules(), &rows::rules::stored(session).await?)
}
