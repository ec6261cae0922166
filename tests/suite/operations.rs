//! Every operation of the server API: that the document names it, that the key is needed, that it can be done.

use hyper::Method;
use rosterd_client::Backend;
use rosterd_protocol::Encoding;

use crate::api::{Api, error, with_users};
use crate::support::{API_KEY, World};

/// Every operation of the server API, each with a body that it takes, in an order in which all of them can be done.
pub const OPERATIONS: [(Method, &str, &str); 60] = [
    (Method::PUT, "/v1/users/ann", "{\"nick\": \"intruder\"}"),
    (Method::PATCH, "/v1/users/ann", "{\"nick\": \"intruder\"}"),
    (Method::GET, "/v1/users/ann", ""),
    (Method::GET, "/v1/users?prefix=a", ""),
    (Method::GET, "/v1/users/ann/changes", ""),
    (Method::GET, "/v1/users/ann/export", ""),
    (Method::POST, "/v1/users:batchGet", "{\"accounts\": [\"ann\"]}"),
    (Method::POST, "/v1/users:batchUpdate", "{\"users\": [{\"account\": \"ann\", \"nick\": \"intruder\"}]}"),
    (Method::PUT, "/v1/users/ann/requests/bob", "{\"message\": \"hi\"}"),
    (Method::GET, "/v1/users/ann/requests", ""),
    (Method::DELETE, "/v1/users/ann/requests/bob", ""),
    (Method::PUT, "/v1/users/bob/requests/ann", ""),
    (Method::POST, "/v1/users/ann/requests/bob/reject", ""),
    (Method::PUT, "/v1/users/bob/requests/ann", ""),
    (Method::POST, "/v1/users/ann/requests/bob/accept", ""),
    (Method::DELETE, "/v1/users/ann/friends/bob", ""),
    (Method::PUT, "/v1/users/ann/friends/bob", ""),
    (Method::PATCH, "/v1/users/ann/friends/bob", "{\"alias\": \"intruder\"}"),
    (Method::GET, "/v1/users/ann/friends", ""),
    (Method::PUT, "/v1/users/ann/blocks/bob", ""),
    (Method::GET, "/v1/users/ann/blocks", ""),
    (Method::DELETE, "/v1/users/ann/blocks/bob", ""),
    (Method::PUT, "/v1/users/ann/muted/bob", ""),
    (Method::DELETE, "/v1/users/ann/muted/bob", ""),
    (Method::GET, "/v1/users/ann/sessions", ""),
    (Method::GET, "/v1/sessions/0000000000000001", ""),
    (Method::DELETE, "/v1/users/ann/sessions/0000000000000001", ""),
    (Method::DELETE, "/v1/users/ann/sessions", ""),
    (Method::GET, "/v1/users/ann/presence", ""),
    (Method::PUT, "/v1/users/ann/presence", "{\"invisible\": true}"),
    (Method::PUT, "/v1/users/ann/token", "{\"secret\": \"of-an-intruder-0123456789\"}"),
    (Method::DELETE, "/v1/users/ann/token", ""),
    (Method::POST, "/v1/users/ann/tokens:revoke", "{\"issuedBefore\": 1}"),
    (Method::POST, "/v1/users/ann/hints", "{\"accounts\": [\"bob\"]}"),
    (Method::POST, "/v1/users/ann/signals", "{\"to\": \"bob\", \"payload\": \"hi\"}"),
    (Method::GET, "/v1/me", ""),
    (Method::GET, "/v1/audit?limit=10", ""),
    (Method::GET, "/v1/sessions", ""),
    (Method::GET, "/v1/live", ""),
    (Method::GET, "/v1/nodes", ""),
    (Method::GET, "/v1/schema", ""),
    (Method::POST, "/v1/schema/shoe_size/purge", ""),
    (Method::GET, "/v1/settings", ""),
    (Method::GET, "/v1/feed", ""),
    (Method::GET, "/v1/snapshot", ""),
    (Method::GET, "/v1/hooks", ""),
    (Method::GET, "/v1/webhooks", ""),
    (Method::GET, "/v1/webhooks/crm", ""),
    (Method::POST, "/v1/webhooks/crm/pause", ""),
    (Method::POST, "/v1/webhooks/crm/replay", "{\"since\": \"2026-01-01T00:00:00Z\"}"),
    (Method::POST, "/v1/webhooks/crm/resume", ""),
    (Method::POST, "/v1/webhooks/crm/test", ""),
    (Method::GET, "/v1/webhooks/crm/dead", ""),
    (Method::DELETE, "/v1/webhooks/crm/dead/000000000000000a-1-0", ""),
    (Method::GET, "/v1/accounts/ann/explain?viewer=bob", ""),
    (Method::POST, "/v1/import", "{\"user\": {\"account\": \"intruder\"}}"),
    (Method::DELETE, "/v1/users/ann", ""),
    (Method::GET, "/livez", ""),
    (Method::GET, "/readyz", ""),
    (Method::GET, "/v1/openapi.json", ""),
];

