//! Errors of the database, and what they say about the transaction that had them.

use std::error::Error as _;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::Severity;

use crate::store::StoreError;

/// Why something could not be done in the database.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The server refused it, with this code, and the connection goes on.
    #[error("{words}")]
    Refused {
        /// What the server calls it.
        code: String,
        /// What is to be said.
        words: String,
    },
    /// The connection broke, or what came could not be read.
    #[error("{}", in_words(.0))]
    Sql(#[source] tokio_postgres::Error),
    /// No answer came in time.
    #[error("the database did not answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// A row holds what this rosterd does not write.
    #[error("{0}")]
    Damaged(String),
    /// There is no connection.
    #[error("no connection to the database: {0}")]
    Away(String),
    /// This process must not write to the database any more.
    #[error("{0}")]
    Lost(String),
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error().filter(|refused| refused.parsed_severity() == Some(Severity::Error)) {
            Some(refused) => Self::Refused { code: refused.code().code().to_owned(), words: in_words(&error) },
            None => Self::Sql(error),
        }
    }
}

impl From<getrandom::Error> for PgError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(error)
    }
}

/// What the database answers.
pub type PgResult<T> = Result<T, PgError>;

/// Waits for an answer for no longer than this: a server that hangs, or what is between, keeps the connection open.
pub(super) async fn within<T>(limit: Duration, answer: impl Future<Output = PgResult<T>>) -> PgResult<T> {
    timeout(limit, answer).await.unwrap_or(Err(PgError::Silent(limit)))
}

/// Puts an error into words. The library's own say little more than "db error".
fn in_words(error: &tokio_postgres::Error) -> String {
    if let Some(refused) = error.as_db_error() {
        let hint = refused.hint().map(|hint| format!(", {hint}")).unwrap_or_default();
        return format!("{} ({}{hint})", refused.message(), refused.code().code());
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl PgError {
    /// Returns whether the server said that it did not do it, and the connection goes on.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Returns whether the same may succeed later: on another connection, or once another transaction is over.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Away(_) | Self::Silent(_) | Self::Sql(_) => true,
            // Serialization, deadlock, lock timeout; in recovery, read-only, changed under a prepared statement.
            Self::Refused { code, .. } => {
                matches!(&**code, "40001" | "40P01" | "55P03" | "55000" | "25006" | "0A000" | "26000" | "25P02")
            }
            _ => false,
        }
    }

    /// Returns whether the connection is of no use after this error. One that says that it reads only, or that its
    /// statements are not known, leads to the wrong server.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(&**code, "25006" | "55000" | "0A000" | "26000" | "25P02" | "25P03")
            }
            Self::Damaged(_) | Self::Random(_) => false,
            Self::Away(_) | Self::Silent(_) | Self::Lost(_) | Self::Sql(_) => true,
        }
    }

    /// Returns whether a lock was not to be had in time.
    pub(super) fn is_lock_timeout(&self) -> bool {
        self.code() == Some("55P03")
    }

    /// Returns whether another session has or waits for the same.
    pub(super) fn is_in_the_way(&self) -> bool {
        matches!(self.code(), Some("55P03" | "40P01"))
    }

    /// Returns the code that the server gave.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Sql(error) => error.code().map(tokio_postgres::error::SqlState::code),
            _ => None,
        }
    }
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        Self(format!("cannot use the database: {error}"))
    }
}

/// The error of every call to a closed store.
pub(super) fn closed() -> StoreError {
    StoreError("the store is closed".into())
}
