//! The server API's answer to a caller that asks which own fields there are.

use super::answer::{Reply, ok};
use super::request::Shared;
use rosterd_protocol::v1;

/// The own fields of profiles: what each may hold, who sees it, and who writes it.
#[utoipa::path(
    get, path = "/v1/schema", tag = "users", operation_id = "getSchema",
    responses((status = 200, description = "all of them, and their hash", body = v1::GetSchemaReply))
)]
pub(super) async fn get(api: Shared) -> Reply<v1::GetSchemaReply> {
    ok(api.service.schema())
}
