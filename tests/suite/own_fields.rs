//! Own fields and write rights: who may write and see which, by every way a profile is written and read.

use hyper::Method;
use rosterd_engine::model::Profile;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Gateway, Peer, World, to};

const JSON: Encoding = Encoding::Json;
const FULL: i32 = v1::SyncMode::Full as i32;
const CURRENT: i32 = v1::SyncMode::Current as i32;
const DELTA: i32 = v1::SyncMode::Delta as i32;

/// A field of each type, audience and writer.
const FIELDS: &str = r#"
[profile.fields.level]
type = "integer"
min = 1
max = 99
default = "1"
write = "backend"
[profile.fields.pronouns]
type = "text"
max_length = 16
visibility = "friends"
[profile.fields.diary]
type = "text"
visibility = "self"
[profile.fields.tags]
type = "list"
max_items = 3
values = ["red", "green", "blue"]
[profile.fields.score]
type = "number"
[profile.fields.vip]
type = "boolean"
"#;

/// `ann`, her friend `bob`, and `eve`, who watches her.
struct Three {
    gateway: Gateway,
    ann: Peer,
    bob: Peer,
    eve: Peer,
}

async fn three(world: &World, encoding: Encoding) -> Three {
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "eve"], &[("ann", "bob")]).await;
    let (ann, bob) = (gateway.login("ann", encoding).await, gateway.login("bob", encoding).await);
    let mut eve = gateway.login("eve", encoding).await;
    eve.watch(&["ann"]).await;
    eve.until(|replica| replica.users().contains_key("ann")).await;
    Three { gateway, ann, bob, eve }
}

/// Makes the command that changes these fields.
fn set(fields: &Value) -> ClientCommand {
    ClientCommand::UpdateMyInfo(serde_json::from_value(json!({"fields": fields})).unwrap())
}

/// The own fields of a profile in JSON.
fn own(user: &v1::User) -> Value {
    serde_json::to_value(&user.fields).unwrap()
}

fn seen(peer: &Peer) -> Value {
    own(&peer.replica.users()["ann"])
}

#[tokio::test]
async fn own_fields_reach_those_who_may_see_them_by_every_way_and_nobody_else() {
    let world = World::with(FIELDS);
    for encoding in Encoding::ALL {
        let Three { gateway, mut ann, mut bob, mut eve } = three(&world, encoding).await;
        let mut tab = gateway.login("ann", encoding).await;
        for peer in [&bob, &eve] {
            assert_eq!(seen(peer), json!({"level": 1}), "the default of a new profile");
        }
        let reply = ann.request(set(&json!({"pronouns": "they", "tags": ["red"], "diary": "d", "score": 0.5}))).await;
        let mine = json!({"level": 1, "pronouns": "they", "tags": ["red"], "diary": "d", "score": 0.5});
        assert_eq!(own(&reply.update_my_info_reply.unwrap().user.unwrap()), mine);
        assert_eq!(own(&tab.changes().await.me.unwrap()), mine);
        let for_friends = json!({"level": 1, "pronouns": "they", "tags": ["red"], "score": 0.5});
        let for_all = json!({"level": 1, "tags": ["red"], "score": 0.5});
        for (peer, expected) in [(&mut bob, &for_friends), (&mut eve, &for_all)] {
            assert_eq!(own(&peer.changes().await.users[0]), *expected);
            assert_eq!(own(&peer.look_up("ann").await), *expected);
        }
        // Of what they may not see, nothing shows, not even that something happened.
        let before = (bob.look_up("ann").await, eve.look_up("ann").await);
        ann.request(set(&json!({"diary": "e"}))).await;
        assert_eq!(own(&tab.changes().await.me.unwrap())["diary"], "e");
        bob.quiet().await;
        eve.quiet().await;
        assert_eq!((bob.look_up("ann").await, eve.look_up("ann").await), before);
        ann.request(set(&json!({"pronouns": null}))).await;
        assert_eq!(own(&bob.changes().await.users[0]), for_all);
        eve.quiet().await;
        // What changes nothing makes no version.
        let version = tab.changes().await.me.unwrap().version;
        let same = ann.request(set(&json!({"tags": ["red"], "pronouns": null, "score": 0.5}))).await;
        assert_eq!(same.update_my_info_reply.unwrap().user.unwrap().version, version);
        tab.quiet().await;
        // A client that comes back gets what it missed, and one that missed what is hidden nothing.
        let held = bob.replica.clone();
        drop(bob);
        ann.request(set(&json!({"diary": "f"}))).await;
        let back = gateway.resume("bob", encoding, held.clone()).await;
        assert_eq!((back.reply.sync, back.replica.users()), (CURRENT, held.users()));
        drop(back);
        gateway.patch("/v1/users/ann", json!({"fields": {"level": 7}})).await;
        let back = gateway.resume("bob", encoding, held).await;
        assert_eq!((back.reply.sync, seen(&back)), (DELTA, json!({"level": 7, "tags": ["red"], "score": 0.5})));
        gateway.delete("/v1/users/ann").await;
    }
}

