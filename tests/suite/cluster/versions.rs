//! Gateways of several versions beside each other.

use rosterd_protocol::Encoding;
use tokio::time::timeout;

use super::rig::Cluster;
use crate::support::PATIENCE;

const JSON: Encoding = Encoding::Json;

/// Puts a gateway into the database that lives for an hour, and is not this version.
fn other_version(cluster: &Cluster, reads: u32, writes: u32) {
    let sql = format!(
        "DELETE FROM rosterd.node WHERE name = 'other';
         INSERT INTO rosterd.node (id, name, version, rules, started, beat, beat_time, applied, state, state_since, grace,
                                   status, reads, writes)
         SELECT 4711, 'other', '9.9.9', rules, started, 0, beat_time + 3600000, 0, 0, 0, 0, '{{}}', {reads}, {writes}
         FROM rosterd.node LIMIT 1"
    );
    cluster.sql(&sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_joins_none_that_writes_what_it_cannot_read_or_cannot_read_what_it_writes() {
    let Some(mut cluster) = Cluster::start(1, &["cluster.dead_after=10m"]) else { return };
    let forms = cluster.sql("SELECT reads || ' ' || writes || ' ' || format FROM rosterd.node, rosterd.meta");
    assert_eq!(forms, "1 1 1");
    other_version(&cluster, 2, 2);
    let said = cluster.refused(&[]);
    let wanted = "the gateway \"other\" has version 9.9.9 and writes form 2 of the change log";
    assert!(said.contains(wanted) && said.contains("this one reads forms up to 1"), "{said}");
    other_version(&cluster, 0, 0);
    let said = cluster.refused(&[]);
    assert!(said.contains("reads forms of the change log up to 0, and this one writes form 1"), "{said}");
    // One that reads more and writes the same is the next release, in the midst of an upgrade.
    other_version(&cluster, 2, 1);
    cluster.add();
    cluster.gateways[0].populate(&["ann"], &[]).await;
    assert_eq!(cluster.gateways[1].user("ann").await["nick"], "ann");
    assert_eq!(cluster.terminate().await, [Some(0), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_ends_rather_than_skip_changes_that_it_cannot_read() {
    let Some(mut cluster) = Cluster::start(2, &[]) else { return };
    cluster.gateways[0].populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let bob = cluster.gateways[1].login("bob", JSON).await;
    // A newer release writes a row that nobody here can read.
    cluster.sql(
        "INSERT INTO rosterd.feed (first, last, epoch, writer, nonce, time, format, size, changes)
         SELECT last + 1, last + 1, epoch, 42, 42, time, 99, 1, 'x' FROM rosterd.feed ORDER BY first DESC LIMIT 1",
    );
    for at in [0, 1] {
        let gateway = cluster.gateways.remove(0);
        assert_eq!(timeout(PATIENCE, gateway.exit()).await.expect("it ends"), Some(70));
        cluster.world(at).until_logged("it was written by a newer rosterd, or is damaged").await;
        cluster.world(at).until_logged("may not write to the database any more").await;
    }
    drop(bob);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_may_not_join_migrates_nothing_and_what_the_other_does_not_know_is_not_compared() {
    let Some(mut cluster) = Cluster::start(1, &["cluster.dead_after=10m"]) else { return };
    other_version(&cluster, 2, 2);
    assert_eq!(cluster.terminate().await, [Some(0)]);
    // As an earlier release left it.
    cluster.sql("ALTER TABLE rosterd.users DROP COLUMN devices; UPDATE rosterd.meta SET schema = 6");
    let said = cluster.refused(&[]);
    assert!(said.contains("writes form 2 of the change log"), "{said}");
    let other = |lines: &str| format!("UPDATE rosterd.node SET reads = 1, writes = 1, rules = E'{lines}'");
    cluster.sql(&other("presence.linger=7ms\\nsessions.max=1"));
    let said = cluster.refused(&[]);
    assert!(said.contains("does not have sessions.max="), "{said}");
    assert_eq!(cluster.sql("SELECT schema FROM rosterd.meta"), "6");
    // An earlier release has fewer settings to compare, and a later one may have others.
    cluster.sql(&other("sessions.max=16\\nof.another.release=true"));
    cluster.add();
    assert_eq!(cluster.sql("SELECT schema FROM rosterd.meta"), "7");
    assert_eq!(cluster.terminate().await, [Some(0)]);
}
