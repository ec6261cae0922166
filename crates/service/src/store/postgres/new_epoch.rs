//! Begins a new history in a database, because an operator says that the one that clients know is not this one.

use tokio::runtime::Builder;

use super::pooler::connect_first;
use super::schema::{GATEWAY_LOCK, PgSchemaError, explain, random};
use super::session::{Connector, call};
use super::url::PostgresUrl;
use crate::store::StoreError;

/// Gives the database a new epoch, and the change log a new history at the next start. Blocks for as long as that takes.
///
/// # Errors
/// One sentence for the operator: the database cannot be reached, is not rosterd's, or a gateway uses it.
pub fn new_epoch(url: &PostgresUrl) -> Result<(), StoreError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError(format!("cannot connect: {error}")))?;
    runtime.block_on(begin(url)).map_err(|error| explain(url, &error))
}

async fn begin(url: &PostgresUrl) -> Result<(), PgSchemaError> {
    let session = connect_first(&Connector::new(url)).await?;
    session.run("BEGIN").await?;
    let alone = session.query(call!("SELECT pg_advisory_xact_lock($1)", GATEWAY_LOCK)).await;
    alone.map_err(|error| if error.is_lock_timeout() { PgSchemaError::Busy } else { error.into() })?;
    session.query(call!("UPDATE meta SET epoch = $1, history = 0", random()?)).await?;
    session.run("COMMIT").await?;
    Ok(())
}
