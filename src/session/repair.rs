//! From the answered `repair` to its `synced`.

use tokio::io::{AsyncRead, AsyncWrite};

use super::batch::BulkWriter;
use super::catch_up::synced;
use super::frames::add_presences;
use super::socket::ClientSocket;
use crate::hub::SessionHandle;
use crate::metrics::Kind;
use crate::service::{Repair, Service};
use rosterd_engine::model::CloseReason;

/// Tells the parts of the friend list that differ, and what the client holds then.
pub(super) async fn repair<S>(
    link: &mut ClientSocket<S>,
    service: &Service,
    seat: &mut SessionHandle,
    mut repair: Repair,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut batch = BulkWriter::new(link.encoding());
    let mut records = 0;
    while let Some(told) = service.repair(seat, &mut repair).await? {
        records += told.records().count();
        batch.add(link, &mut told.records(), seat.account()).await?;
    }
    batch.end_changes();
    // Who takes a friend back may not have kept whether it is online.
    let mut seen = seat.friends_presence().filter(|seen| repair.parts().hold(seen.account.as_str()));
    while add_presences(&mut batch.out, &mut seen) {
        batch.write_enough(link).await?;
    }
    drop(seen);
    let kind = if repair.parts().is_empty() { "SAME" } else { "DIFFERENT" };
    service.metrics().repairs.get_or_create(&Kind { kind }).inc();
    service.metrics().repair_records.inc_by(records as u64);
    let (session, parts) = (seat.session().id(), repair.parts().numbers().len());
    tracing::warn!(%session, parts, records, "a client holds another friend list than the store, and was told again what differs");
    // Not the horizon now: what is marked up to there may not be told yet.
    let cursor = service.cursor(seat.session().delivered_up_to().unwrap_or_default());
    batch.synced(link, synced(cursor, repair.sum())).await
}
