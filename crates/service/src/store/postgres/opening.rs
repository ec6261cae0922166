//! Opens the store, and runs its writer until it is closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, watch};

use super::adapter::Postgres;
use super::messages::BATCH;
use super::options::{PostgresOptions, Sharing};
use super::position::{KnownPosition, LogPosition};
use super::readers::PgReaders;
use super::schema::{self, PgMeta, STANDING, Standing};
use super::session::{Connector, PgSession, SessionKind, call};
use super::splicer::{NumberedBatch, Splicer};
use super::tail::Tail;
use super::url::PostgresUrl;
use super::writer_session::{KnownHistory, WriterSession};
use super::writer_state::PgWriter;
use crate::store::nodes::NodeStore;
use crate::store::{CommitBatch, FEED_CAPACITY, Opened, RulesInForce, StoreError, system_clock};
use rosterd_engine::model::{Epoch, LogHistory, SeenNumber};
use rosterd_engine::sync::splice::Splice;

/// The threads that talk to the database, for all connections.
const THREADS: usize = 2;

/// The connections for what gateways know of each other: the beat must not wait for the rest.
const NODE_SESSIONS: usize = 2;

/// Opens the store in a database, and makes its schema if there is none. Blocks for as long as that takes.
///
/// Dropping the store closes it too, as soon as its last write is done; the feed ends then. [`close`](crate::store::Store::close) waits for
/// that.
///
/// # Errors
/// One sentence for the operator, which names the database and never the password: it cannot be reached, its server cannot
/// be used, it belongs to something else, is of a newer version, or is in use.
pub fn open(url: &PostgresUrl, options: PostgresOptions) -> Result<Opened, StoreError> {
    let (opened, opening) = std::sync::mpsc::channel();
    let url = url.clone();
    let work = move || {
        let runtime =
            Builder::new_multi_thread().worker_threads(THREADS).thread_name("rosterd-db").enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(serve(&url, options, &opened));
                runtime.shutdown_timeout(Duration::from_secs(1));
            }
            Err(error) => drop(opened.send(Err(StoreError(format!("cannot start the store's threads: {error}"))))),
        }
    };
    let thread = thread::Builder::new().name("rosterd-store".into()).spawn(work);
    thread.map_err(|error| StoreError(format!("cannot start the store's thread: {error}")))?;
    opening.recv().unwrap_or_else(|_| Err(StoreError("the store broke off at its start".into())))
}

/// Opens the store, hands it over, and writes until it is closed.
async fn serve(
    url: &PostgresUrl,
    options: PostgresOptions,
    opened: &std::sync::mpsc::Sender<Result<Opened, StoreError>>,
) {
    let connector = Connector::new(url);
    let prepared = async {
        let session = connector.connect(SessionKind::Writer).await?;
        let meta = schema::prepare(&session, &options).await?;
        let standing = Standing::of(session.query(call!(STANDING)).await?.first())?;
        Ok((session, meta, standing))
    };
    let (session, meta, standing) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => return drop(opened.send(Err(schema::explain(url, &error)))),
    };
    let Started { mut writer, splicer, tail, store, feed, running } =
        start(&connector, &options, session, &meta, &standing);
    if let Err(error) = writer.connection.note_backend().await {
        return drop(opened.send(Err(schema::explain(url, &error.into()))));
    }
    let (log, audit, deliveries) = (store.clone(), store.clone(), store.clone());
    let nodes = options.sharing.is_shared().then(|| store.clone() as Arc<dyn NodeStore>);
    let all = Opened { store, log, audit, deliveries, nodes, feed, head: standing.head };
    // Whoever asked for it waits.
    let _ = opened.send(Ok(all));
    let splicer = tokio::spawn(splicer.run());
    if let Some(tail) = tail {
        tokio::spawn(tail.run());
    }
    writer.run().await;
    let _ = splicer.await;
    drop(running);
}

/// What an open store is made of.
struct Started {
    writer: PgWriter,
    splicer: Splicer,
    /// Unless the gateway is alone.
    tail: Option<Tail>,
    store: Arc<Postgres>,
    feed: mpsc::Receiver<CommitBatch>,
    /// Dropped at the end; `close` waits for that.
    running: watch::Sender<()>,
}

