//! The server API's route for the audit log.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Refusal, Reply, ok};
use super::request::{Shared, limit, named, position};
use crate::service::AuditQuery;
use rosterd_engine::model::{Account, Reason, RequestError};

/// The query of the audit log.
#[derive(Debug, Deserialize)]
pub(super) struct AuditParameters {
    after: Option<String>,
    order: Option<String>,
    limit: Option<String>,
    caller: Option<String>,
    subject: Option<String>,
}

/// What an operator did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditEntryBody {
    /// Its place in the log.
    number: u64,
    /// When it was done, in milliseconds since 1970.
    time: u64,
    /// The name of the caller's key.
    caller: String,
    /// `user.deleted`, `tokens.revoked`, `token.set`, `token.removed`, `sessions.ended`, or of a webhook `webhook.paused`,
    /// `webhook.resumed`, `webhook.tested`, `webhook.replayed`, `webhook.dead_removed`; in the console also
    /// `console.login`, `console.refused`, `console.changed`, `private.shown`.
    action: String,
    /// The account that it was done to; `erased:` and a hash once the account was deleted; empty if it is about none.
    subject: String,
    /// More about it, such as `session=00c0ffee00c0ffee`, or the method and the form of the path; often empty.
    detail: String,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    entries: Vec<AuditEntryBody>,
    /// Where the next page begins: its `after`. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What operators did, the oldest first unless asked otherwise: ended sessions, deleted users, set, withdrew and revoked
/// tokens, and controlled webhooks.
#[utoipa::path(
    get, path = "/v1/audit", tag = "operations", operation_id = "listAudit",
    params(
        ("after" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "The `next` of the page before, or the `number` of the last entry that you have"),
        ("order" = Option<String>, Query, pattern = "^(asc|desc)$", description = "`desc` for the newest first; `after` then goes on to older ones"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "100 unless given"),
        ("caller" = Option<String>, Query, pattern = "^[a-z][a-z0-9_]{0,31}$", description = "Only what was done with the key of this name"),
        ("subject" = Option<String>, Query, description = "Only what was done to this account, also before it was deleted"),
    ),
    responses((status = 200, description = "a page", body = AuditPage))
)]
pub(super) async fn audit(api: Shared, query: Result<Query<AuditParameters>, QueryRejection>) -> Reply<AuditPage> {
    let Query(query) = named(query)?;
    let limit = limit(query.limit.as_deref())?;
    let query = AuditQuery {
        after: query.after.as_deref().map_or(Ok(0), |after| position("after", after))?,
        newest_first: is_descending(query.order.as_deref())?,
        limit,
        caller: query.caller.map(caller).transpose()?,
        subject: query.subject.as_deref().map(|subject| Account::parse(subject, "subject")).transpose()?,
    };
    let rows = api.service.audit_page(query).await?;
    let next = (rows.len() == limit).then(|| rows.last().map(|last| last.number.to_string())).flatten();
    let entries = rows.into_iter().map(|row| AuditEntryBody {
        number: row.number,
        time: row.time,
        caller: row.caller,
        action: row.action,
        subject: row.subject,
        detail: row.detail,
    });
    ok(AuditPage { entries: entries.collect(), next })
}

/// Reads whether the newest come first.
fn is_descending(order: Option<&str>) -> Result<bool, Refusal> {
    match order {
        None | Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(_) => {
            let message = "order must be \"asc\", the oldest first, or \"desc\", the newest first";
            Err(RequestError::new(Reason::InvalidArgument, message).field("order").into())
        }
    }
}

/// Checks the name of a key; a slip of the pen would be silence.
fn caller(name: String) -> Result<String, Refusal> {
    let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 32 && name.bytes().all(is_known) {
        return Ok(name);
    }
    let message =
        "caller must be the name of a key: 1 to 32 characters out of a-z, 0-9 and underscores, a letter first";
    Err(RequestError::new(Reason::InvalidArgument, message).field("caller").into())
}
