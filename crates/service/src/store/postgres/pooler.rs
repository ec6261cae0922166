//! The first connection to a database, which must be to the server itself, or as good.

use super::schema::PgSchemaError;
use super::session::{Connector, PgSession, SessionKind};

/// Connects as the writer does, once it is known that there is no pooler that takes sessions apart.
pub(super) async fn connect_first(connector: &Connector) -> Result<PgSession, PgSchemaError> {
    verify_sessions(connector).await?;
    Ok(connector.connect(SessionKind::Writer).await?)
}

/// Returns an error if each transaction is given another session of the server, as poolers do in transaction mode: locks would
/// be somebody else's, settings would reach the wrong sessions, and who listens would hear nothing.
///
/// Two connections at once tell. While the other is in a transaction, both are found to be one session, or the one is another
/// than before. Neither happens where each connection has a session of its own. Nothing is set in them: whoever is given the
/// session next would have it.
async fn verify_sessions(connector: &Connector) -> Result<(), PgSchemaError> {
    let (one, other) = (connector.connect_to_look().await?, connector.connect_to_look().await?);
    let before = one.server_process().await?;
    other.run("BEGIN").await?;
    let (held, after) = (other.server_process().await?, one.server_process().await?);
    other.run("ROLLBACK").await?;
    if held == before || after != before { Err(PgSchemaError::Pooler) } else { Ok(()) }
}
