//! How gateways and a NATS server know each other: by certificates and by credentials.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rosterd_protocol::Encoding;

use super::rig::Cluster;
use crate::nats_server::NatsServer;
use crate::support::Gateway;
use crate::tls::Authority;

const JSON: Encoding = Encoding::Json;

/// The settings of a server that has an operator, and of its users one whom it knows and one whom it does not.
const OPERATOR: &str = include_str!("../../keys/nats/operator.conf");
const KNOWN: &str = include_str!("../../keys/nats/gateway.creds");
const STRANGER: &str = include_str!("../../keys/nats/stranger.creds");
/// A part of the secret in each.
const SECRET: &str = "SUA";

async fn until_connected(gateway: &Gateway, connected: f64) {
    gateway.until_metric("rosterd_nats_connected", "", |found| found == connected).await;
}

/// Lets bob change his profile at one gateway until another has got some of that over NATS; ann sees it all.
async fn changes_come_over_nats(one: &Gateway, other: &Gateway) {
    let (mut ann, mut bob) = (one.login("ann", JSON).await, other.login("bob", JSON).await);
    let before = one.metric("rosterd_nats_batches_total").await;
    for turn in 1.. {
        let nick = format!("Bob {turn}");
        bob.nick(&nick).await;
        ann.until(|replica| replica.users()["bob"].nick == nick).await;
        // One may be read in the moment in which it comes.
        if one.metric("rosterd_nats_batches_total").await > before {
            return;
        }
        assert!(turn < 20, "nothing comes over NATS");
    }
}

/// The same, over the database alone.
async fn changes_come_without(one: &Gateway, other: &Gateway) {
    let (mut ann, mut bob) = (one.login("ann", JSON).await, other.login("bob", JSON).await);
    bob.nick("Bob without NATS").await;
    ann.until(|replica| replica.users()["bob"].nick == "Bob without NATS").await;
    assert_eq!(one.metric("rosterd_nats_batches_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_gateways_go_by_the_authority_and_without_it_by_the_database() {
    let authority = Authority::new();
    let (certificate, key) = authority.server();
    let Some(nats) = NatsServer::start_with_tls(&certificate, &key) else { return };
    // It takes nobody without.
    let mut greeting = String::new();
    let address = nats.bare_url().replace("nats://", "");
    BufReader::new(TcpStream::connect(address).unwrap()).read_line(&mut greeting).unwrap();
    assert!(greeting.contains("\"tls_required\":true"), "{greeting}");
    let url = format!("cluster.nats={}", nats.url().replace("nats://", "tls://"));
    let Some(mut cluster) = Cluster::start(0, &[&url, "cluster.poll=10s"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("authorities.pem");
    std::fs::write(&list, &authority.pem).unwrap();
    cluster.through = Some(format!("SSL_CERT_FILE='{}' exec \"$@\"", list.display()));
    cluster.add();
    cluster.add();
    // One that does not know the authority.
    cluster.through = None;
    cluster.add();
    let [one, other, wary] = &cluster.gateways[..] else { panic!("three") };
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    until_connected(one, 1.0).await;
    until_connected(other, 1.0).await;
    changes_come_over_nats(one, other).await;
    cluster.world(2).until_logged("NATS is away").await;
    let said = cluster.world(2).log();
    assert!(said.contains("certificate") && !said.contains("secret"), "{said}");
    assert_eq!(wary.metric("rosterd_nats_connected").await, 0.0);
    changes_come_without(wary, other).await;
    assert_eq!(cluster.terminate().await, [Some(0); 3]);
}

/// Puts credentials where settings name them.
fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

fn setting(file: &Path) -> String {
    format!("cluster.nats_credentials_file={}", file.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_credentials_gateways_log_in_and_a_renewed_file_counts_without_a_restart() {
    let Some(mut nats) = NatsServer::start_with(OPERATOR) else { return };
    let Some(mut cluster) = Cluster::start(0, &[&format!("cluster.nats={}", nats.bare_url()), "cluster.poll=10s"])
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let known = put(folder.path(), "gateway.creds", KNOWN);
    let (renewed, stranger) = (put(folder.path(), "renewed.creds", KNOWN), put(folder.path(), "s.creds", STRANGER));
    for file in [&known, &renewed, &stranger] {
        cluster.add_with(&[&setting(file)]);
    }
    let [one, other, unknown] = &cluster.gateways[..] else { panic!("three") };
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    until_connected(one, 1.0).await;
    until_connected(other, 1.0).await;
    changes_come_over_nats(one, other).await;
    cluster.world(2).until_logged("authorization violation").await;
    assert_eq!(unknown.metric("rosterd_nats_connected").await, 0.0);
    changes_come_without(unknown, other).await;
    // What it has ends, and is of no use any more at the next connection; until there is another.
    std::fs::write(&renewed, STRANGER).unwrap();
    nats.kill();
    until_connected(other, 0.0).await;
    nats.run();
    until_connected(one, 1.0).await;
    cluster.world(1).until_logged("authorization violation").await;
    std::fs::remove_file(&renewed).unwrap();
    cluster.world(1).until_logged("renewed.creds cannot be read").await;
    std::fs::write(&renewed, KNOWN).unwrap();
    until_connected(other, 1.0).await;
    changes_come_over_nats(one, other).await;
    for at in 0..3 {
        assert!(!cluster.world(at).log().contains(SECRET), "{}", cluster.world(at).log());
    }
    assert_eq!(cluster.terminate().await, [Some(0); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_cannot_be_used_are_named_at_the_start() {
    let Some(cluster) = Cluster::start(0, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (jwt, seed) = KNOWN.split_once("\n\n").unwrap();
    let damaged = KNOWN.replace("SUA", "SUB");
    let put = |name: &str, text: &str| put(folder.path(), name, text);
    for (file, told) in [
        (folder.path().join("nowhere"), "cannot be read: No such file"),
        (folder.path().to_owned(), "cannot be read: Is a directory"),
        (put("empty", ""), "holds no NATS credentials"),
        (put("jwt", jwt), "holds no NATS credentials"),
        (put("seed", seed), "holds no NATS credentials"),
        (put("damaged", &damaged), "holds no NATS credentials"),
        (put("key", include_str!("../../keys/ed25519.pem")), "holds no NATS credentials"),
    ] {
        let said = cluster.refused(&["cluster.nats=nats://127.0.0.1", &setting(&file)]);
        let place = format!("cluster.nats_credentials_file: {} {told}", file.display());
        assert!(said.contains(&place) && !said.contains(SECRET) && !said.contains("SUB"), "{said}");
    }
    let good = setting(&put("good", KNOWN));
    for (settings, told) in [
        (&["cluster.nats=nats://a:hunter2@127.0.0.1", &*good][..], "is set beside a user or a token in cluster.nats"),
        (&[&*good][..], "says who logs in to NATS: set cluster.nats, or remove it"),
    ] {
        let said = cluster.refused(settings);
        assert!(said.contains(told) && !said.contains("hunter2"), "{said}");
    }
}
