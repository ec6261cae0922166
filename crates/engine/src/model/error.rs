//! Errors of two separate kinds: a [`RequestError`] answers one command, a [`CloseReason`] ends a session.
//!
//! Both are a public contract: their numbers and words stay.

use std::borrow::Cow;
use std::fmt;

/// Why a command was not carried out: a number, which is NIM's where it has one, and a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 302: the token is missing, wrong or expired, or the command came before a login.
    Unauthenticated,
    /// 403: the account is known, but may not do this.
    PermissionDenied,
    /// 404: an account, or something else that the command names, does not exist.
    NotFound,
    /// 412: `ifVersion` does not match.
    VersionMismatch,
    /// 414: a field is wrong; the error names it.
    InvalidArgument,
    /// 416: too many commands.
    RateLimited,
    /// 417: it exists already, or was done already.
    AlreadyExists,
    /// 419: a count is over its limit.
    LimitExceeded,
    /// 451: the operator's hook does not want this; the error may say why.
    Rejected,
    /// 503: the gateway cannot do this now; nothing was changed.
    Unavailable,
    /// 504: whether this was done is not known. A session is never told so: it ends.
    OutcomeUnknown,
}

impl Reason {
    /// Returns the number on the wire.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::Unauthenticated => 302,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::VersionMismatch => 412,
            Self::InvalidArgument => 414,
            Self::RateLimited => 416,
            Self::AlreadyExists => 417,
            Self::LimitExceeded => 419,
            Self::Rejected => 451,
            Self::Unavailable => 503,
            Self::OutcomeUnknown => 504,
        }
    }

    /// Returns the word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::RateLimited => "RATE_LIMITED",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::Rejected => "REJECTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
        }
    }
}

/// The answer to a command that was not carried out and changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// The reason.
    pub reason: Reason,
    /// One sentence for a developer. It may name accounts and fields, but never contains the value of a field or a token. Of
    /// [`Reason::Rejected`] it is what the hook said.
    pub message: String,
    /// The wrong field, by its name on the wire.
    pub field: Option<Cow<'static, str>>,
    /// How long to wait before another attempt makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The word of the hook that refused, of `A` to `Z`, digits and `_`.
    pub detail: Option<Box<str>>,
}

impl RequestError {
    /// Makes an error without a field and a retry time.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: None, retry_after_ms: None, detail: None }
    }

    /// Sets the wrong field.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Sets how long to wait before another attempt, in milliseconds.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.reason.code(), self.reason.word(), self.message)
    }
}

impl std::error::Error for RequestError {}

/// Why a session ends.
///
/// After a code in 3000–3499 the client reconnects by itself; after one in 3500–3999 it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client left: `logout`, a close frame, or the end of the stream. The gateway sends no code.
    ClientLeft,
    /// 3000: the gateway is stopping.
    Shutdown,
    /// 3001: the gateway received nothing, or could write nothing, for too long.
    NoHeartbeat,
    /// 3002: the gateway lost something that the session depends on, the store for instance.
    Internal,
    /// 3003: too many commands, or too many logins from one address, for too long.
    TooManyRequests,
    /// 3004: the gateway holds too much data for slow readers, and this connection was among the newest of them.
    Overloaded,
    /// 3500: the token, or the account that it names, is not accepted, or no longer accepted.
    BadToken,
    /// 3501: a frame was unreadable, of the wrong message type, or too large.
    MalformedFrame,
    /// 3502: there was no login in time.
    LoginTimeout,
    /// 3503: another session of the account or the backend ended this one, or a newer login replaced it.
    Kicked,
    /// 3504: the account has more sessions than it may, and this was the oldest.
    SessionLimit,
    /// 3505: the account was deleted, or does not exist.
    AccountDisabled,
    /// 3506: the token expired and was not refreshed.
    TokenExpired,
}

impl CloseReason {
    /// The WebSocket close code; 1000 if the client left.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::ClientLeft => 1000,
            Self::Shutdown => 3000,
            Self::NoHeartbeat => 3001,
            Self::Internal => 3002,
            Self::TooManyRequests => 3003,
            Self::Overloaded => 3004,
            Self::BadToken => 3500,
            Self::MalformedFrame => 3501,
            Self::LoginTimeout => 3502,
            Self::Kicked => 3503,
            Self::SessionLimit => 3504,
            Self::AccountDisabled => 3505,
            Self::TokenExpired => 3506,
        }
    }

    /// The stable word of the code.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientLeft => "CLIENT_LEFT",
            Self::Shutdown => "SHUTDOWN",
            Self::NoHeartbeat => "NO_HEARTBEAT",
            Self::Internal => "INTERNAL",
            Self::TooManyRequests => "TOO_MANY_REQUESTS",
            Self::Overloaded => "OVERLOADED",
            Self::BadToken => "BAD_TOKEN",
            Self::MalformedFrame => "MALFORMED_FRAME",
            Self::LoginTimeout => "LOGIN_TIMEOUT",
            Self::Kicked => "KICKED",
            Self::SessionLimit => "SESSION_LIMIT",
            Self::AccountDisabled => "ACCOUNT_DISABLED",
            Self::TokenExpired => "TOKEN_EXPIRED",
        }
    }

    /// Whether the client should reconnect by itself.
    #[must_use]
    pub fn reconnect(self) -> bool {
        (3000..3500).contains(&self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

    #[test]
    fn numbers_and_words_are_those_of_the_protocol() {
        let row = |code: u32, word: &str| format!("| {code} | `{word}` |");
        for reason in [
            Reason::Unauthenticated,
            Reason::PermissionDenied,
            Reason::NotFound,
            Reason::VersionMismatch,
            Reason::InvalidArgument,
            Reason::RateLimited,
            Reason::AlreadyExists,
            Reason::LimitExceeded,
            Reason::Rejected,
            Reason::Unavailable,
            Reason::OutcomeUnknown,
        ] {
            assert!(PROTOCOL.contains(&row(reason.code(), reason.word())), "{reason:?}");
        }
        for close in [
            CloseReason::Shutdown,
            CloseReason::NoHeartbeat,
            CloseReason::Internal,
            CloseReason::TooManyRequests,
            CloseReason::Overloaded,
            CloseReason::BadToken,
            CloseReason::MalformedFrame,
            CloseReason::LoginTimeout,
            CloseReason::Kicked,
            CloseReason::SessionLimit,
            CloseReason::AccountDisabled,
            CloseReason::TokenExpired,
        ] {
            assert!(PROTOCOL.contains(&row(close.code().into(), close.word())), "{close:?}");
        }
        assert_eq!(RequestError::new(Reason::NotFound, "who?").to_string(), "404 NOT_FOUND: who?");
    }

    #[test]
    fn the_code_range_decides_whether_to_reconnect() {
        assert!(CloseReason::Shutdown.reconnect() && CloseReason::NoHeartbeat.reconnect());
        assert!(!CloseReason::BadToken.reconnect() && !CloseReason::TokenExpired.reconnect());
        assert!(!CloseReason::ClientLeft.reconnect());
    }
}
