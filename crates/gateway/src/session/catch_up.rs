//! Brings a client up to date, from the answer to its login to `synced`.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::batch::BulkWriter;
use super::commands::refusal;
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

/// Sends the reply to the login, the pending records and `synced`, in as few writes as their size allows.
pub(super) async fn catch_up<S>(
    socket: &mut ClientSocket<S>,
    context: &SessionContext,
    id: u64,
    logged_in: &mut LoggedIn,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (service, begun) = (&context.service, Instant::now());
    let mut batch = BulkWriter::new(socket.encoding());
    batch.changes.me(&logged_in.me);
    let mut mode = None;
    if let Plan::Full(_) = logged_in.catch_up.plan() {
        mode = Some(reply(&mut batch.writer, context, id, logged_in, v1::SyncMode::Full));
    }
    let mut pages = 0;
    loop {
        let page = match service.catch_up(&mut logged_in.handle, &mut logged_in.catch_up).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(error) => {
                // A client that has its reply learns when to come back from the goodbye.
                if !batch.has_written {
                    socket.send_one(&refusal(Some(id), &error)).await?;
                }
                return Err(CloseReason::Internal);
            }
        };
        pages += 1;
        // Every login reads a page of friends, and one of requests and blocks: these count only for long lists.
        let is_long = pages > 2 || logged_in.catch_up.has_more_friends();
        let wait = if is_long { socket.has_read_list(logged_in.handle.account(), 1) } else { None };
        // A client that has gone needs no more of it.
        socket.check_is_there()?;
        // Whether anything changed is known once a record is found, or everything was read.
        let mut records = page.records().peekable();
        if mode.is_none() && records.peek().is_some() {
            mode = Some(reply(&mut batch.writer, context, id, logged_in, v1::SyncMode::Delta));
        }
        batch.add(socket, &mut records).await?;
        socket.pause(wait).await?;
    }
    let mode = mode.unwrap_or_else(|| reply(&mut batch.writer, context, id, logged_in, v1::SyncMode::Current));
    batch.end_changes();
    // Presence is read now, before `synced`: so it is complete, and each later change is marked.
    let me = logged_in.handle.view().presence(logged_in.handle.me());
    // Its version is 0 unless it was ever set.
    let own = me.filter(|me| me.own.is_some_and(|(hides, version)| hides || version > 0));
    let mut presences = own.into_iter().chain(logged_in.handle.friends_presence());
    while add_presences(&mut batch.writer, &mut presences) {
        batch.write_enough(socket).await?;
    }
    drop(presences);
    let (cursor, sum) = (logged_in.catch_up.cursor(), logged_in.catch_up.sum());
    let kind = mode.as_str_name();
    service.metrics().logins.get_or_create(&Kind { kind }).inc();
    batch.synced(socket, synced(cursor, sum)).await?;
    logged_in.handle.set_delivered_up_to(cursor.watermark);
    service.metrics().catch_ups.get_or_create(&Kind { kind }).observe(begun.elapsed().as_secs_f64());
    Ok(())
}

/// Makes the record that says how far the client is, and what friend list it holds.
pub(super) fn synced(cursor: Cursor, sum: ListDigest) -> v1::Synced {
    v1::Synced { cursor: cursor.to_string(), count: sum.count, digest: sum.digest.value() }
}

/// Adds the reply to the login, and returns the mode that it names.
fn reply(
    writer: &mut FrameWriter,
    context: &SessionContext,
    id: u64,
    logged_in: &LoggedIn,
    sync: v1::SyncMode,
) -> v1::SyncMode {
    let session = logged_in.handle.session();
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
        schema: context.service.schema_hash(),
    };
    writer.server(&v1::ServerFrame { id, login_reply: Some(login_reply.into()), ..Default::default() });
    sync
}
