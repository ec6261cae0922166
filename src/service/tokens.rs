//! Who a token is believed to be, and whose tokens are believed no more.

use std::sync::Arc;
use std::time::Duration;

use super::{Service, unavailable};
use crate::auth::{AuthError, Authenticator, Shown, VerifiedToken, static_token};
use rosterd_engine::model::{Account, CloseReason, Command, Credential, Millis, Reason, RequestError};

/// How far ahead of this clock a revocation may be: a slip such as seconds for milliseconds must not lock anyone out.
const AHEAD: Millis = 60_000;
/// When to look again for a key set where there is none.
const NO_KEY_SET: Duration = Duration::from_secs(30);

/// Why a token is not accepted: the answer, and how a login that shows it ends.
pub(super) type TokenRefusal = (RequestError, CloseReason);

/// Refuses a token that was revoked. Asked of what was read after a session is marked with the time its token was issued
/// at, so that a revocation that comes now is either found here or finds the session.
pub(super) fn not_revoked(known: &Credential, issued_at: Millis) -> Result<(), TokenRefusal> {
    if issued_at < known.revoked_before {
        return Err(refused(AuthError::Rejected("it was revoked".to_owned())));
    }
    Ok(())
}

impl Service {
    /// What verifies tokens now.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.auth.read().clone()
    }

    /// Tokens are verified by this from now on. Sessions that are there stay.
    pub fn set_authenticator(&self, authenticator: Authenticator) {
        *self.auth.write() = Arc::new(authenticator);
    }

    /// Whose token this is. Whether it was revoked is asked once a session stands for it, see [`not_revoked`].
    pub(super) async fn verify(&self, token: &str) -> Result<VerifiedToken, TokenRefusal> {
        let auth = self.authenticator();
        if let Some(shown) = auth.static_token(token).map_err(refused)? {
            return self.verify_static(shown).await;
        }
        match auth.verify(token, self.now()) {
            Err(AuthError::UnknownKey(kid)) => {
                // Boxed: what it needs to ask another server must not be part of every login.
                Box::pin(auth.learn(kid.as_deref())).await.map_err(refused)?;
                auth.verify(token, self.now()).map_err(refused)
            }
            verified => verified.map_err(refused),
        }
    }

    async fn verify_static(&self, shown: Shown<'_>) -> Result<VerifiedToken, TokenRefusal> {
        let held = self.store.credential(shown.account.clone()).await;
        let held = held.map_err(|error| (unavailable(&error), CloseReason::Internal))?.token;
        match held {
            Some(held) if shown.is(Some(&held)) => {
                Ok(VerifiedToken { account: shown.account, expires_at: None, issued_at: held.issued })
            }
            // The same for an account that has none, or does not exist.
            _ => Err(refused(AuthError::Rejected("it is not the one that was set".to_owned()))),
        }
    }

    /// Accepts no token of an account that was issued before a time, now if none is given, and ends the sessions that
    /// go by one; answers that time. The account need not exist: its tokens might make it.
    ///
    /// # Errors
    /// 414 for a time that is ahead, 503.
    pub async fn revoke_tokens(&self, account: &Account, before: Option<Millis>) -> Result<Millis, RequestError> {
        let now = self.now();
        // What was issued in this very millisecond was issued before the answer.
        let before = before.unwrap_or(now + 1);
        if before > now + AHEAD {
            let message = "issuedBefore is in the future; it is in milliseconds since 1970";
            return Err(RequestError::new(Reason::InvalidArgument, message).field("issuedBefore"));
        }
        self.write_one(Command::RevokeTokens { account: account.clone(), before }, None).await?;
        Ok(before)
    }

    /// Gives an account a static token with this secret, or a random one, in the place of the one before; answers it.
    ///
    /// # Errors
    /// 404, 414 for a secret that cannot be one, 503.
    pub async fn set_token(&self, account: &Account, secret: Option<String>) -> Result<String, RequestError> {
        let (token, hash) = static_token(account, secret)?;
        self.write_one(Command::SetToken { account: account.clone(), token: Some(hash) }, None).await?;
        Ok(token)
    }

    /// Takes an account's static token away. Sessions that are there stay.
    ///
    /// # Errors
    /// 404, 503.
    pub async fn delete_token(&self, account: &Account) -> Result<(), RequestError> {
        self.write_one(Command::SetToken { account: account.clone(), token: None }, None).await.map(drop)
    }
}

fn refused(error: AuthError) -> TokenRefusal {
    let (message, close) = match error {
        AuthError::Rejected(why) => (format!("the token is not accepted: {why}"), CloseReason::BadToken),
        AuthError::UnknownKey(_) => {
            ("the token is not accepted: its key is not known".to_owned(), CloseReason::BadToken)
        }
        AuthError::Expired => ("the token has ended".to_owned(), CloseReason::TokenExpired),
        // The token may be good: the client is to come back with it.
        AuthError::Unavailable(why) => {
            let error = RequestError::new(Reason::Unavailable, format!("the token cannot be verified now: {why}"));
            return (error.retry_after(super::STORE_RETRY_MS), CloseReason::Internal);
        }
    };
    (RequestError::new(Reason::Unauthenticated, message).field("token"), close)
}

/// Keeps the key set fresh, for as long as it is polled.
pub async fn keep_keys(service: Arc<Service>) {
    loop {
        // Another may have taken its place since.
        let next = service.authenticator().refresh().await;
        tokio::time::sleep(next.unwrap_or(NO_KEY_SET)).await;
    }
}
