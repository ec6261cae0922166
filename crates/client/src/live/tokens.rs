//! The token for the next login, and its renewal while a connection is open.

use std::time::Duration;

use rosterd_protocol::v1;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::options::{Credentials, TokenError, TokenReason};

/// How long the application may take to supply a token.
const ANSWER: Duration = Duration::from_secs(15);
/// The earliest renewal before a token's end; otherwise a fifth of its time must be left.
const REFRESH_LEAD: Duration = Duration::from_mins(1);
/// The shortest wait before a renewal.
const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// A call of the application's that supplies a token. Dropping it ends the wait.
///
/// It runs in a task of its own, so that neither a panic nor a loop in it disturbs the client.
pub(super) struct TokenRequest(JoinHandle<Result<String, TokenError>>);

impl TokenRequest {
    /// Waits for the token. Cancel safe.
    pub(super) async fn answer(&mut self) -> Result<String, TokenError> {
        let answered = (&mut self.0).await;
        let token = answered.unwrap_or_else(|_| Err(TokenError::Failed("it panicked".to_owned())))?;
        if token.is_empty() { Err(TokenError::Failed("it returned an empty text".to_owned())) } else { Ok(token) }
    }
}

impl Drop for TokenRequest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Keeps the token and replaces it before it expires.
pub(super) struct TokenKeeper {
    credentials: Credentials,
    token: Option<String>,
    /// The gateway ended a connection because of the token; no login has succeeded since.
    has_ended: bool,
    expires_at: Option<Instant>,
    renew_at: Option<Instant>,
    renewal: Option<TokenRequest>,
    /// A token that the gateway has not accepted yet.
    offered: Option<String>,
    /// The gateway's clock, in milliseconds, at the last login.
    clock: Option<(u64, Instant)>,
}

impl TokenKeeper {
    pub(super) fn new(credentials: Credentials) -> Self {
        let token = match &credentials {
            Credentials::Token(token) => Some(token.clone()),
            Credentials::Source(_) => None,
        };
        let (expires_at, renew_at, renewal, offered) = (None, None, None, None);
        Self { credentials, token, has_ended: false, expires_at, renew_at, renewal, offered, clock: None }
    }

    /// Whether the application supplies tokens.
    pub(super) fn has_source(&self) -> bool {
        matches!(self.credentials, Credentials::Source(_))
    }

    /// Returns the token for a login, or the call that asks for one.
    pub(super) fn take(&mut self) -> Result<String, TokenRequest> {
        let ended = self.has_source() && self.expires_at.is_some_and(|at| at <= Instant::now());
        if let Some(token) = self.token.as_ref().filter(|_| !ended) {
            return Ok(token.clone());
        }
        let why = if self.has_ended || ended { TokenReason::Expired } else { TokenReason::Connect };
        self.expires_at = None;
        // A token of the options is never dropped.
        self.ask(why).map_or_else(|| Ok(String::new()), Err)
    }

    /// Takes the token that the application has supplied for a login.
    pub(super) fn supplied(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    pub(super) fn restart(&mut self) {
        self.has_ended = false;
    }

    /// Notes when the token ends. The gateway's clock counts, so nothing depends on this machine's.
    pub(super) fn logged_in(&mut self, login: &v1::LoginReply) {
        self.has_ended = false;
        self.clock = Some((login.server_time, Instant::now()));
        self.expires(login.expires_at);
    }

    /// The connection is over.
    pub(super) fn stop(&mut self) {
        (self.renew_at, self.renewal, self.offered) = (None, None, None);
    }

    /// Drops an expired token. Returns whether it is the first since a login.
    pub(super) fn expired(&mut self) -> bool {
        let first = !self.has_ended;
        self.token = None;
        self.has_ended = true;
        first
    }

    /// Drops a token that the gateway refuses, so that the next login asks for another one.
    pub(super) fn reset(&mut self) {
        if self.has_source() {
            self.token = None;
        }
    }

    /// When to begin a renewal.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.renew_at.filter(|_| self.renewal.is_none())
    }

