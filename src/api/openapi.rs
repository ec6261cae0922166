//! The `OpenAPI` document of the server API, made from its handlers.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::document::complete;
use super::routes::{server_api, webhook_routes};
use super::{
    audit, explain, feed, health, hooks, live, live_stream, me, nodes, relations, schema, settings, snapshot, tokens,
    user_changes, users, webhooks,
};
use crate::keys::Scope;
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
        users::list, users::put, users::patch, users::get, users::delete, users::export, users::batch_get, users::batch_update,
        user_changes::changes,
        users::import,
        relations::friends, relations::befriend, relations::unfriend, relations::update_friend,
        relations::requests, relations::ask, relations::cancel, relations::accept, relations::reject,
        relations::blocks, relations::block, relations::unblock, relations::mute, relations::unmute,
        feed::feed, snapshot::snapshot,
        webhooks::list, webhooks::one, webhooks::pause, webhooks::resume, webhooks::test, webhooks::replay,
        webhooks::dead, webhooks::remove_dead, hooks::list,
        tokens::set, tokens::withdraw, tokens::revoke,
        live::sessions, live::kick_all, live::kick, live::presence, live::set_presence, live::hint, live::signal,
        live::all_sessions, live::session, explain::explain, audit::audit, live_stream::live, nodes::list, schema::get, schema::purge, settings::list,
        me::me,
    ),
    components(schemas(Failure)),
    security(("key" = [])),
    servers((url = "/", description = "the ops listener (`ops.listen`) that this document comes from")),
    modifiers(&Key),
)]
struct ServerApi;

/// Adds how to send the key.
struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut Document) {
        let key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`ops.api_key`, or a key in `ops.keys`; each operation lists the scope that it needs"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(key.build()));
    }
}

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = serde_json::to_value(ServerApi::openapi()).expect("the document has only text keys");
    complete(&mut document);
    list_scopes(&mut document);
    document.to_string()
});

/// Adds to each operation the scope that its caller needs, as a role (`OpenAPI` 3.1), and in words.
fn list_scopes(document: &mut serde_json::Value) {
    for (path, route) in server_api().into_iter().chain(webhook_routes()) {
        for (method, scope) in route.scopes {
            let operation = &mut document["paths"][path][method.as_str().to_lowercase()];
            let (roles, needs) = match scope.map(Scope::word) {
                Some(scope) => (vec![scope], format!("Scope: `{scope}`.")),
                None => (vec![], "Any key will do.".to_owned()),
            };
            operation["security"] = serde_json::json!([{"key": roles}]);
            let description =
                operation["description"].as_str().map_or(needs.clone(), |text| format!("{text}\n\n{needs}"));
            operation["description"] = description.into();
        }
    }
}

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "operations", operation_id = "getDocument", security(()),
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
        for path in
            ["/v1/users/{account}/friends", "/v1/users/{account}/blocks", "/v1/sessions", "/v1/users", "/v1/audit"]
        {
            assert_eq!(of_path(path), super::super::request::PAGE.1, "{path}");
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_how_it_fails() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let mut names = std::collections::HashSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name), "{name} twice");
                assert!(name.contains(|c: char| c.is_ascii_uppercase()), "{method} {path}: {name} is one word");
                let fails = operation["responses"].get("400").is_some();
                let roles = operation["security"][0]["key"].as_array();
                assert_eq!(fails, roles.is_some(), "{method} {path}");
                let is_known = |role: &Value| Scope::of(role.as_str().unwrap()).is_some();
                assert!(roles.is_none_or(|roles| roles.iter().all(is_known)), "{method} {path}");
                let any = path == "/v1/me";
                assert!(roles.is_none_or(|roles| roles.len() == usize::from(!any)), "{method} {path}: {roles:?}");
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                let schema = [body, &body["oneOf"][1]].into_iter().find_map(|schema| schema["$ref"].as_str());
                if let Some(name) = schema.and_then(|name| name.rsplit('/').next()) {
                    assert_eq!(document["components"]["schemas"][name]["additionalProperties"], false, "{name}");
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let schema = &parameter["schema"];
                    let formed = schema.get("pattern").is_some() || schema.get("maximum").is_some();
                    assert!(formed && schema["type"].is_string(), "{method} {path}: {parameter}");
                }
            }
        }
        assert_eq!(document["servers"][0]["url"], "/");
        let nick = &document["components"]["schemas"]["BatchUser"]["properties"]["nick"];
        assert_eq!((&nick["maxLength"], nick["pattern"].is_string()), (&Value::from(64), true), "{nick}");
    }
}
