//! Rules of profiles that change for all gateways while they run.

use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;
use tokio::time::timeout;

use super::rig::Cluster;
use crate::support::{Gateway, PATIENCE, Peer, finished, nick_command, spawn};

const JSON: Encoding = Encoding::Json;

/// `rosterd rules apply` on the database of a cluster.
fn apply(cluster: &Cluster, settings: &[&str]) -> Process {
    let mut command = Process::new(env!("CARGO_BIN_EXE_rosterd"));
    command.args(["rules", "apply", "--config"]).arg(cluster.world(0).config());
    command.args(["--set", &cluster.store(), "--set", "cluster.dead_after=3s", "--set", "cluster.beat=300ms"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it, which is to succeed; what it says.
async fn applied(cluster: &Cluster, settings: &[&str]) -> String {
    let mut command = apply(cluster, settings);
    let output = tokio::task::spawn_blocking(move || finished(&mut command)).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The number of the rules in the database.
fn number(cluster: &Cluster) -> u64 {
    cluster.sql("SELECT rules FROM rosterd.meta").trim().parse().unwrap()
}

/// Waits until the database has other rules than those of a number.
async fn until_rules(cluster: &Cluster, before: u64) {
    let kept = async {
        while number(cluster) == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, kept).await.expect("the rules in time");
}

fn signal(gateway: &Gateway, name: &str) {
    assert!(Process::new("kill").args([name, &gateway.pid().to_string()]).status().unwrap().success());
}

/// Applies frames until `done`. Returns ann's version and telephone number in each that has them.
async fn numbers_until(peer: &mut Peer, done: impl Fn(&Peer) -> bool) -> Vec<(u64, String)> {
    let mut numbers = Vec::new();
    while !done(peer) {
        numbers.extend(numbers_in(&peer.next_of_all().await));
    }
    numbers
}

fn numbers_in(frame: &v1::ServerFrame) -> Vec<(u64, String)> {
    let users = frame.changes.iter().flat_map(|changes| &changes.users);
    users.filter(|user| user.account == "ann").map(|user| (user.version, user.tel.clone())).collect()
}

/// The same for what had been on its way before a question was answered.
async fn numbers_on_their_way(peer: &mut Peer) -> Vec<(u64, String)> {
    peer.request(ClientCommand::GetUsers(v1::GetUsers::default())).await;
    let mut numbers = Vec::new();
    while let Ok(frame) = timeout(Duration::ZERO, peer.client.next()).await {
        let frame = frame.unwrap();
        peer.replica.apply(&frame).unwrap();
        numbers.extend(numbers_in(&frame));
    }
    numbers
}

/// Writes ann's telephone number on a gateway again and again, each time another.
async fn write_on(gateway: &Gateway, stops: Arc<AtomicBool>) -> tokio::task::JoinHandle<u32> {
    let mut backend = gateway.backend().await;
    tokio::spawn(async move {
        let mut written = 0;
        while !stops.load(Ordering::Relaxed) {
            let body = json!({"tel": format!("1{written}"), "nick": format!("Ann {written}")}).to_string();
            backend.request(hyper::Method::PATCH, "/v1/users/ann", body).await.unwrap();
            written += 1;
        }
        written
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_in_no_frame_after_the_command_and_comes_back() {
    let Some(cluster) = Cluster::start(2, &[]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob", "eve"], &[("ann", "bob")]).await;
    let (mut here, mut there) = (one.login("bob", JSON).await, other.login("bob", Encoding::Protobuf).await);
    let mut eve = other.login("eve", JSON).await;
    eve.watch(&["ann"]).await;
    let stops = Arc::new(AtomicBool::new(false));
    let writing = [write_on(one, stops.clone()).await, write_on(other, stops.clone()).await];
    let shows = |peer: &Peer| peer.replica.users().get("ann").is_some_and(|ann| ann.tel.starts_with('1'));
    for turn in 0..4 {
        for peer in [&mut here, &mut there, &mut eve] {
            numbers_until(peer, shows).await;
        }
        let said = applied(&cluster, &["profile.visibility.tel=self"]).await;
        assert!(said.contains("were changed; all 2 gateways go by them"), "{said}");
        let since: u64 = cluster.sql("SELECT rules_since FROM rosterd.meta").trim().parse().unwrap();
        for peer in [&mut here, &mut there, &mut eve] {
            // What was on its way when the command ended was of before the change, or was hidden.
            let on_the_way = numbers_on_their_way(peer).await;
            let leaked = on_the_way.iter().find(|(version, tel)| *version > since && !tel.is_empty());
            assert_eq!(leaked, None, "turn {turn}, since {since}");
            let nick = peer.replica.users()["ann"].nick.clone();
            let moved = |peer: &Peer| {
                let ann = &peer.replica.users()["ann"];
                ann.tel.is_empty() && ann.nick != nick
            };
            let numbers = timeout(PATIENCE, numbers_until(peer, moved)).await.expect("other nicks");
            assert!(numbers.iter().all(|(_, tel)| tel.is_empty()), "turn {turn}: {numbers:?}");
        }
        for gateway in [one, other] {
            assert_eq!(gateway.login("bob", JSON).await.replica.users()["ann"].tel, "");
        }
        applied(&cluster, &["profile.visibility.tel=everyone"]).await;
    }
    stops.store(true, Ordering::Relaxed);
    for writing in writing {
        assert!(writing.await.unwrap() > 10, "it was under load");
    }
    let last = one.login("bob", JSON).await.replica.users()["ann"].clone();
    for peer in [&mut here, &mut there] {
        peer.until(|replica| replica.users()["ann"] == last).await;
        peer.agrees(one, JSON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stands_still_is_waited_for_and_shows_nothing_newer_by_the_rules_before() {
    let Some(cluster) = Cluster::start(2, &[]) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    one.patch("/v1/users/ann", json!({"tel": "old"})).await;
    let mut bob = other.login("bob", JSON).await;
    assert_eq!(bob.replica.users()["ann"].tel, "old");
    signal(other, "-STOP");
    // The answer is lost: nobody waits for it.
    let before = number(&cluster);
    let mut lost = spawn(&mut apply(&cluster, &["profile.visibility.tel=self"]));
    until_rules(&cluster, before).await;
    lost.kill().unwrap();
    lost.wait().unwrap();
    for n in 0..20 {
        one.patch("/v1/users/ann", json!({"tel": format!("new {n}"), "nick": format!("Ann {n}")})).await;
    }
    // It goes on waiting although the other calls it dead: it is connected, and may go on.
    let mut again = spawn(&mut apply(&cluster, &["profile.visibility.tel=self"]));
    one.until_metric("rosterd_nodes", "", |nodes| nodes == 1.0).await;
    assert!(again.try_wait().unwrap().is_none());
    signal(other, "-CONT");
    let numbers = numbers_until(&mut bob, |peer| peer.replica.users()["ann"].nick == "Ann 19").await;
    assert!(numbers.iter().all(|(_, tel)| tel.is_empty() || tel == "old"), "{numbers:?}");
    assert_eq!(bob.replica.users()["ann"].tel, "");
    let said = end_of(again).await;
    assert!(said.contains("were the same already; all 2 gateways go by them"), "{said}");
    bob.agrees(other, JSON).await;
}

async fn end_of(process: Child) -> String {
    let output = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_never_goes_on_is_named() {
    let Some(cluster) = Cluster::start(1, &["cluster.node=stopped"]) else { return };
    signal(&cluster.gateways[0], "-STOP");
    let output = finished(&mut apply(&cluster, &["profile.visibility.tel=self"]));
    signal(&cluster.gateways[0], "-CONT");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said} {}", String::from_utf8_lossy(&output.stdout));
    assert!(
        said.contains("the rules were changed, but not every gateway") && said.contains("not stopped. One"),
        "{said}"
    );
    // It is done, and said so once it goes on.
    let said = applied(&cluster, &["profile.visibility.tel=self"]).await;
    assert!(said.contains("were the same already; the one gateway that runs goes by them"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_reload_say_what_changes_the_rules_and_a_start_with_the_new_ones_syncs_nothing() {
    let Some(mut cluster) = Cluster::start(2, &[]) else { return };
    cluster.gateways[0].populate(&["ann", "bob"], &[("ann", "bob")]).await;
    cluster.gateways[0].patch("/v1/users/ann", json!({"tel": "5"})).await;
    let bob = cluster.gateways[1].login("bob", JSON).await.replica;
    let narrow = "[profile.visibility]\ntel = \"self\"\n[profile.write]\nnick = \"backend\"\n";
    // Before the command.
    for (setting, key) in [
        ("profile.visibility.tel=self", "profile.visibility"),
        ("profile.write.nick=backend", "profile.write"),
        ("profile.fields.level.type=integer", "profile."),
    ] {
        let said = cluster.refused(&[setting]);
        assert!(said.contains(key) && said.contains("rosterd rules apply"), "{said}");
    }
    cluster.settings_of(1, narrow);
    cluster.gateways[1].hang_up();
    cluster.world(1).until_logged("rosterd rules apply changes them for all").await;
    let mut ann = cluster.gateways[1].login("ann", JSON).await;
    ann.nick("Anna").await;
    // The command takes the settings of one of them.
    let said = cluster.world(1).run_well(&["rules", "apply", "--set", &cluster.store()]);
    assert!(said.contains("were changed; all 2 gateways go by them"), "{said}");
    let refused = ann.refused(nick_command("Annabel")).await;
    assert_eq!(refused.reason, "PERMISSION_DENIED");
    assert_eq!(
        cluster.gateways[0].login("ann", JSON).await.refused(nick_command("A")).await.reason,
        "PERMISSION_DENIED"
    );
    // Now the reload has nothing to change, and a start is refused with the settings before.
    let before = cluster.world(1).log().matches("need a restart").count();
    cluster.gateways[1].hang_up();
    cluster.gateways[1].until_metric("rosterd_config_reloads_total", "OK", |reloads| reloads == 2.0).await;
    assert_eq!(cluster.world(1).log().matches("need a restart").count(), before);
    let said = cluster.refused(&[]);
    assert!(said.contains("another profile.visibility") && said.contains("rosterd rules apply"), "{said}");
    let gateway = cluster.gateways.remove(1);
    assert_eq!(gateway.terminate().await, Some(0));
    cluster.restart(1);
    let bob = cluster.gateways[1].resume("bob", JSON, bob).await;
    assert_ne!(bob.reply.sync, v1::SyncMode::Full as i32);
    assert_eq!(bob.replica.users()["ann"].tel, "");
    assert_eq!(cluster.terminate().await, [Some(0), Some(0)]);
    // Nobody is there; and a file has no other gateways.
    let said = applied(&cluster, &["profile.visibility.tel=friends"]).await;
    assert!(said.contains("no gateway runs"), "{said}");
    let said = cluster.world(0).run_badly(&["rules", "apply"]);
    assert!(said.contains("SIGHUP"), "{said}");
    let empty = rosterd_postgres_server::shared().unwrap().database();
    let said = cluster.world(0).run_badly(&["rules", "apply", "--set", &format!("store.url={}", empty.url)]);
    assert!(said.contains("no gateway has used it yet") && !said.contains("secret"), "{said}");
    let alone = cluster.world(0).start_with(&[&cluster.store()]);
    let said = cluster.world(0).run_badly(&["rules", "apply", "--set", &cluster.store()]);
    assert!(said.contains("a gateway that is alone uses it") && said.contains("SIGHUP"), "{said}");
    assert_eq!(alone.terminate().await, Some(0));
}
