//! A gateway that is behind the log, and reads a profile that is newer than all that it knows of that: the rules about who
//! sees what may have changed before it.

use std::sync::Arc;

use futures::future::BoxFuture;
use rosterd::store::Store;
use rosterd_engine::model::{Audience, Fields, Visibility};

use super::postgres::until;
use super::rig::{Place, account, block, nick, profile};
use super::shared::{StuckWriter, join};

/// The advisory lock of everybody who follows the log.
const FOLLOWERS: i64 = 0x0072_6f73_7465_7267;

/// Reads a profile, and returns its version.
type ProfileRead = fn(Arc<dyn Store>) -> BoxFuture<'static, u64>;

/// All ways to read profiles.
const READS: [ProfileRead; 5] = [
    |store| Box::pin(async move { store.users(vec![account("a")]).await.unwrap()[0].profile.version }),
    |store| {
        let read = async move { store.users_followed_by(account("w"), vec![account("a")], 9).await };
        Box::pin(async move { read.await.unwrap()[0].profile.version })
    },
    |store| {
        let read = async move { store.users_seen_by(account("w"), vec![account("a")]).await };
        Box::pin(async move { read.await.unwrap()[0].profile.version })
    },
    |store| Box::pin(async move { store.profiles("a".into(), None, 9).await.unwrap()[0].version }),
    |store| Box::pin(async move { store.frozen(account("v"), vec![account("a")]).await.unwrap()[0].version }),
];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_a_profile_that_is_newer_than_the_log_it_knows_goes_by_the_rules_before_it() {
    let Some(place) = Place::postgres() else { return };
    let one = join(&place);
    one.write(["a", "v", "w"].map(|name| nick(name, "before"))).await.unwrap();
    let behind = READS.map(|read| (join(&place), read));
    // Nobody reads the log from now on.
    let mut holder = StuckWriter::idle(&place, "holder");
    holder.run(&format!("SELECT pg_advisory_lock({FOLLOWERS});"));
    let sessions = "FROM pg_stat_activity WHERE datname = current_database() AND";
    let of = |is: &str| place.sql(&format!("SELECT count(*) {sessions} {is}"));
    until(|| of("application_name = 'holder' AND wait_event_type = 'Lock'") == "1").await;
    let listeners = "application_name = 'rosterd listener'";
    place.sql(&format!("SELECT count(pg_terminate_backend(pid)) {sessions} {listeners}"));
    until(|| of("application_name = 'holder' AND wait_event_type = 'Lock'") == "0").await;
    until(|| of(&format!("{listeners} AND wait_event_type IS DISTINCT FROM 'Lock'")) == "0").await;
    let rules = Visibility { nick: Audience::Own, ..Visibility::default() };
    assert!(one.store.put_rules(rules, one.store.rules().get()).await.unwrap());
    let fields = Fields { nick: Some("hidden".into()), sign: Some("shown".into()), ..Fields::default() };
    one.write([profile("a", fields), block("a", "v")]).await.unwrap();
    for (at, (db, read)) in behind.iter().enumerate() {
        assert_eq!(db.store.rules().get().nick, Audience::Everyone, "{at}: it knows of no other rules");
        let version = read(db.store.clone()).await;
        assert!(db.store.head() < version, "{at}: it knows as much as it has read");
        assert_eq!(db.store.rules().get().nick, Audience::Own, "{at}: it shows by the rules before");
    }
    drop(holder);
    for (db, _) in behind {
        let head = one.store.head();
        until(|| db.store.head() == head).await;
        db.close().await;
    }
    one.close().await;
}
