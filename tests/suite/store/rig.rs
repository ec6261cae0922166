//! The rig of the store tests: a place to open a store at, a consumer of its feed, and short functions for commands.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rosterd::store::postgres::{PostgresOptions, PostgresUrl};
use rosterd::store::{
    self, AuditLog, ChangeLog, DeliveryStore, Opened, Store, StoreClock, StoreError, Write, WriteError, Written,
};
use rosterd_engine::model::{
    Account, Answer, Change, Command, Edge, Fields, LoggedChange, Millis, Profile, Reason, Revision, Row, TokenHash,
    User, Visibility, WriteOrigin,
};
use rosterd_postgres_server::{self as postgres_server, Database, Server};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::pair::open_pair;
use crate::support::PATIENCE;

/// Where a store is kept between two openings, and its clock.
pub(super) struct Place {
    /// `None`: in memory. Empty if it is in a database server.
    pub(super) directory: Option<TempDir>,
    pub(super) database: Option<(&'static Server, Database)>,
    pub(super) now: Arc<AtomicU64>,
    pub(super) busy_timeout: Duration,
    pub(super) visibility: Visibility,
    /// Opens the adapter here.
    pub(super) opener: fn(&Self) -> Result<Opened, StoreError>,
}

impl Place {
    /// Places of the adapters that keep their rows between two openings.
    pub(super) const DURABLE: [fn() -> Option<Self>; 2] = [|| Some(Self::sqlite()), Self::postgres];

    pub(super) fn memory() -> Self {
        Self {
            directory: None,
            database: None,
            now: Arc::new(AtomicU64::new(1000)),
            busy_timeout: Duration::from_secs(5),
            visibility: Visibility::default(),
            opener: |place| rosterd_memory_store::open(place.clock(), place.visibility.clone()),
        }
    }

    pub(super) fn sqlite() -> Self {
        let opener = |place: &Self| {
            let (clock, visibility) = (place.clock(), place.visibility.clone());
            let options = store::sqlite::SqliteOptions {
                busy_timeout: place.busy_timeout,
                clock,
                visibility,
                numbers_presence: true,
                ..store::sqlite::SqliteOptions::default()
            };
            store::sqlite::open(&place.path(), options)
        };
        Self { directory: Some(tempfile::tempdir().unwrap()), opener, ..Self::memory() }
    }

    /// `None` if there is no server to test with.
    pub(super) fn postgres() -> Option<Self> {
        let server = postgres_server::shared()?;
        let opener = |place: &Self| store::postgres::open(&place.url(), place.postgres_options());
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        Some(Self { directory: Some(directory), database: Some((server, server.database())), opener, ..Self::memory() })
    }

    /// The same for two stores on one database. `None` if there is no server to test with.
    pub(super) fn pair() -> Option<Self> {
        Some(Self { opener: open_pair, ..Self::postgres()? })
    }

    pub(super) fn postgres_options(&self) -> PostgresOptions {
        PostgresOptions {
            clock: Some(self.clock()),
            visibility: self.visibility.clone(),
            numbers_presence: true,
            readers: 2,
            ..PostgresOptions::default()
        }
    }

    /// The URL of the database.
    pub(super) fn url(&self) -> PostgresUrl {
        let (_, database) = self.database.as_ref().expect("it has a database");
        PostgresUrl::parse(&database.url).unwrap()
    }

    /// Runs SQL in the database.
    pub(super) fn sql(&self, sql: &str) -> String {
        let (server, database) = self.database.as_ref().expect("it has a database");
        server.sql(&database.name, sql)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.as_ref().expect("kept in a file").path().join("data").join("rosterd.db")
    }

    pub(super) fn at(&self, now: Millis) {
        self.now.store(now, Ordering::Relaxed);
    }

    pub(super) fn clock(&self) -> StoreClock {
        let now = self.now.clone();
        Arc::new(move || now.load(Ordering::Relaxed))
    }

    pub(super) fn try_open(&self) -> Result<Opened, StoreError> {
        (self.opener)(self)
    }

