//! The store as the service uses it: each call becomes a message to the writer or a query of a reader.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

use super::fetch::Fetch;
use super::handle::WriterHandle;
use super::logins::LoginQueue;
use super::messages::StoreTask;
use super::pg_error::PgResult;
use super::readers::PgReaders;
use super::replica::ReadReplica;
use super::rows::friend_lists::AskedRows;
use super::rows::logins::AskedLogin;
use super::rows::users::BlocksOf;
use super::rows::{self, EXTENT, SNAPSHOT, extent};
use super::rules::look_at_rules;
use super::session::{PgSession, call};
use super::staged::Staged;
use crate::store::commit::{CommitContext, rehearse};
use crate::store::{
    LoginRows, PresenceRow, Rehearsal, Relations, RulesInForce, Store, StoreClock, StoreError, StorePage, Write,
    Written,
};
use rosterd_engine::model::{
    Account, Block, Command, Credential, Edge, Epoch, Lineage, ListedEdge, LogHistory, Millis, OnlineAccount, Profile,
    Request, RequestError, Revision, SeenNumber, User, Visibility,
};

/// The store.
pub(super) struct Postgres {
    pub(super) readers: PgReaders,
    pub(super) logins: LoginQueue,
    /// Reads friend lists, where it is far enough.
    pub(super) replica: Option<ReadReplica>,
    /// Reads the change log.
    pub(super) log_reader: PgReaders,
    pub(super) writer: Arc<WriterHandle>,
    pub(super) clock: StoreClock,
    pub(super) history: Option<LogHistory>,
    pub(super) salt: Arc<[u8]>,
    pub(super) seen: Option<watch::Receiver<SeenNumber>>,
    /// Reads and writes what the gateways know of each other, unless this one is alone.
    pub(super) nodes: Option<PgReaders>,
    /// Told where other gateways have something for this one.
    pub(super) live: Arc<Notify>,
    /// The id of this gateway among the others; 0 before it has joined them.
    pub(super) node: Arc<AtomicI64>,
}

impl Postgres {
    /// Gives the writer a task and waits for its answer.
    pub(super) async fn task(&self, task: StoreTask) -> Result<u64, StoreError> {
        self.writer.task(task).await
    }

    /// The replica, if anything is to be read of it.
    fn serving_replica(&self) -> Option<&ReadReplica> {
        self.replica.as_ref().filter(|replica| replica.serves())
    }

    /// Reads the present epoch and revision.
    async fn extent(&self) -> Result<(Epoch, Revision), StoreError> {
        let known = self.writer.head();
        let read = |session: Arc<PgSession>| async move { extent(&session.query(call!(EXTENT)).await?) };
        let (lineage, head) = self.readers.read(read).await?;
        self.writer.saw(known, head);
        Ok((lineage.epoch, head))
    }

    /// Reads the account itself, if the login asks for it.
    async fn own_user(&self, asked: &AskedLogin) -> Result<Option<User>, StoreError> {
        let (Some(few), account) = (asked.few, &asked.rows.owner) else { return Ok(None) };
        let blocks = BlocksOf::Followed(account.clone(), few);
        Ok(self.readers.read(self.users_query(vec![account.clone()], blocks)).await?.pop())
    }

    /// Makes a query of users.
    fn users_query(
        &self,
        accounts: Vec<Account>,
        blocks: BlocksOf,
    ) -> impl FnOnce(Arc<PgSession>) -> BoxFuture<'static, PgResult<Vec<User>>> + Clone + Send + use<> {
        let writer = self.writer.clone();
        move |session| {
            Box::pin(async move {
                let found = rows::users::users(&session, &accounts, &blocks).await?;
                look_at_rules(&session, &writer, found.iter().map(|user| &*user.profile)).await?;
                Ok(found)
            })
        }
    }
}

