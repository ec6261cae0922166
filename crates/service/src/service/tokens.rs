//! Verifies tokens, and revokes them.

use std::sync::Arc;
use std::time::Duration;

use super::state::{STORE_RETRY_MS, Service, unavailable};
use crate::auth::{AuthError, Authenticator, Shown, VerifiedToken, static_token};
use rosterd_engine::model::{Account, CloseReason, Command, Credential, Millis, Reason, RequestError, WriteOrigin};

/// How far ahead of this clock a revocation may ask to be, in milliseconds, because clocks differ. It counts as now; a
/// mistaken unit is refused.
const AHEAD: Millis = 60_000;
/// The pause before looking again for a key set where there is none.
const NO_KEY_SET: Duration = Duration::from_secs(30);

/// The refusal of a token: the answer, and how a login with the token ends.
pub(super) type TokenRefusal = (RequestError, CloseReason);

/// Refuses a token that was revoked.
///
/// `known` is to be read after the session has the time at which its token was issued. So a revocation meanwhile either
/// is in `known`, or finds the session.
pub(super) fn not_revoked(known: &Credential, issued_at: Millis) -> Result<(), TokenRefusal> {
    if issued_at < known.revoked_before {
        return Err(refused(AuthError::Rejected("it was revoked".to_owned())));
    }
    Ok(())
}

impl Service {
    /// Returns the present authenticator.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.auth.read().clone()
    }

    /// Replaces the authenticator. Sessions that are there stay.
    pub fn set_authenticator(&self, authenticator: Authenticator) {
        *self.auth.write() = Arc::new(authenticator);
    }

    /// Verifies a token. Whether it was revoked is asked once there is a session for it, see [`not_revoked`].
    pub(super) async fn verify(&self, token: &str) -> Result<VerifiedToken, TokenRefusal> {
        let auth = self.authenticator();
        if let Some(shown) = auth.static_token(token).map_err(refused)? {
            return self.verify_static(shown).await;
        }
        match auth.verify(token, self.now()) {
            Err(AuthError::UnknownKey(kid)) => {
                // Boxed: its state, which asks another server, must not be part of every login.
                Box::pin(auth.learn(kid.as_deref())).await.map_err(refused)?;
                auth.verify(token, self.now()).map_err(refused)
            }
            verified => verified.map_err(refused),
        }
    }

    async fn verify_static(&self, shown: Shown<'_>) -> Result<VerifiedToken, TokenRefusal> {
        let known = self.store.credential(shown.account.clone()).await;
        let known = known.map_err(|error| (unavailable(&error), CloseReason::Internal))?.token;
        match known {
            Some(known) if shown.is(Some(&known)) => {
                Ok(VerifiedToken { account: shown.account, expires_at: None, issued_at: known.issued })
            }
            // The same answer for an account that has no token, or does not exist.
            _ => Err(refused(AuthError::Rejected("it is not the one that was set".to_owned()))),
        }
    }

    /// Revokes an account's tokens that were issued before a time, now if none is given, and ends the sessions that go by
    /// one. Returns that time. The account need not exist: its tokens might make it.
    ///
    /// # Errors
    /// 414 for a time that is ahead, 503.
    pub async fn revoke_tokens(
        &self,
        account: &Account,
        before: Option<Millis>,
        origin: WriteOrigin,
    ) -> Result<Millis, RequestError> {
        let now = self.now();
        // A token issued in this very millisecond was issued before the answer.
        let before = before.unwrap_or(now + 1);
        if before > now + AHEAD {
            let message = "issuedBefore is in the future; it is in milliseconds since 1970";
            return Err(RequestError::new(Reason::InvalidArgument, message).field("issuedBefore"));
        }
        let before = before.min(now + 1);
        self.write_one(Command::RevokeTokens { account: account.clone(), before }, origin).await?;
        Ok(before)
    }

    /// Replaces an account's static token by one with this secret, or a random one, and returns it.
    ///
    /// # Errors
    /// 404, 414 for a secret that cannot be one, 503.
    pub async fn set_token(
        &self,
        account: &Account,
        secret: Option<String>,
        origin: WriteOrigin,
    ) -> Result<String, RequestError> {
        let (token, hash) = static_token(account, secret)?;
        self.write_one(Command::SetToken { account: account.clone(), token: Some(hash) }, origin).await?;
        Ok(token)
    }

    /// Deletes an account's static token. Sessions that are there stay.
    ///
    /// # Errors
    /// 404, 503.
    pub async fn delete_token(&self, account: &Account, origin: WriteOrigin) -> Result<(), RequestError> {
        self.write_one(Command::SetToken { account: account.clone(), token: None }, origin).await.map(drop)
    }
}

fn refused(error: AuthError) -> TokenRefusal {
    let (message, close) = match error {
        AuthError::Rejected(why) => (format!("the token is not accepted: {why}"), CloseReason::BadToken),
        AuthError::UnknownKey(_) => {
            ("the token is not accepted: its key is not known".to_owned(), CloseReason::BadToken)
        }
        AuthError::Expired => ("the token has ended".to_owned(), CloseReason::TokenExpired),
        // The token may be valid: the client is to come back with it.
        AuthError::Unavailable(why) => {
            let error = RequestError::new(Reason::Unavailable, format!("the token cannot be verified now: {why}"));
            return (error.retry_after(STORE_RETRY_MS), CloseReason::Internal);
        }
    };
    (RequestError::new(Reason::Unauthenticated, message).field("token"), close)
}

/// Keeps the key set fresh, for as long as it is polled.
pub async fn keep_keys(service: Arc<Service>) {
    loop {
        // The authenticator may be another one by now.
        let next = service.authenticator().refresh().await;
        tokio::time::sleep(next.unwrap_or(NO_KEY_SET)).await;
    }
}