    /// Compares the counts that a closed store in a file keeps with its rows, and returns what differs.
    pub(super) fn miscounted(&self) -> Vec<String> {
        let counted = "
            SELECT account, sum(f), sum(s), sum(r), sum(b) FROM (
                SELECT owner AS account, 1 AS f, 0 AS s, 0 AS r, 0 AS b FROM edge WHERE removed = 0
                UNION ALL SELECT sender, 0, 1, 0, 0 FROM request WHERE state = 0 AND side = 0
                UNION ALL SELECT receiver, 0, 0, 1, 0 FROM request WHERE state = 0 AND side = 0
                UNION ALL SELECT owner, 0, 0, 0, 1 FROM block WHERE removed = 0)
            GROUP BY account";
        let kept = "SELECT account, friends, sent, received, blocks FROM relation_count";
        if self.database.is_some() {
            let kept = format!("{kept} WHERE friends <> 0 OR sent <> 0 OR received <> 0 OR blocks <> 0");
            let counted = counted.replace("removed = 0", "NOT removed");
            let counted = counted.replace("GROUP BY", "AS live GROUP BY");
            let differ = |one: &str, other: &str| {
                let sql = format!("SET search_path = rosterd; SELECT * FROM ({one} EXCEPT {other}) AS differing");
                self.sql(&sql).lines().map(str::to_owned).collect::<Vec<_>>()
            };
            return [differ(&counted, &kept), differ(&kept, &counted)].concat();
        }
        let file = Connection::open(self.path()).unwrap();
        let differ = |one: &str, other: &str| {
            let mut select = file.prepare(&format!("SELECT * FROM ({one}) EXCEPT SELECT * FROM ({other})")).unwrap();
            let row = |record: &rusqlite::Row<'_>| {
                let counts = (1..5).map(|column| record.get::<_, i64>(column)).collect::<Result<Vec<_>, _>>()?;
                Ok(format!("{} {counts:?}", record.get::<_, String>(0)?))
            };
            let rows = select.query_map([], row).unwrap().map(Result::unwrap);
            rows.collect::<Vec<_>>()
        };
        let of =
            |what: &str, rows: Vec<String>| rows.into_iter().map(|row| format!("{what} {row}")).collect::<Vec<_>>();
        [of("counted", differ(counted, kept)), of("kept", differ(kept, counted))].concat()
    }

    pub(super) fn open(&self) -> Running {
        // A process that another test starts has a copy of every open file until it runs its own program, and thereby
        // keeps the lock of a store that was closed meanwhile.
        let begun = Instant::now();
        loop {
            match self.try_open() {
                Err(error) if error.0.contains("is used by another") && begun.elapsed() < PATIENCE => {
                    std::thread::yield_now();
                }
                opened => return Running::new(opened.unwrap()),
            }
        }
    }
}

/// An open store, and a consumer of its feed that replaces the hub.
pub(super) struct Running {
    pub(super) store: Arc<dyn Store>,
    pub(super) log: Arc<dyn ChangeLog>,
    pub(super) audit: Arc<dyn AuditLog>,
    pub(super) deliveries: Arc<dyn DeliveryStore>,
    pub(super) head: Revision,
    pub(super) received: Arc<Mutex<Received>>,
    pub(super) consumer: JoinHandle<()>,
}

/// The batches and changes that came through the feed.
#[derive(Default)]
pub(super) struct Received {
    pub(super) batches: usize,
    pub(super) changes: Vec<Change>,
}

impl Running {
    pub(super) fn new(opened: Opened) -> Self {
        let Opened { store, log, audit, deliveries, mut feed, head, .. } = opened;
        let received = Arc::new(Mutex::new(Received::default()));
        let receiving = received.clone();
        let consumer = tokio::spawn(async move {
            while let Some(mut batch) = feed.recv().await {
                {
                    let mut received = receiving.lock().unwrap();
                    received.batches += 1;
                    received.changes.append(&mut batch.changes);
                }
                batch.answer();
            }
        });
        Self { store, log, audit, deliveries, head, received, consumer }
    }

    pub(super) async fn write(&self, commands: impl IntoIterator<Item = Command>) -> Written {
        self.store.write(Write { commands: commands.into_iter().collect(), origin: WriteOrigin::Import }).await
    }

    /// Runs one command, which must succeed.
    pub(super) async fn run(&self, command: Command) -> Answer {
        let mut answers = self.write([command]).await.unwrap();
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub(super) async fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        self.user(name).await.map(|user| user.profile)
    }

    pub(super) async fn user(&self, name: &str) -> Option<User> {
        self.store.users(vec![account(name)]).await.unwrap().pop()
    }

    /// Returns the edge from `owner` to `peer`, which must exist.
    pub(super) async fn edge(&self, owner: &str, peer: &str) -> Edge {
        self.store.relations(account(owner), vec![account(peer)]).await.unwrap().edges.remove(0)
    }

