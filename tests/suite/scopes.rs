//! Keys with scopes: what each may do, what it is not shown, until when, and how one takes the place of another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Method;
use parking_lot::Mutex;
use rosterd::keys::{Scope, hash};
use rosterd_client::Backend;
use rosterd_protocol::Encoding;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::api::{Api, error, with_users};
use crate::operations::{OPERATIONS, SESSION, WEBHOOK, is_open};
use crate::reload::reload;
use crate::support::{Gateway, PATIENCE, World};

/// The key that has one scope.
fn key_of(scope: Scope) -> String {
    format!("rk_only_{}_0123456789", scope.word())
}

/// A section for a key with these scopes.
fn section(name: &str, key: &str, scopes: &[&str]) -> String {
    format!("[ops.keys.{name}]\nsha256 = \"{}\"\nscopes = {scopes:?}\n", hash(key.as_bytes()))
}

/// A section for each scope, with a key that has no other.
fn one_key_for_each_scope() -> String {
    Scope::ALL.map(|scope| section(&format!("only_{}", scope.word()), &key_of(scope), &[scope.word()])).concat()
}

async fn with_key(gateway: &Gateway, key: &str) -> Api {
    Api(Backend::connect(gateway.ops, key).await.unwrap())
}

/// The scopes in the document, by method and template.
fn documented(document: &Value) -> Vec<(Method, String, Option<String>, String)> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(roles) = operation["security"][0]["key"].as_array() else { continue };
            let scope = roles.first().map(|role| role.as_str().unwrap().to_owned());
            let id = operation["operationId"].as_str().unwrap().to_owned();
            operations.push((method.to_uppercase().parse().unwrap(), path.clone(), scope, id));
        }
    }
    operations
}

#[tokio::test]
async fn every_operation_is_for_keys_with_its_scope_and_for_no_others() {
    let world = World::with(&(one_key_for_each_scope() + WEBHOOK));
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let (_, document) = api.get("/v1/openapi.json").await;
    let operations = documented(&document);
    let is = |template: &str, path: &str| {
        let path = path.split('?').next().unwrap();
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
    };
    let mut callers = BTreeMap::new();
    for scope in Scope::ALL {
        callers.insert(scope.word(), with_key(&gateway, &key_of(scope)).await);
    }
    let ann = gateway.login("ann", Encoding::Json).await;
    let (mut refused, mut done) = (0, 0);
    for (method, path, body) in OPERATIONS.into_iter().filter(|(_, path, _)| !is_open(path)) {
        let mut matching = operations.iter().filter(|(m, template, ..)| *m == method && is(template, path));
        let (.., needed, _) = matching.clone().find(|(_, t, ..)| *t == path).or(matching.next()).unwrap();
        let others =
            Scope::ALL.map(Scope::word).into_iter().filter(|scope| needed.as_ref().is_some_and(|n| n != scope));
        for scope in others {
            let answer = callers.get_mut(scope).unwrap().json(method.clone(), path, body).await;
            assert_eq!(error(&answer), (403, 403, "PERMISSION_DENIED", None), "{scope}: {method} {path}");
            let message = answer.1["error"]["message"].as_str().unwrap();
            let names = message.contains(&format!("scope {needed:?}").replace("Some(", "").replace(')', ""));
            assert!(names && message.contains(&format!("only_{scope}")), "{method} {path}: {message}");
            refused += 1;
        }
        let scope = needed.as_deref().unwrap_or("feed");
        let path = &path.replace(SESSION, &ann.reply.session);
        let (status, text) = callers.get_mut(scope).unwrap().send(method.clone(), path, body).await;
        assert!((200..300).contains(&status), "{scope}: {method} {path}: {status} {text}");
        done += 1;
    }
    assert!(refused >= 7 * 34 && done >= 36, "{refused} refused, {done} done");
}

