//! The end of a gateway that has been without the database that it shares for too long.

use std::future::pending;

use tokio::time::timeout;

use super::{App, schedule};
use crate::config;
use rosterd_engine::model::CloseReason;

impl App {
    /// Waits until the gateway has been without the database that it shares for longer than `cluster.cut_off`.
    pub async fn cut_off(&self) {
        match self.core.service.shared() {
            Some(node) => node.over().await,
            None => pending().await,
        }
    }

    /// Ends every session as a stop does, with times to come back in: the clients go to other gateways. Nothing more is
    /// written, for want of the database.
    pub async fn end_cut_off(&self) {
        let config::ShutdownConfig { rate, away, deadline, .. } = self.shutdown.lock().clone();
        let closed = timeout(deadline, async {
            let schedule = |sessions| schedule(sessions, rate, away, deadline);
            self.gateway.close(CloseReason::Internal, schedule).await;
            self.gateway.drained().await;
        });
        if closed.await.is_err() {
            tracing::error!("some connections did not close before shutdown.deadline and were cut off");
        }
    }
}