    /// Returns the peers on an owner's pages of `limit`; a removed one has a minus.
    pub(super) async fn peers(&self, owner: &str, limit: usize, since: Option<Revision>) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.page(account(owner), after, limit, since).await.unwrap();
            let Some(last) = page.last() else { return pages };
            after = Some(last.peer.clone());
            pages.push(page.iter().map(|e| format!("{}{}", if e.removed { "-" } else { "" }, e.peer)).collect());
        }
    }

    /// Reads the change log from a position to its end.
    pub(super) async fn logged(&self, after: Revision) -> Vec<LoggedChange> {
        let mut all: Vec<LoggedChange> = Vec::new();
        loop {
            let after = all.last().map_or(after, |last| last.change.revision);
            let page = self.log.log_page(after).await.unwrap();
            assert!(page.floor <= after, "changes are missing");
            if page.changes.is_empty() {
                return all;
            }
            all.extend(page.changes);
        }
    }

    /// Closes the store, waits until everything is released, and returns what came through the feed.
    pub(super) async fn close(self) -> Received {
        self.store.close().await;
        drop((self.store, self.log, self.audit));
        self.consumer.await.unwrap();
        Arc::into_inner(self.received).expect("the consumer has ended").into_inner().unwrap()
    }
}

/// What any gateway's hub is told of a change; who wrote it knows more, such as the hash of a token.
pub(super) fn told(changes: &[Change]) -> Vec<(Revision, String)> {
    let row = |change: &Change| {
        let rows = change.rows.iter().map(|row| match row {
            Row::Block { block, .. } => format!("{block:?}"),
            Row::Credential { account, credential } => format!("{account} {}", credential.revoked_before),
            row => format!("{row:?}"),
        });
        let rows: Vec<_> = rows.collect();
        format!("{} {:?} {:?} {rows:?}", change.time, change.origin, change.cause)
    };
    changes.iter().map(|change| (change.revision, row(change))).collect()
}

pub(super) fn account(name: &str) -> Account {
    Account::parse(name, "account").unwrap()
}

pub(super) fn profile(name: &str, fields: Fields) -> Command {
    Command::SetProfile { account: account(name), patch: fields.check().unwrap(), create: true, if_version: None }
}

pub(super) fn nick(name: &str, nick: &str) -> Command {
    profile(name, Fields { nick: Some(nick.into()), ..Fields::default() })
}

pub(super) fn nick_if(name: &str, text: &str, version: u64) -> Command {
    match nick(name, text) {
        Command::SetProfile { account, patch, .. } => {
            Command::SetProfile { account, patch, create: false, if_version: Some(version) }
        }
        other => other,
    }
}

pub(super) fn befriend(a: &str, b: &str) -> Command {
    Command::Befriend { account: account(a), peer: account(b) }
}

pub(super) fn unfriend(a: &str, b: &str) -> Command {
    Command::Unfriend { account: account(a), peer: account(b) }
}

pub(super) fn delete(name: &str) -> Command {
    Command::DeleteUser { account: account(name) }
}

pub(super) fn ask(a: &str, b: &str, message: &str) -> Command {
    Command::RequestFriend { account: account(a), peer: account(b), message: message.into() }
}

pub(super) fn accept(a: &str, b: &str) -> Command {
    Command::AcceptFriend { account: account(a), peer: account(b) }
}

pub(super) fn reject(a: &str, b: &str) -> Command {
    Command::RejectFriend { account: account(a), peer: account(b) }
}

pub(super) fn block(a: &str, b: &str) -> Command {
    Command::Block { account: account(a), peer: account(b), if_version: None }
}

pub(super) fn unblock(a: &str, b: &str) -> Command {
    Command::Unblock { account: account(a), peer: account(b), if_version: None }
}

pub(super) fn revoke(name: &str, before: Millis) -> Command {
    Command::RevokeTokens { account: account(name), before }
}

pub(super) fn token(name: &str, byte: Option<u8>) -> Command {
    let token = byte.map(|byte| TokenHash { salt: [byte; 16], hash: [byte; 32] });
    Command::SetToken { account: account(name), token }
}

pub(super) fn refused(written: Written) -> (usize, Reason) {
    match written {
        Err(WriteError::Refused { at, error }) => (at, error.reason),
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) fn failed(written: Written) -> String {
    match written {
        Err(WriteError::Failed(error)) => error.0,
        other => panic!("did not fail: {other:?}"),
    }
}
