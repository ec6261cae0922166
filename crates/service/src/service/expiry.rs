//! Closes friend requests that nobody answered in time.

use std::sync::Arc;
use std::time::Duration;

use super::state::Service;
use crate::store::{StoreError, Write};
use rosterd_engine::model::{Command, Millis, RequestError, WriteOrigin};

/// The most requests that are closed in one transaction.
const SOME: usize = 200;
/// The shortest and the longest pause between looking for old requests.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_mins(1));

/// Closes requests once they are older than `expiry`, by a clock that has not jumped of late. Runs until it is dropped.
pub async fn expire_requests(service: Arc<Service>, expiry: Duration) {
    let pause = (expiry / 10).clamp(PAUSE.0, PAUSE.1);
    loop {
        if let Some(now) = service.settled_now() {
            let before = now.saturating_sub(Millis::try_from(expiry.as_millis()).unwrap_or(Millis::MAX));
            match service.expire_some(before).await {
                // There may be more.
                Ok(SOME) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "friend requests could not be expired; it is tried again"),
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// The reasons why requests could not be expired.
#[derive(Debug, thiserror::Error)]
enum ExpiryError {
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error("{0}")]
    Write(RequestError),
}

impl Service {
    async fn expire_some(&self, before: Millis) -> Result<usize, ExpiryError> {
        let stale = self.store.stale_requests(before, SOME).await?;
        let found = stale.len();
        if found > 0 {
            let commands = stale.into_iter().map(|request| Command::ExpireRequest {
                sender: request.sender,
                receiver: request.receiver,
                before,
            });
            let write = Write { commands: commands.collect(), origin: WriteOrigin::Expiry };
            self.write(write).await.map_err(|(_, error)| ExpiryError::Write(error))?;
        }
        Ok(found)
    }
}