#[tokio::test]
async fn what_a_client_may_not_write_is_refused_and_nothing_is_written() {
    let world = World::with(&format!("{FIELDS}[profile.write]\nnick = \"backend\"\n"));
    let Three { gateway, mut ann, mut bob, .. } = three(&world, JSON).await;
    let before = ann.look_up("ann").await;
    for (fields, code, field) in [
        (json!({"level": 2}), 403, "fields.level"),
        (json!({"level": 1}), 403, "fields.level"),
        (json!({"level": null, "pronouns": "x"}), 403, "fields.level"),
        (json!({"pronouns": "12345678901234567"}), 414, "fields.pronouns"),
        (json!({"pronouns": 5}), 414, "fields.pronouns"),
        (json!({"tags": ["red", "pink"]}), 414, "fields.tags"),
        (json!({"tags": ["red", "red", "red", "red"]}), 414, "fields.tags"),
        (json!({"score": 9_007_199_254_740_992_i64}), 414, "fields.score"),
        (json!({"vip": "true"}), 414, "fields.vip"),
        (json!({"pronoun": "x", "diary": "d"}), 414, "fields.pronoun"),
    ] {
        let error = ann.refused(set(&fields)).await;
        assert_eq!((error.code, error.field.as_deref()), (code, Some(field)), "{fields}: {}", error.message);
    }
    let error = ann.refused(set(&json!({"pronoun": "x"}))).await;
    assert!(error.message.contains("did you mean fields.pronouns?"), "{}", error.message);
    let nick = v1::UpdateMyInfo { nick: Some("Ann".into()), ..Default::default() };
    let error = ann.refused(ClientCommand::UpdateMyInfo(nick)).await;
    assert_eq!((error.code, error.field.as_deref()), (403, Some("nick")));
    assert_eq!(ann.look_up("ann").await, before);
    // The backend may; it is held to the limits as well.
    gateway.patch("/v1/users/ann", json!({"nick": "Ann", "fields": {"level": 2}})).await;
    assert_eq!(bob.changes().await.users[0].nick, "Ann");
    let (status, body) =
        gateway.call(Method::PATCH, "/v1/users/ann", json!({"fields": {"level": 100}}).to_string()).await;
    assert_eq!((status, &body["error"]["field"]), (400, &json!("fields.level")), "{body}");
}