/// A new operation belongs to one of these, and whoever adds it decides to which.
#[tokio::test]
async fn the_scope_of_each_operation_is_a_contract() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &[]).await;
    let (_, document) = api.get("/v1/openapi.json").await;
    let mut by_scope: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (.., scope, id) in documented(&document) {
        by_scope.entry(scope.unwrap_or_default()).or_default().push(id);
    }
    for ids in by_scope.values_mut() {
        ids.sort();
    }
    let expected = json!({
        "": ["getMe"],
        "erase": ["deleteUser", "purgeField"],
        "feed": ["readFeed", "readSnapshot"],
        "operate": [
            "deleteDeadEvent", "listAudit", "listSettings", "pauseWebhook", "replayWebhook", "resumeWebhook", "testWebhook",
        ],
        "private": ["exportUser"],
        "read": [
            "explainDelivery", "getPresence", "getSchema", "getSession", "getUser", "getUsers", "getWebhook", "listAllSessions", "listBlocks",
            "listChanges",
            "listDeadEvents", "listFriends", "listHooks", "listNodes", "listRequests", "listSessions", "listUsers", "listWebhooks", "readLive",
        ],
        "sessions": ["endSession", "endSessions"],
        "tokens": ["deleteToken", "revokeTokens", "setToken"],
        "write": [
            "acceptFriend", "addFriend", "blockUser", "cancelRequest", "deleteFriend", "importLines", "muteUser", "rejectFriend",
            "replaceUser", "requestFriend", "sendHint", "sendSignal", "setPresence", "unblockUser", "unmuteUser", "updateFriend",
            "updateUser", "updateUsers",
        ],
    });
    assert_eq!(serde_json::to_value(&by_scope).unwrap(), expected);
}

#[tokio::test]
async fn private_fields_are_for_callers_with_their_scope() {
    let settings = section("reader", "rk_reader_0123456789", &["read", "feed"])
        + &section("writer", "rk_writer_0123456789", &["write"])
        + &section("all_of_it", "rk_private_0123456789", &["read", "feed", "private", "write"]);
    let world = World::with(&settings);
    let (gateway, mut api) = with_users(&world, &["ann", "bob", "cyd"]).await;
    let secrets =
        ["secret@example.com", "2001-02-03", "+1 555 secret", "secret alias", "secret note", "secret message"];
    let [email, birth, tel, alias, note, message] = secrets;
    let profile = json!({"nick": "ann", "email": email, "birth": birth, "tel": tel}).to_string();
    assert_eq!(api.patch("/v1/users/ann", profile.clone()).await.0, 200);
    gateway.populate(&[], &[("ann", "bob")]).await;
    let update = json!({"alias": alias, "custom": note}).to_string();
    assert_eq!(api.patch("/v1/users/ann/friends/bob", update.clone()).await.0, 200);
    let ask = json!({"message": message}).to_string();
    assert_eq!(api.put("/v1/users/cyd/requests/ann", ask).await.0, 201);

    let reads = [
        (Method::GET, "/v1/users/ann", ""),
        (Method::POST, "/v1/users:batchGet", "{\"accounts\": [\"ann\"]}"),
        (Method::GET, "/v1/users", ""),
        (Method::GET, "/v1/users/ann/changes", ""),
        (Method::GET, "/v1/users/ann/friends", ""),
        (Method::GET, "/v1/users/ann/requests", ""),
        (Method::GET, "/v1/users/cyd/requests", ""),
        (Method::GET, "/v1/accounts/ann/explain?viewer=bob", ""),
        (Method::GET, "/v1/feed", ""),
        (Method::GET, "/v1/snapshot", ""),
    ];
    let batch = json!({"users": [{"account": "ann", "email": email}]}).to_string();
    let writes = [
        (Method::PUT, "/v1/users/ann", profile.as_str()),
        (Method::PATCH, "/v1/users/ann", profile.as_str()),
        (Method::POST, "/v1/users:batchUpdate", batch.as_str()),
        (Method::PATCH, "/v1/users/ann/friends/bob", update.as_str()),
    ];
    let mut reader = with_key(&gateway, "rk_reader_0123456789").await;
    let mut author = with_key(&gateway, "rk_writer_0123456789").await;
    let mut all = with_key(&gateway, "rk_private_0123456789").await;
    let mut shown = String::new();
    for (is_write, (method, path, body)) in
        reads.into_iter().map(|read| (false, read)).chain(writes.into_iter().map(|write| (true, write)))
    {
        let caller = if is_write { &mut author } else { &mut reader };
        let (status, text) = caller.send(method.clone(), path, body).await;
        assert_eq!(status, 200, "{method} {path}: {text}");
        for secret in secrets {
            assert!(!text.contains(secret), "{method} {path} shows {secret}: {text}");
        }
        shown += &all.send(method, path, body).await.1;
    }
    for secret in secrets {
        assert!(shown.contains(secret), "{secret} is in no answer at all");
    }
    let (_, user) = reader.get("/v1/users/ann").await;
    assert!(user["nick"] == "ann" && ["email", "birth", "tel"].iter().all(|name| user.get(name).is_none()), "{user}");

    // Named where fields are named, they are refused, and the error says which.
    for path in [
        "/v1/feed?fields=nick,email",
        "/v1/snapshot?fields=message",
        "/v1/feed?fields=alias",
        "/v1/users/ann/changes?fields=tel",
    ] {
        let answer = reader.get(path).await;
        assert_eq!(error(&answer), (403, 403, "PERMISSION_DENIED", Some("fields")), "{path}");
        let (status, text) = all.send(Method::GET, path, "").await;
        assert!(status == 200 && secrets.iter().any(|secret| text.contains(secret)), "{path}: {text}");
    }
    assert_eq!(reader.send(Method::GET, "/v1/feed?fields=nick,custom", "").await.0, 200);
}

