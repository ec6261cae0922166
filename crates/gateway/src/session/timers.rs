//! Keeps the one timer of a session, and handles it when it fires.

use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::context::SessionContext;
use super::frame_writer::FrameWriter;
use super::socket::ClientSocket;
use crate::hub::SessionHandle;
use rosterd_engine::model::{CloseReason, Millis};

/// The one timer of a session: the next heartbeat, or the end of the token, whichever comes first.
pub(super) struct SessionTimers {
    pub(super) timer: Pin<Box<Sleep>>,
    heartbeat: Duration,
    next_heartbeat: Instant,
    /// How long the session may outlast its token.
    grace: Duration,
    expires: Option<Instant>,
}

impl SessionTimers {
    /// Starts the timer. The first heartbeat comes after half an interval to a whole one, so that sessions that logged
    /// in together do not send theirs together.
    pub(super) fn new(context: &SessionContext, handle: &SessionHandle, expires_at: Option<Millis>) -> Self {
        let heartbeat = context.settings.heartbeat;
        let spread = heartbeat / 2 + heartbeat / 2048 * (handle.session().id().0 % 1024) as u32;
        let next_heartbeat = Instant::now() + spread;
        let mut timers = Self {
            timer: Box::pin(sleep_until(next_heartbeat)),
            heartbeat,
            next_heartbeat,
            grace: context.admission.policy().expiry_grace,
            expires: None,
        };
        timers.renew(expires_at, context.service.now());
        timers
    }

    /// Sets the end of the token to `expires_at` of the wall clock, or to never.
    pub(super) fn renew(&mut self, expires_at: Option<Millis>, now: Millis) {
        // A token that outlives any connection needs no timer; its end might not fit into an `Instant` either.
        let left = expires_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
        self.expires = left.and_then(|left| Instant::now().checked_add(left)?.checked_add(self.grace));
        self.arm();
    }

    fn arm(&mut self) {
        let next = self.expires.map_or(self.next_heartbeat, |expires| expires.min(self.next_heartbeat));
        self.timer.as_mut().reset(next);
    }
}

/// Ends the session if its token has ended, and sends a heartbeat if it is time for one.
pub(super) async fn tick<S>(socket: &mut ClientSocket<S>, timers: &mut SessionTimers) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let now = Instant::now();
    if timers.expires.is_some_and(|expires| expires <= now) {
        return Err(CloseReason::TokenExpired);
    }
    if timers.next_heartbeat <= now {
        if !std::mem::take(&mut socket.heard) {
            return Err(CloseReason::NoHeartbeat);
        }
        let mut writer = FrameWriter::new(socket.encoding());
        writer.message(|payload| payload.extend_from_slice(socket.encoding().heartbeat()));
        socket.send(&mut writer).await?;
        // Counted from when it was written: a slow client gets a whole interval from when it can answer again.
        timers.next_heartbeat = Instant::now() + timers.heartbeat;
    }
    timers.arm();
    Ok(())
}
