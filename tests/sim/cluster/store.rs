//! The store of one gateway on the simulated database: its writes go to the real writer, and its reads to the rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use rosterd::store::nodes::{JoiningNode, NodeBeat, NodeLook, NodeSessionChange, NodeSessionsPage, NodeStore};
use rosterd::store::postgres::{PgError, StoreTask, WriterHandle};
use rosterd::store::{
    LoginRows, PresenceRow, Rehearsal, Relations, RulesInForce, Store, StoreError, StorePage, Write, Written,
};
use rosterd_engine::model::{
    Account, Block, Command, Credential, Edge, Lineage, ListedEdge, Millis, NodeId, OnlineAccount, Profile, Request,
    RequestError, Revision, User, Visibility,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::line::Line;
use super::server::Server;

/// How long a read may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct ClusterStore {
    pub writer: Arc<WriterHandle>,
    pub line: Line,
    pub live: Arc<Notify>,
    /// The id of this gateway among the others.
    pub node: Arc<AtomicI64>,
}

impl ClusterStore {
    /// Has the server do something, on a connection for reads.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Server) -> T + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let asked = self.line.ask(|server| {
                if server.is_up() { Ok(work(server)) } else { Err(PgError::Away("the server is down".into())) }
            });
            let found = timeout(PATIENCE, asked).await.unwrap_or(Err(PgError::Silent(PATIENCE)));
            found.map_err(|error| StoreError(format!("cannot read the database: {error}")))
        })
    }

    /// Reads rows, all of one moment.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(Arc<dyn Store>) -> BoxFuture<'static, Result<T, StoreError>> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let found = self.ask(|server| {
                let found = futures::FutureExt::now_or_never(read(server.view()));
                (found.expect("the store in memory waits for nothing"), server.head())
            });
            let (found, head) = found.await?;
            if head > self.writer.head() {
                // As the store in a database does: the rules may have changed before what was read.
                let rules = self.ask(|server| server.stored_rules()).await?;
                assert!(self.writer.rules().take(&rules), "the rules can be read");
            }
            found
        })
    }
}

/// Defines reads that the rows answer.
macro_rules! reads {
    ($($name:ident($($given:ident: $kind:ty),*) -> $found:ty;)+) => {
        $(fn $name(&self, $($given: $kind),*) -> BoxFuture<'_, Result<$found, StoreError>> {
            self.read(move |rows| Box::pin(async move { rows.$name($($given),*).await }))
        })+
    };
}

impl Store for ClusterStore {
    fn write(&self, write: Write) -> BoxFuture<'_, Written> {
        Box::pin(self.writer.write(write))
    }

    reads! {
        rehearse(command: Command) -> Result<Rehearsal, RequestError>;
        users(accounts: Vec<Account>) -> Vec<User>;
        users_followed_by(viewer: Account, accounts: Vec<Account>, few: usize) -> Vec<User>;
        users_seen_by(viewer: Account, accounts: Vec<Account>) -> Vec<User>;
        profiles(prefix: String, after: Option<Account>, limit: usize) -> Vec<Profile>;
        page(owner: Account, after: Option<Account>, limit: usize, since: Option<Revision>) -> Vec<Edge>;
        listed(owner: Account, after: Option<Account>, limit: usize, since: Option<Revision>) -> StorePage<ListedEdge>;
        relations(account: Account, peers: Vec<Account>) -> Relations;
        requests(account: Account, since: Option<Revision>) -> Vec<Request>;
        blocks(owner: Account, after: Option<Account>, limit: usize, since: Option<Revision>) -> StorePage<Block>;
        frozen(viewer: Account, owners: Vec<Account>) -> Vec<Arc<Profile>>;
        stale_requests(before: Millis, limit: usize) -> Vec<Request>;
        credential(account: Account) -> Credential;
        online() -> Vec<OnlineAccount>;
        is_empty() -> bool;
    }

    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
        few: Option<usize>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>> {
        Box::pin(async move {
            let read = self.ask(move |server| {
                server.log_in(&account);
                let rows = server.view();
                let found = futures::FutureExt::now_or_never(rows.login_rows(account, limit, since, few));
                found.expect("the store in memory waits for nothing")
            });
            let known = self.writer.head();
            let found = read.await??;
            self.writer.saw(known, found.head);
            Ok(found)
        })
    }

    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.writer.put_seen(seen))
    }

    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.writer.task(StoreTask::Compact(before)))
    }

    fn purge(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn rules(&self) -> &RulesInForce {
        self.writer.rules()
    }

    fn put_rules(&self, rules: Visibility, instead_of: Arc<Visibility>) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(self.writer.task(StoreTask::PutRules { rules, instead_of }).await? > 0) })
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

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.writer.close())
    }
}

impl NodeStore for ClusterStore {
    fn join(&self, node: JoiningNode) -> BoxFuture<'_, Result<NodeId, StoreError>> {
        Box::pin(async move {
            let id = NodeId(self.line.random.next() >> 1);
            self.ask(move |server| {
                let now = server.now();
                server.nodes().join(id, &node, now);
            })
            .await?;
            self.node.store(id.0.cast_signed(), Ordering::Release);
            Ok(id)
        })
    }

    fn beat(&self, me: NodeId, beat: NodeBeat) -> BoxFuture<'_, Result<NodeLook, StoreError>> {
        self.ask(move |server| {
            let now = server.now();
            server.nodes().beat(me, &beat, now)
        })
    }

    fn put_sessions(&self, me: NodeId, changes: Vec<NodeSessionChange>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let put = self.ask(move |server| {
                server.nodes().put_sessions(me, changes)?;
                server.tell("rosterd_live", &format!("*{}", me.0));
                Ok(())
            });
            put.await?
        })
    }

    fn read_sessions(
        &self,
        me: NodeId,
        read: Vec<(NodeId, u64)>,
    ) -> BoxFuture<'_, Result<Vec<NodeSessionsPage>, StoreError>> {
        self.ask(move |server| server.nodes().read_sessions(me, &read))
    }

    fn call_dead(&self, node: NodeId, beat: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.ask(move |server| {
            let is_dead = server.nodes().call_dead(node, beat);
            server.happened.push(if is_dead { "a gateway was called dead" } else { "a gateway lived after all" });
            is_dead
        })
    }

    fn bury(&self, node: NodeId) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(move |server| {
            server.nodes().bury(node);
            server.happened.push("a gateway was removed");
        })
    }

    fn send(&self, messages: Vec<(NodeId, Vec<u8>)>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.ask(move |server| {
            let to: Vec<_> = messages.iter().map(|(node, _)| node.0.to_string()).collect();
            server.nodes().send(messages);
            for node in &to {
                server.tell("rosterd_live", node);
            }
        })
    }

    fn receive(&self, me: NodeId) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>> {
        self.ask(move |server| server.nodes().receive(me))
    }

    fn lease(&self, me: NodeId, _: &'static str, _: Millis) -> BoxFuture<'_, Result<NodeId, StoreError>> {
        Box::pin(async move { Ok(me) })
    }

    fn release(&self, _: NodeId, _: &'static str) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn told(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.live.notified())
    }
}
