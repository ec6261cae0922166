//! The event about an account's presence, which is state and in no change log.

use serde::Serialize;

use super::events::{EventFields, PRESENCE_CHANGED, rfc3339};
use rosterd_engine::model::{DeviceKind, LogHistory, Millis, NumberedPresence, SeenNumber, Status};
use rosterd_engine::sync::delivery::EventKey;

/// Encodes how friends see an account since its last transition, with the status and the kinds of devices that they see now.
///
/// # Panics
/// Never: an event is plain data.
#[must_use]
pub fn presence_json(
    history: LogHistory,
    found: &NumberedPresence,
    (status, devices): (Option<&Status>, &[DeviceKind]),
    fields: &EventFields,
) -> String {
    let last_seen = found.presence.last_seen;
    let status = status.filter(|_| fields.has("status"));
    let envelope = PresenceEnvelope {
        specversion: "1.0",
        id: EventKey::Presence(found.seen).id(history),
        source: format!("/rosterd/{history}"),
        kind: PRESENCE_CHANGED,
        // One that was never online has only said whether it hides.
        time: (last_seen > 0).then(|| rfc3339(last_seen)),
        subject: found.account.as_str(),
        data: PresenceData {
            account: found.account.as_str(),
            online: found.presence.online,
            last_seen,
            seen: found.seen,
            invisible: fields.has("invisible").then_some(found.chosen.hides),
            status: status.map(|status| &*status.text),
            until: status.and_then(|status| status.until),
            devices: devices.iter().map(DeviceKind::as_str).filter(|_| fields.has("devices")).collect(),
        },
    };
    serde_json::to_string(&envelope).expect("an event is plain data")
}

#[derive(Serialize)]
struct PresenceEnvelope<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    subject: &'a str,
    data: PresenceData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PresenceData<'a> {
    account: &'a str,
    online: bool,
    last_seen: Millis,
    seen: SeenNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    invisible: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Millis>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::{Account, ChosenPresence, SeenPresence};

    #[test]
    fn whether_an_account_hides_is_for_those_who_ask() {
        let mut found = NumberedPresence {
            account: Account::parse("ann", "account").unwrap(),
            presence: SeenPresence { online: true, last_seen: 1_772_356_364_120 },
            devices: DeviceKind::read("ios web"),
            chosen: ChosenPresence::default(),
            revision: 3,
            seen: 7,
        };
        let status = Status { text: "lunch".into(), until: Some(8), time: 7 };
        let encode = |found: &NumberedPresence, fields| {
            presence_json(LogHistory(10), found, (Some(&status), &found.devices), &EventFields::parse(fields).unwrap())
        };
        assert_eq!(
            encode(&found, "nick"),
            "{\"specversion\":\"1.0\",\"id\":\"000000000000000a-p7\",\"source\":\"/rosterd/000000000000000a\",\
             \"type\":\"presence.changed\",\"time\":\"2026-03-01T09:12:44.120Z\",\"subject\":\"ann\",\
             \"data\":{\"account\":\"ann\",\"online\":true,\"lastSeen\":1772356364120,\"seen\":7}}"
        );
        assert!(encode(&found, "status").ends_with("\"seen\":7,\"status\":\"lunch\",\"until\":8}}"));
        assert!(encode(&found, "devices").ends_with("\"seen\":7,\"devices\":[\"ios\",\"web\"]}}"));
        found.chosen.hides = true;
        found.presence = SeenPresence::default();
        assert!(encode(&found, "invisible").ends_with("\"lastSeen\":0,\"seen\":7,\"invisible\":true}}"));
        assert!(!encode(&found, "invisible").contains("\"time\""));
    }
}
