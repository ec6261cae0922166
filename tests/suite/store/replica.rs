//! A replica that friend lists are read of, a real standby: as long as it is far enough, and of the primary otherwise.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rosterd::metrics::{DatabaseMetrics, Kind};
use rosterd::store::postgres::{PostgresOptions, PostgresUrl, open};
use rosterd::store::{LoginRows, StorePage};
use rosterd_client::Replica;
use rosterd_engine::model::{Account, ListedEdge};
use rosterd_postgres_server::ROLE;
use rosterd_protocol::Encoding;

use tokio::time::{sleep, timeout};

use super::failover::StandbyPair;
use super::rig::{Running, account, befriend, nick, unfriend};
use crate::proxy::Proxy;
use crate::support::{PATIENCE, World};

/// A store that reads of a replica, and what it counts.
struct WithReplica {
    db: Running,
    metrics: DatabaseMetrics,
}

impl WithReplica {
    fn open(pair: &StandbyPair) -> Self {
        Self::open_at(pair, &pair.standby.url(ROLE, "friends"))
    }

    fn open_at(pair: &StandbyPair, replica: &str) -> Self {
        let url = |text: &str| PostgresUrl::parse(text).unwrap();
        let metrics = DatabaseMetrics::default();
        let read_url = Some(url(replica));
        let options = PostgresOptions { readers: 2, read_url, metrics: metrics.clone(), ..PostgresOptions::default() };
        let primary = url(&pair.primary.url(ROLE, "friends"));
        Self { db: Running::new(open(&primary, options).unwrap()), metrics }
    }

    fn counted(&self, kind: &'static str) -> u64 {
        self.metrics.replica_reads.get_or_create(&Kind { kind }).get()
    }

    async fn login(&self) -> LoginRows {
        self.db.store.login_rows(account("ann"), 9, Some(1), None).await.unwrap()
    }

    /// The friends of ann, which a login and a page must agree on.
    async fn friends(&self) -> Vec<Account> {
        let live = |edges: Vec<ListedEdge>| -> Vec<_> {
            edges.into_iter().filter(|edge| !edge.removed).map(|edge| edge.peer).collect()
        };
        let login = self.login().await;
        assert_eq!(login.head, self.db.store.head(), "a login needs all that there is");
        let StorePage { rows, .. } = self.db.store.listed(account("ann"), None, 9, Some(1)).await.unwrap();
        let friends = live(login.edges);
        assert_eq!(friends, live(rows));
        friends
    }

    /// Logs in until something was counted.
    async fn until(&self, is: impl Fn() -> bool) {
        let logins = async {
            while !is() {
                self.login().await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, logins).await.expect("it is counted in time");
    }

    /// Reads until it is done of the replica.
    async fn until_read_there(&self) {
        let before = self.counted("READ");
        self.until(|| self.counted("READ") > before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn friend_lists_come_of_a_replica_as_far_as_it_has_them_and_else_of_the_primary() {
    let Some(pair) = StandbyPair::start() else { return };
    let store = WithReplica::open(&pair);
    store.db.write([nick("ann", "1"), nick("bob", "1"), nick("cat", "1")]).await.unwrap();
    // Right behind each write, whether or not the replica is there.
    for turn in 0..20 {
        store.db.run(befriend("ann", "bob")).await;
        assert_eq!(store.friends().await, [account("bob")], "turn {turn}");
        store.db.run(unfriend("ann", "bob")).await;
        assert_eq!(store.friends().await, [], "turn {turn}");
    }
    store.until_read_there().await;

    // It stands still.
    pair.standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    store.db.run(befriend("ann", "cat")).await;
    let (read, behind) = (store.counted("READ"), store.counted("BEHIND"));
    assert_eq!(store.friends().await, [account("cat")]);
    assert_eq!((store.counted("READ"), store.counted("BEHIND")), (read, behind + 2));
    pair.standby.sql("postgres", "SELECT pg_wal_replay_resume()");
    store.until_read_there().await;
    assert_eq!(store.friends().await, [account("cat")]);

    // It goes another way: what it has from then on is another history.
    pair.standby.promote();
    store.db.run(unfriend("ann", "cat")).await;
    assert_eq!(store.friends().await, []);

    // It is gone.
    pair.standby.kill();
    store.until(|| store.counted("FAILED") > 0).await;
    assert_eq!(store.friends().await, []);
    store.db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_waits_a_second_for_a_replica_that_hangs_and_then_nobody_does() {
    let Some(pair) = StandbyPair::start() else { return };
    let (server, url) = (pair.standby.address(), pair.standby.url(ROLE, "friends"));
    let proxy = Proxy::start(&server).await;
    let store = WithReplica::open_at(&pair, &url.replace(&server, &proxy.address));
    store.db.write([nick("ann", "1"), nick("bob", "1"), befriend("ann", "bob")]).await.unwrap();
    store.until_read_there().await;
    proxy.silence(true);
    let (failed, begun) = (store.counted("FAILED"), Instant::now());
    let friends = [store.friends(), store.friends(), store.friends()];
    let friends = timeout(PATIENCE, join_all(friends)).await.expect("an answer");
    assert!(friends.iter().all(|friends| *friends == [account("bob")]));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(proxy.swallowed() > 0 && store.counted("FAILED") > failed);
    // It is not asked again.
    let (failed, behind) = (store.counted("FAILED"), store.counted("BEHIND"));
    assert_eq!(store.friends().await, [account("bob")]);
    assert_eq!((store.counted("FAILED"), store.counted("BEHIND")), (failed, behind + 2));
    // Nor does a stop wait for it.
    let begun = Instant::now();
    store.db.close().await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_reads_logins_of_a_replica() {
    let Some(pair) = StandbyPair::start() else { return };
    let world = World::new();
    let [url, replica] = [&pair.primary, &pair.standby].map(|server| server.url(ROLE, "friends"));
    let gateway = world.start_with(&[&format!("store.url={url}"), &format!("store.read_url={replica}")]);
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut held = Replica::default();
    let logins = async {
        while gateway.metric_of("rosterd_store_replica_reads_total", "READ").await < 1.0 {
            held = gateway.resume("ann", Encoding::Json, std::mem::take(&mut held)).await.replica;
            assert!(held.friends().contains_key("bob"));
        }
    };
    timeout(PATIENCE, logins).await.expect("the replica is read");
    assert!(!world.log().contains("secret"), "{}", world.log());
    assert_eq!(gateway.terminate().await, Some(0));
    // A file has none.
    let said = world.run_badly(&["serve", "--set", &format!("store.read_url={replica}")]);
    assert!(
        said.contains("store.read_url: only a PostgreSQL database has a replica") && !said.contains("secret"),
        "{said}"
    );
}
