//! What is kept of relations that ended, and dropped in the end.

use super::values::{int, number};
use crate::store::postgres::pg_error::PgResult;
use crate::store::postgres::session::{PgSession, call};
use rosterd_engine::model::{Millis, Revision};

/// Drops the oldest tombstones, closed requests and ended blocks from before a time, and returns their versions. An ended
/// block stays while it decides what its peer sees of the owner.
pub(in crate::store::postgres) async fn drop_tombstones(
    session: &PgSession,
    before: Millis,
    limit: usize,
) -> PgResult<Vec<Revision>> {
    let mut versions = Vec::new();
    for sql in [
        "DELETE FROM edge WHERE (owner, peer) IN (
             SELECT owner, peer FROM edge WHERE removed AND update_time < $1
             ORDER BY update_time, owner, peer LIMIT $2)
         RETURNING version",
        "DELETE FROM request WHERE (sender, receiver, side) IN (
             SELECT sender, receiver, side FROM request WHERE state <> 0 AND update_time < $1
             ORDER BY update_time, sender, receiver, side LIMIT $2)
         RETURNING version",
        "DELETE FROM block WHERE (owner, peer) IN (
             SELECT owner, peer FROM block WHERE removed AND update_time < $1 AND shown = 0
                 AND (friends_version = 0 OR NOT EXISTS (
                     SELECT 1 FROM users WHERE users.account = block.owner AND (
                         users.friends_version <= block.version OR users.everyone_version <= block.version)))
             ORDER BY update_time, owner, peer LIMIT $2)
         RETURNING version",
    ] {
        let left = int((limit - versions.len()) as u64);
        for record in session.query(call!(sql, int(before), left)).await? {
            versions.push(number(&record, 0)?);
        }
    }
    Ok(versions)
}