/// A section with an endpoint, where nobody listens.
pub const WEBHOOK: &str =
    "[webhooks.crm]\nurl = \"http://127.0.0.1:1/\"\nsecret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\n";

/// The session in [`OPERATIONS`], for which a connected one stands in.
pub const SESSION: &str = "0000000000000001";

/// Whether it needs no key.
pub fn is_open(path: &str) -> bool {
    !path.starts_with("/v1/") || path == "/v1/openapi.json"
}

#[tokio::test]
async fn the_document_names_every_operation_and_no_other_method_is_taken() {
    let world = World::with(WEBHOOK);
    let (_gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let (status, document) = api.get("/v1/openapi.json").await;
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
    let is = |template: &str, path: &str| {
        let path = path.split('?').next().unwrap();
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
    };
    let takes = |path: &str, method: &Method| {
        let paths = document["paths"].as_object().unwrap();
        // A name that is written out goes before one that stands for any.
        let operations =
            paths.get(path).or_else(|| paths.iter().find(|(t, _)| is(t, path)).map(|(_, operations)| operations));
        operations.unwrap_or_else(|| panic!("no {path}")).get(method.as_str().to_lowercase()).is_some()
    };
    for (method, path, _) in OPERATIONS {
        assert!(takes(path, &method), "{method} {path}");
    }
    for (template, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let done =
                OPERATIONS.iter().any(|(m, path, _)| is(template, path) && m.as_str().eq_ignore_ascii_case(method));
            assert!(done || template == "/metrics", "{method} {template} is tried by no test");
        }
    }
    for (_, path, _) in OPERATIONS {
        for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            if !takes(path, &method) {
                let answer = api.json(method.clone(), path, "{}").await;
                assert_eq!(error(&answer), (405, 414, "INVALID_ARGUMENT", None), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn without_the_key_nothing_is_answered_and_nothing_done() {
    let world = World::with(WEBHOOK);
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let before = gateway.user("ann").await;
    let shorter = &API_KEY[..API_KEY.len() - 1];
    for key in ["", "wrong", shorter, &format!("{API_KEY}x"), &API_KEY.to_uppercase()] {
        let mut stranger = Api(Backend::connect(gateway.ops, key).await.unwrap());
        for (method, path, body) in OPERATIONS.into_iter().filter(|(_, path, _)| !is_open(path)) {
            let answer = stranger.json(method.clone(), path, body).await;
            assert_eq!(error(&answer), (401, 302, "UNAUTHENTICATED", None), "{key:?} {method} {path}");
            assert!(!answer.1.to_string().contains(API_KEY));
        }
        // What a probe and a scraper ask for needs no key.
        for open in ["/livez", "/readyz", "/metrics", "/v1/openapi.json"] {
            assert_eq!(stranger.send(Method::GET, open, "").await.0, 200, "{open}");
        }
    }
    assert_eq!(gateway.user("ann").await, before);
    assert_eq!(api.get("/v1/users/intruder").await.0, 404);
    // And with it, every one of them is a route.
    let ann = gateway.login("ann", Encoding::Json).await;
    for (method, path, body) in OPERATIONS {
        let path = &path.replace(SESSION, &ann.reply.session);
        let (status, text) = api.send(method.clone(), path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
    }
}
