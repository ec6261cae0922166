//! Opens the store, and runs its writer until it is closed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};

use super::adapter::Postgres;
use super::messages::BATCH;
use super::options::PostgresOptions;
use super::readers::PgReaders;
use super::schema::{self, PgMeta, STANDING, Standing};
use super::session::{Connector, PgSession, SessionKind, call};
use super::url::PostgresUrl;
use super::writer_session::{KnownHistory, WriterSession};
use super::writer_state::PgWriter;
use crate::store::{CommitBatch, FEED_CAPACITY, Opened, StoreError, system_clock};
use rosterd_engine::model::{Epoch, LogHistory};

/// The threads that talk to the database, for all connections.
const THREADS: usize = 2;

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
    let (mut writer, store, feed) = start(&connector, &options, session, &meta, &standing);
    if let Err(error) = writer.connection.note_backend().await {
        return drop(opened.send(Err(schema::explain(url, &error.into()))));
    }
    let (log, audit, deliveries) = (store.clone(), store.clone(), store.clone());
    let all = Opened { store, log, audit, deliveries, feed, head: standing.head };
    // Whoever asked for it waits.
    let _ = opened.send(Ok(all));
    writer.run().await;
}

type Started = (PgWriter, Arc<Postgres>, mpsc::Receiver<CommitBatch>);

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
    let closing = Arc::new(AtomicBool::new(false));
    let known = KnownHistory {
        head: standing.head,
        nonce: standing.nonce,
        epoch: meta.epoch,
        system: meta.system.clone(),
        timeline: standing.timeline.clone(),
    };
    let writer = PgWriter {
        connection: WriterSession::new(connector.clone(), options.failover, session, known),
        inbox,
        backlog: VecDeque::new(),
        clock: options.clock.clone(),
        visibility: options.visibility.clone(),
        salt: meta.salt.clone(),
        keeps_log: options.keeps_log,
        write_timeout: options.write_timeout,
        head: head.clone(),
        compacted: compacted.clone(),
        seen: numbers.then_some(durable),
        scrub: None,
        feed,
        closing: closing.clone(),
        failing: false,
        pause: Duration::ZERO,
        lost: false,
        running,
    };
    let store = Postgres {
        readers: PgReaders::start(connector, options.readers),
        // Logins wait for the others, and not behind those who read far back.
        log_reader: PgReaders::start(connector, 1),
        messages,
        clock: options.clock.clone().unwrap_or_else(system_clock),
        visibility: options.visibility.clone(),
        epoch: Epoch(meta.epoch.cast_unsigned()),
        history: meta.history.map(|history| LogHistory(history.cast_unsigned())),
        salt: meta.salt.clone(),
        seen: numbers.then_some(seen),
        head,
        compacted,
        closing,
        ended,
    };
    (writer, Arc::new(store), commits)
}
