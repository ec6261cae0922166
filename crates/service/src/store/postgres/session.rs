//! One connection to the database: its settings, its prepared statements, and calls that are sent together.

use std::collections::HashMap;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::SinkExt;
use futures::future::{join_all, poll_fn, try_join_all};
use futures::stream::TryStreamExt;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, CopyInSink, Row, SimpleQueryMessage, Statement};

use super::pg_error::PgError;
use super::tls::MakeTls;
use super::url::PostgresUrl;
use super::waker::Waker;

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(5);

/// The code of a warning. With a COMMIT it says that somebody cancelled its wait for a standby.
const WARNING: &str = "01000";

/// What every session sets, whatever its role or its database says otherwise.
const SETTINGS: &str = "
    SET statement_timeout = 0;
    SET search_path = rosterd;
    SET standard_conforming_strings = on;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_deferrable = off;
    SET row_security = off;
    SET client_min_messages = warning;
    SET jit = off;
    SET tcp_keepalives_idle = 1;
    SET tcp_keepalives_interval = 1;
    SET tcp_keepalives_count = 2;
    SET tcp_user_timeout = '3s';
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout';";

/// What the writer's session sets besides. It never holds the lock for long.
const WRITER: &str = "
    SET default_transaction_read_only = off;
    SET idle_in_transaction_session_timeout = '2s';
    SET lock_timeout = '3s';
    SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'transaction_timeout';
    SELECT set_config(name, 'on', false) FROM pg_settings
        WHERE name = 'synchronous_commit' AND setting IN ('off', 'local');";

/// What a reader's session sets besides. It plans each statement once, not at each call: what it asks for is found by an
/// index. Nor may a plan outlive a table that was small when it was made.
const READER: &str = "
    SET default_transaction_read_only = on;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET idle_in_transaction_session_timeout = '10s';
    SET lock_timeout = '10s';";

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKind {
    Writer,
    Reader,
    /// Reads of a replica.
    Replica,
    /// Reads what other gateways write.
    Listener,
    /// Reads and writes what gateways know of each other.
    Node,
}

/// Makes sessions.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: MakeTls,
}

impl Connector {
    pub(super) fn new(url: &PostgresUrl) -> Self {
        let mut config = url.config();
        config.keepalives_idle(Duration::from_secs(5));
        config.keepalives_interval(Duration::from_secs(1));
        config.keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(10));
        Self { config, tls: MakeTls::new() }
    }

    /// Connects and sets the session up.
    pub(super) async fn connect(&self, kind: SessionKind) -> Result<PgSession, PgError> {
        self.open(kind, None).await
    }

    /// Connects and is told from then on when another gateway has written.
    pub(super) async fn connect_listener(&self, waker: Waker) -> Result<PgSession, PgError> {
        let session = self.open(SessionKind::Listener, Some(waker)).await?;
        session.run("LISTEN rosterd; LISTEN rosterd_live").await?;
        Ok(session)
    }

    /// Connects and sets nothing, to look at what is there.
    pub(super) async fn connect_to_look(&self) -> Result<PgSession, PgError> {
        let mut config = self.config.clone();
        config.application_name("rosterd start");
        in_time(PgSession::open(&config, self.tls.clone(), None)).await
    }

    async fn open(&self, kind: SessionKind, waker: Option<Waker>) -> Result<PgSession, PgError> {
        let mut config = self.config.clone();
        let (name, settings) = match kind {
            SessionKind::Writer => ("rosterd writer", WRITER),
            SessionKind::Reader => ("rosterd reader", READER),
            SessionKind::Replica => ("rosterd replica reader", READER),
            SessionKind::Listener => ("rosterd listener", READER),
            SessionKind::Node => ("rosterd node", WRITER),
        };
        config.application_name(name);
        in_time(async {
            let session = PgSession::open(&config, self.tls.clone(), waker).await?;
            session.client.batch_execute(SETTINGS).await?;
            session.client.batch_execute(settings).await?;
            // What it has warned of by now was no commit.
            session.warned();
            Ok(session)
        })
        .await
    }
}

async fn in_time(connecting: impl Future<Output = Result<PgSession, PgError>>) -> Result<PgSession, PgError> {
    match timeout(CONNECTING, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(PgError::Away("the server does not answer".into())),
    }
}

/// An open connection. Only one task uses it, and never stops half way.
pub(super) struct PgSession {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Whether the server warned since this was looked at last.
    warned: Arc<AtomicBool>,
}

