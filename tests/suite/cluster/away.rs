//! Gateways whose database is away, for one of them or for all.

use std::time::{Duration, Instant};

use hyper::Method;
use rosterd_postgres_server::{ROLE, Server};
use rosterd_protocol::{Encoding, v1};
use tokio::time::timeout;

use super::rig::{Cluster, SETTINGS};
use crate::presence::{came, presences_until, went};
use crate::proxy::Proxy;
use crate::raw::{Ending, Raw};
use crate::support::{Gateway, PATIENCE, World};

const JSON: Encoding = Encoding::Json;

/// How much later than promised something may happen on a busy machine.
const SLACK: Duration = Duration::from_secs(6);

/// How many sessions the gateway has that is cut off, and how many it ends a second.
const SESSIONS: usize = 8;
const RATE: usize = 4;

pub async fn until_says(gateway: &Gateway, wanted: &str) {
    let said = async {
        while gateway.backend().await.send(Method::GET, "/readyz", String::new()).await.unwrap().1 != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("it does not say {wanted:?}"));
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_alone_loses_the_database_is_dead_to_others_and_sends_its_clients_there_at_a_pace() {
    let rate = format!("shutdown.rate={RATE}");
    let settings =
        ["presence.linger=300ms", "cluster.unready_after=1s", "cluster.cut_off=12s", "shutdown.deadline=30s", &rate];
    let Some(mut cluster) = Cluster::start(1, &settings) else { return };
    let proxy = Proxy::start(&cluster.address()).await;
    cluster.add_behind(&proxy.address);
    let accounts: Vec<_> = (0..SESSIONS).map(|n| format!("u{n}")).collect();
    let mut all: Vec<_> = accounts.iter().map(String::as_str).collect();
    all.extend(["ann", "bob"]);
    cluster.gateways[0].populate(&all, &[("ann", "bob")]).await;
    let (mut ann, bob) = {
        let [one, lost] = &cluster.gateways[..] else { panic!("two") };
        (one.login("ann", JSON).await, lost.login("bob", JSON).await)
    };
    ann.until(came("bob")).await;
    let mut clients = Vec::new();
    for account in &accounts {
        clients.push(Raw::login(&cluster.gateways[1], account, JSON).await);
    }
    let ends: Vec<_> = clients
        .into_iter()
        .map(|mut client| tokio::spawn(async move { (client.ending().await, Instant::now()) }))
        .collect();
    proxy.close();
    proxy.cut();
    let begun = Instant::now();
    until_says(&cluster.gateways[1], "cut off\n").await;
    // It counts from the last answer, up to a beat before.
    assert!(begun.elapsed() >= seconds(1) / 2 && begun.elapsed() < seconds(1) + SLACK, "{:?}", begun.elapsed());
    // Dead to the other after three seconds, a beat, the grace and a second.
    ann.until(went("bob")).await;
    assert!(begun.elapsed() >= seconds(3) && begun.elapsed() < seconds(5) + SLACK, "{:?}", begun.elapsed());
    cluster.world(0).until_logged("a gateway is no more").await;
    // Its own sessions stay until it has been cut off for too long, and then end at the pace of a stop, each with a slot.
    let mut ended: Vec<(Ending, Instant)> = Vec::new();
    for end in ends {
        ended.push(timeout(PATIENCE, end).await.expect("an end in time").unwrap());
    }
    ended.sort_by_key(|(_, at)| *at);
    for (ending, _) in &ended {
        ending.assert(3002, "INTERNAL", "a gateway that is cut off");
    }
    let (first, last) = (ended[0].1, ended[SESSIONS - 1].1);
    assert!(first - begun >= seconds(11) && first - begun < seconds(12) + SLACK, "{:?}", first - begun);
    let paced = Duration::from_millis(1000 * (SESSIONS - 1) as u64 / RATE as u64);
    assert!(last - first >= paced * 3 / 4 && last - first < paced + SLACK, "{:?}", last - first);
    let slots: Vec<_> =
        ended.iter().map(|(ending, _)| ending.goodbye.as_ref().unwrap().retry_after_ms.unwrap()).collect();
    assert!(slots.iter().all(|slot| *slot > 0), "{slots:?}");
    let gateway = cluster.gateways.remove(1);
    assert_eq!(gateway.exit().await, Some(70));
    cluster.world(1).until_logged("longer than cluster.cut_off").await;
    // Who was there goes on elsewhere, without a full sync.
    let back = cluster.gateways[0].resume("bob", JSON, bob.replica).await;
    assert_ne!(back.reply.sync, v1::SyncMode::Full as i32);
    ann.until(came("bob")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_for_all_nobody_goes_and_no_gateway_is_called_dead() {
    let Some(server) = Server::start(&[]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let store = format!("store.url={}", server.url(ROLE, "x"));
    let settings = ["presence.linger=100ms", "cluster.unready_after=1s", store.as_str()];
    let settings: Vec<_> = SETTINGS.into_iter().chain(settings).collect();
    let worlds = [World::new(), World::new()];
    let [one, other] = [worlds[0].start_with(&settings), worlds[1].start_with(&settings)];
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let (mut ann, mut bob) = (one.login("ann", JSON).await, other.login("bob", JSON).await);
    ann.until(came("bob")).await;
    let nodes = "SELECT string_agg(id::text, ' ' ORDER BY id) FROM rosterd.node WHERE state = 0";
    let before = server.sql("x", nodes);
    assert_eq!(before.split(' ').count(), 2, "{before}");
    server.kill();
    // For longer than a dead gateway and the grace take.
    for gateway in [&one, &other] {
        gateway.until_metric("rosterd_store_contact_age_seconds", "", |age| age > 6.0).await;
        until_says(gateway, "cut off\n").await;
    }
    server.run();
    for gateway in [&one, &other] {
        until_says(gateway, "ready\n").await;
    }
    bob.nick("Bobby").await;
    let seen = presences_until(&mut ann, |replica| replica.users()["bob"].nick == "Bobby").await;
    assert_eq!(seen, [], "nobody went");
    assert!(ann.sees_online("bob"));
    assert_eq!(server.sql("x", nodes), before, "nobody was called dead");
    for gateway in [&one, &other] {
        assert_eq!(gateway.metric("rosterd_nodes_lost_total").await, 0.0);
    }
    assert_eq!((one.terminate().await, other.terminate().await), (Some(0), Some(0)));
}
