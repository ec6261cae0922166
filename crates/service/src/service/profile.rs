//! Changes profiles, and looks them up.

use std::collections::HashMap;
use std::sync::Arc;

use super::accounts::distinct;
use super::roster::cut;
use super::state::{Service, unavailable};
use crate::hub::SessionHandle;
use rosterd_engine::model::limits::ACCOUNTS_PER_BATCH;
use rosterd_engine::model::{Account, Answer, Audience, Command, Fields, Profile, RequestError, WriteOrigin};
use rosterd_protocol::{EncodedProfile, v1};

impl Service {
    /// Changes fields of a profile; `create` makes the account if it is not there.
    ///
    /// # Errors
    /// 403 with a field that the origin may not write, 404 for an unknown account, 412 if `if_version` does not match, 414
    /// with the offending field, 503.
    pub async fn set_profile(
        &self,
        account: &Account,
        fields: Fields,
        if_version: Option<u64>,
        create: bool,
        origin: WriteOrigin,
    ) -> Result<Answer, RequestError> {
        self.permit_fields(&fields, &origin)?;
        let (account, patch) = (account.clone(), fields.check()?);
        self.write_one(Command::SetProfile { account, patch, create, if_version }, origin).await
    }

    /// Makes an account mute another, or no longer. `name` is the other's.
    ///
    /// # Errors
    /// 404 if one of them does not exist, 412 if `if_version` does not match, 414, 419 at the limit, 503.
    pub async fn set_muted(
        &self,
        account: &Account,
        name: &str,
        muted: bool,
        if_version: Option<u64>,
        origin: WriteOrigin,
    ) -> Result<Answer, RequestError> {
        let (account, peer) = (account.clone(), Account::parse(name, "account")?);
        self.write_one(Command::SetMuted { account, peer, muted, if_version }, origin).await
    }

    /// Checks that whoever asks may write these fields.
    pub(super) fn permit_fields(&self, fields: &Fields, origin: &WriteOrigin) -> Result<(), RequestError> {
        match origin {
            WriteOrigin::Client(_) => self.write_rights.read().permit(&self.hub.visibility().own, fields),
            _ => Ok(()),
        }
    }

    /// Describes the own fields of the deployment, and which others only the backend may write.
    #[must_use]
    pub fn schema(&self) -> Arc<v1::GetSchemaReply> {
        let rights = self.write_rights.read().clone();
        self.schema_cache.of(self.hub.visibility(), rights)
    }

    /// Returns the hash of what [`Service::schema`] describes; `None` if that is nothing.
    #[must_use]
    pub fn schema_hash(&self) -> Option<String> {
        rosterd_protocol::schema_hash(&self.schema()).map(str::to_owned)
    }

    /// Returns a profile as its own clients see it.
    #[must_use]
    pub fn own_view(&self, profile: &Arc<Profile>) -> Arc<Profile> {
        self.hub.visibility().view(profile, Audience::Own).map_or_else(|| profile.clone(), Arc::new)
    }

    /// Returns a profile without the own fields that are not for everyone.
    #[must_use]
    pub fn without_private_fields(&self, profile: &Profile) -> Profile {
        let own = self.hub.visibility().own.visible(&profile.own, Audience::Everyone);
        Profile { own, ..profile.clone() }
    }

    /// Deletes an account; its sessions end, its friends' clients drop it.
    ///
    /// # Errors
    /// 404, 503.
    pub async fn delete_user(&self, account: &Account, origin: WriteOrigin) -> Result<(), RequestError> {
        self.write_one(Command::DeleteUser { account: account.clone() }, origin).await.map(drop)
    }

    /// Looks up what a session may see of some profiles. Returns the profiles that exist and the accounts that do not, each
    /// once and in the order asked.
    ///
    /// # Errors
    /// 414 for an account that cannot be one, 419 for more than [`ACCOUNTS_PER_BATCH`], 503.
    pub async fn see_users(
        &self,
        handle: &SessionHandle,
        names: &[String],
    ) -> Result<(Vec<Arc<EncodedProfile>>, Vec<Account>), RequestError> {
        let accounts = distinct(names, ACCOUNTS_PER_BATCH)?;
        let found = self.look_up(handle, &accounts).await.map_err(|e| unavailable(&e))?;
        let (mut users, mut missing) = (Vec::new(), Vec::new());
        for (account, profile) in accounts.into_iter().zip(found) {
            match profile {
                Some(profile) => users.push(profile),
                None => missing.push(account),
            }
        }
        Ok((users, missing))
    }

    /// Looks up whole profiles. Returns the profiles that exist and the accounts that do not, each once and in the order
    /// asked.
    ///
    /// # Errors
    /// 414 for an account that cannot be one, 419 for more than [`ACCOUNTS_PER_BATCH`], 503.
    pub async fn get_users(&self, names: &[String]) -> Result<(Vec<Arc<Profile>>, Vec<Account>), RequestError> {
        let accounts = distinct(names, ACCOUNTS_PER_BATCH)?;
        let found = self.find(&accounts).await?;
        let (mut users, mut missing) = (Vec::new(), Vec::new());
        for account in accounts {
            match found.get(&account) {
                Some(profile) => users.push(profile.clone()),
                None => missing.push(account),
            }
        }
        Ok((users, missing))
    }

    /// Reads the profiles whose account begins with a text, in order of the account. Returns also the account after which
    /// the next page begins, if there is one.
    ///
    /// # Errors
    /// 503.
    pub async fn users(
        &self,
        prefix: &str,
        after: Option<Account>,
        limit: usize,
    ) -> Result<(Vec<Profile>, Option<Account>), RequestError> {
        let page = self.store.profiles(prefix.to_owned(), after, limit + 1).await;
        cut(page, limit, |profile| &profile.account)
    }

    /// Looks up one profile.
    ///
    /// # Errors
    /// 404, 503.
    pub async fn get_user(&self, account: &Account) -> Result<Arc<Profile>, RequestError> {
        let mut found = self.find(std::slice::from_ref(account)).await?;
        found.remove(account).ok_or_else(|| RequestError::unknown_account(account))
    }

    /// Finds whole profiles: live ones in the registry, the others in the store by one read.
    pub(super) async fn find(&self, accounts: &[Account]) -> Result<HashMap<Account, Arc<Profile>>, RequestError> {
        let mut found = HashMap::new();
        let mut rest = Vec::new();
        for account in accounts {
            match self.hub.user(account).and_then(|user| user.profile()) {
                Some(profile) => drop(found.insert(account.clone(), profile)),
                None => rest.push(account.clone()),
            }
        }
        if !rest.is_empty() {
            // Whole profiles are for the backend, and no block matters: that of any account is one at most.
            let users = self.store.users_seen_by(rest[0].clone(), rest).await.map_err(|e| unavailable(&e))?;
            found.extend(users.into_iter().map(|user| (user.profile.account.clone(), user.profile)));
        }
        Ok(found)
    }
}
