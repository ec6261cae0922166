//! What clients of an old gateway and of today's see of each other while both serve.

use std::time::Duration;

use hyper::Method;
use rosterd_client::Replica;
use rosterd_postgres_server::{self as postgres_server, Database, ROLE, Server};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::builds::Version;
use crate::support::{Gateway, PATIENCE, Peer, World, live_blocks, open_requests, to};
use crate::{ALONE, skipped};

const JSON: Encoding = Encoding::Json;

/// An old gateway and today's on one database.
struct Pair {
    database: Database,
    server: &'static Server,
    worlds: [World; 2],
    gateways: [Gateway; 2],
}

impl Pair {
    /// The old gateway is there first; today's migrates the database beside it. `None` if there is no server to test with.
    fn start() -> Option<Self> {
        let server = postgres_server::shared()?;
        let database = server.database();
        let worlds = [Version::Old, Version::Today].map(Version::world);
        let store = format!("store.url={}", server.url(ROLE, &database.name));
        let settings = |name| ["cluster.enabled=true", "cluster.beat=300ms", "presence.linger=300ms", name, &store];
        let old = worlds[0].start_with(&settings("cluster.node=old"));
        let gateways = [old, worlds[1].start_with(&settings("cluster.node=today"))];
        Some(Self { database, server, worlds, gateways })
    }

    /// What both logged.
    fn log(&self) -> String {
        self.worlds.each_ref().map(World::log).concat()
    }

    /// Both serve, in one order and in the other.
    fn both_ways(&self) -> [(&Gateway, &Gateway); 2] {
        let [old, today] = &self.gateways;
        [(old, today), (today, old)]
    }
}

