//! Logs a session in, and finds out what its client lacks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::catch_up::CatchUp;
use super::state::{Service, unavailable};
use super::tokens::not_revoked;
use crate::hub::{Session, SessionHandle, UserRef, VisibleProfile};
use crate::store::StoreError;
use rosterd_engine::model::{
    Account, CloseReason, Command, Millis, Patch, Reason, RequestError, Revision, SessionId, WriteOrigin,
};
use rosterd_engine::sync::delta::Plan;
use rosterd_protocol::{EncodedProfile, v1};

/// How long a login waits for changes that its first read saw, and others for what they have from another node.
pub(super) const CATCH_UP_WAIT: Duration = Duration::from_secs(2);

/// A session that has logged in and has yet to be brought up to date.
#[derive(Debug)]
pub struct LoggedIn {
    /// Its handle in the hub: changes mark it from before the catch-up was read.
    pub handle: SessionHandle,
    /// The account's own profile.
    pub me: Arc<EncodedProfile>,
    /// When the token ends, if it does.
    pub expires_at: Option<Millis>,
    /// The catch-up of what the client lacks.
    pub catch_up: CatchUp,
}

impl Service {
    /// Verifies the token, joins the session to the hub and plans its catch-up. Sessions that may not stay beside it end.
    /// `may_begin` looks, before anything is read, whether the account may log in now.
    ///
    /// # Errors
    /// The answer, and how the connection ends.
    pub async fn login(
        &self,
        login: v1::Login,
        may_begin: impl FnOnce(&Account) -> Result<(), RequestError>,
    ) -> Result<LoggedIn, (RequestError, CloseReason)> {
        let logged_in = self.admit(login, may_begin).await;
        let kind = match &logged_in {
            Ok(_) => return logged_in,
            Err((error, _)) if error.reason == Reason::Unavailable => "UNAVAILABLE",
            Err(_) => "REFUSED",
        };
        self.metrics.logins.get_or_create(&crate::metrics::Kind { kind }).inc();
        logged_in
    }

    async fn admit(
        &self,
        login: v1::Login,
        may_begin: impl FnOnce(&Account) -> Result<(), RequestError>,
    ) -> Result<LoggedIn, (RequestError, CloseReason)> {
        let identity = self.verify(&login.token).await?;
        may_begin(&identity.account).map_err(|error| (error, CloseReason::TooManyRequests))?;
        // Interest first, watermark second, rows third: what changes meanwhile is sent twice at worst, never missed.
        let handle = self.hub.join(&identity.account, SessionId((self.environment.random)()), login.device);
        handle.session().set_issued_at(identity.issued_at);
        let (watermark, relations_epoch) = (self.hub.watermark(), handle.relations_epoch());
        let few = handle.me().profile().is_none().then_some(self.environment.few_blocks);
        let read = self.read_login(&identity.account, login.cursor.as_deref(), few).await;
        let (plan, read) = read.map_err(|error| (unavailable(&error), CloseReason::Internal))?;
        self.caught_up(read.head).await.map_err(|error| (error, CloseReason::Internal))?;
        not_revoked(&read.credential, identity.issued_at)?;
        let known = if few.is_some() {
            handle.view().offer(handle.me(), read.user.as_ref());
            visible(&handle, handle.me())
        } else {
            self.read_own_profile(&handle).await.map_err(|error| (error, CloseReason::Internal))?
        };
        let me = match known {
            Some(profile) => profile,
            None => self.create_account(&handle).await?,
        };
        if let Plan::Full(because) = plan {
            self.metrics.full_syncs.get_or_create(&crate::metrics::Kind { kind: because.word() }).inc();
        }
        self.hub.arrive(&handle, self.now(), self.settings.sessions);
        let catch_up = CatchUp::new(plan, self.cursor(watermark), read, relations_epoch);
        Ok(LoggedIn { handle, me, expires_at: identity.expires_at, catch_up })
    }