impl Store for Postgres {
    fn write(&self, write: Write) -> BoxFuture<'_, Written> {
        Box::pin(self.writer.write(write))
    }

    fn rehearse(&self, command: Command) -> BoxFuture<'_, Result<Result<Rehearsal, RequestError>, StoreError>> {
        let (head, now, visibility) = (self.head(), (self.clock)(), self.writer.rules().get());
        let salt = self.salt.clone();
        Box::pin(self.readers.read(move |session| async move {
            let mut calls = vec![call!(SNAPSHOT)];
            let fetch = Fetch::of(std::iter::once(&command), &mut calls);
            calls.push(call!("COMMIT"));
            let found = session.pipeline(&calls).await?;
            let mut staged = Staged::new(salt);
            fetch.load_into(&mut staged, found.into_iter().skip(1))?;
            let Ok(rehearsed) = rehearse(&staged, &command, CommitContext { head, now, visibility: &visibility });
            Ok(rehearsed)
        }))
    }

    fn users(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.readers.read(self.users_query(accounts, BlocksOf::All)))
    }

    fn users_followed_by(
        &self,
        viewer: Account,
        accounts: Vec<Account>,
        few: usize,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.readers.read_again(self.users_query(accounts, BlocksOf::Followed(viewer, few))))
    }

    fn users_seen_by(&self, viewer: Account, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.readers.read_again(self.users_query(accounts, BlocksOf::Seen(viewer))))
    }

    fn profiles(
        &self,
        prefix: String,
        after: Option<Account>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Profile>, StoreError>> {
        let after = after.unwrap_or_else(Account::none);
        let writer = self.writer.clone();
        let read = move |session: Arc<PgSession>| async move {
            let found = rows::profiles::profiles_from(&session, &prefix, after.as_str(), limit).await?;
            look_at_rules(&session, &writer, found.iter()).await?;
            Ok(found)
        };
        Box::pin(self.readers.read(read))
    }

    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            let found = session.query(rows::relations::page(&owner, after.as_ref(), limit, since)).await?;
            found.iter().map(rows::relations::edge).collect()
        };
        Box::pin(self.readers.read(read))
    }

    fn listed(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<ListedEdge>, StoreError>> {
        let asked = AskedRows { owner, after, since };
        let read = move |asked: AskedRows| {
            move |session: Arc<PgSession>| async move {
                let found = session.row(rows::friend_lists::listed(&asked, limit)).await?;
                let (rows, lineage, _) = rows::friend_lists::listed_page(&asked, &found)?;
                Ok(StorePage { rows, compacted: lineage.compacted })
            }
        };
        Box::pin(async move {
            if let Some(replica) = self.serving_replica() {
                let needed = (self.lineage().epoch, self.head());
                if let Some(found) = replica.listed(asked.clone(), limit, needed).await {
                    return Ok(found);
                }
            }
            self.readers.read(read(asked)).await
        })
    }

    fn relations(&self, account: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Relations, StoreError>> {
        let read =
            move |session: Arc<PgSession>| async move { rows::relations::between(&session, &account, &peers).await };
        Box::pin(self.readers.read_again(read))
    }

    fn requests(&self, account: Account, since: Option<Revision>) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            let asked = AskedRows { owner: account, after: None, since };
            rows::relations::request_list(&session.row(rows::relations::requests(&asked)).await?, 0)
        };
        Box::pin(self.readers.read(read))
    }

    fn blocks(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<Block>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            let page = rows::relations::blocks(&AskedRows { owner, after, since }, limit);
            let (rows, lineage) = rows::relations::block_page(&session.row(page).await?)?;
            Ok(StorePage { rows, compacted: lineage.compacted })
        };
        Box::pin(self.readers.read(read))
    }

    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
        few: Option<usize>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>> {
        let asked = AskedLogin { rows: AskedRows { owner: account, after: None, since }, limit, few };
        Box::pin(async move {
            if let Some(replica) = self.serving_replica() {
                // A client may come from a gateway that is ahead of this one: it needs all that there is.
                let needed = self.extent().await?;
                if let Some(found) = replica.login_rows(&asked, needed).await {
                    // A replica is not asked who is seen and since when.
                    let user = self.own_user(&asked).await?;
                    return Ok(LoginRows { user, ..found });
                }
            }
            self.logins.read(&self.readers, Some(&self.writer), asked).await
        })
    }

    fn frozen(&self, viewer: Account, owners: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>> {
        let writer = self.writer.clone();
        let read = move |session: Arc<PgSession>| async move {
            let found = rows::profiles::frozen(&session, &viewer, &owners).await?;
            look_at_rules(&session, &writer, found.iter().map(|profile| &**profile)).await?;
            Ok(found)
        };
        Box::pin(self.readers.read_again(read))
    }

    fn stale_requests(&self, before: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            let found = session.query(rows::relations::stale_requests(before, limit)).await?;
            found.iter().map(rows::relations::request).collect()
        };
        Box::pin(self.readers.read(read))
    }

    fn credential(&self, account: Account) -> BoxFuture<'_, Result<Credential, StoreError>> {
        let read = move |session: Arc<PgSession>| async move {
            let found = session.query(rows::credentials::credentials(&[account])).await?;
            let found = found.first().map(rows::credentials::credential).transpose()?;
            Ok(found.map(|(_, credential)| credential).unwrap_or_default())
        };
        Box::pin(self.readers.read(read))
    }

    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.writer.put_seen(seen))
    }

    fn online(&self) -> BoxFuture<'_, Result<Vec<OnlineAccount>, StoreError>> {
        Box::pin(self.readers.read(|session| async move { rows::profiles::online(&session).await }))
    }

    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.task(StoreTask::Compact(before)))
    }

    /// Nothing is left to do here: the server overwrites what was erased when it vacuums, and recycles its log by itself.
    fn purge(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn rules(&self) -> &RulesInForce {
        self.writer.rules()
    }

    fn put_rules(&self, rules: Visibility, instead_of: Arc<Visibility>) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(self.task(StoreTask::PutRules { rules, instead_of }).await? > 0) })
    }

    fn lineage(&self) -> Lineage {
        self.writer.lineage()
    }

    fn head(&self) -> Revision {
        self.writer.head()
    }

    fn ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.writer.ended())
    }

    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.readers.read(|session| async move { rows::profiles::is_empty(&session).await }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.writer.stop_waiting();
            self.readers.close().await;
            self.log_reader.close().await;
            if let Some(replica) = &self.replica {
                replica.close().await;
            }
            if let Some(nodes) = &self.nodes {
                nodes.close().await;
            }
            self.writer.close().await;
        })
    }
}
