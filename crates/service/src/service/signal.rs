//! Hands signals over, which are kept nowhere, and prefetches profiles just before they are needed.

use std::sync::Arc;

use super::accounts::distinct;
use super::state::{STORE_RETRY_MS, Service, unavailable};
use crate::hub::{Delivered, SessionHandle, Signal, UserRef};
use rosterd_engine::model::limits::{ACCOUNTS_PER_BATCH, SIGNAL_PAYLOAD_BYTES};
use rosterd_engine::model::{Account, Reason, RequestError, SessionId, User};

/// A client's signal that is handed over after the answer, so that the time of the answer says nothing of the receiver.
#[derive(Debug)]
pub struct PostponedSignal {
    to: Account,
    origin: SessionId,
    signal: Arc<Signal>,
}

impl Service {
    /// Hands a message of the backend to the sessions of `to`, in the name of `from`. If one of the two accounts blocks
    /// the other, the answer is as if no session were there.
    ///
    /// # Errors
    /// 414 for an account that cannot be one or too large a payload, 404 for an account that does not exist, 503.
    pub async fn signal(&self, from: &Account, to: &str, payload: String) -> Result<Delivered, RequestError> {
        let to = receiver(to, &payload)?;
        if self.has_blocked(from, &to).await? | self.has_blocked(&to, from).await.map_err(|e| e.field("to"))? {
            return Ok(Delivered::default());
        }
        let elsewhere = self.signal_elsewhere(from, &to, &payload).await;
        let from = self.hub.user(from).unwrap_or_else(|| UserRef::detached(from.clone()));
        Ok(self.hub.signal(&to, None, &Arc::new(Signal { from, payload })).with(elsewhere))
    }

    /// Hands a client's message to the sessions of `to`, except the client's own.
    ///
    /// A client that may not know who is there gets the same answer, after the same work, whoever is there: the message that
    /// is returned is handed over with [`Service::hand_over`] after the answer.
    ///
    /// # Errors
    /// As [`Service::signal`].
    pub async fn signal_from(
        &self,
        handle: &SessionHandle,
        to: &str,
        payload: String,
    ) -> Result<(Delivered, Option<PostponedSignal>), RequestError> {
        let to = receiver(to, &payload)?;
        let from = handle.me().clone();
        // An account that this session follows is in the registry for that reason. Any other is in it if it is online or
        // others follow it, and that must not show in the time of the answer: it is always read from the store.
        let followed = self.hub.user(&to).filter(|user| user.profile().is_some() && handle.view().follows(user));
        let followed = followed.and_then(|user| Some((handle.view().is_blocked_by(&user)?, user)));
        let (blocked, counts) = if let Some((blocked, user)) = &followed {
            (*blocked, handle.view().sees_sessions(user))
        } else {
            let user = self.user(&to, from.account()).await.map_err(|e| e.field("to"))?;
            (user.blocks.iter().any(|block| block.peer == *from.account()), false)
        };
        let blocked = blocked | self.has_blocked(from.account(), &to).await?;
        let origin = handle.session().id();
        let signal = PostponedSignal { to, origin, signal: Arc::new(Signal { from, payload }) };
        if counts && !blocked {
            let PostponedSignal { to, origin, signal } = &signal;
            let elsewhere = self.signal_elsewhere(signal.from.account(), to, &signal.payload).await;
            return Ok((self.hub.signal(to, Some(*origin), signal).with(elsewhere), None));
        }
        Ok((Delivered::default(), (!blocked).then_some(signal)))
    }

    /// Hands over a signal that was postponed until its sender had an answer.
    pub fn hand_over(&self, PostponedSignal { to, origin, signal }: &PostponedSignal) {
        self.hub.signal(to, Some(*origin), signal);
        self.tell_signal(signal.from.account(), to, &signal.payload);
    }

    /// Brings the newest profiles of some accounts to the sessions of `viewer`, and returns those that do not exist.
    ///
    /// # Errors
    /// 404 for an unknown viewer, 414 for an account that cannot be one, 419 for more than [`ACCOUNTS_PER_BATCH`], 416 while a
    /// session has too many to read already, 503.
    pub async fn prefetch(&self, viewer: &Account, names: &[String]) -> Result<Vec<Account>, RequestError> {
        let accounts = distinct(names, ACCOUNTS_PER_BATCH)?;
        self.known(viewer).await?;
        let found = self.find(&accounts).await?;
        let (known, missing): (Vec<_>, Vec<_>) = accounts.into_iter().partition(|account| found.contains_key(account));
        let elsewhere = self.prefetch_elsewhere(viewer, &known).await;
        if self.hub.prefetch(viewer, &known).with(elsewhere).dropped > 0 {
            let message = format!("a session of \"{viewer}\" has yet to read the hints before");
            return Err(RequestError::new(Reason::RateLimited, message).retry_after(STORE_RETRY_MS));
        }
        Ok(missing)
    }

    /// Returns whether an account, which must exist, blocks another.
    pub(super) async fn has_blocked(&self, account: &Account, other: &Account) -> Result<bool, RequestError> {
        let user = self.hub.user(account).filter(|user| user.profile().is_some());
        if let Some(blocks) = user.and_then(|user| user.blocks(other)) {
            return Ok(blocks);
        }
        let user = self.user(account, other).await?;
        Ok(user.blocks.iter().any(|block| block.peer == *other))
    }

    /// Reads an account from the store, with its block of `viewer` if there is one.
    async fn user(&self, account: &Account, viewer: &Account) -> Result<User, RequestError> {
        let found = self.store.users_seen_by(viewer.clone(), vec![account.clone()]).await;
        let found = found.map_err(|e| unavailable(&e))?;
        found.into_iter().next().ok_or_else(|| RequestError::unknown_account(account))
    }

    /// Checks that an account exists.
    async fn known(&self, account: &Account) -> Result<(), RequestError> {
        match self.hub.user(account).and_then(|user| user.profile()) {
            Some(_) => Ok(()),
            None => self.user(account, account).await.map(drop),
        }
    }
}

/// Checks a signal, and returns the account that it is for.
fn receiver(to: &str, payload: &str) -> Result<Account, RequestError> {
    let to = Account::parse(to, "to")?;
    if payload.len() > SIGNAL_PAYLOAD_BYTES {
        let message = format!("payload is longer than {SIGNAL_PAYLOAD_BYTES} bytes");
        return Err(RequestError::new(Reason::InvalidArgument, message).field("payload"));
    }
    Ok(to)
}