    /// Waits until everything up to a revision is applied here: what was answered before this login began is in what it
    /// brings, whoever answered it.
    async fn caught_up(&self, head: Revision) -> Result<(), RequestError> {
        let begun = Instant::now();
        if tokio::time::timeout(CATCH_UP_WAIT, self.hub.until_applied(head)).await.is_ok() {
            self.metrics.login_waits.observe(begun.elapsed().as_secs_f64());
            return Ok(());
        }
        tracing::error!(head, applied = *self.hub.applied().borrow(), "changes are not applied in time for a login");
        Err(unavailable(&StoreError("changes are not applied in time".into())))
    }

    /// Waits until everything up to a revision is applied here.
    ///
    /// # Errors
    /// 503 if that takes too long, or if there is no such revision yet.
    pub async fn reached(&self, revision: Revision) -> Result<(), RequestError> {
        let applied = tokio::time::timeout(CATCH_UP_WAIT, self.hub.until_applied(revision)).await;
        applied.map_err(|_| unavailable(&StoreError("changes are not applied in time".into())))
    }

    /// Replaces the token of a session that is logged in, and returns when the new one ends.
    ///
    /// # Errors
    /// 302 if the token is not accepted, 403 if it is another account's; the old one then stays. 503.
    pub async fn refresh(&self, session: &Session, token: &str) -> Result<Option<Millis>, RequestError> {
        let identity = self.verify(token).await.map_err(|(error, _)| error)?;
        if identity.account != *session.account() {
            return Err(RequestError::new(Reason::PermissionDenied, "the token is another account's").field("token"));
        }
        let before = session.set_issued_at(identity.issued_at);
        let known = self.store.credential(session.account().clone()).await.map_err(|error| unavailable(&error));
        let accepted = known.and_then(|known| not_revoked(&known, identity.issued_at).map_err(|(error, _)| error));
        if let Err(error) = accepted {
            session.set_issued_at(before);
            return Err(error);
        }
        Ok(identity.expires_at)
    }

    /// Makes the account of a first login, if that is allowed, and returns its profile.
    async fn create_account(&self, handle: &SessionHandle) -> Result<Arc<EncodedProfile>, (RequestError, CloseReason)> {
        let account = handle.account();
        if !self.settings.create_accounts {
            return Err((RequestError::unknown_account(account), CloseReason::BadToken));
        }
        let failed = |error: RequestError| (error, CloseReason::Internal);
        let create =
            Command::SetProfile { account: account.clone(), patch: Patch::default(), create: true, if_version: None };
        // If it is not known whether the account was made, the next login finds out.
        let put_off = |error: RequestError| match error.reason {
            Reason::OutcomeUnknown => unavailable(&StoreError(error.message)),
            _ => error,
        };
        self.write_one(create, WriteOrigin::Login).await.map_err(|error| failed(put_off(error)))?;
        let profile = self.read_own_profile(handle).await.map_err(failed)?;
        profile.ok_or_else(|| (RequestError::unknown_account(account), CloseReason::AccountDisabled))
    }

    /// Returns the account's own profile, which may have been forgotten here or not have come yet. `None` without an account.
    async fn read_own_profile(&self, handle: &SessionHandle) -> Result<Option<Arc<EncodedProfile>>, RequestError> {
        let (me, account) = (handle.me(), handle.account().clone());
        if me.profile().is_none() {
            let few = self.environment.few_blocks;
            let found = self.store.users_followed_by(account.clone(), vec![account], few).await;
            handle.view().offer(me, found.map_err(|e| unavailable(&e))?.first());
        }
        Ok(visible(handle, me))
    }
}

/// Returns the profile that a session may see of a user, as far as it is known here.
fn visible(handle: &SessionHandle, user: &UserRef) -> Option<Arc<EncodedProfile>> {
    match handle.view().visible_profile(user) {
        VisibleProfile::EncodedProfile(profile) => Some(profile),
        VisibleProfile::Frozen | VisibleProfile::Unknown => None,
    }
}
