//! The next form of the change log, beside the form of today: who may start beside whom, and that nobody skips what it cannot
//! read.

use std::time::Duration;

use rosterd_postgres_server::{self as postgres_server, ROLE, Server};
use rosterd_protocol::Encoding;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use crate::builds::Version;
use crate::fleet::Fleet;
use crate::support::PATIENCE;
use crate::table::Table;
use crate::{ALONE, skipped};

/// How many rows of the log only the next form has.
const NEXT_ROWS: &str = "SELECT count(*) FROM rosterd.feed WHERE format = 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_form_is_read_by_one_release_and_written_by_the_one_after_it() {
    let _alone = ALONE.lock().await;
    let Some(mut fleet) = Fleet::gather(&[Version::Today; 2], "the next form").await else { return skipped() };
    let mut table = Table(Vec::new());
    fleet.serves().await;
    fleet.rest().await;
    table.add(fleet.crowd.row("two of today", "none"));
    // Two releases at once are too many. It says so, changes nothing, and today's may start again.
    let said = fleet.refused(Version::WritesNext, &[]);
    let wanted = "reads forms of the change log up to 1, and this one writes form 2: upgrade that one first, one release at a time";
    assert!(said.contains(wanted) && said.contains("has version 0.1.0"), "{said}");
    // The next release reads it. The one before may come back.
    for version in [Version::Today, Version::ReadsNext, Version::Today, Version::ReadsNext] {
        table.add(fleet.replace(0, version).await);
    }
    table.add(fleet.replace(1, Version::ReadsNext).await);
    assert_eq!(fleet.crowd.sql(NEXT_ROWS), "0");
    // The one after that writes it, and the one before reads it.
    table.add(fleet.replace(0, Version::WritesNext).await);
    assert_ne!(fleet.crowd.sql(NEXT_ROWS), "0");
    let said = fleet.refused(Version::Today, &[]);
    let wanted = "writes form 2 of the change log, and this one reads forms up to 1: use a newer version here";
    assert!(said.contains(wanted) && said.contains("the gateway \""), "{said}");
    // Back, too.
    for version in [Version::ReadsNext, Version::WritesNext] {
        table.add(fleet.replace(0, version).await);
    }
    table.add(fleet.replace(1, Version::WritesNext).await);
    let rows = fleet.crowd.sql(NEXT_ROWS);
    let events = fleet.end().await;
    println!("{rows} rows of the log in the next form; a backend that follows the feed: {events} events");
    println!("\n{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stood_still_while_others_were_upgraded_twice_ends_rather_than_skip_what_it_cannot_read() {
    let _alone = ALONE.lock().await;
    let Some(server) = postgres_server::shared() else { return skipped() };
    let (today, next) = block_in_place(|| (Version::Today.world(), Version::WritesNext.world()));
    let database = server.database();
    let store = format!("store.url={}", server.url(ROLE, &database.name));
    let settings =
        ["cluster.enabled=true", "cluster.beat=300ms", "cluster.dead_after=3s", "cluster.node=still", &store];
    let still = today.start_with(&settings);
    still.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut ann = still.login("ann", Encoding::Json).await;
    let pid = rustix::process::Pid::from_raw(still.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    // Before it is dead to others nobody may write what it cannot read.
    until_all_are_dead(server, &database.name).await;
    let newer = next.start_with(&settings);
    newer.patch("/v1/users/bob", serde_json::json!({"nick": "Bob"})).await;
    assert_eq!(server.sql(&database.name, NEXT_ROWS), "1");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    assert_eq!(still.exit().await, Some(70), "{}", today.log());
    let log = today.log();
    assert!(log.contains("it was written by a newer rosterd, or is damaged"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    // Its client never got what came after the row that was not read, and gets all of it elsewhere.
    while ann.client.next().await.is_ok_and(|frame| ann.replica.apply(&frame).is_ok()) {}
    assert_eq!(ann.replica.users()["bob"].nick, "bob");
    let ann = newer.resume("ann", Encoding::Json, ann.replica).await;
    assert_eq!(ann.replica.users()["bob"].nick, "Bob");
    // Once no other is there, the log itself says what today's cannot read.
    drop(ann);
    assert_eq!(newer.terminate().await, Some(0));
    until_all_are_dead(server, &database.name).await;
    let arguments: Vec<_> = std::iter::once("serve").chain(settings.iter().flat_map(|pair| ["--set", *pair])).collect();
    let said = today.run_badly(&arguments);
    assert!(
        said.contains("its change log has form 2, this rosterd reads forms up to 1: use a newer rosterd"),
        "{said}"
    );
}

/// Waits until the beat of every gateway has stood still for so long that others do not ask what it reads.
async fn until_all_are_dead(server: &Server, database: &str) {
    let sql = "SELECT bool_and((extract(epoch FROM clock_timestamp()) * 1000)::bigint - beat_time >= 3000) IS NOT FALSE
               FROM rosterd.node WHERE state < 2";
    let dead = async {
        while server.sql(database, sql) != "t" {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, dead).await.expect("their beats stand still");
}
