//! A network that loses one answer of the database and keeps the connection open, wherever that is: nobody waits for it for
//! ever.

use std::time::Duration;

use futures::future::join_all;
use rosterd::store::postgres::{PostgresOptions, PostgresUrl, Sharing, open};
use rosterd_postgres_server::ROLE;
use tokio::time::{sleep, timeout};

use super::postgres::until;
use super::rig::{Place, Running, account, nick};
use super::shared::applied;
use crate::proxy::Proxy;
use crate::support::PATIENCE;

/// How long a gateway may take that has to give up a connection before it goes on.
const GOES_ON: Duration = Duration::from_mins(1);

/// What passes while a gateway connects anew: the locks of a writer and of who follows, the identity of the database, the lock
/// of all writes, the words that are heard, and what readers prepare.
const ASKED: [&str; 5] =
    ["pg_advisory_lock_shared", "pg_control_system", "id FROM sequencer", "LISTEN rosterd", "WITH ORDINALITY"];

fn options() -> PostgresOptions {
    let sharing = Sharing::Shared { poll: Duration::from_millis(250) };
    PostgresOptions { readers: 1, sharing, write_timeout: Duration::from_secs(2), ..PostgresOptions::default() }
}

async fn through_proxy(place: &Place) -> (Proxy, Running) {
    let (server, database) = place.database.as_ref().unwrap();
    let proxy = Proxy::start(&server.address()).await;
    let through = server.url(ROLE, &database.name).replace(&server.address(), &proxy.address);
    (proxy, Running::new(open(&PostgresUrl::parse(&through).unwrap(), options()).unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_goes_on_whatever_answer_is_lost_while_it_connects_anew() {
    if Place::postgres().is_none() {
        return;
    }
    join_all(ASKED.map(async |text| {
        let place = Place::postgres().unwrap();
        let (proxy, db) = through_proxy(&place).await;
        let other = Running::new(open(&place.url(), options()).unwrap());
        db.run(nick("a", "Ann")).await;
        proxy.swallow_after(text);
        proxy.cut();
        let goes_on = async {
            while db.write([nick("a", "Anna")]).await.is_err() {}
            while db.store.login_rows(account("a"), 9, None, None).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
            let last = other.run(nick("b", "Bob")).await.profile.unwrap().version;
            while applied(&db) < last {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(GOES_ON, goes_on).await.unwrap_or_else(|_| panic!("it waits for the answer to {text}"));
        assert_eq!(proxy.swallowed(), 1, "{text}");
        db.close().await;
        other.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_database_that_says_nothing() {
    let Some(place) = Place::postgres() else { return };
    let (proxy, db) = through_proxy(&place).await;
    db.run(nick("a", "Ann")).await;
    proxy.silence(true);
    timeout(PATIENCE, db.close()).await.expect("an end");
    assert!(proxy.swallowed() > 0);
}

/// Each time at first: what went wrong last week is no reason to wait today.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_connection_again_and_again_listens_again_as_soon_as_at_first() {
    const TIMES: usize = 7;
    let Some(place) = Place::postgres() else { return };
    let db = Running::new(open(&place.url(), options()).unwrap());
    let other = Running::new(open(&place.url(), options()).unwrap());
    let listeners =
        "FROM pg_stat_activity WHERE application_name = 'rosterd listener' AND datname = current_database()";
    let mut gaps: Vec<f64> = Vec::new();
    for turn in 0..TIMES {
        until(|| place.sql(&format!("SELECT count(*) {listeners}")) == "2").await;
        let ended = place.sql(&format!(
            "SELECT extract(epoch FROM clock_timestamp()) FROM (SELECT count(pg_terminate_backend(pid)) {listeners}) AS x"
        ));
        // It is read anew, and so is known to work.
        other.run(nick("a", &format!("Ann {turn}"))).await;
        until(|| applied(&db) == other.store.head()).await;
        let begun = place.sql(&format!("SELECT extract(epoch FROM min(backend_start)) {listeners}"));
        gaps.push(begun.parse::<f64>().unwrap() - ended.parse::<f64>().unwrap());
    }
    assert!(gaps[TIMES - 3..].iter().any(|gap| *gap < 0.8), "{gaps:?}");
    db.close().await;
    other.close().await;
}
