//! The server API's answer to a caller that asks what its key may do.

use serde::Serialize;
use utoipa::ToSchema;

use super::access::{Caller, ConsoleEntry};
use super::answer::{Reply, ok};
use crate::keys::Scope;
use rosterd_engine::model::Millis;

/// Whose key it is, and what it may do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    name: String,
    scopes: Vec<&'static str>,
    /// The time from which the key is not valid any more; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Millis>,
    /// How the console came in: `open` without a key, `cookie` after a login; absent for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<&'static str>,
}

/// The key of this request: its name, its scopes and its end.
#[utoipa::path(
    get, path = "/v1/me", tag = "operations", operation_id = "getMe",
    responses((status = 200, description = "of this key", body = Me))
)]
pub(super) async fn me(caller: Caller) -> Reply<Me> {
    let scopes = caller.scopes().iter().map(Scope::word).collect();
    let console = caller.console().map(|entry| match entry {
        ConsoleEntry::Open => "open",
        ConsoleEntry::Cookie(_) => "cookie",
    });
    ok(Me { name: caller.name().to_owned(), scopes, until: caller.until(), console })
}
