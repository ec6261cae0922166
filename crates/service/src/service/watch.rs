//! Watches profiles of accounts that need not be friends.

use super::accounts::distinct;
use super::state::{Service, unavailable};
use crate::hub::{SessionHandle, UserRef};
use rosterd_engine::model::limits::WATCHED_ACCOUNTS;
use rosterd_engine::model::{Account, RequestError};
use rosterd_engine::sync::outbox::RecordKinds;

impl Service {
    /// Replaces the accounts that this session watches. The profiles of the new ones are pending at once. Returns those
    /// that do not exist; their profiles are sent as soon as they do.
    ///
    /// # Errors
    /// 414 for an account that cannot be one, 419 for more than [`WATCHED_ACCOUNTS`], 503; what was watched before still is.
    pub async fn watch(&self, handle: &mut SessionHandle, names: &[String]) -> Result<Vec<Account>, RequestError> {
        let accounts = distinct(names, WATCHED_ACCOUNTS)?;
        let before: Vec<_> = handle.watched().map(|user| user.account().clone()).collect();
        let new = handle.watch(&accounts);
        // Watched before the read, so that a later change marks the session.
        match self.look_up(handle, &accounts).await {
            Ok(found) => {
                mark_profiles(handle, new);
                let seen = accounts.into_iter().zip(found);
                Ok(seen.filter(|(_, profile)| profile.is_none()).map(|(account, _)| account).collect())
            }
            Err(error) => {
                // As it was before. Those that were not watched for a moment may have changed, so they are marked.
                let left = handle.watch(&before);
                mark_profiles(handle, left);
                Err(unavailable(&error))
            }
        }
    }
}

/// Marks the profiles of these users for the session.
fn mark_profiles(handle: &SessionHandle, users: Vec<UserRef>) {
    for user in users.into_iter().filter(|user| user != handle.me()) {
        handle.mark(user, RecordKinds::PROFILE);
    }
}