fn start(
    connector: &Connector,
    options: &PostgresOptions,
    session: PgSession,
    meta: &PgMeta,
    standing: &Standing,
) -> Started {
    let (messages, inbox) = mpsc::channel(BATCH);
    let (feed, commits) = mpsc::channel(FEED_CAPACITY);
    let (running, ended) = watch::channel(());
    let (head, compacted) = (Arc::new(AtomicU64::new(standing.head)), Arc::new(AtomicU64::new(standing.compacted)));
    let numbers = options.keeps_log && options.numbers_presence;
    let (durable, seen) = watch::channel(standing.seen);
    let numbers_sent = numbers.then_some(durable);
    let closing = Arc::new(AtomicBool::new(false));
    let known = KnownHistory { epoch: meta.epoch, system: meta.system.clone(), timeline: standing.timeline.clone() };
    let position = KnownPosition::new(LogPosition { head: standing.head, nonce: standing.nonce });
    let position = Arc::new(position);
    let (own, batches) = mpsc::channel(FEED_CAPACITY);
    let (others, read) = mpsc::channel(FEED_CAPACITY);
    let splicer = Splicer { splice: Splice::new(standing.head), own: batches, others: read, feed };
    let rules = RulesInForce::new(meta.rules.clone());
    let writer = PgWriter {
        connection: WriterSession::new(
            connector.clone(),
            (options.failover, options.sharing, options.metrics.clone()),
            session,
            (known, position.clone()),
        ),
        inbox,
        backlog: VecDeque::new(),
        clock: options.clock.clone(),
        rules: rules.clone(),
        salt: meta.salt.clone(),
        keeps_log: options.keeps_log,
        write_timeout: options.write_timeout,
        head: head.clone(),
        compacted: compacted.clone(),
        seen: numbers_sent.clone(),
        scrub: None,
        writer: meta.writer,
        own,
        closing: closing.clone(),
        failing: false,
        pause: Duration::ZERO,
        lost: false,
    };
    let store = Postgres {
        readers: PgReaders::start(connector, SessionKind::Reader, options.readers),
        // Logins wait for the others, and not behind those who read far back.
        log_reader: PgReaders::start(connector, SessionKind::Reader, 1),
        messages,
        clock: options.clock.clone().unwrap_or_else(system_clock),
        rules,
        epoch: Epoch(meta.epoch.cast_unsigned()),
        history: meta.history.map(|history| LogHistory(history.cast_unsigned())),
        salt: meta.salt.clone(),
        seen: numbers.then_some(seen),
        head,
        compacted,
        wake: Arc::new(Notify::new()),
        nodes: options.sharing.is_shared().then(|| PgReaders::start(connector, SessionKind::Node, NODE_SESSIONS)),
        live: Arc::new(Notify::new()),
        node: Arc::new(AtomicI64::new(0)),
        closing,
        ended,
    };
    let tail = tail(connector, options, (meta, standing), &store, (position, others, numbers_sent));
    Started { writer, splicer, tail, store: Arc::new(store), feed: commits, running }
}

/// What follows other gateways, unless this one is alone.
fn tail(
    connector: &Connector,
    options: &PostgresOptions,
    (meta, standing): (&PgMeta, &Standing),
    store: &Postgres,
    (known, others, seen): (Arc<KnownPosition>, mpsc::Sender<NumberedBatch>, Option<watch::Sender<SeenNumber>>),
) -> Option<Tail> {
    let Sharing::Shared { poll } = options.sharing else { return None };
    Some(Tail {
        connector: connector.clone(),
        writer: meta.writer,
        epoch: meta.epoch,
        read: standing.head,
        known,
        head: store.head.clone(),
        compacted: store.compacted.clone(),
        seen,
        wake: store.wake.clone(),
        live: store.live.clone(),
        node: store.node.clone(),
        poll,
        others,
        messages: store.messages.downgrade(),
        hole: None,
        metrics: options.metrics.clone(),
    })
}
