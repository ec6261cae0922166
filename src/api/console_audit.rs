//! What is written down of the console's requests: each change, and each look at private fields.

use std::sync::Arc;

use axum::RequestExt;
use axum::extract::{MatchedPath, RawPathParams, Request};

use super::access::Caller;
use super::console_request::MARK;
use super::state::Api;
use crate::keys::Scope;
use crate::service::Service;
use rosterd_engine::model::{Account, RequestError};

/// A change that the console asks for, for the audit log.
#[derive(Clone)]
pub(super) struct ConsoleWrite {
    service: Arc<Service>,
    caller: Arc<str>,
    subject: Account,
    detail: String,
}

impl ConsoleWrite {
    /// Writes the change down, before it is made.
    pub(super) async fn record(self) -> Result<(), RequestError> {
        self.service.audit_console(&self.caller, "console.changed", self.subject, self.detail).await
    }
}

/// Covers private fields unless the page asks for them, which is written down first; and prepares to write down a change.
pub(super) async fn prepare(api: &Api, caller: &mut Caller, request: &mut Request) -> Result<(), RequestError> {
    let asks_for_private = request.headers().get(MARK).is_some_and(|mark| mark == "private");
    let params = request.extract_parts::<RawPathParams>().await.ok();
    let named = params.iter().flatten().find(|(name, _)| *name == "account").map(|(_, value)| value.to_owned());
    let subject = named.and_then(|name| Account::parse(&name, "account").ok()).unwrap_or_else(Account::none);
    // The form of the path: the accounts in it would outlive their erasure.
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let detail = format!("{} {path}", request.method());
    let reveals = asks_for_private && caller.has(Scope::Private);
    if reveals {
        let (subject, detail) = (subject.clone(), detail.clone());
        api.service.audit_console(caller.name(), "private.shown", subject, detail).await?;
    } else {
        caller.cover_private();
    }
    let write = ConsoleWrite { service: api.service.clone(), caller: caller.name().into(), subject, detail };
    request.extensions_mut().insert(write);
    Ok(())
}
