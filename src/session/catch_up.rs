//! From the answered login to `synced`.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::batch::BulkWriter;
use super::context::SessionContext;
use super::frame_writer::FrameWriter;
use super::frames::add_presences;
use super::socket::ClientSocket;
use crate::metrics::Kind;
use crate::service::LoggedIn;
use rosterd_engine::model::{CloseReason, Cursor};
use rosterd_engine::sync::delta::Plan;
use rosterd_engine::sync::repair::ListDigest;
use rosterd_protocol::v1;

/// The reply, the records that are owed, and `synced`; as few writes as their size allows.
pub(super) async fn catch_up<S>(
    link: &mut ClientSocket<S>,
    context: &SessionContext,
    id: u64,
    logged_in: &mut LoggedIn,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (service, begun) = (&context.service, Instant::now());
    let mut batch = BulkWriter::new(link.encoding());
    batch.changes.me(&logged_in.me);
    let mut mode = None;
    if let Plan::Full(_) = logged_in.catch_up.plan() {
        mode = Some(reply(&mut batch.out, context, id, logged_in, v1::SyncMode::Full));
    }
    while let Some(told) = service.catch_up(&mut logged_in.seat, &mut logged_in.catch_up).await? {
        // Whether anything changed is known once something is found, or everything was read.
        let mut records = told.records().peekable();
        if mode.is_none() && records.peek().is_some() {
            mode = Some(reply(&mut batch.out, context, id, logged_in, v1::SyncMode::Delta));
        }
        batch.add(link, &mut records, logged_in.seat.account()).await?;
    }
    let mode = mode.unwrap_or_else(|| reply(&mut batch.out, context, id, logged_in, v1::SyncMode::Current));
    batch.end_changes();
    // Read now, and before `synced`: so it is whole, and what changes from here on is marked.
    let me = logged_in.seat.view().presence(logged_in.seat.me());
    let hides = me.filter(|me| me.invisible == Some(true));
    let mut seen = hides.into_iter().chain(logged_in.seat.friends_presence());
    while add_presences(&mut batch.out, &mut seen) {
        batch.write_enough(link).await?;
    }
    drop(seen);
    let (cursor, sum) = (logged_in.catch_up.cursor(), logged_in.catch_up.sum());
    let kind = mode.as_str_name();
    service.metrics().logins.get_or_create(&Kind { kind }).inc();
    batch.synced(link, synced(cursor, sum)).await?;
    logged_in.seat.set_delivered_up_to(cursor.horizon);
    service.metrics().catch_ups.get_or_create(&Kind { kind }).observe(begun.elapsed().as_secs_f64());
    Ok(())
}

/// What the client holds now.
pub(super) fn synced(cursor: Cursor, sum: ListDigest) -> v1::Synced {
    v1::Synced { cursor: cursor.to_string(), count: sum.count, digest: sum.digest.value() }
}

/// Adds the login's reply to what is sent; answers the mode it told.
fn reply(
    out: &mut FrameWriter,
    context: &SessionContext,
    id: u64,
    logged_in: &LoggedIn,
    sync: v1::SyncMode,
) -> v1::SyncMode {
    let session = logged_in.seat.session();
    let because = match logged_in.catch_up.plan() {
        Plan::Full(because) => Some(because.word().to_owned()),
        Plan::Since(_) => None,
    };
    let login_reply = v1::LoginReply {
        account: session.account().to_string(),
        session: session.id().to_string(),
        epoch: logged_in.catch_up.cursor().epoch.to_string(),
        server_time: context.service.now(),
        heartbeat_ms: context.settings.heartbeat.as_millis() as u64,
        sync: sync as i32,
        because,
        expires_at: logged_in.expires_at,
    };
    out.server(&v1::ServerFrame { id, login_reply: Some(login_reply.into()), ..Default::default() });
    sync
}
