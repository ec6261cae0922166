//! From the answered login to `synced`.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite};

use super::link::Link;
use super::outgoing::Outgoing;
use super::{Gateway, add_presences, fill};
use crate::metrics::Kind;
use crate::model::CloseReason;
use crate::service::LoggedIn;
use crate::sync::delta::Plan;
use crate::wire::{Changes, v1};

/// Bytes after which a catch-up writes what it has.
const WRITE: usize = 32 * 1024;

/// The reply, the records that are owed, and `synced`; as few writes as their size allows.
pub(super) async fn catch_up<S>(
    link: &mut Link<S>,
    gateway: &Gateway,
    id: u64,
    logged_in: &mut LoggedIn,
) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (service, encoding, begun) = (&gateway.service, link.encoding(), Instant::now());
    let mut out = Outgoing::new(encoding);
    let mut changes = Changes::new(encoding);
    changes.me(&logged_in.me);
    let mut mode = None;
    if let Plan::Full(_) = logged_in.catch_up.plan() {
        mode = Some(reply(&mut out, gateway, id, logged_in, v1::SyncMode::Full));
    }
    while let Some(told) = service.catch_up(&mut logged_in.seat, &mut logged_in.catch_up).await? {
        // Whether anything changed is known once something is found, or everything was read.
        let mut records = told.records().peekable();
        if mode.is_none() && records.peek().is_some() {
            mode = Some(reply(&mut out, gateway, id, logged_in, v1::SyncMode::Delta));
        }
        while fill(&mut changes, &mut records, logged_in.seat.account()) {
            out.message(|payload| changes.finish(None, payload));
            changes = Changes::new(encoding);
            if out.bytes().len() >= WRITE {
                link.send(&out).await?;
                out.clear();
            }
        }
    }
    let mode = mode.unwrap_or_else(|| reply(&mut out, gateway, id, logged_in, v1::SyncMode::Current));
    if changes.records() > 0 {
        out.message(|payload| changes.finish(None, payload));
    }
    // Read now, and before `synced`: so it is whole, and what changes from here on is marked.
    let me = logged_in.seat.presence(logged_in.seat.me());
    let hides = me.filter(|me| me.invisible == Some(true));
    let mut seen = hides.into_iter().chain(logged_in.seat.friends_presence());
    while add_presences(&mut out, &mut seen) {
        if out.bytes().len() >= WRITE {
            link.send(&out).await?;
            out.clear();
        }
    }
    drop(seen);
    let at = &logged_in.catch_up;
    let synced = v1::Synced { cursor: at.cursor().to_string(), count: at.count(), digest: at.digest() };
    out.server(&v1::ServerFrame { synced: Some(synced), ..Default::default() });
    let kind = mode.as_str_name();
    service.metrics().logins.get_or_create(&Kind { kind }).inc();
    link.send(&out).await?;
    logged_in.seat.tell(logged_in.catch_up.cursor().horizon);
    service.metrics().catch_ups.get_or_create(&Kind { kind }).observe(begun.elapsed().as_secs_f64());
    Ok(())
}

/// Adds the login's reply to what is sent; answers the mode it told.
fn reply(out: &mut Outgoing, gateway: &Gateway, id: u64, logged_in: &LoggedIn, sync: v1::SyncMode) -> v1::SyncMode {
    let session = logged_in.seat.session();
    let because = match logged_in.catch_up.plan() {
        Plan::Full(because) => Some(because.word().to_owned()),
        Plan::Since(_) => None,
    };
    let login_reply = v1::LoginReply {
        account: session.account().to_string(),
        session: session.id().to_string(),
        epoch: logged_in.catch_up.cursor().epoch.to_string(),
        server_time: gateway.service.now(),
        heartbeat_ms: gateway.settings.heartbeat.as_millis() as u64,
        sync: sync as i32,
        because,
        expires_at: logged_in.expires_at,
    };
    out.server(&v1::ServerFrame { id, login_reply: Some(login_reply), ..Default::default() });
    sync
}
