//! Ends all sessions by a schedule: each gets what is pending for it, and the time at which to come back.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::state::Gateway;
use crate::lifecycle::DrainSchedule;
use rosterd_engine::model::CloseReason;

/// How often the sessions that are due are closed.
const TICK: Duration = Duration::from_millis(20);

impl Gateway {
    /// Accepts nothing new and ends every session for this reason, by the schedule that `schedule` makes for their number.
    /// Resolves once the last session is asked to end, which is before its connection has ended.
    pub async fn close(&self, reason: CloseReason, schedule: impl FnOnce(usize) -> DrainSchedule) {
        let hub = self.sessions.service.hub();
        let schedule = schedule(hub.sessions());
        // Before the sessions are listed: one that joins later finds that closing has begun, and ends by itself.
        self.sessions.lifecycle.close(schedule);
        let sessions = hub.all_sessions();
        tracing::info!(
            sessions = sessions.len(),
            per_second = schedule.per_second,
            window_ms = schedule.window.as_millis() as u64,
            "closing sessions"
        );
        let (begun, mut closed) = (Instant::now(), 0);
        while closed < sessions.len() {
            let due = schedule.due(begun.elapsed()).min(sessions.len());
            sessions[closed..due].iter().for_each(|session| session.end(reason));
            closed = due;
            sleep(TICK).await;
        }
    }
}
