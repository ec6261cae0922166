//! The devices of the clients, and what may be seen of their kinds.

use std::collections::{BTreeMap, BTreeSet};

use rosterd_protocol::v1;

use crate::client::Client;
use crate::plan::{ACCOUNTS, account};
use crate::world::Shared;

const KINDS: [&str; 4] = ["Web", "ios", "tv", "car"];

/// The kinds that an account's sessions are on at a rest, by account: of all that are online.
pub type Kinds = BTreeMap<String, BTreeSet<String>>;

/// The type of device of a login. It may change with each, and at times it is no kind. A fresh client names none, so that
/// nobody sees that it came.
pub fn device_type(client: &str, login: usize) -> &'static str {
    let number: usize = client.strip_prefix("client ").and_then(|number| number.parse().ok()).unwrap_or(0);
    match (client.starts_with("client "), login % 5) {
        (false, _) => "",
        (_, 3) => ["tv", "car"][number % 2],
        (_, 4) => "Somebody's phone",
        _ => ["Web", "ios"][number / ACCOUNTS as usize % 2],
    }
}

/// The kinds of all accounts that are not away, as far as clients are in sync.
pub fn kinds(clients: &[Client], away: &BTreeSet<u64>, exists: impl Fn(&str) -> bool) -> Kinds {
    let names = (0..ACCOUNTS).filter(|n| !away.contains(n)).map(account).filter(|name| exists(name));
    let mut kinds: Kinds = names.map(|name| (name, BTreeSet::new())).collect();
    for client in clients {
        let view = client.view.lock().unwrap();
        if let Some(kinds) = kinds.get_mut(&client.account).filter(|_| view.live) {
            kinds.extend(kind(view.device));
        }
    }
    kinds
}

fn kind(device_type: &str) -> Option<String> {
    KINDS.contains(&device_type).then(|| device_type.to_lowercase())
}

/// Checks the kinds in a frame: none of whoever is offline, or of the receiver, and only kinds, in order and once.
pub fn check(presence: &v1::PresenceChanges, (client, receiver): (&str, &str), shared: &Shared) {
    for seen in presence.users.iter().filter(|seen| !seen.devices.is_empty()) {
        let kinds: BTreeSet<_> = seen.devices.iter().cloned().collect();
        let is_kind = |shown: &String| KINDS.iter().any(|kind| kind.to_lowercase() == *shown);
        let is_right = seen.online && seen.account != receiver && kinds.iter().eq(&seen.devices);
        shared.demand(is_right && kinds.iter().all(is_kind), &format!("{client} sees {seen:?}"));
        shared.happened(if kinds.len() > 1 {
            "several kinds of devices were seen"
        } else {
            "a kind of device was seen"
        });
    }
}
