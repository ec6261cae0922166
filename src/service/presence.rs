//! Who is online: told to friends by marks, written down so that a restart does not look like everyone leaving.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Service, unavailable};
use crate::hub::PresenceView;
use crate::store;
use rosterd_engine::model::{Account, Command, Reason, RequestError};
use rosterd_protocol::v1;

/// How often those who left are looked for, at most and at least.
const TICK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

impl Service {
    /// An account's presence, as its own clients know it.
    ///
    /// # Errors
    /// 404 for an unknown account, 503.
    pub async fn presence(&self, account: &Account) -> Result<v1::Presence, RequestError> {
        if let Some(user) = self.hub.user(account).filter(|user| user.profile().is_some()) {
            return Ok(record(&self.hub.own_presence(&user)));
        }
        let found = self.store.users(vec![account.clone()]).await.map_err(|e| unavailable(&e))?;
        let user = found.into_iter().next().ok_or_else(|| RequestError::unknown_account(account))?;
        let seen = PresenceView {
            account: account.clone(),
            online: false,
            last_seen: user.last_seen,
            invisible: Some(user.invisible),
        };
        Ok(record(&seen))
    }

    /// Shows an account as offline, or no longer.
    ///
    /// # Errors
    /// 403 if the deployment has no presence, 404 for an unknown account, 503.
    pub async fn set_invisible(&self, account: &Account, invisible: bool) -> Result<(), RequestError> {
        if !self.hub.has_presence() {
            return Err(RequestError::new(Reason::PermissionDenied, "presence is off here"));
        }
        let command = Command::SetInvisible { account: account.clone(), invisible };
        self.write_one(command, None).await.map(drop)
    }

    /// Writes down who came and went since it was last done.
    pub(super) async fn write_transitions(&self) {
        let transitions = self.hub.take_transitions();
        if transitions.is_empty() {
            return;
        }
        let seen = transitions.iter().map(|(account, transition)| store::PresenceRow {
            account: account.clone(),
            online: transition.online,
            time: transition.time,
        });
        if let Err(error) = self.store.put_seen(seen.collect()).await {
            tracing::warn!(%error, "who came and went could not be written down; it is tried again");
            self.hub.put_back_transitions(transitions);
        }
    }
}

/// As it goes on the wire.
#[must_use]
pub fn record(seen: &PresenceView) -> v1::Presence {
    v1::Presence {
        account: seen.account.to_string(),
        online: seen.online,
        last_seen: seen.last_seen,
        invisible: seen.invisible,
    }
}

/// Takes up who was online when the process before this one ended. Before the first login.
///
/// # Errors
/// The store cannot be read.
pub async fn restore_presence(service: &Service) -> Result<(), store::StoreError> {
    if service.hub.has_presence() {
        service.hub.restore_online(service.store.online().await?);
    }
    Ok(())
}

/// Lets accounts go offline once their linger is over, and writes down who came and went. From `stopping` on nobody goes:
/// who leaves because the gateway stops will be looked for by the next one.
pub async fn keep_presence(service: Arc<Service>, stopping: impl Future<Output = ()>) {
    let linger = service.settings.linger;
    let mut ticks = tokio::time::interval((linger / 8).clamp(TICK.0, TICK.1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stopping = pin!(stopping);
    loop {
        let stops = tokio::select! {
            biased;
            () = &mut stopping => true,
            _ = ticks.tick() => false,
        };
        let instant = Instant::now();
        if let Some(until) = instant.checked_sub(linger).filter(|_| !stops) {
            service.hub.expire(until, instant, service.now());
        }
        service.write_transitions().await;
        if stops {
            return;
        }
    }
}
