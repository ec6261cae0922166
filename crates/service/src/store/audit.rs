//! The audit log of a store: what operators did to accounts and webhooks, for those who have to answer for it.
//!
//! Only single actions are in it, such as ending sessions or deleting a user. Who wrote each of the other changes is in the
//! change log.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use futures::future::BoxFuture;

use super::error::StoreError;
use rosterd_engine::model::{Account, Command, Millis, WriteOrigin};

/// What is kept of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it was done.
    pub time: Millis,
    /// The name of the caller's key.
    pub caller: Arc<str>,
    /// What was done: the type of the event where there is one.
    pub action: &'static str,
    /// The account that it was done to; the empty one if it is about none.
    pub subject: Account,
    /// More about it, such as which session; often empty.
    pub detail: String,
}

impl AuditEntry {
    /// Creates the entry for the end of sessions, which is no write.
    #[must_use]
    pub fn sessions_ended(time: Millis, caller: Arc<str>, subject: &Account, detail: String) -> Self {
        Self { time, caller, action: "sessions.ended", subject: subject.clone(), detail }
    }

    /// Creates the entry for what is done to a webhook.
    #[must_use]
    pub fn webhook(time: Millis, caller: Arc<str>, action: &'static str, name: &str) -> Self {
        Self { time, caller, action, subject: Account::none(), detail: format!("webhook={name}") }
    }

    /// Creates the entry for a command, if it is an action of an operator.
    #[must_use]
    pub fn of(origin: &WriteOrigin, command: &Command, time: Millis) -> Option<Self> {
        let WriteOrigin::Key(caller) = origin else { return None };
        let (action, subject, detail) = match command {
            Command::DeleteUser { account } => ("user.deleted", account, String::new()),
            Command::RevokeTokens { account, before } => ("tokens.revoked", account, format!("issuedBefore={before}")),
            Command::SetToken { account, token: Some(_) } => ("token.set", account, String::new()),
            Command::SetToken { account, token: None } => ("token.removed", account, String::new()),
            _ => return None,
        };
        Some(Self { time, caller: caller.clone(), action, subject: subject.clone(), detail })
    }

    /// Writes the entry to the log of the process too, from where it can be shipped.
    pub fn log(&self) {
        let Self { caller, action, subject, detail, .. } = self;
        tracing::info!(target: "audit", %caller, action, %subject, detail, "an operator did this");
    }
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the log, from 1; a reader goes on after it.
    pub number: u64,
    /// When it was done.
    pub time: Millis,
    /// The name of the caller's key.
    pub caller: String,
    /// What was done.
    pub action: String,
    /// The account that it was done to, or [`erased_subject`] if that was deleted later.
    pub subject: String,
    /// More about it.
    pub detail: String,
}

/// Which entries a reader asks for.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Those after the entry of this number, in the order that is asked for; 0 for the first.
    pub after: u64,
    /// Whether the newest come first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: usize,
    /// Only those of this caller.
    pub caller: Option<String>,
    /// Only those about this account, also from before it was deleted.
    pub subject: Option<Account>,
}

impl AuditQuery {
    /// Returns the numbers between which it asks for entries, itself without them.
    #[must_use]
    pub fn between(&self) -> (u64, u64) {
        match (self.newest_first, self.after) {
            (false, after) => (after, u64::MAX),
            (true, 0) => (0, u64::MAX),
            (true, after) => (0, after),
        }
    }
}

/// Returns what stands in the place of an account that was deleted: whoever knows the account finds its entries, and
/// nobody learns it from them alone.
#[must_use]
pub fn erased_subject(salt: &[u8], account: &Account) -> String {
    use std::fmt::Write as _;
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(account.as_str().as_bytes());
    context.finish().as_ref().iter().take(16).fold("erased:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A store's audit log.
pub trait AuditLog: Send + Sync + 'static {
    /// Keeps an action that is no write. Resolves once it is durable.
    fn record(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns entries, oldest or newest first.
    fn audit_page(&self, query: AuditQuery) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>>;

    /// Drops the oldest entries while they are older than `before`, or more than `most`. It drops a bounded number at a
    /// time, and returns whether it dropped any.
    fn prune_audit(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>>;
}