/// A statement with its parameters.
pub(super) struct Call {
    sql: &'static str,
    given: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Call {
    pub(super) fn new(sql: &'static str, given: Vec<Box<dyn ToSql + Sync + Send>>) -> Self {
        Self { sql, given }
    }
}

/// Makes a [`Call`] out of a statement and its parameters.
macro_rules! call {
    ($sql:expr $(, $given:expr)* $(,)?) => {
        $crate::store::postgres::session::Call::new($sql, vec![$(Box::new($given)),*])
    };
}
pub(super) use call;

/// Takes rows into a table, in the text form of COPY.
pub(super) struct CopySink(Pin<Box<CopyInSink<Cursor<Vec<u8>>>>>);

impl CopySink {
    /// Sends some rows.
    pub(super) async fn send(&mut self, rows: Vec<u8>) -> Result<(), PgError> {
        Ok(self.0.send(Cursor::new(rows)).await?)
    }

    /// Ends the copy.
    pub(super) async fn finish(mut self) -> Result<(), PgError> {
        self.0.as_mut().finish().await?;
        Ok(())
    }
}

impl PgSession {
    async fn open(config: &Config, tls: MakeTls, waker: Option<Waker>) -> Result<Self, PgError> {
        let (client, mut connection) = config.connect(tls).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let warning = warned.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    AsyncMessage::Notice(notice) if notice.code().code() == WARNING => {
                        warning.store(true, Ordering::Release);
                        tracing::warn!(warning = notice.message(), "the database warns");
                    }
                    AsyncMessage::Notification(told) => {
                        if let Some(waker) = &waker {
                            waker.take(told.channel(), told.payload());
                        }
                    }
                    _ => {}
                }
            }
        });
        Ok(Self { client, statements: Mutex::default(), warned })
    }

    /// Returns whether the connection is known to be over.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Returns whether the server warned since the last time.
    pub(super) fn warned(&self) -> bool {
        self.warned.swap(false, Ordering::AcqRel)
    }

    /// Returns which process of the server answers, and since when, without a statement that is prepared before.
    pub(super) async fn server_process(&self) -> Result<String, PgError> {
        let sql = "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let rows = self.client.simple_query(sql).await?;
        let found = rows.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        found.map(str::to_owned).ok_or_else(|| PgError::Damaged("the session is not in pg_stat_activity".into()))
    }

    /// Runs statements without parameters or results.
    pub(super) async fn run(&self, sql: &str) -> Result<(), PgError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Runs one call.
    pub(super) async fn query(&self, call: Call) -> Result<Vec<Row>, PgError> {
        let statement = self.prepared(call.sql).await?;
        self.send(&statement, &call).await
    }

    /// Runs one call whose result is one row.
    pub(super) async fn row(&self, call: Call) -> Result<Row, PgError> {
        let sql = call.sql;
        self.query(call).await?.pop().ok_or_else(|| PgError::Damaged(format!("no row for {sql}")))
    }

    /// Sends calls together, so that all of them take one round trip. The server does them in order; the first error is
    /// returned.
    pub(super) async fn pipeline(&self, calls: &[Call]) -> Result<Vec<Vec<Row>>, PgError> {
        let mut statements = Vec::with_capacity(calls.len());
        for call in calls {
            statements.push(self.prepared(call.sql).await?);
        }
        // Each is sent when it is polled first, which is in order.
        let sent = statements.iter().zip(calls).map(|(statement, call)| self.send(statement, call));
        join_all(sent).await.into_iter().collect()
    }

    /// Prepares the statements of later calls, so that none of them needs a round trip of its own then.
    pub(super) async fn prepare(&self, calls: &[Call]) -> Result<(), PgError> {
        // The server is sent all of them at once.
        try_join_all(calls.iter().map(|call| self.prepared(call.sql))).await.map(drop)
    }

    /// Begins to copy rows into a table.
    pub(super) async fn copy_in(&self, sql: &str) -> Result<CopySink, PgError> {
        Ok(CopySink(Box::pin(self.client.copy_in(sql).await?)))
    }

    async fn send(&self, statement: &Statement, call: &Call) -> Result<Vec<Row>, PgError> {
        let given = call.given.iter().map(|value| &**value as &(dyn ToSql + Sync));
        let rows = self.client.query_raw(statement, given).await?;
        Ok(rows.try_collect().await?)
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement, PgError> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }
}
