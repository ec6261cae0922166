//! The end of all sessions, at a pace: each is told what it is owed, and when to come back.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::state::Gateway;
use crate::lifecycle::DrainSchedule;
use rosterd_engine::model::CloseReason;

/// How often the sessions that are due are closed.
const TICK: Duration = Duration::from_millis(20);

impl Gateway {
    /// Accepts nothing new and ends every session; `pace` is made of how many there are. Resolves once the last is told,
    /// which is before its connection has ended.
    pub async fn close(&self, pace: impl FnOnce(usize) -> DrainSchedule) {
        let hub = self.sessions.service.hub();
        let pace = pace(hub.sessions());
        // Before the sessions are looked at: one that sits down later finds closing begun, and ends by itself.
        self.sessions.lifecycle.close(pace);
        let sessions = hub.all_sessions();
        tracing::info!(
            sessions = sessions.len(),
            per_second = pace.per_second,
            window_ms = pace.window.as_millis() as u64,
            "closing sessions"
        );
        let (begun, mut closed) = (Instant::now(), 0);
        while closed < sessions.len() {
            let due = pace.due(begun.elapsed()).min(sessions.len());
            sessions[closed..due].iter().for_each(|session| session.end(CloseReason::Shutdown));
            closed = due;
            sleep(TICK).await;
        }
    }
}
