//! Two stores on one database that act as one: what is written goes to the first, and what is read comes from the second.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rosterd::store::postgres::{PostgresOptions, Sharing, open};
use rosterd::store::{
    CommitBatch, LoginRows, Opened, PresenceRow, Rehearsal, Relations, RulesInForce, Store, StoreError, StorePage,
    Write, Written,
};
use rosterd_engine::model::{
    Account, Block, Command, Credential, Edge, Lineage, ListedEdge, Millis, OnlineAccount, Profile, Request,
    RequestError, Revision, SeenNumber, User, Visibility,
};
use tokio::sync::{mpsc, watch};

use super::postgres::until;
use super::rig::{Place, told};

/// The two.
struct StorePair {
    writes: Arc<dyn Store>,
    reads: Arc<dyn Store>,
    /// The last presence transition that each knows, if they are numbered.
    seen: [Option<watch::Receiver<SeenNumber>>; 2],
}

/// Opens both, as two gateways would.
pub(super) fn open_pair(place: &Place) -> Result<Opened, StoreError> {
    let sharing = Sharing::Shared { poll: Duration::from_millis(250) };
    let options = || PostgresOptions { sharing, ..place.postgres_options() };
    let (first, second) = (open(&place.url(), options())?, open(&place.url(), options())?);
    let (heard, feed) = mpsc::channel(1);
    tokio::spawn(take_together(first.feed, second.feed, heard));
    let seen = [first.log.seen(), second.log.seen()];
    let store = Arc::new(StorePair { writes: first.store, reads: second.store, seen });
    Ok(Opened { store, feed, ..second })
}

/// Passes the batches of the first on once the second has heard the same.
async fn take_together(
    mut written: mpsc::Receiver<CommitBatch>,
    mut heard: mpsc::Receiver<CommitBatch>,
    feed: mpsc::Sender<CommitBatch>,
) {
    let mut changes = Vec::new();
    while let Some(batch) = written.recv().await {
        while changes.len() < batch.changes.len() {
            changes.extend(heard.recv().await.expect("the second store hears of what the first writes").changes);
        }
        assert_eq!(told(&batch.changes), told(&changes.drain(..batch.changes.len()).collect::<Vec<_>>()));
        if let Err(mpsc::error::SendError(batch)) = feed.send(batch).await {
            batch.answer();
        }
    }
    assert!(changes.is_empty() && heard.recv().await.is_none(), "the second store heard of more");
}

/// Defines calls that one of the two answers.
macro_rules! calls {
    ($of:ident: $($name:ident($($given:ident: $kind:ty),*) -> $found:ty;)+) => {
        $(fn $name(&self, $($given: $kind),*) -> BoxFuture<'_, $found> {
            self.$of.$name($($given),*)
        })+
    };
}

impl Store for StorePair {
    calls! { writes:
        write(write: Write) -> Written;
        compact(before: Millis) -> Result<u64, StoreError>;
        purge() -> Result<(), StoreError>;
        put_rules(rules: Visibility, instead_of: Arc<Visibility>) -> Result<bool, StoreError>;
        ended() -> ();
    }

    calls! { reads:
        rehearse(command: Command) -> Result<Result<Rehearsal, RequestError>, StoreError>;
        users(accounts: Vec<Account>) -> Result<Vec<User>, StoreError>;
        users_followed_by(viewer: Account, accounts: Vec<Account>, few: usize) -> Result<Vec<User>, StoreError>;
        users_seen_by(viewer: Account, accounts: Vec<Account>) -> Result<Vec<User>, StoreError>;
        profiles(prefix: String, after: Option<Account>, limit: usize) -> Result<Vec<Profile>, StoreError>;
        page(owner: Account, after: Option<Account>, limit: usize, since: Option<Revision>)
            -> Result<Vec<Edge>, StoreError>;
        listed(owner: Account, after: Option<Account>, limit: usize, since: Option<Revision>)
            -> Result<StorePage<ListedEdge>, StoreError>;
        relations(account: Account, peers: Vec<Account>) -> Result<Relations, StoreError>;
        requests(account: Account, since: Option<Revision>) -> Result<Vec<Request>, StoreError>;
        blocks(owner: Account, after: Option<Account>, limit: usize, since: Option<Revision>)
            -> Result<StorePage<Block>, StoreError>;
        login_rows(account: Account, limit: usize, since: Option<Revision>, few: Option<usize>)
            -> Result<LoginRows, StoreError>;
        frozen(viewer: Account, owners: Vec<Account>) -> Result<Vec<Arc<Profile>>, StoreError>;
        stale_requests(before: Millis, limit: usize) -> Result<Vec<Request>, StoreError>;
        credential(account: Account) -> Result<Credential, StoreError>;
        online() -> Result<Vec<OnlineAccount>, StoreError>;
        is_empty() -> Result<bool, StoreError>;
    }

    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            self.writes.put_seen(seen).await?;
            if let [Some(noted), Some(heard)] = &self.seen {
                let (noted, mut heard) = (*noted.borrow(), heard.clone());
                heard.wait_for(|heard| *heard >= noted).await.expect("the second store is open");
            }
            Ok(())
        })
    }

    fn rules(&self) -> &RulesInForce {
        self.writes.rules()
    }

    fn lineage(&self) -> Lineage {
        self.writes.lineage()
    }

    fn head(&self) -> Revision {
        self.reads.head()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.writes.close().await;
            until(|| self.reads.head() >= self.writes.head()).await;
            self.reads.close().await;
        })
    }
}
