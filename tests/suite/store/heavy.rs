//! What takes the database long, and how long it holds others up: a snapshot that stays open, and a change of many rows.

use std::time::{Duration, Instant};

use rosterd::store::Write;
use rosterd_engine::model::{Command, WriteOrigin};

use super::postgres::until;
use super::rig::{Place, account, befriend, delete, nick};
use super::shared::{StuckWriter, applied, join, received};

/// How much later than promised something may happen on a busy machine.
const SLACK: Duration = Duration::from_secs(6);

/// A dump of a large database holds a snapshot for hours. What every batch touches has no row that is updated, so nothing
/// grows that each would have to pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_stays_open_slows_no_batch_down() {
    const BATCHES: usize = 1200;
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (join(&place), join(&place));
    one.run(nick("a", "Ann")).await;
    let mut dump = StuckWriter::idle(&place, "dump");
    dump.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM rosterd.users;");
    let holds = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dump' AND backend_xmin IS NOT NULL
                 AND datname = current_database()";
    until(|| place.sql(holds) == "1").await;
    let mut times = Vec::new();
    for n in 0..BATCHES {
        let (db, begun) = (if n % 2 == 0 { &one } else { &other }, Instant::now());
        db.run(nick(&format!("u{n}"), "x")).await;
        times.push(begun.elapsed());
    }
    assert_eq!(place.sql(holds), "1", "the snapshot was open to the end");
    let middle = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (first, last) = (middle(&times[..BATCHES / 4]), middle(&times[BATCHES * 3 / 4..]));
    assert!(last < first * 3, "{first:?} in the middle of the first quarter, and {last:?} of the last one");
    drop(dump);
    let head = one.store.head();
    until(|| applied(&one) == head && applied(&other) == head).await;
    one.close().await;
    other.close().await;
    // The server counts when sessions end.
    until(|| place.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rosterd%' AND datname = current_database()") == "0").await;
    let rows = "SELECT bool_and(n_tup_upd < 5), bool_or(n_tup_ins > 1200), count(*)
                FROM pg_stat_user_tables WHERE schemaname = 'rosterd' AND relname IN ('feed', 'sequencer')";
    assert_eq!(place.sql(rows), "t|t|2", "no batch updates these rows");
}

/// A user with as many friends as there may be is erased: that is 20,000 rows under the lock.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_ten_thousand_friends_is_erased_and_holds_others_up_for_a_moment() {
    const FRIENDS: usize = 10_000;
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (join(&place), join(&place));
    let names: Vec<_> = (0..FRIENDS).map(|n| format!("u{n}")).collect();
    one.run(nick("hub", "Hub")).await;
    for some in names.chunks(500) {
        let commands = some.iter().flat_map(|name| [nick(name, ""), befriend("hub", name)]);
        one.write(commands.collect::<Vec<Command>>()).await.unwrap();
    }
    let before = one.store.head();
    until(|| applied(&other) == before).await;
    let (store, write) = (one.store.clone(), Write { commands: vec![delete("hub")], origin: WriteOrigin::Import });
    let erasing = tokio::spawn(async move { store.write(write).await });
    let (mut longest, mut during) = (Duration::ZERO, 0);
    while !erasing.is_finished() {
        let begun = Instant::now();
        other.run(nick("busy", &format!("{during}"))).await;
        longest = longest.max(begun.elapsed());
        during += 1;
    }
    erasing.await.unwrap().unwrap();
    let rows = received(&one).iter().map(|change| change.rows.len()).max().unwrap();
    assert!(rows >= 2 * FRIENDS && during > 0, "{rows} rows, {during} writes meanwhile");
    assert!(longest < Duration::from_secs(1) + SLACK, "another gateway's write took {longest:?}");
    let head = one.store.head().max(other.store.head());
    until(|| applied(&one) == head && applied(&other) == head).await;
    assert!(other.store.users(vec![account("hub")]).await.unwrap().is_empty());
    assert_eq!(other.peers("u77", 9, None).await, [[""; 0]; 0]);
    one.close().await;
    other.close().await;
    assert_eq!(place.miscounted(), Vec::<String>::new());
}
