//! The audit log: what operators did to accounts, and in the console.

use std::sync::Arc;

use super::sessions::Kicked;
use super::state::{Service, unavailable};
use crate::store::{AuditEntry, AuditLog, AuditQuery, AuditRow};
use rosterd_engine::model::{Account, Reason, RequestError, SessionId, WriteOrigin};

impl Service {
    /// Keeps what operators do in this audit log.
    #[must_use]
    pub fn with_audit(self, audit: Arc<dyn AuditLog>) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Ends sessions of an account, all or those that are named, for an operator. It is in the audit log before any of
    /// them ends.
    ///
    /// # Errors
    /// 503 if it cannot be written down; no session has ended then.
    pub async fn kick_for(
        &self,
        origin: &WriteOrigin,
        account: &Account,
        named: Option<&[SessionId]>,
    ) -> Result<Kicked, RequestError> {
        if let WriteOrigin::Key(caller) = origin {
            let sessions = named.unwrap_or_default().iter().map(|session| format!("session={session}"));
            let detail = sessions.collect::<Vec<_>>().join(" ");
            self.keep(AuditEntry::sessions_ended(self.now(), caller.clone(), account, detail)).await?;
        }
        Ok(self.kick(account, named).await)
    }

    /// Writes down what an operator is about to do to a webhook.
    ///
    /// # Errors
    /// 503 if it cannot be written down; then it is not to be done.
    pub async fn audit_webhook(
        &self,
        origin: &WriteOrigin,
        action: &'static str,
        name: &str,
    ) -> Result<(), RequestError> {
        let WriteOrigin::Key(caller) = origin else { return Ok(()) };
        self.keep(AuditEntry::webhook(self.now(), caller.clone(), action, name)).await
    }

    /// Writes down that an operator is about to remove what is left of an own field.
    pub(super) async fn audit_purge(&self, origin: &WriteOrigin, field: &str) -> Result<(), RequestError> {
        let WriteOrigin::Key(caller) = origin else { return Ok(()) };
        let (action, subject, detail) = ("field.purged", Account::none(), format!("field={field}"));
        self.keep(AuditEntry { time: self.now(), caller: caller.clone(), action, subject, detail }).await
    }

    /// Writes down what an operator does in the console.
    ///
    /// # Errors
    /// 503 if it cannot be written down; then it is not to be done.
    pub async fn audit_console(
        &self,
        caller: &str,
        action: &'static str,
        subject: Account,
        detail: String,
    ) -> Result<(), RequestError> {
        self.keep(AuditEntry { time: self.now(), caller: caller.into(), action, subject, detail }).await
    }

    async fn keep(&self, entry: AuditEntry) -> Result<(), RequestError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        audit.record(entry.clone()).await.map_err(|error| unavailable(&error))?;
        entry.log();
        Ok(())
    }

    /// Returns entries of the audit log, oldest or newest first.
    ///
    /// # Errors
    /// 503.
    pub async fn audit_page(&self, query: AuditQuery) -> Result<Vec<AuditRow>, RequestError> {
        let none = || RequestError::new(Reason::Unavailable, "there is no audit log");
        let audit = self.audit.as_ref().ok_or_else(none)?;
        audit.audit_page(query).await.map_err(|error| unavailable(&error))
    }
}
