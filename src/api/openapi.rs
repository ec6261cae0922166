//! The `OpenAPI` document of the server API, made from its handlers.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};

use super::{explain, health, live, relations, tokens, users};
use rosterd_protocol::v1;

/// What is answered instead when something cannot be done; nothing was changed then.
#[derive(Serialize, ToSchema)]
struct Failure {
    error: v1::Error,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rosterd server API",
        description = "Accounts, friends, requests, blocks, sessions and presence, for backends. Records are those of \
                       the client protocol, times are milliseconds since 1970. What cannot be done is answered with an \
                       `error` object and a fitting status.",
    ),
    paths(
        health::livez, health::ready, health::metrics, openapi_json,
        users::put, users::patch, users::get, users::delete, users::export, users::batch_get, users::batch_update,
        users::import,
        relations::friends, relations::befriend, relations::unfriend, relations::update_friend,
        relations::requests, relations::ask, relations::cancel, relations::accept, relations::reject,
        relations::blocks, relations::block, relations::unblock,
        tokens::set, tokens::withdraw, tokens::revoke,
        live::sessions, live::kick_all, live::kick, live::presence, live::set_presence, live::hint, live::signal,
        live::all_sessions, explain::explain,
    ),
    components(schemas(Failure)),
    security(("key" = [])),
    modifiers(&Common),
)]
struct ServerApi;

/// Adds to every operation how to send the key and how errors look.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`ops.api_key`"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(key.build()));
        let failure = ContentBuilder::new().schema(Some(Ref::from_schema_name("Failure"))).build();
        let failure = ResponseBuilder::new().description("why it was not done").content("application/json", failure);
        let failure = RefOr::T(failure.build());
        for path in document.paths.paths.values_mut() {
            let operations =
                [&mut path.get, &mut path.put, &mut path.post, &mut path.patch, &mut path.delete].into_iter().flatten();
            // Operations that need no key never refuse.
            for operation in operations.filter(|operation| operation.security.is_none()) {
                operation.responses.responses.insert("default".to_owned(), failure.clone());
            }
        }
    }
}

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| ServerApi::openapi().to_json().expect("the document has only text keys"));

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "an OpenAPI document", content_type = "application/json"))
)]
pub(super) async fn openapi_json() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// Lists every path of the document.
#[cfg(test)]
pub(super) fn paths() -> Vec<String> {
    ServerApi::openapi().paths.paths.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::limits;
    use serde_json::Value;

    /// The document's attributes take numbers only, no constants.
    #[test]
    fn the_limits_in_the_document_are_those_of_the_protocol() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let of = |schema: &str, property: &str, limit: &str| {
            let property = &document["components"]["schemas"][schema]["properties"][property];
            usize::try_from(property[limit].as_u64().unwrap_or_else(|| panic!("{schema}: {property}"))).unwrap()
        };
        assert_eq!(of("Accounts", "accounts", "maxItems"), limits::ACCOUNTS_PER_BATCH);
        assert_eq!(of("Batch", "users", "maxItems"), limits::ACCOUNTS_PER_BATCH);
        assert_eq!(of("FriendUpdate", "alias", "maxLength"), limits::ALIAS_CHARS);
        assert_eq!(of("FriendUpdate", "custom", "maxLength"), limits::FRIEND_CUSTOM_CHARS);
        assert_eq!(of("Ask", "message", "maxLength"), limits::MESSAGE_CHARS);
        let of_path = |path: &str| {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let limit = parameters.iter().find(|parameter| parameter["name"] == "limit").unwrap();
            usize::try_from(limit["schema"]["maximum"].as_u64().unwrap()).unwrap()
        };
        for path in ["/v1/users/{account}/friends", "/v1/users/{account}/blocks"] {
            assert_eq!(of_path(path), super::super::request::PAGE.1, "{path}");
        }
    }
}
