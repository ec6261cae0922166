//! Gateways that stop, are killed, or stand still beside others.

use std::time::{Duration, Instant};

use hyper::Method;
use rosterd_postgres_server::{ROLE, Server};
use rosterd_protocol::{Encoding, v1};
use tokio::time::timeout;

use super::rig::{Cluster, until_sessions};
use crate::presence::{came, presences_until, went};
use crate::support::{PATIENCE, World};

const JSON: Encoding = Encoding::Json;

/// Waits until a query of the database answers this.
async fn until_sql(cluster: &Cluster, sql: &str, wanted: &str) {
    let answered = async {
        while cluster.sql(sql) != wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let logs = || (0..cluster.gateways.len()).map(|at| cluster.world(at).log()).collect::<Vec<_>>().join("\n");
    assert!(timeout(PATIENCE, answered).await.is_ok(), "{sql}: {}\n{}", cluster.sql(sql), logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_back_on_another_gateway_after_a_kill_never_went_and_the_others_go_in_time() {
    let Some(mut cluster) = Cluster::start(2, &["presence.linger=1s"]) else { return };
    let first = &cluster.gateways[0];
    first.populate(&["ann", "bob", "cat"], &[("ann", "bob"), ("ann", "cat")]).await;
    let (bob, cat) = (first.login("bob", JSON).await, first.login("cat", JSON).await);
    let mut ann = cluster.gateways[1].login("ann", JSON).await;
    ann.until(|replica| came("bob")(replica) && came("cat")(replica)).await;
    let node = cluster.sql("SELECT node FROM rosterd.live_session WHERE account = 'bob'");
    let begun = Instant::now();
    cluster.gateways.remove(0).kill();
    let rest = &cluster.gateways[0];
    let cat = rest.resume("cat", JSON, cat.replica).await;
    assert_ne!(cat.reply.sync, v1::SyncMode::Full as i32);
    let seen = presences_until(&mut ann, went("bob")).await;
    assert_eq!(seen, [("bob".to_owned(), false)]);
    // Dead after three seconds, one beat more, the grace, and a second.
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(13), "{took:?}");
    // It was noticed for what it was, and the database has nothing of that gateway any more.
    cluster.world(1).until_logged("a gateway is no more").await;
    rest.until_metric("rosterd_nodes_lost_total", "", |lost| lost == 1.0).await;
    rest.until_metric("rosterd_nodes", "", |nodes| nodes == 1.0).await;
    until_sql(&cluster, &format!("SELECT count(*) FROM rosterd.node WHERE id = {node}"), "0").await;
    until_sql(
        &cluster,
        "SELECT string_agg(account || online, ' ' ORDER BY account) FROM rosterd.users",
        "anntrue bobfalse cattrue",
    )
    .await;
    let last_seen = cluster.sql("SELECT last_seen FROM rosterd.users WHERE account = 'bob'");
    assert_eq!(ann.replica.presence()["bob"].last_seen.to_string(), last_seen);
    // A gateway that comes later knows as much.
    cluster.restart(0);
    let fresh = cluster.gateways[0].login("ann", JSON).await;
    assert_eq!(fresh.replica.presence(), ann.replica.presence());
    drop((bob, cat));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_shows_nobody_as_offline_who_comes_back() {
    let Some(mut cluster) = Cluster::start(3, &["presence.linger=500ms"]) else { return };
    cluster.gateways[0].populate(&["ann", "bob", "cat"], &[("ann", "bob"), ("ann", "cat")]).await;
    let mut ann = cluster.gateways[2].login("ann", JSON).await;
    let (mut bob, cat) = (cluster.gateways[0].login("bob", JSON).await, cluster.gateways[0].login("cat", JSON).await);
    presences_until(&mut ann, |replica| came("bob")(replica) && came("cat")(replica)).await;
    drop(cat);
    presences_until(&mut ann, went("cat")).await;
    for at in [0, 1] {
        // The next gateway is there before this one goes; its clients come back a while after the grace of a connection.
        assert_eq!(cluster.gateways.remove(at).terminate().await, Some(0));
        assert_eq!(bob.ended().await.1, "SHUTDOWN");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        bob = cluster.gateways[0].resume("bob", JSON, bob.replica).await;
        assert_ne!(bob.reply.sync, v1::SyncMode::Full as i32);
        let nick = format!("Bob {at}");
        bob.nick(&nick).await;
        ann.until(|replica| replica.users()["bob"].nick == nick).await;
        cluster.restart(at);
    }
    let cat = cluster.gateways[0].login("cat", JSON).await;
    let seen = presences_until(&mut ann, came("cat")).await;
    assert_eq!(seen, [("cat".to_owned(), true)], "nothing of bob");
    // Who does not come back goes, once the time to come back is over.
    let place = 0;
    assert_eq!(cluster.gateways.remove(place).terminate().await, Some(0));
    let gone = presences_until(&mut ann, went("bob")).await;
    assert!(gone.iter().all(|(account, online)| !online && account != "ann"), "{gone:?}");
    drop(cat);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stood_still_for_too_long_joins_again_with_all_its_sessions() {
    let Some(cluster) = Cluster::start(2, &["presence.linger=300ms"]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob", "cat"], &[("ann", "bob"), ("ann", "cat")]).await;
    let mut ann = one.login("ann", JSON).await;
    let (mut bob, cat) = (other.login("bob", JSON).await, other.login("cat", JSON).await);
    presences_until(&mut ann, |replica| came("bob")(replica) && came("cat")(replica)).await;
    let stop = |signal: &str| {
        let done = std::process::Command::new("kill").args([signal, &other.pid().to_string()]).status().unwrap();
        assert!(done.success());
    };
    stop("-STOP");
    // A question that it does not answer counts for nothing, and is counted.
    let asked = Instant::now();
    assert_eq!(ann.signal("bob", "are you there?").await, (0, 0));
    assert_eq!(one.metric("rosterd_bus_unanswered_total").await, 1.0);
    let (status, kicked) = one.call(Method::DELETE, "/v1/users/cat/sessions", "").await;
    let unreached = kicked["unreached"].as_array().map(Vec::len);
    assert_eq!((status, &kicked["kicked"], unreached), (200, &serde_json::json!([]), Some(1)), "{kicked}");
    // Half a second each, and what a busy machine takes.
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    ann.until(|replica| went("bob")(replica) && went("cat")(replica)).await;
    until_sql(&cluster, "SELECT count(*) FROM rosterd.node", "1").await;
    drop(cat);
    stop("-CONT");
    ann.until(came("bob")).await;
    cluster.world(1).until_logged("have called this one dead").await;
    until_sql(&cluster, "SELECT count(*) FROM rosterd.node", "2").await;
    ann.nick("Anna").await;
    bob.until(|replica| replica.users()["ann"].nick == "Anna").await;
    until_sessions(other, 1).await;
    until_sql(
        &cluster,
        "SELECT string_agg(account, ' ' ORDER BY account) FROM rosterd.live_session WHERE ended_at IS NULL",
        "ann bob",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_cut_off_from_the_database_says_so_comes_back_and_ends_in_the_end() {
    let Some(server) = Server::start(&[]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let world = World::new();
    let store = format!("store.url={}", server.url(ROLE, "x"));
    let settings = ["cluster.enabled=true", "cluster.beat=200ms", "cluster.dead_after=2s", "presence.linger=100ms"];
    let away = ["cluster.unready_after=1s", "cluster.cut_off=10s"];
    let settings: Vec<_> = settings.into_iter().chain(away).chain([store.as_str()]).collect();
    let gateway = world.start_with(&settings);
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let (mut ann, mut bob) = (gateway.login("ann", JSON).await, gateway.login("bob", JSON).await);
    ann.until(came("bob")).await;
    let until_ready = async |wanted: &str| {
        let said = async {
            while gateway.backend().await.send(Method::GET, "/readyz", String::new()).await.unwrap().1 != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(PATIENCE, said).await.is_ok(), "{wanted}:\n{}", world.log());
    };
    until_ready("ready\n").await;
    server.kill();
    until_ready("cut off\n").await;
    assert_eq!(gateway.metric("rosterd_cut_off").await, 1.0);
    gateway.until_metric("rosterd_store_contact_age_seconds", "", |age| age > 1.0).await;
    // What is in memory goes on, and nobody has gone.
    assert_eq!(bob.signal("ann", "still here").await, (1, 0));
    assert_eq!(presences_until(&mut ann, |_| true).await, []);
    server.run();
    until_ready("ready\n").await;
    assert_eq!(gateway.metric("rosterd_cut_off").await, 0.0);
    assert!(gateway.metric("rosterd_store_contact_age_seconds").await < 1.0);
    bob.nick("Bobby").await;
    ann.until(|replica| replica.users()["bob"].nick == "Bobby").await;
    assert!(ann.sees_online("bob"));
    let begun = Instant::now();
    server.kill();
    assert_eq!(gateway.exit().await, Some(70));
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    world.until_logged("longer than cluster.cut_off").await;
}
