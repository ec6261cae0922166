//! How a client is set up, and the application's function for tokens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rosterd_client::{ClientOptions, RosterdError, TokenError, TokenReason, Trust};
use rosterd_protocol::Encoding;
use tokio::sync::oneshot;

use crate::records::ForeignDevice;

/// Why a token is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "TokenReason")]
pub enum ForeignTokenReason {
    /// To log in.
    Connect,
    /// To replace one that expires soon.
    Refresh,
    /// To replace one that has expired.
    Expired,
}

/// Where the application puts the token that it was asked for. The first answer counts.
///
/// If nobody has it any more, and nobody answered, there is no token now.
#[derive(Debug, uniffi::Object)]
#[uniffi(name = "TokenAnswer")]
pub struct ForeignTokenAnswer(Mutex<Option<oneshot::Sender<Result<String, TokenError>>>>);

#[uniffi::export(name = "TokenAnswer")]
impl ForeignTokenAnswer {
    /// Here it is.
    pub fn supply(&self, token: String) {
        self.answer(Ok(token));
    }

    /// There is none now: the client tries again later.
    pub fn fail(&self, why: String) {
        self.answer(Err(TokenError::Failed(why)));
    }

    /// This user gets none, whatever is tried: the client ends for good.
    pub fn refuse(&self, why: String) {
        self.answer(Err(TokenError::Unauthorized(why)));
    }
}

impl ForeignTokenAnswer {
    fn answer(&self, answer: Result<String, TokenError>) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Whoever asked may have given up.
        sender.map(|sender| sender.send(answer));
    }
}

/// The application's function for tokens.
///
/// It returns at once and answers later, within 15 s, from any thread: so it fits every language's own way to wait.
#[uniffi::export(with_foreign)]
pub trait TokenProvider: Send + Sync {
    /// Asks for a token.
    fn ask(&self, reason: ForeignTokenReason, answer: Arc<ForeignTokenAnswer>);
}

/// The options of a client.
#[derive(Debug, Clone, uniffi::Record)]
#[uniffi(name = "ClientOptions")]
pub struct ForeignOptions {
    /// `ws://` or `wss://` address of the gateway.
    pub url: String,
    /// The account whose records the client keeps.
    pub account: String,
    /// Logs in. Without it and without a provider the token is the account, as in development mode.
    #[uniffi(default = None)]
    pub token: Option<String>,
    /// Describes this session to the account's other sessions.
    #[uniffi(default = None)]
    pub device: Option<ForeignDevice>,
    /// A folder for the cache; without one nothing is stored.
    #[uniffi(default = None)]
    pub cache: Option<String>,
    /// Certificates in PEM to accept instead of those that the platform trusts.
    #[uniffi(default = None)]
    pub authorities: Option<String>,
    /// Limits the time of a call, in milliseconds.
    #[uniffi(default = 8000)]
    pub request_timeout_ms: u64,
    /// Bounds the random waits between attempts, in milliseconds.
    #[uniffi(default = 500)]
    pub backoff_min_ms: u64,
    /// The same, from above.
    #[uniffi(default = 20000)]
    pub backoff_max_ms: u64,
    /// Whether the client connects again after a lost connection.
    #[uniffi(default = true)]
    pub reconnect: bool,
    /// Speaks JSON instead of protobuf.
    #[uniffi(default = false)]
    pub json: bool,
}

impl ForeignOptions {
    pub(crate) fn build(self, tokens: Option<Arc<dyn TokenProvider>>) -> Result<ClientOptions, RosterdError> {
        let time = Duration::from_millis;
        let mut options = ClientOptions::new(self.url, self.account)
            .request_timeout(time(self.request_timeout_ms))
            .backoff(time(self.backoff_min_ms), time(self.backoff_max_ms))
            .reconnect(self.reconnect)
            .encoding(if self.json { Encoding::Json } else { Encoding::Protobuf });
        if let Some(token) = self.token {
            options = options.token(token);
        }
        if let Some(device) = self.device {
            options = options.device(device.into());
        }
        if let Some(folder) = self.cache {
            options = options.cache(folder);
        }
        if let Some(pem) = self.authorities {
            options = options.trust(Trust::authorities(pem.as_bytes(), None).map_err(|why| wrong("authorities", why))?);
        }
        Ok(match tokens {
            None => options,
            Some(tokens) => options.token_source(move |why| asked(tokens.clone(), why)),
        })
    }
}

async fn asked(tokens: Arc<dyn TokenProvider>, why: TokenReason) -> Result<String, TokenError> {
    let why = match why {
        TokenReason::Connect => ForeignTokenReason::Connect,
        TokenReason::Refresh => ForeignTokenReason::Refresh,
        TokenReason::Expired => ForeignTokenReason::Expired,
    };
    let (sender, answer) = oneshot::channel();
    tokens.ask(why, Arc::new(ForeignTokenAnswer(Mutex::new(Some(sender)))));
    drop(tokens);
    answer.await.unwrap_or_else(|_| Err(TokenError::Failed("nobody answered".to_owned())))
}

fn wrong(field: &str, message: String) -> RosterdError {
    RosterdError {
        code: 414,
        reason: "INVALID_ARGUMENT".to_owned(),
        message,
        field: Some(field.to_owned()),
        retry_after_ms: None,
        detail: None,
    }
}
