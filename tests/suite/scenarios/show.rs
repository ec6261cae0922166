//! What a snapshot shows, compared with what a scenario expects.

use serde_json::{Value, json};

/// The end of what a client said, for the message of a failure.
pub(super) fn last(lines: &[Value]) -> String {
    let from = lines.len().saturating_sub(6);
    let lines: Vec<_> =
        lines[from..].iter().map(|line| line.to_string().chars().take(1500).collect::<String>()).collect();
    format!("it said\n  {}", lines.join("\n  "))
}

/// Says what of a snapshot is not as expected.
///
/// `friends`, `blocks`, `online` (but for the client's own) and `watched` are all accounts, `statuses` all statuses, `devices` all kinds of devices; `requests` are all requests, each with at least the fields
/// given; `users` has records by account with at least the fields given, `null` for one that must not be there.
pub(super) fn wrong(snapshot: &Value, expected: &Value) -> Option<String> {
    expected.as_object().expect("`holds` is an object").iter().find_map(|(key, value)| {
        let held = match key.as_str() {
            "friends" | "blocks" => accounts(&snapshot[key], |_| true),
            "online" => accounts(&snapshot["presence"], |presence| {
                presence["online"] == true && presence["account"] != snapshot["me"]["account"]
            }),
            "statuses" | "devices" => {
                let held = shown(&snapshot["presence"], if key == "statuses" { "status" } else { "devices" });
                return (held != *value).then(|| format!("{key} are {held} and not {value}"));
            }
            "watched" => snapshot["watched"].clone(),
            "sessions" => snapshot["sessions"].as_array().map_or(0, Vec::len).into(),
            "users" => {
                return value.as_object()?.iter().find_map(|(account, user)| wrong_user(snapshot, account, user));
            }
            "requests" => return wrong_requests(&snapshot["requests"], value),
            _ => snapshot[key].clone(),
        };
        (!holds(&held, value)).then(|| format!("{key} is {held} and not {value}"))
    })
}

/// What accounts show beside presence, by account, the client's own included.
fn shown(presence: &Value, what: &str) -> Value {
    let is_some = |shown: &&Value| **shown != json!([]);
    let shown = |seen: &Value| Some((seen["account"].as_str()?.to_owned(), seen.get(what).filter(is_some)?.clone()));
    presence.as_array().into_iter().flatten().filter_map(shown).collect::<serde_json::Map<_, _>>().into()
}

fn accounts(records: &Value, counts: impl Fn(&Value) -> bool) -> Value {
    let records = records.as_array().map_or(&[][..], Vec::as_slice).iter().filter(|record| counts(record));
    let mut accounts: Vec<_> = records.map(|record| record["account"].clone()).collect();
    accounts.sort_by_key(ToString::to_string);
    accounts.into()
}

/// A list in an order that does not depend on who shows it; anything else as it is. What a record has at its default may be
/// missing.
pub(super) fn sorted(records: &Value) -> Value {
    let plain = |record: &Value| {
        let mut record = record.clone();
        if let Some(fields) = record.as_object_mut() {
            fields.retain(|_, value| *value != false && *value != json!({}) && *value != json!([]));
        }
        record
    };
    let Some(records) = records.as_array() else { return plain(records) };
    let mut records: Vec<_> = records.iter().map(plain).collect();
    records.sort_by_key(|record| ["account", "direction"].map(|key| record[key].to_string()));
    records.into()
}

pub(super) fn user<'a>(snapshot: &'a Value, account: &str) -> Option<&'a Value> {
    snapshot["users"].as_array()?.iter().find(|user| user["account"] == account)
}

fn wrong_user(snapshot: &Value, account: &str, expected: &Value) -> Option<String> {
    let held = user(snapshot, account).unwrap_or(&Value::Null);
    (!holds(held, expected)).then(|| format!("the profile of {account} is {held} and not {expected}"))
}

fn wrong_requests(held: &Value, expected: &Value) -> Option<String> {
    let (all, wanted) = (held.as_array().map_or(&[][..], Vec::as_slice), expected.as_array()?);
    let is_there = |one: &Value| all.iter().any(|held| holds(held, one));
    let right = all.len() == wanted.len() && wanted.iter().all(is_there);
    (!right).then(|| format!("the requests are {held} and not {expected}"))
}

/// Every field of `expected` is in `actual`, deep down.
pub(super) fn holds(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| holds(actual.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| holds(a, e))
        }
        (actual, expected) => actual == expected,
    }
}