/// Waits until a gateway's answer about something is this.
async fn until_answered(gateway: &Gateway, path: &str, good: impl Fn(&serde_json::Value) -> bool) {
    let answered = async {
        loop {
            let (_, body) = gateway.call(Method::GET, path, "").await;
            if good(&body) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, last) = gateway.call(Method::GET, path, "").await;
    assert!(timeout(PATIENCE, answered).await.is_ok(), "{path}: {last}");
}

fn is_online(account: &'static str, online: bool) -> impl Fn(&Replica) -> bool {
    move |replica| replica.presence().get(account).is_some_and(|seen| seen.online == online)
}

fn has_nick(account: &'static str, nick: String) -> impl Fn(&Replica) -> bool {
    move |replica| replica.users().get(account).is_some_and(|user| user.nick == nick)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_an_old_gateway_and_of_todays_see_each_other_as_on_one() {
    let _alone = ALONE.lock().await;
    let Some(pair) = block_in_place(Pair::start) else { return skipped() };
    let friends = [("ann", "bob"), ("ann", "cat"), ("bob", "cat")];
    pair.gateways[0].populate(&["ann", "bob", "cat", "dan", "eve"], &friends).await;
    for (turn, (here, there)) in pair.both_ways().into_iter().enumerate() {
        let (mut ann, mut bob) = (here.login("ann", JSON).await, there.login("bob", Encoding::Protobuf).await);
        bob.until(is_online("ann", true)).await;
        ann.until(is_online("bob", true)).await;
        profiles_and_signals(turn, &mut ann, &mut bob).await;
        presence(turn, &mut ann, &mut bob).await;
        blocks(turn, &mut ann, &mut bob).await;
        requests(here, there).await;
        devices_and_lists(here, there).await;
        if turn == 1 {
            // What the old one does not understand, it does not answer, and today's says whom it did not reach.
            let (status, body) = here.call(Method::GET, "/v1/accounts/ann/explain?viewer=bob", "").await;
            assert_eq!((status, &body["unreached"]), (200, &json!(["old"])), "{body}");
        }
        drop(ann);
        bob.until(is_online("ann", false)).await;
        bob.agrees(here, JSON).await;
        bob.agrees(there, JSON).await;
    }
    // An account that is deleted on one is gone on the other, at once for its own client.
    for (account, (here, there)) in ["dan", "eve"].into_iter().zip(pair.both_ways()) {
        let mut gone = there.login(account, JSON).await;
        here.delete(&format!("/v1/users/{account}")).await;
        assert_eq!(gone.ended().await.1, "ACCOUNT_DISABLED");
        until_answered(there, &format!("/v1/users/{account}"), |body| !body["error"].is_null()).await;
    }
    assert_eq!(pair.server.sql(&pair.database.name, "SELECT count(*) FROM rosterd.users"), "3");
    let log = pair.log();
    assert!(log.contains("a message of another gateway could not be read"), "{log}");
    for bad in ["panicked", "cannot be read", "does not go on", "do not fit"] {
        assert!(!log.contains(bad), "{bad:?} is in the log:\n{log}");
    }
    for gateway in pair.gateways {
        assert_eq!(gateway.terminate().await, Some(0));
    }
}

/// Changes and signals, in both directions.
async fn profiles_and_signals(turn: usize, ann: &mut Peer, bob: &mut Peer) {
    for step in 0..3 {
        let nick = format!("{turn} {step}");
        let version = ann.nick(&nick).await.version;
        bob.until(has_nick("ann", nick.clone())).await;
        assert_eq!(bob.replica.users()["ann"].version, version);
        bob.nick(&nick).await;
        ann.until(has_nick("bob", nick.clone())).await;
    }
    signal(ann, bob).await;
    signal(bob, ann).await;
}

async fn signal(from: &mut Peer, to: &mut Peer) {
    assert_eq!(from.signal(&to.reply.account, "are you there?").await, (1, 0));
    while to.next_of_all().await.signal.is_none_or(|signal| signal.payload != "are you there?") {}
}

/// Hiding, which both versions know, and a status, which only today's does: it disturbs nobody of the other.
async fn presence(turn: usize, ann: &mut Peer, bob: &mut Peer) {
    ann.hide(true).await;
    bob.until(is_online("ann", false)).await;
    ann.hide(false).await;
    bob.until(is_online("ann", true)).await;
    let today = if turn == 0 { &mut *bob } else { &mut *ann };
    let status = Some("a status".to_owned());
    today.request(ClientCommand::SetPresence(v1::SetPresence { status, ..v1::SetPresence::default() })).await;
    // What comes after it is read as well, and those who are there stay so.
    let nick = format!("{turn} after a status");
    ann.nick(&nick).await;
    bob.until(has_nick("ann", nick.clone())).await;
    bob.nick(&nick).await;
    ann.until(has_nick("bob", nick)).await;
    assert!(bob.sees_online("ann") && ann.sees_online("bob"));
}

/// A block that begins on one gateway holds on the other, and its end too.
async fn blocks(turn: usize, ann: &mut Peer, bob: &mut Peer) {
    let before = ann.replica.me().unwrap().nick.clone();
    ann.request(to::block("bob")).await;
    ann.until(|replica| live_blocks(replica) == ["bob"]).await;
    bob.until(is_online("ann", false)).await;
    let nick = format!("{turn} hidden");
    ann.nick(&nick).await;
    // Whatever was on its way to bob is there after his own change has come.
    bob.nick(&format!("{turn} of bob")).await;
    assert_eq!(bob.look_up("ann").await.nick, before);
    assert_eq!(bob.signal("ann", "psst").await, (0, 0));
    ann.request(to::unblock("bob")).await;
    bob.until(has_nick("ann", nick)).await;
    bob.until(is_online("ann", true)).await;
}

/// A request from one gateway is answered on the other.
async fn requests(here: &Gateway, there: &Gateway) {
    let (mut dan, mut eve) = (here.login("dan", JSON).await, there.login("eve", JSON).await);
    dan.request(to::ask("eve")).await;
    eve.until(|replica| open_requests(replica).len() == 1).await;
    eve.request(to::accept("dan")).await;
    dan.until(|replica| replica.friends().contains_key("eve")).await;
    eve.until(|replica| replica.friends().contains_key("dan")).await;
    let update = v1::UpdateFriend { account: "eve".to_owned(), alias: Some("e".to_owned()), ..Default::default() };
    dan.request(ClientCommand::UpdateFriend(update)).await;
    let mut other_device = there.login("dan", JSON).await;
    other_device.until(|replica| replica.friends()["eve"].alias == "e").await;
    eve.request(to::delete("dan")).await;
    for peer in [&mut dan, &mut other_device, &mut eve] {
        peer.until(|replica| replica.friends().is_empty()).await;
    }
}

/// The sessions of an account, its end from the other gateway, and what both list.
async fn devices_and_lists(here: &Gateway, there: &Gateway) {
    let (mut phone, mut laptop) = (here.login("cat", JSON).await, there.login("cat", JSON).await);
    for peer in [&mut phone, &mut laptop] {
        peer.until(|replica| replica.sessions().len() == 2).await;
    }
    for gateway in [here, there] {
        let of = |body: &serde_json::Value, list: &str| body[list].as_array().map_or(0, Vec::len);
        until_answered(gateway, "/v1/nodes", |body| of(body, "nodes") == 2).await;
        // Ann, bob and both of cat's.
        until_answered(gateway, "/v1/sessions", |body| of(body, "sessions") == 4).await;
        until_answered(gateway, "/v1/users/cat/sessions", |body| of(body, "sessions") == 2).await;
    }
    let kick = v1::Kick { sessions: vec![laptop.reply.session.clone()] };
    phone.request(ClientCommand::Kick(kick)).await;
    assert_eq!(laptop.ended().await, (3503, "KICKED".to_owned()));
    phone.until(|replica| replica.sessions().len() == 1).await;
    there.delete("/v1/users/cat/sessions").await;
    assert_eq!(phone.ended().await, (3503, "KICKED".to_owned()));
    // What one answered, the other reads once it is asked for something as new.
    let body = json!({"nick": here.clients.to_string()}).to_string();
    assert_eq!(here.call(Method::PATCH, "/v1/users/cat", body).await.0, 200);
    let nick = here.clients.to_string();
    until_answered(there, "/v1/users/cat", |cat| cat["nick"] == nick).await;
}