#[tokio::test]
async fn a_caller_learns_what_its_key_may_do_and_is_refused_once_it_ends() {
    let ends = SystemTime::now() + Duration::from_secs(3);
    let until = |time: SystemTime| format!("until = \"{}\"\n", humantime::format_rfc3339_millis(time));
    let settings = section("soon", "rk_soon_0123456789", &["write", "read"])
        + &until(ends)
        + &section("over", "rk_over_0123456789", &["read"])
        + &until(SystemTime::now() - Duration::from_secs(1));
    let world = World::with(&settings);
    let (gateway, mut api) = with_users(&world, &[]).await;
    let mut soon = with_key(&gateway, "rk_soon_0123456789").await;
    let millis = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let me = json!({"name": "soon", "scopes": ["read", "write"], "until": millis});
    // Unless the machine is so busy that it has ended already.
    let answer = soon.get("/v1/me").await;
    assert!(answer == (200, me) || SystemTime::now() > ends, "{answer:?}");
    let all = Scope::ALL.map(Scope::word);
    assert_eq!(api.get("/v1/me").await, (200, json!({"name": "default", "scopes": all})));

    let mut over = with_key(&gateway, "rk_over_0123456789").await;
    let answer = over.get("/v1/me").await;
    assert_eq!(error(&answer), (401, 302, "UNAUTHENTICATED", None));
    assert!(answer.1["error"]["message"].as_str().unwrap().contains("until"), "{answer:?}");
    let ended = async {
        while soon.get("/v1/me").await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(SystemTime::now() >= ends);
    assert_eq!(soon.get("/v1/users/ann").await.0, 401);
    assert_eq!(api.get("/v1/me").await.0, 200);
}

/// A key as `rosterd key` prints it, and the section for the settings.
fn made(world: &World, name: &str) -> (String, String) {
    let said = world.run_well(&["key", name]);
    let key = said.lines().next().unwrap().strip_prefix("key     ").unwrap().to_owned();
    let section = said[said.find("[ops.keys.").unwrap()..].to_owned();
    (key, section)
}

#[tokio::test]
async fn a_key_takes_the_place_of_another_without_one_refused_request() {
    let mut world = World::new();
    let (old, old_section) = made(&world, "crm");
    let (new, new_section) = made(&world, "crm_2");
    world.settings = format!("[log]\nlevel = \"trace\"\n{old_section}");
    let (gateway, _) = with_users(&world, &["ann"]).await;
    let (current, stop) = (Arc::new(Mutex::new(old.clone())), Arc::new(AtomicBool::new(false)));
    let done: [Arc<AtomicU64>; 4] = Default::default();
    let mut callers = Vec::new();
    for done in &done {
        let (ops, current, stop, done) = (gateway.ops, current.clone(), stop.clone(), done.clone());
        callers.push(tokio::spawn(async move {
            let (mut with, mut caller) = (String::new(), None);
            while !stop.load(Ordering::Relaxed) {
                let key = current.lock().clone();
                if caller.is_none() || key != with {
                    caller = Some(Api(Backend::connect(ops, &key).await.unwrap()));
                    with = key;
                }
                let (status, text) = caller.as_mut().unwrap().send(Method::GET, "/v1/users/ann", "").await;
                assert_eq!(status, 200, "{text}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    // Each caller has done this many more.
    let more = async |many: u64| {
        let before = done.each_ref().map(|done| done.load(Ordering::Relaxed));
        let all = async {
            while done.iter().zip(before).any(|(done, before)| done.load(Ordering::Relaxed) < before + many) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "the callers stand still");
    };
    more(20).await;
    assert_eq!(with_key(&gateway, &new).await.get("/v1/me").await.0, 401);
    world.settings = format!("[log]\nlevel = \"trace\"\n{old_section}{new_section}");
    world.config();
    reload(&gateway).await;
    world.until_logged("live=\"ops.keys.crm_2.scopes ops.keys.crm_2.sha256\"").await;
    more(20).await;
    *current.lock() = new.clone();
    more(20).await;
    world.settings = format!("[log]\nlevel = \"trace\"\n{new_section}");
    world.config();
    reload(&gateway).await;
    more(20).await;
    assert_eq!(with_key(&gateway, &old).await.get("/v1/me").await.0, 401);
    assert_eq!(with_key(&gateway, &new).await.get("/v1/me").await.1["name"], "crm_2");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    // The names of keys are in the log, and nothing of the keys.
    let log = world.log();
    for secret in [&old, &new, &hash(old.as_bytes()).to_string(), &hash(new.as_bytes()).to_string()] {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
    }
    assert!(!log.contains(crate::support::API_KEY), "{log}");
}

#[tokio::test]
async fn without_its_last_key_a_gateway_does_not_become_open() {
    let mut world = World::with(&section("crm", "rk_crm_0123456789", &["read"]));
    let gateway = world.start_with(&["ops.api_key="]);
    let mut crm = with_key(&gateway, "rk_crm_0123456789").await;
    assert_eq!(crm.get("/v1/me").await.0, 200);
    world.settings = String::new();
    world.config();
    reload(&gateway).await;
    world.until_logged("keys=\"ops.keys.crm.scopes ops.keys.crm.sha256\"").await;
    assert_eq!(with_key(&gateway, "").await.get("/v1/me").await.0, 401);
    assert_eq!(crm.get("/v1/me").await.0, 200);
}

#[test]
fn keys_that_cannot_be_meant_are_refused_at_the_start() {
    let mut world = World::new();
    for (settings, why) in [
        (section("crm", "k", &["raed"]), "ops.keys.crm.scopes: \"raed\" is not a scope; did you mean \"read\"?"),
        (section("crm", "k", &[]), "ops.keys.crm.scopes: is empty"),
        (section("crm", "k", &["read"]) + "key = \"hunter2-0123456789\"\n", "ops.keys.crm.key: is set beside"),
        (section("a", "k", &["read"]) + &section("b", "k", &["read"]), "ops.keys.b: is the same key as ops.keys.a"),
        (section("crm", crate::support::API_KEY, &["read"]), "ops.keys.crm: is the same key as ops.api_key"),
        (
            "[ops.keys.crm]\nsha256 = \"hunter2\"\nscopes = [\"read\"]".to_owned(),
            "ops.keys.crm.sha256: is not the SHA-256",
        ),
        (section("crm", "k", &["read"]).replace("scopes", "scope"), "did you mean ops.keys.crm.scopes?"),
        (section("CRM", "k", &["read"]), "\"CRM\" is not a name"),
    ] {
        world.settings = settings;
        for command in ["serve", "config"] {
            let arguments = if command == "config" { vec!["config", "check"] } else { vec!["serve"] };
            let said = world.run_badly(&arguments);
            assert!(said.contains(why) && !said.contains("hunter2"), "{said}");
        }
    }
    assert!(world.run_badly(&["key", "CRM"]).contains("\"CRM\" is not a name"));
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_key() {
    let mut world = World::with(&section("search", "rk_search_0123456789", &["feed"]));
    let (gateway, mut api) = with_users(&world, &[]).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.ops).await.unwrap();
    let request = "GET /v1/feed?after=now HTTP/1.0\r\nAuthorization: Bearer rk_search_0123456789\r\n\
                   Accept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !text.contains("event: position") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "{text}");
        text += std::str::from_utf8(&bytes[..read]).unwrap();
    }
    world.settings = String::new();
    world.config();
    reload(&gateway).await;
    assert_eq!(api.put("/v1/users/ann", "{\"nick\": \"too late\"}").await.0, 201);
    let rest = async {
        loop {
            match stream.read(&mut bytes).await.unwrap() {
                0 => break,
                read => text += std::str::from_utf8(&bytes[..read]).unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.unwrap();
    assert!(!text.contains("too late"), "{text}");
}