    /// Begins a renewal if it is time.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.next_time().is_some_and(|at| at <= now) {
            self.renew_at = None;
            self.renewal = self.ask(TokenReason::Refresh);
        }
    }

    /// Waits for the token of a renewal that has begun. Cancel safe.
    pub(super) async fn renewed(&mut self) -> Result<String, TokenError> {
        match &mut self.renewal {
            Some(request) => {
                let answer = request.answer().await;
                self.renewal = None;
                if let Ok(token) = &answer {
                    self.offered = Some(token.clone());
                }
                answer
            }
            None => std::future::pending().await,
        }
    }

    /// The gateway has accepted the token of the renewal; it has a new end.
    pub(super) fn refreshed(&mut self, expires_at: Option<u64>) {
        if let Some(token) = self.offered.take() {
            self.token = Some(token);
        }
        self.expires(expires_at);
    }

    /// The renewal failed: the old token is used until it ends, and there is another attempt.
    pub(super) fn not_refreshed(&mut self) {
        self.offered = None;
        self.expires_in(self.expires_at.map(|at| at.saturating_duration_since(Instant::now())));
    }

    /// Notes an end by the gateway's clock.
    fn expires(&mut self, at: Option<u64>) {
        let left = at.zip(self.clock).map(|(at, (then, seen))| {
            let now = then.saturating_add(u64::try_from(seen.elapsed().as_millis()).unwrap_or(u64::MAX));
            Duration::from_millis(at.saturating_sub(now)).min(super::FAR)
        });
        self.expires_in(left);
    }

    fn expires_in(&mut self, left: Option<Duration>) {
        let now = Instant::now();
        self.expires_at = left.map(|left| now + left);
        // The gateway closes the connection after the token's end, with the code that requests a new token.
        let left = left.filter(|left| self.has_source() && !left.is_zero());
        self.renew_at = left.map(|left| now + REFRESH_PAUSE.max(left.saturating_sub(REFRESH_LEAD.min(left / 5))));
    }

    fn ask(&self, why: TokenReason) -> Option<TokenRequest> {
        let Credentials::Source(source) = &self.credentials else { return None };
        let source = source.clone();
        let asking = tokio::spawn(async move {
            let late = TokenError::Failed(format!("it did not answer within {} s", ANSWER.as_secs()));
            timeout(ANSWER, source(why)).await.unwrap_or(Err(late))
        });
        Some(TokenRequest(asking))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;

    use super::*;

    fn keeper(source: impl Fn(TokenReason) -> Result<String, TokenError> + Send + Sync + 'static) -> TokenKeeper {
        let source = Arc::new(source);
        TokenKeeper::new(Credentials::Source(Arc::new(move |why| {
            let source = source.clone();
            async move { source(why) }.boxed()
        })))
    }

    async fn asked(keeper: &mut TokenKeeper) -> Result<String, TokenError> {
        match keeper.take() {
            Ok(token) => Ok(token),
            Err(mut request) => request.answer().await,
        }
    }

    fn login(left: u64) -> v1::LoginReply {
        // Years apart from this machine's clock.
        v1::LoginReply { server_time: 5_000, expires_at: Some(5_000 + left), ..Default::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_its_end_whatever_this_machines_clock_says() {
        let mut keeper = keeper(|why| Ok(format!("{why:?}")));
        assert_eq!(asked(&mut keeper).await, Ok("Connect".to_owned()));
        keeper.supplied("Connect");
        keeper.logged_in(&login(100_000));
        let now = Instant::now();
        assert_eq!(keeper.next_time(), Some(now + Duration::from_secs(80)));
        keeper.renew(now);
        assert!(keeper.renewal.is_none(), "it is early");
        keeper.renew(now + Duration::from_secs(80));
        assert_eq!(keeper.renewed().await, Ok("Refresh".to_owned()));
        keeper.refreshed(Some(1_005_000));
        assert_eq!(asked(&mut keeper).await, Ok("Refresh".to_owned()), "the token of the next login");
        assert_eq!(keeper.next_time(), Some(Instant::now() + Duration::from_secs(940)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_end_of_a_token_is_the_first() {
        let mut keeper = keeper(|why| Ok(format!("{why:?}")));
        assert!(keeper.expired() && !keeper.expired());
        assert_eq!(asked(&mut keeper).await, Ok("Expired".to_owned()));
        keeper.logged_in(&login(1));
        assert!(keeper.expired());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_token_is_a_failure() {
        let failed = |answer: Result<String, TokenError>| matches!(answer, Err(TokenError::Failed(_)));
        assert!(failed(asked(&mut keeper(|_| Ok(String::new()))).await));
        assert!(failed(asked(&mut keeper(|_| panic!("a bug of the application"))).await));
        let hangs: Credentials = Credentials::Source(Arc::new(|_| std::future::pending().boxed()));
        assert!(failed(asked(&mut TokenKeeper::new(hangs)).await));
    }
}
