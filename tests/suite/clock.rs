//! What a wrong clock may do, on a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rosterd::auth::{AuthSettings, Authenticator};
use rosterd::hub::{Hub, HubSettings, SessionsLimit, feed::Feed};
use rosterd::metrics::Metrics;
use rosterd::service::{NodeEnvironment, Service, ServiceSettings, consume, expire_requests};
use rosterd::store::{Opened, Store, StoreClock, Write};
use rosterd_engine::model::{Account, Command, FriendsPolicy, Patch, SessionsPolicy, Visibility, WriteOrigin};
use tokio::time::{Instant, sleep};

const HOUR: Duration = Duration::from_hours(1);

fn account(name: &str) -> Account {
    Account::parse(name, "account").unwrap()
}

async fn open_requests(store: &dyn Store) -> usize {
    store.requests(account("ann"), None).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn after_a_jump_of_the_clock_requests_stay_open_until_it_has_settled() {
    let (begun, start) = (Instant::now(), Arc::new(AtomicU64::new(1_700_000_000_000)));
    let set = start.clone();
    let clock: StoreClock = Arc::new(move || set.load(Ordering::Relaxed) + begun.elapsed().as_millis() as u64);
    let Opened { store, feed, head, .. } = rosterd_memory_store::open(clock.clone(), Visibility::default()).unwrap();
    let metrics = Arc::new(Metrics::default());
    let hub = Hub::new(head, HubSettings::default(), metrics.clone());
    let auth = Authenticator::new(AuthSettings::Development, None, &metrics).unwrap();
    let settings = ServiceSettings {
        create_accounts: false,
        friends: FriendsPolicy::Request,
        write: rosterd_engine::model::WriteRights::default(),
        sessions: SessionsLimit { policy: SessionsPolicy::All, max: 1 },
        linger: HOUR,
    };
    tokio::spawn(consume(feed, Feed::new(hub.clone()), metrics.clone()));
    let service = Service::new(store.clone(), hub, auth, metrics.clone(), settings);
    let service = service.on(NodeEnvironment { clock, ..NodeEnvironment::default() });
    let made = ["ann", "bob"].map(|name| Command::SetProfile {
        account: account(name),
        patch: Patch::default(),
        create: true,
        if_version: None,
    });
    let asked = Command::RequestFriend { account: account("ann"), peer: account("bob"), message: Box::default() };
    let commands = made.into_iter().chain([asked]).collect();
    store.write(Write { commands, origin: WriteOrigin::Import }).await.unwrap();
    tokio::spawn(expire_requests(Arc::new(service), 24 * HOUR));
    sleep(HOUR).await;

    // For half an hour the clock is a day ahead.
    start.fetch_add(90_000_000, Ordering::Relaxed);
    sleep(HOUR / 2).await;
    assert_eq!((open_requests(&*store).await, metrics.clock_jumps.get()), (1, 1));
    start.fetch_sub(90_000_000, Ordering::Relaxed);
    sleep(5 * HOUR).await;
    assert_eq!((open_requests(&*store).await, metrics.clock_jumps.get()), (1, 2));

    // Now it is the right time that is a day later.
    start.fetch_add(90_000_000, Ordering::Relaxed);
    sleep(Duration::from_mins(59)).await;
    assert_eq!((open_requests(&*store).await, metrics.clock_jumps.get()), (1, 3));
    sleep(Duration::from_mins(3)).await;
    assert_eq!(open_requests(&*store).await, 0, "a request of more than a day");
}
