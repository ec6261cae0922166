//! Profiles of accounts that are no friends, live.

use super::{Service, unavailable};
use crate::hub::{SessionHandle, UserRef};
use rosterd_engine::model::limits::WATCHED_ACCOUNTS;
use rosterd_engine::model::{Account, Reason, RequestError};
use rosterd_engine::sync::outbox::RecordKinds;

impl Service {
    /// Replaces the accounts that this session watches. The profiles of the new ones are owed at once; answers those
    /// that do not exist, which are told of as soon as they do.
    ///
    /// # Errors
    /// 414 for an account that cannot be one, 419 for more than [`WATCHED_ACCOUNTS`], 503; what was watched before still is.
    pub async fn watch(&self, seat: &mut SessionHandle, names: &[String]) -> Result<Vec<Account>, RequestError> {
        let accounts = distinct(names, WATCHED_ACCOUNTS)?;
        let before: Vec<_> = seat.watched().map(|user| user.account().clone()).collect();
        let new = seat.watch(&accounts);
        // Followed first: what changes after this was read marks the session.
        match self.look_up(seat, &accounts).await {
            Ok(found) => {
                owe(seat, new);
                let seen = accounts.into_iter().zip(found);
                Ok(seen.filter(|(_, card)| card.is_none()).map(|(account, _)| account).collect())
            }
            Err(error) => {
                // As it was. What changed meanwhile of those that were left for a moment is not known.
                let left = seat.watch(&before);
                owe(seat, left);
                Err(unavailable(&error))
            }
        }
    }
}

/// Marks the profiles of these for the session.
fn owe(seat: &SessionHandle, users: Vec<UserRef>) {
    for user in users.into_iter().filter(|user| user != seat.me()) {
        seat.mark(user, RecordKinds::PROFILE);
    }
}

/// The accounts named, each once and in the order given.
///
/// # Errors
/// 414 for an account that cannot be one, 419 for more than `most`.
pub(super) fn distinct(names: &[String], most: usize) -> Result<Vec<Account>, RequestError> {
    if names.len() > most {
        let message = format!("accounts names {}, at most {most} at a time", names.len());
        return Err(RequestError::new(Reason::LimitExceeded, message).field("accounts"));
    }
    let mut seen = rustc_hash::FxHashSet::default();
    let mut accounts: Vec<Account> = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let account = Account::parse(name, "account").map_err(|e| e.field(format!("accounts[{at}]")))?;
        if seen.insert(account.clone()) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}
