//! Keeps presence. Marks bring it to friends; it is stored so that a restart does not look as if everyone left.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{Service, unavailable};
use crate::hub::{PresenceTransition, PresenceView};
use crate::store;
use rosterd_engine::model::{
    Account, Command, LogHistory, Millis, NumberedPresence, PresenceChange, Reason, RequestError, SeenPresence,
    WriteOrigin,
};
use rosterd_protocol::{EventFields, presence_json, v1};

/// The shortest and the longest pause between looking for accounts that left.
const TICK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// How many presence transitions are stored at a time.
const SOME: usize = 500;

impl Service {
    /// Reads an account's presence, as its own clients see it, with the kinds of its devices, if friends see these.
    ///
    /// # Errors
    /// 404 for an unknown account, 503.
    pub async fn presence(&self, account: &Account) -> Result<v1::Presence, RequestError> {
        if let Some(user) = self.hub.user(account).filter(|user| user.profile().is_some()) {
            let kinds = self.hub.kinds_of(account);
            return Ok(record(&PresenceView { kinds, ..self.hub.own_presence(&user) }));
        }
        let found = self.store.users_seen_by(account.clone(), vec![account.clone()]).await;
        let found = found.map_err(|e| unavailable(&e))?;
        let user = found.into_iter().next().ok_or_else(|| RequestError::unknown_account(account))?;
        let shown = SeenPresence { online: self.hub.is_elsewhere(account), last_seen: user.last_seen };
        let seen = PresenceView {
            account: account.clone(),
            online: shown.online,
            last_seen: shown.last_seen,
            status: user.chosen.shown_status(shown, self.grace(), self.now()).cloned(),
            kinds: self.hub.kinds_of(account),
            own: Some((user.chosen.hides, user.chosen.version)),
        };
        Ok(record(&seen))
    }

    /// Shows an account as offline once offline grace is over, or no longer does, and sets its status. What is `None` stays.
    ///
    /// # Errors
    /// 400 with the field, 403 if the deployment has no presence, 404 for an unknown account, 412 if `if_version` does not
    /// match, 503.
    pub async fn set_presence(
        &self,
        account: &Account,
        set: PresenceChange,
        if_version: Option<u64>,
        origin: WriteOrigin,
    ) -> Result<(), RequestError> {
        self.write_one(self.presence_command(account, set, if_version)?, origin).await.map(drop)
    }

    /// Makes the command of a change to what an account chose about its presence.
    ///
    /// # Errors
    /// 403 if the deployment has no presence.
    pub fn presence_command(
        &self,
        account: &Account,
        set: PresenceChange,
        if_version: Option<u64>,
    ) -> Result<Command, RequestError> {
        if !self.hub.has_presence() {
            return Err(RequestError::new(Reason::PermissionDenied, "presence is off here"));
        }
        let set = PresenceChange { ended_before: self.hub.status_ended_before(account), ..set };
        Ok(Command::SetPresence { account: account.clone(), set, if_version })
    }

    /// Encodes the event about an account's presence, with what friends see beside it.
    pub(super) fn presence_event(&self, history: LogHistory, found: &NumberedPresence, fields: &EventFields) -> String {
        let status = found.chosen.shown_status(found.presence, self.grace(), self.now());
        let devices = if self.hub.has_devices() { &found.devices[..] } else { &[] };
        presence_json(history, found, (status.map(|status| &**status), devices), fields)
    }

    /// The offline grace in milliseconds.
    fn grace(&self) -> Millis {
        self.settings.linger.as_millis() as Millis
    }

    /// Stores the presence transitions since the last time, [`SOME`] at a time, so that no write waits for all of them.
    pub(super) async fn write_transitions(&self) {
        // Where an account went from here, the store is to know whether it is on another node.
        if self.publish_sessions().await.is_err() {
            return;
        }
        loop {
            let transitions = self.hub.take_transitions(SOME);
            if transitions.is_empty() {
                return;
            }
            let row = |PresenceTransition { account, peer, seen, devices }| store::PresenceRow {
                account,
                peer,
                seen,
                devices,
            };
            if let Err(error) = self.store.put_seen(transitions.iter().cloned().map(row).collect()).await {
                tracing::warn!(%error, "who came and went could not be written down; it is tried again");
                return self.hub.put_back_transitions(transitions);
            }
            self.hub.transitions_stored(&transitions);
        }
    }
}

/// Makes the record that goes on the wire.
#[must_use]
pub fn record(seen: &PresenceView) -> v1::Presence {
    v1::Presence {
        account: seen.account.to_string(),
        online: seen.online,
        last_seen: seen.last_seen,
        invisible: seen.own.map(|(hides, _)| hides),
        version: seen.own.map(|(_, version)| version),
        status: seen.status.as_ref().map(|status| status.text.to_string()),
        until: seen.status.as_ref().and_then(|status| status.until),
        devices: seen.kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
    }
}

/// Restores the accounts that were online when the process before this one ended. Call it before the first login.
///
/// # Errors
/// The store cannot be read.
pub async fn restore_presence(service: &Service) -> Result<(), store::StoreError> {
    if service.hub.has_presence() && service.shared.is_none() {
        service.hub.restore_online(service.store.online().await?);
    }
    Ok(())
}

/// Marks the friends of famous accounts for presence transitions, a slice at a time, for ever.
pub async fn sweep_presence(service: Arc<Service>) {
    loop {
        poll_fn(|cx| service.hub.poll_presence_sweep(cx)).await;
        service.hub.sweep_presence();
        tokio::task::yield_now().await;
    }
}

/// Lets accounts go offline once their offline grace is over, and stores presence transitions, until `stopping`.
///
/// From `stopping` on no account goes offline: the next process looks for those that left because the gateway stops.
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
        service.hub.set_time(service.now());
        service.hub.tidy_elsewhere(linger);
        while service.hub.end_statuses(service.now()) {
            tokio::task::yield_now().await;
        }
        if let Some(until) = instant.checked_sub(linger).filter(|_| !stops) {
            while service.hub.expire_some(until, instant, service.now()) {
                tokio::task::yield_now().await;
            }
        }
        service.write_transitions().await;
        if stops {
            return;
        }
    }
}
