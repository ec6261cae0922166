//! The server API's routes for the own fields of profiles: which there are, and the end of what is left of one.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::Query;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::answer::{Reply, ok};
use super::request::{One, PageOf, Shared, named};
use rosterd_engine::model::Account;
use rosterd_protocol::v1;

/// The own fields of profiles: what each may hold, who sees it, and who writes it.
#[utoipa::path(
    get, path = "/v1/schema", tag = "users", operation_id = "getSchema",
    responses((status = 200, description = "all of them, and their hash", body = v1::GetSchemaReply))
)]
pub(super) async fn get(api: Shared) -> Reply<v1::GetSchemaReply> {
    ok(Arc::unwrap_or_clone(api.service.schema()))
}

/// A part of all profiles from which the values of a field were removed.
#[derive(Serialize, ToSchema)]
pub(super) struct PurgedPart {
    /// How many profiles, and copies of profiles that blocked accounts see, had a value.
    changed: u64,
    /// `after` of the next part, unless this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Removes what profiles still hold of a field that is no more in the settings. Each call does a part of all profiles; go on
/// with `after` until there is no `next`.
#[utoipa::path(
    post, path = "/v1/schema/{field}/purge", tag = "users", operation_id = "purgeField",
    params(("field" = String, Path, pattern = "^[a-z][a-z0-9_]{0,31}$"), ("after" = Option<String>, Query)),
    responses((status = 200, description = "a part is done", body = PurgedPart))
)]
pub(super) async fn purge(api: Shared, caller: Caller, field: One, query: PageOf) -> Reply<PurgedPart> {
    let Path(field) = named(field)?;
    let Query(query) = named(query)?;
    let after = query.after.map(|after| Account::parse(&after, "after")).transpose()?;
    let part = api.service.purge_field(&field, after, &caller.origin()).await?;
    ok(PurgedPart { changed: part.changed, next: part.next.map(|account| account.to_string()) })
}
