//! Repairs a client's friend list, from the answer to its `repair` to `synced`.

use tokio::io::{AsyncRead, AsyncWrite};

use super::batch::BulkWriter;
use super::catch_up::synced;
use super::frames::add_presences;
use super::socket::ClientSocket;
use crate::hub::SessionHandle;
use crate::metrics::Kind;
use crate::service::{Repair, Service};
use rosterd_engine::model::CloseReason;

/// Sends the buckets of the friend list that differ, and `synced` with the digest of what the client then holds.
pub(super) async fn repair<S>(
    socket: &mut ClientSocket<S>,
    service: &Service,
    handle: &mut SessionHandle,
    mut repair: Repair,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut batch = BulkWriter::new(socket.encoding());
    let (mut records, mut counted) = (0, 0);
    while let Some(page) = service.repair(handle, &mut repair).await? {
        let wait = socket.has_read_list(handle.account(), repair.pages() - counted);
        counted = repair.pages();
        // A client that has gone needs no more of it.
        socket.check_is_there()?;
        records += page.records().count();
        batch.add(socket, &mut page.records()).await?;
        socket.pause(wait).await?;
    }
    batch.end_changes();
    // A client that takes a friend back may not have kept whether it is online.
    let mut presences = handle.friends_presence().filter(|seen| repair.buckets().hold(seen.account.as_str()));
    while add_presences(&mut batch.writer, &mut presences) {
        batch.write_enough(socket).await?;
    }
    drop(presences);
    let is_same = repair.buckets().is_empty();
    let kind = if is_same { "SAME" } else { "DIFFERENT" };
    service.metrics().repairs.get_or_create(&Kind { kind }).inc();
    service.metrics().repair_records.inc_by(records as u64);
    let (session, parts) = (handle.session().id(), repair.buckets().numbers().len());
    if is_same {
        tracing::debug!(%session, "a client asked for a repair, and holds the same friend list as the store");
    } else {
        tracing::warn!(%session, parts, records, "a client holds another friend list than the store, and was told again what differs");
    }
    // Not the present watermark: what is marked up to there may not be sent yet.
    let cursor = service.cursor(handle.session().delivered_up_to().unwrap_or_default());
    batch.synced(socket, synced(cursor, repair.sum())).await
}
