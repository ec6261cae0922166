//! How a live client is set up.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use rosterd_protocol::{Encoding, v1};

use super::error::{INVALID, RosterdError};
use super::trace::{ClientTrace, TraceSink};
use crate::Trust;
use crate::backoff::BACKOFF;

/// The gateway's limit for each text of a device, in characters.
const DEVICE_MAX: usize = 64;

/// Why a token is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenReason {
    /// To log in.
    Connect,
    /// To replace one that expires soon.
    Refresh,
    /// To replace one that has expired.
    Expired,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none now: the client tries again later.
    #[error("{0}")]
    Failed(String),
    /// This user gets none, whatever is tried: the client ends for good.
    #[error("the application has no token for this account: {0}")]
    Unauthorized(String),
}

/// A function of the application's that supplies tokens.
pub(super) type TokenSource = Arc<dyn Fn(TokenReason) -> BoxFuture<'static, Result<String, TokenError>> + Send + Sync>;

/// Where tokens come from.
#[derive(Clone)]
pub(super) enum Credentials {
    Token(String),
    Source(TokenSource),
}

/// The options of a [`RosterdClient`](crate::RosterdClient).
#[derive(Clone)]
pub struct ClientOptions {
    pub(super) url: String,
    pub(super) account: String,
    pub(super) credentials: Credentials,
    pub(super) encoding: Encoding,
    pub(super) trust: Option<Trust>,
    pub(super) device: Option<v1::Device>,
    pub(super) request_timeout: Duration,
    pub(super) backoff: (Duration, Duration),
    pub(super) reconnect: bool,
    pub(super) trace: TraceSink,
    #[cfg(feature = "cache")]
    pub(super) cache: Option<std::path::PathBuf>,
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions").field("url", &self.url).field("account", &self.account).finish_non_exhaustive()
    }
}

impl ClientOptions {
    /// For the gateway at `url`, `ws://` or `wss://`, and the account whose records the client keeps.
    ///
    /// Without a token it logs in as to a gateway in development mode, where the token is the account.
    #[must_use]
    pub fn new(url: impl Into<String>, account: impl Into<String>) -> Self {
        let account = account.into();
        Self {
            url: url.into(),
            credentials: Credentials::Token(account.clone()),
            account,
            encoding: Encoding::Protobuf,
            trust: None,
            device: None,
            request_timeout: Duration::from_secs(8),
            backoff: BACKOFF,
            reconnect: true,
            trace: TraceSink::default(),
            #[cfg(feature = "cache")]
            cache: None,
        }
    }

    /// Logs in with this token, which is never renewed.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// Asks this function for a token when one is needed, and again before that expires.
    ///
    /// It runs in a task of its own. If it fails, panics, or takes longer than 15 s, the client tries again later;
    /// [`TokenError::Unauthorized`] ends the client for good.
    #[must_use]
    pub fn token_source<F, R>(mut self, source: F) -> Self
    where
        F: Fn(TokenReason) -> R + Send + Sync + 'static,
        R: Future<Output = Result<String, TokenError>> + Send + 'static,
    {
        self.credentials = Credentials::Source(Arc::new(move |why| source(why).boxed()));
        self
    }

    /// Speaks JSON instead of protobuf, so that frames can be read on the way.
    #[must_use]
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Accepts these certificates instead of those that the platform trusts.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Describes this session to the account's other sessions.
    #[must_use]
    pub fn device(mut self, device: v1::Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Limits the time of a call, the wait for a connection included. 8 s by default.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Bounds the wait before attempt n, which is random between 0 and min(`max`, `min` × 2ⁿ). 0.5 s and 20 s by default.
    #[must_use]
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = (min, max);
        self
    }

    /// Whether the client connects again after a lost connection. It does by default.
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Shows this function what happens on the client's connections, in order: for programs that show or record it.
    ///
    /// The client waits for it, so what takes long in it holds up this client, and its gateway sends the newest afterwards.
    #[must_use]
    pub fn trace(mut self, sink: impl Fn(ClientTrace<'_>) + Send + Sync + 'static) -> Self {
        self.trace = TraceSink::new(sink);
        self
    }

    /// Keeps what the client holds in a file in this folder, which is made if it is missing.
    ///
    /// Each account of each gateway has a file of its own, which one client at a time can use.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn cache(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Checks what would otherwise fail late, or quietly.
    pub(super) fn check(&self) -> Result<(), RosterdError> {
        let wrong = |field: &str, message: String| {
            Err(RosterdError {
                field: Some(field.to_owned()),
                ..RosterdError::new(INVALID, "INVALID_ARGUMENT", message)
            })
        };
        if self.account.is_empty() {
            return wrong("account", "the account is empty".to_owned());
        }
        if matches!(&self.credentials, Credentials::Token(token) if token.is_empty()) {
            return wrong("token", "the token is empty".to_owned());
        }
        let v1::Device { id, r#type, tag, .. } = self.device.clone().unwrap_or_default();
        for (name, text) in [("device.id", id), ("device.type", r#type), ("device.tag", tag)] {
            if text.chars().count() > DEVICE_MAX {
                return wrong(name, format!("{name} must have at most {DEVICE_MAX} characters"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_fail_late_is_refused_with_its_field() {
        let options = || ClientOptions::new("ws://127.0.0.1:7678/v1/ws", "alice");
        let device = |tag: &str| v1::Device { tag: tag.to_owned(), ..Default::default() };
        assert_eq!(options().device(device(&"ü".repeat(64))).check(), Ok(()));
        for (options, field) in [
            (ClientOptions::new("ws://127.0.0.1:7678/v1/ws", ""), "account"),
            (options().token(""), "token"),
            (options().device(device(&"ü".repeat(65))), "device.tag"),
        ] {
            let error = options.check().unwrap_err();
            assert_eq!((error.code, error.field.as_deref()), (414, Some(field)));
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let options = ClientOptions::new("ws://127.0.0.1:7678/v1/ws", "alice").token("secret");
        assert!(!format!("{options:?}").contains("secret"));
    }
}