#[tokio::test]
async fn clients_and_backends_learn_which_fields_there_are() {
    let world = World::with(&FIELDS.replace("type = \"number\"", "type = \"number\"\nmin = 0.5\nmax = 1000"));
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let (_, of_api) = gateway.call(Method::GET, "/v1/schema", "").await;
    let hash = of_api["hash"].as_str().unwrap().to_owned();
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        assert_eq!(ann.reply.schema.as_ref(), Some(&hash));
        let reply = ann.request(ClientCommand::GetSchema(v1::GetSchema {})).await.get_schema_reply.unwrap();
        assert_eq!(serde_json::to_value(&reply).unwrap(), of_api);
    }
    let (everyone, own) = ("everyone", "self");
    assert_eq!(
        of_api["fields"],
        json!({
            "diary": {"type": "text", "visibility": "self", "write": own, "maxLength": 256},
            "level": {"type": "integer", "visibility": everyone, "write": "backend", "min": 1.0, "max": 99.0, "default": 1},
            "pronouns": {"type": "text", "visibility": "friends", "write": own, "maxLength": 16},
            "score": {"type": "number", "visibility": everyone, "write": own, "min": 0.5, "max": 1000.0},
            "tags": {
                "type": "list", "visibility": everyone, "write": own,
                "maxLength": 256, "maxItems": 3, "values": ["red", "green", "blue"],
            },
            "vip": {"type": "boolean", "visibility": everyone, "write": own},
        })
    );
    let printed: Value = serde_json::from_str(&world.run_well(&["schema"])).unwrap();
    assert_eq!((printed, of_api.get("backendOnly")), (of_api.clone(), None));
    // Who may write the other fields is in it as well.
    let world = World::with("[profile.write]\nnick = \"backend\"\ncustom = \"backend\"\n");
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let (_, of_api) = gateway.call(Method::GET, "/v1/schema", "").await;
    let restricted = of_api["hash"].as_str().unwrap().to_owned();
    assert_eq!(of_api, json!({"hash": restricted, "backendOnly": ["nick", "custom"]}));
    assert_eq!(serde_json::from_str::<Value>(&world.run_well(&["schema"])).unwrap(), of_api);
    assert_eq!(gateway.login("ann", JSON).await.reply.schema.as_ref(), Some(&restricted));
    // A deployment where nothing is so says nothing of it at a login.
    let bare = World::new();
    let gateway = bare.start();
    gateway.populate(&["ann"], &[]).await;
    let mut ann = gateway.login("ann", JSON).await;
    assert_eq!(ann.reply.schema, None);
    let reply = ann.request(ClientCommand::GetSchema(v1::GetSchema {})).await.get_schema_reply.unwrap();
    assert!(reply.fields.is_empty() && ![hash, restricted].contains(&reply.hash));
}

