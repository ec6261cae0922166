//! The published vectors of `docs/conformance`, on the gateway's decoder and the Rust client's copy.

use rosterd_client::Replica;
use rosterd_protocol::{Encoding, Inbound, decode, v1};
use serde_json::{Value, json};

const FRAMES: &str = include_str!("../../docs/conformance/frames.json");
const MERGE: &str = include_str!("../../docs/conformance/merge.json");
const REPAIR: &str = include_str!("../../docs/conformance/repair.json");

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

/// The same frame as protobuf: what its text means in one encoding, it means in the other.
fn in_protobuf(text: &str) -> Option<Inbound> {
    let Ok(Inbound::Command { id, command }) = decode(Encoding::Json, text.as_bytes()) else { return None };
    let mut bytes = Vec::new();
    Encoding::Protobuf.encode(&command.frame(id), &mut bytes);
    Some(decode(Encoding::Protobuf, &bytes).unwrap())
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
        let text = vector["text"].as_str().unwrap();
        let actual = meaning(text);
        if let Some(other) = in_protobuf(text) {
            assert_eq!(decode(Encoding::Json, text.as_bytes()), Ok(other), "{}", vector["name"]);
        }
        assert!(holds(&actual, &vector["meaning"]), "{}: {actual}", vector["name"]);
    }
}

#[test]
fn every_command_reply_and_push_is_in_the_vectors() {
    let vectors: Value = serde_json::from_str(FRAMES).unwrap();
    let named = |side: &str, key: &str| -> Vec<String> {
        let bodies = list(&vectors[side]).iter().filter_map(|vector| vector["meaning"][key].as_str());
        bodies.map(str::to_owned).collect()
    };
    let (commands, bodies) = (named("client", "command"), named("server", "body"));
    let schema = include_str!("../../proto/rosterd/v1/gateway.proto");
    for (message, known) in [("message ClientFrame {", commands), ("message ServerFrame {", bodies)] {
        let fields = schema.split(message).nth(1).unwrap().split('}').next().unwrap();
        for field in fields.lines().filter_map(|line| line.split_once(" = ")?.0.split_whitespace().nth(1)) {
            let mut words = field.split('_').map(str::to_owned);
            let first = words.next().unwrap();
            let name = words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..]);
            assert!(name == "id" || known.contains(&name), "no vector for {name}");
        }
    }
}

#[test]
fn gateways_frames_mean_what_the_vectors_say() {
    let vectors: Value = serde_json::from_str(FRAMES).unwrap();
    assert!(!list(&vectors["server"]).is_empty());
    for vector in list(&vectors["server"]) {
        let (name, meaning) = (&vector["name"], &vector["meaning"]);
        let frame = Encoding::Json.decode_server(vector["text"].as_str().unwrap().as_bytes()).unwrap();
        let mut bytes = Vec::new();
        Encoding::Protobuf.encode(&frame, &mut bytes);
        assert_eq!(Encoding::Protobuf.decode_server(&bytes).unwrap(), frame, "{name}");
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
    let mut changes = value.clone();
    changes.as_object_mut().unwrap().remove("cursor");
    replica.apply(&frame(&json!({"changes": changes}))).unwrap();
    let count = list(&value["friends"]).len();
    let mut sum = rosterd_engine::sync::digest::Digest::default();
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
        records.sort_by_key(|record| ["account", "session", "direction"].map(|key| record[key].to_string()));
        Value::Array(records)
    };
    let held = json!({
        "me": replica.me(),
        "users": replica.users().values().collect::<Vec<_>>(),
        "friends": replica.friends().values().collect::<Vec<_>>(),
        "requests": replica.requests().collect::<Vec<_>>(),
        "blocks": replica.blocks().collect::<Vec<_>>(),
        "presence": replica.presence().values().collect::<Vec<_>>(),
        "sessions": replica.sessions(),
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
    let cases = [MERGE, REPAIR].map(|text| serde_json::from_str::<Value>(text).unwrap()["cases"].take());
    assert!(cases.iter().all(|cases| !list(cases).is_empty()));
    for case in cases.iter().flat_map(list) {
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
            if let Some(sent) = step.get("send") {
                assert_eq!(json!({"repair": {"leaves": replica.leaves()}}), *sent, "{}", case["name"]);
            }
            // `lost` is the end of the connection: nothing to do until the next login.
        }
    }
}
