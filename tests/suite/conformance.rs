//! The published vectors of `docs/conformance`, on the gateway's decoder and the Rust client's copy.

use rosterd::client::Replica;
use rosterd::wire::{Encoding, Inbound, decode, v1};
use serde_json::{Value, json};

const FRAMES: &str = include_str!("../../docs/conformance/frames.json");
const MERGE: &str = include_str!("../../docs/conformance/merge.json");

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What the decoder makes of a client's text, in the words of the vectors.
fn meaning(text: &str) -> Value {
    match decode(Encoding::Json, text.as_bytes()) {
        Err(_) => json!({"kind": "malformed", "close": 3501}),
        Ok(Inbound::Heartbeat) => json!({"kind": "heartbeat"}),
        Ok(Inbound::Refused { id, error }) => {
            let mut wrong = json!({"kind": "wrong", "code": error.reason.code()});
            if let Some(id) = id {
                wrong["id"] = id.into();
            }
            wrong
        }
        Ok(Inbound::Command { id, command }) => {
            let name = command.name();
            let frame = serde_json::to_value(command.frame(id)).unwrap();
            json!({"kind": "command", "id": id, "command": name, "body": frame[name]})
        }
    }
}

/// Every field of `expected` is in `actual`, deep down; an absent list is an empty one.
fn holds(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| holds(actual.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| holds(a, e))
        }
        (Value::Null, Value::Array(expected)) => expected.is_empty(),
        (actual, expected) => actual == expected,
    }
}

#[test]
fn clients_frames_mean_what_the_vectors_say() {
    let vectors: Value = serde_json::from_str(FRAMES).unwrap();
    assert!(!list(&vectors["client"]).is_empty());
    for vector in list(&vectors["client"]) {
        let actual = meaning(vector["text"].as_str().unwrap());
        assert!(holds(&actual, &vector["meaning"]), "{}: {actual}", vector["name"]);
    }
}

#[test]
fn gateways_frames_mean_what_the_vectors_say() {
    let vectors: Value = serde_json::from_str(FRAMES).unwrap();
    assert!(!list(&vectors["server"]).is_empty());
    for vector in list(&vectors["server"]) {
        let (name, meaning) = (&vector["name"], &vector["meaning"]);
        let frame = Encoding::Json.decode_server(vector["text"].as_str().unwrap().as_bytes()).unwrap();
        let actual = serde_json::to_value(&frame).unwrap();
        match meaning["body"].as_str() {
            Some(body) => {
                assert!(holds(&actual[body], &meaning["value"]), "{name}: {actual}");
                assert_eq!(meaning["id"].as_u64().unwrap_or(0), frame.id, "{name}");
            }
            // A heartbeat, or a frame of a kind that this client does not know.
            None => assert_eq!(v1::ServerFrame { id: 0, ..frame }, v1::ServerFrame::default(), "{name}"),
        }
    }
}

fn frame(value: &Value) -> v1::ServerFrame {
    serde_json::from_value(value.clone()).unwrap()
}

/// A copy that holds what a case starts with, taken from a full sync.
fn initial(value: &Value) -> Replica {
    let mut replica = Replica::default();
    let Some(cursor) = value["cursor"].as_str() else { return replica };
    replica.begin(&v1::LoginReply { sync: v1::SyncMode::Full as i32, ..Default::default() });
    let changes = json!({"changes": {"me": value["me"], "users": value["users"], "friends": value["friends"]}});
    replica.apply(&frame(&changes)).unwrap();
    let count = list(&value["friends"]).len();
    let mut sum = rosterd::sync::digest::Digest::default();
    for friend in list(&value["friends"]) {
        let user = list(&value["users"]).iter().find(|user| user["account"] == friend["account"]);
        let version = |record: &Value| record["version"].as_u64().unwrap();
        sum.add(friend["account"].as_str().unwrap(), version(friend), user.map_or(0, version));
    }
    let synced = json!({"synced": {"cursor": cursor, "count": count, "digest": sum.value()}});
    replica.apply(&frame(&synced)).unwrap();
    replica
}

fn expect(name: &Value, replica: &Replica, in_step: Option<bool>, expected: &Value) {
    let sorted = |value: &Value| {
        let mut records = list(value).to_vec();
        records.sort_by_key(|record| record["account"].to_string());
        Value::Array(records)
    };
    let held = json!({
        "me": replica.me(),
        "users": replica.users().values().collect::<Vec<_>>(),
        "friends": replica.friends().values().collect::<Vec<_>>(),
        "cursor": replica.cursor(),
        "inStep": in_step,
    });
    for (key, value) in expected.as_object().unwrap() {
        let value = if value.is_array() { sorted(value) } else { value.clone() };
        assert!(holds(&held[key], &value), "{name}: {key} is {} and not {value}", held[key]);
    }
}

#[test]
fn a_client_holds_what_the_vectors_say() {
    let vectors: Value = serde_json::from_str(MERGE).unwrap();
    assert!(!list(&vectors["cases"]).is_empty());
    for case in list(&vectors["cases"]) {
        let mut replica = initial(&case["initial"]);
        let mut in_step = None;
        for step in list(&case["steps"]) {
            if let Some(expected) = step.get("expect") {
                expect(&case["name"], &replica, in_step, expected);
            } else if let Some(taken) = step.get("take") {
                let taken = frame(taken);
                if let Some(reply) = &taken.login_reply {
                    replica.begin(reply);
                }
                let applied = replica.apply(&taken);
                in_step = if taken.synced.is_some() { Some(applied.is_ok()) } else { in_step };
            }
            // `lost` is the end of the connection: nothing to do until the next login.
        }
    }
}