#[tokio::test]
async fn nested_values_and_wrong_forms_are_named() {
    let world = World::with(FIELDS);
    let Three { gateway, mut ann, .. } = three(&world, JSON).await;
    for (fields, field) in [
        (r#"{"pronouns":{"a":1}}"#, "fields.pronouns"),
        (r#"{"tags":[["red"]]}"#, "fields.tags[0]"),
        (r#"{"tags":[1]}"#, "fields.tags[0]"),
        ("[]", "fields"),
        ("7", "fields"),
    ] {
        let body = format!("{{\"fields\":{fields}}}");
        let (status, answer) = gateway.call(Method::PATCH, "/v1/users/ann", body).await;
        assert_eq!((status, answer["error"]["field"].as_str()), (400, Some(field)), "{fields}: {answer}");
    }
    // In protobuf a number may be anything.
    let mut tab = gateway.login("ann", Encoding::Protobuf).await;
    for number in [f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300] {
        let value = v1::FieldValue { number: Some(number), ..Default::default() };
        let update = v1::UpdateMyInfo { fields: [("score".to_owned(), value)].into(), ..Default::default() };
        let error = tab.refused(ClientCommand::UpdateMyInfo(update)).await;
        assert_eq!((error.code, error.field.as_deref()), (414, Some("fields.score")), "{number}");
    }
    ann.quiet().await;
    assert_eq!(own(&ann.look_up("ann").await), json!({"level": 1}));
}

#[tokio::test]
async fn a_deployment_without_own_fields_sends_and_keeps_what_it_did_before() {
    let world = World::new();
    let Three { gateway, mut ann, bob, .. } = three(&world, JSON).await;
    let error = ann.refused(set(&json!({"level": 1}))).await;
    assert_eq!((error.code, error.field.as_deref()), (414, Some("fields.level")));
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(user.get("fields"), None);
    let held = bob.replica.clone();
    drop((ann, bob));
    assert_eq!(gateway.terminate().await, Some(0));
    // Fields that are new have no values, so nobody sees something else than before.
    let world = World { settings: FIELDS.to_owned(), ..world };
    let gateway = world.start();
    let bob = gateway.resume("bob", JSON, held.clone()).await;
    assert_eq!((bob.reply.sync, seen(&bob)), (CURRENT, json!({})));
    let mut ann = gateway.login("ann", JSON).await;
    ann.request(set(&json!({"pronouns": "they", "diary": "d"}))).await;
    gateway.patch("/v1/users/ann", json!({"fields": {"level": 3}})).await;
    drop((ann, bob));
    assert_eq!(gateway.terminate().await, Some(0));
    // A field that is gone is seen by nobody, though its value stays.
    let world = World { settings: FIELDS.replace("profile.fields.diary", "profile.fields.other"), ..world };
    let gateway = world.start();
    let mut bob = gateway.resume("bob", JSON, held).await;
    assert_ne!(bob.reply.sync, FULL);
    bob.until(|replica| own(&replica.users()["ann"]) == json!({"level": 3, "pronouns": "they"})).await;
    let mut ann = gateway.login("ann", JSON).await;
    let mine = json!({"level": 3, "pronouns": "they"});
    assert_eq!(own(ann.replica.me().unwrap()), mine);
    assert_eq!(own(&ann.look_up("ann").await), mine);
    assert_eq!(ann.refused(set(&json!({"diary": "x"}))).await.code, 414);
    let reply = ann.request(set(&json!({"vip": true}))).await.update_my_info_reply.unwrap();
    assert_eq!(own(&reply.user.unwrap()), json!({"level": 3, "pronouns": "they", "vip": true}));
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(user["fields"]["diary"], "d", "the backend sees what is kept");
    gateway.patch("/v1/users/ann", json!({"fields": {"diary": null}})).await;
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(user["fields"].get("diary"), None);
}

#[tokio::test]
async fn a_blocked_account_sees_own_fields_as_they_were() {
    let world = World::with(FIELDS);
    let Three { gateway, mut ann, mut bob, eve } = three(&world, JSON).await;
    ann.request(set(&json!({"pronouns": "they", "tags": ["red"]}))).await;
    assert_eq!(own(&bob.changes().await.users[0])["pronouns"], "they");
    let was = bob.look_up("ann").await;
    ann.request(to::block("bob")).await;
    ann.request(set(&json!({"pronouns": "she", "tags": ["blue"]}))).await;
    bob.quiet().await;
    assert_eq!(bob.look_up("ann").await, was);
    let fresh = gateway.login("bob", JSON).await.replica;
    assert_eq!(fresh.users()["ann"], was);
    ann.request(to::unblock("bob")).await;
    assert_eq!(own(&bob.changes().await.users[0]), json!({"level": 1, "pronouns": "she", "tags": ["blue"]}));
    drop(eve);
}

#[tokio::test]
async fn the_backend_reads_own_fields_by_its_scopes_and_replaces_them() {
    let keys = "[ops.keys.crm]\nkey = \"a-key-without-private-fields\"\nscopes = [\"read\", \"write\", \"feed\"]\n";
    let world = World::with(&format!("{FIELDS}{keys}"));
    let Three { gateway, .. } = three(&world, JSON).await;
    let fields = json!({"level": 5, "pronouns": "they", "diary": "d", "tags": ["red"], "score": 2, "vip": true});
    gateway.put("/v1/users/ann", json!({"nick": "Ann", "fields": fields})).await;
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(
        user["fields"],
        json!({"level": 5, "pronouns": "they", "diary": "d", "tags": ["red"], "score": 2.0, "vip": true})
    );
    let mut crm = gateway.backend_with_key("a-key-without-private-fields").await;
    let (_, text) = crm.send(Method::GET, "/v1/users/ann", String::new()).await.unwrap();
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["fields"], json!({"level": 5, "tags": ["red"], "score": 2.0, "vip": true}));
    let (status, _) = crm.send(Method::GET, "/v1/feed?fields=fields", String::new()).await.unwrap();
    assert_eq!(status, 403, "own fields in the feed are private");
    let (_, feed) = gateway
        .backend()
        .await
        .send(Method::GET, "/v1/feed?fields=nick,fields&limit=1000", String::new())
        .await
        .unwrap();
    let changed: Vec<Value> = feed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_ann = changed.iter().rev().find(|event| event["type"] == "user.updated").unwrap_or_else(|| panic!("{feed}"));
    assert_eq!(of_ann["data"]["user"]["fields"]["diary"], "d", "{of_ann}");
    let names =
        ["nick", "fields.diary", "fields.level", "fields.pronouns", "fields.score", "fields.tags", "fields.vip"];
    assert_eq!(of_ann["data"]["changed"], json!(names));
    // A profile that is replaced has the defaults, and nothing else.
    gateway.put("/v1/users/ann", json!({"nick": "Ann"})).await;
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(user["fields"], json!({"level": 1}));
    let (_, why) = gateway.call(Method::GET, "/v1/accounts/ann/explain?viewer=eve&field=fields.pronouns", "").await;
    assert!(why["reasons"].as_array().unwrap().contains(&json!("HIDDEN_FIELDS")), "{why}");
    let (status, _) = gateway.call(Method::GET, "/v1/accounts/ann/explain?viewer=eve&field=fields.zzz", "").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn own_fields_survive_a_crash_an_export_and_an_import() {
    let world = World::with(FIELDS);
    let Three { gateway, mut ann, .. } = three(&world, JSON).await;
    ann.request(set(&json!({"pronouns": "they", "tags": ["red", "blue"], "score": 0.1}))).await;
    ann.request(to::block("bob")).await;
    ann.request(set(&json!({"pronouns": "she"}))).await;
    let (_, whole) = gateway.call(Method::GET, "/v1/users/ann/export", "").await;
    assert_eq!(whole["user"]["fields"]["score"], 0.1);
    gateway.kill();
    let file = world.path().join("all.ndjson");
    let path = file.to_str().unwrap();
    world.run_well(&["export", path]);
    let other = World::with(FIELDS);
    other.run_well(&["import", path]);
    let gateway = other.start();
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(user["fields"], json!({"level": 1, "pronouns": "she", "tags": ["red", "blue"], "score": 0.1}));
    let mut bob = gateway.login("bob", JSON).await;
    assert_eq!(
        own(&bob.look_up("ann").await),
        json!({"level": 1, "pronouns": "they", "tags": ["red", "blue"], "score": 0.1})
    );
    // Where there are no such fields, nothing is imported.
    let bare = World::new();
    let said = bare.run(&["import", path]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("fields.level"), "{said}");
}

#[tokio::test]
async fn settings_that_contradict_themselves_are_named_with_their_place() {
    let world = World::with(
        "[profile.fields.nick]\ntype = \"text\"\n[profile.fields.level]\ntype = \"integer\"\nmin = 2\nmax = 1\n",
    );
    let said = world.run_badly(&["config", "check"]);
    assert!(said.contains("profile.fields.nick: has the name"), "{said}");
    assert!(said.contains("profile.fields.level.max: is 1, less than min"), "{said}");
    let world = World::with("[profile.fields.level]\ntype = \"int\"\n[profile.write]\nnick = \"nobody\"\n");
    let said = world.run_badly(&["config", "check"]);
    assert!(said.contains("profile.fields.level.type: \"int\" is no type of a field; write \"text\""), "{said}");
    assert!(
        said.contains("profile.write.nick: \"nobody\" is nobody who writes; write \"self\" or \"backend\""),
        "{said}"
    );
    assert!(Profile::FIELDS.contains(&"nick"));
}
