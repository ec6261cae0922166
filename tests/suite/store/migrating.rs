//! A database of an earlier schema is migrated while other gateways use it.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use rosterd::store::postgres::open;
use rosterd::store::{Opened, StoreError};

use super::postgres::until;
use super::rig::{Place, Running, nick};
use super::shared::{StuckWriter, TAKE_LOCK};

/// The one who migrates waits for a table, and nobody else does.
const WAITS: &str = "SELECT coalesce(min(pid), 0) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A session has begun, and stands still.
const STANDS: &str = "SELECT count(*) FROM pg_stat_activity
                      WHERE state = 'idle in transaction' AND datname = current_database()";

/// A store as a release before today's left it, with one account.
async fn older() -> Option<Place> {
    let place = Place::postgres()?;
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    db.close().await;
    place.sql("ALTER TABLE rosterd.users DROP COLUMN devices; UPDATE rosterd.meta SET schema = 6");
    Some(place)
}

/// Opens it on a thread.
fn opening(place: &Place) -> JoinHandle<Result<Opened, StoreError>> {
    let (url, options) = (place.url(), place.postgres_options());
    std::thread::spawn(move || open(&url, options))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_takes_the_lock_of_writers_before_a_table_so_that_neither_waits_for_the_other() {
    let Some(place) = older().await else { return };
    let writer = StuckWriter::start(&place, TAKE_LOCK);
    until(|| place.sql(STANDS) == "1").await;
    let opening = opening(&place);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until(|| place.sql(waits) == "1").await;
    // What the writer goes on with is free.
    let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation'
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(place.sql(held), "0");
    assert_eq!(place.sql("SET lock_timeout = '100ms'; SELECT nick FROM rosterd.users"), "Ann");
    drop(writer);
    let db = Running::new(opening.join().unwrap().unwrap());
    assert_eq!(place.sql("SELECT schema FROM rosterd.meta"), "7");
    db.run(nick("a", "Anna")).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_table_lets_others_by_and_goes_on_once_it_is_free() {
    let Some(place) = older().await else { return };
    // As a dump does, for as long as it takes.
    let dump = StuckWriter::start(&place, "BEGIN; SELECT count(*) FROM rosterd.users;");
    until(|| place.sql(STANDS) == "1").await;
    let opening = opening(&place);
    let mut tries = BTreeSet::new();
    while tries.len() < 3 {
        let mut pid = String::new();
        until(|| {
            pid = place.sql(WAITS);
            pid != "0"
        })
        .await;
        tries.insert(pid);
        // Whoever comes behind it has a turn while the server would not even look who waits for whom.
        assert_eq!(place.sql("SET lock_timeout = '900ms'; SELECT nick FROM rosterd.users"), "Ann");
    }
    assert!(!opening.is_finished(), "it has given up");
    drop(dump);
    let db = Running::new(opening.join().unwrap().unwrap());
    assert_eq!(place.sql("SELECT schema FROM rosterd.meta"), "7");
    db.close().await;
}
