//! The one timer of a session, and what happens when it fires.

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
    beat: Instant,
    /// How long the session may outlast its token.
    grace: Duration,
    expires: Option<Instant>,
}

impl SessionTimers {
    /// The first heartbeat comes after half an interval to a whole one, so that sessions that logged in together
    /// do not beat together.
    pub(super) fn new(context: &SessionContext, seat: &SessionHandle, expires_at: Option<Millis>) -> Self {
        let heartbeat = context.settings.heartbeat;
        let spread = heartbeat / 2 + heartbeat / 2048 * (seat.session().id().0 % 1024) as u32;
        let beat = Instant::now() + spread;
        let mut clock = Self {
            timer: Box::pin(sleep_until(beat)),
            heartbeat,
            beat,
            grace: context.admission.policy().expiry_grace,
            expires: None,
        };
        clock.renew(expires_at, context.service.now());
        clock
    }

    /// The token now ends at `expires_at` of the wall clock, or never.
    pub(super) fn renew(&mut self, expires_at: Option<Millis>, now: Millis) {
        // A token that outlives any connection needs no timer; it would not fit the clock either.
        let left = expires_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
        self.expires = left.and_then(|left| Instant::now().checked_add(left)?.checked_add(self.grace));
        self.arm();
    }

    fn arm(&mut self) {
        let next = self.expires.map_or(self.beat, |expires| expires.min(self.beat));
        self.timer.as_mut().reset(next);
    }
}

/// The timer fired: the token has ended, or it is time for a heartbeat.
pub(super) async fn tick<S>(link: &mut ClientSocket<S>, clock: &mut SessionTimers) -> Result<(), CloseReason>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let now = Instant::now();
    if clock.expires.is_some_and(|expires| expires <= now) {
        return Err(CloseReason::TokenExpired);
    }
    if clock.beat <= now {
        if !std::mem::take(&mut link.heard) {
            return Err(CloseReason::NoHeartbeat);
        }
        let mut out = FrameWriter::new(link.encoding());
        out.message(|payload| payload.extend_from_slice(link.encoding().heartbeat()));
        link.send(&out).await?;
        // From when it was written: a slow client's whole interval starts when it could be heard again.
        clock.beat = Instant::now() + clock.heartbeat;
    }
    clock.arm();
    Ok(())
}
