//! Compares what clients hold at a rest with the model, and with a fresh client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rosterd_client::{Records, Replica};
use rosterd_engine::model::{Millis, Visibility};
use rosterd_protocol::{Encoding, v1};
use tokio::time::{sleep, timeout};

use crate::client::{Client, Order};
use crate::device::Kinds;
use crate::model::{Expected, Model, SeenProfile, Shown};
use crate::plan::account;
use crate::world::Shared;

/// Who is online on which kinds of devices, what time it is, and how long before and after its end a status may be there or not.
pub type Seen<'a> = (&'a Kinds, Millis, Millis);

/// Checks that each client of an account holds what the model expects, and the same as a fresh one. Besides the model it
/// takes who is online, the time and how exactly it is known, and the rules.
pub async fn compare(
    shared: &Arc<Shared>,
    clients: &[Client],
    n: u64,
    (model, seen, rules): (&Model, Seen<'_>, &Arc<Mutex<Visibility>>),
) {
    let Some(fresh) = fresh_sync(shared, n).await else {
        shared.demand(false, &format!("{} could not sync in full", account(n)));
        return;
    };
    for client in clients.iter().filter(|client| client.account == account(n)) {
        let view = client.view.lock().unwrap();
        let rules = rules.lock().unwrap().clone();
        let expected = model.expected(&client.account, &view.watched, seen, &rules);
        let held = held(&view.replica, &view.watched, model, &client.account);
        let differences = expected.differences(&held);
        shared.demand(differences.is_empty(), &format!("{} holds\n{differences}", client.name));
        let same = versions(&view.replica) == versions(&fresh);
        let what =
            format!("{} holds\n{:?}\nand a fresh client\n{:?}", client.name, versions(&view.replica), versions(&fresh));
        shared.demand(same, &what);
        shared.demand(view.replica.digest() == fresh.digest(), &format!("{}: another digest", client.name));
        let cursor = view.replica.cursor().is_some();
        shared.demand(cursor, &format!("{} has no cursor", client.name));
    }
}

/// Connects a client for the first time, and returns its replica once it is in sync.
async fn fresh_sync(shared: &Arc<Shared>, n: u64) -> Option<Replica> {
    let client = Client::start("a fresh client".to_owned(), account(n), Encoding::Json, shared.clone());
    client.order(Order::Connect);
    let synced = timeout(Duration::from_secs(30), async {
        while !client.view.lock().unwrap().live {
            sleep(Duration::from_millis(5)).await;
        }
    });
    synced.await.ok()?;
    let replica = client.view.lock().unwrap().replica.clone();
    client.order(Order::Drop);
    Some(replica)
}

/// The replica of a client, in the types of the model.
fn held(replica: &Replica, watched: &[String], model: &Model, account: &str) -> Expected {
    let profile = |account: &String| replica.users().get(account).map(SeenProfile::of);
    Expected {
        me: replica.me().map(SeenProfile::of).unwrap_or_default(),
        friends: replica
            .friends()
            .values()
            .map(|friend| {
                let profile = profile(&friend.account).unwrap_or_default();
                (friend.account.clone(), (friend.alias.clone(), profile))
            })
            .collect(),
        requests: replica
            .requests()
            .map(|request| (request.account.clone(), request.direction == v1::Direction::In as i32))
            .collect(),
        blocks: replica.blocks().map(|block| block.account.clone()).collect(),
        watched: watched
            .iter()
            // A client does not learn that a watched account was deleted.
            .filter(|watched| *watched != account && model.exists(watched))
            .filter_map(|watched| Some((watched.clone(), profile(watched)?)))
            .collect(),
        shows: shows(replica),
        may_have_ended: BTreeSet::new(),
    }
}

/// The friends of a client, whether each shows as online, and what is beside it.
pub fn shows(replica: &Replica) -> BTreeMap<String, Shown> {
    let shows = |account: &String| {
        let presence = replica.presence().get(account).cloned().unwrap_or_default();
        (presence.online, presence.status, presence.devices)
    };
    replica.friends().keys().map(|friend| (friend.clone(), shows(friend))).collect()
}

/// The state that two clients of one account in sync have in common, versions and times included.
#[derive(Debug, PartialEq)]
struct Versions {
    me: Option<v1::User>,
    friends: Records<v1::Friend>,
    profiles: Vec<Option<v1::User>>,
    requests: Vec<v1::Request>,
    blocks: Vec<v1::BlockRecord>,
}

fn versions(replica: &Replica) -> Versions {
    Versions {
        me: replica.me().cloned(),
        friends: replica.friends().clone(),
        profiles: replica.friends().keys().map(|friend| replica.users().get(friend).cloned()).collect(),
        requests: replica.requests().cloned().collect(),
        blocks: replica.blocks().cloned().collect(),
    }
}
