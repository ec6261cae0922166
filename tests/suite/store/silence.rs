//! A network that loses one answer of the database and keeps the connection open, wherever that is: nobody waits for it for
//! ever.

use std::time::Duration;

use futures::future::join_all;
use rosterd::store::postgres::{PostgresOptions, PostgresUrl, Sharing, open};
use rosterd_postgres_server::ROLE;
use tokio::time::{sleep, timeout};

use super::rig::{Place, Running, account, nick};
use super::shared::applied;
use crate::proxy::Proxy;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_goes_on_whatever_answer_is_lost_while_it_connects_anew() {
    if Place::postgres().is_none() {
        return;
    }
    join_all(ASKED.map(async |text| {
        let place = Place::postgres().unwrap();
        let (server, database) = place.database.as_ref().unwrap();
        let proxy = Proxy::start(&server.address()).await;
        let through = server.url(ROLE, &database.name).replace(&server.address(), &proxy.address);
        let db = Running::new(open(&PostgresUrl::parse(&through).unwrap(), options()).unwrap());
        let other = Running::new(open(&place.url(), options()).unwrap());
        db.run(nick("a", "Ann")).await;
        proxy.swallow_after(text);
        proxy.cut();
        let goes_on = async {
            while db.write([nick("a", "Anna")]).await.is_err() {}
            while db.store.login_rows(account("a"), 9, None).await.is_err() {
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
