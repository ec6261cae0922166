//! Opens the store, and runs its writer until it is closed.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};

use super::adapter::Postgres;
use super::database::Standing;
use super::engine::{Engine, FoundHistory};
use super::logins::LoginQueue;
use super::options::PostgresOptions;
use super::pg_link::PgWriterLink;
use super::pooler::connect_first;
use super::readers::PgReaders;
use super::replica::ReadReplica;
use super::schema::{self, PgMeta, PgSchemaError, STANDING, standing_of};
use super::session::{Connector, PgSession, SessionKind, call};
use super::url::PostgresUrl;
use crate::store::nodes::NodeStore;
use crate::store::{Opened, StoreError, system_clock};
use rosterd_engine::model::LogHistory;

/// The connections for what gateways know of each other: the beat must not wait for the rest.
const NODE_SESSIONS: usize = 2;

/// How long a gateway tries to open the database while others use tables that are to be migrated, and how long it leaves them
/// alone in between.
const MIGRATING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(200));

/// Opens the store in a database, and makes its schema if there is none. Blocks for as long as that takes.
///
/// What is read is read on the runtime of the caller, if it has one.
///
/// Dropping the store closes it too, as soon as its last write is done; the feed ends then. [`close`](crate::store::Store::close) waits for
/// that.
///
/// # Errors
/// One sentence for the operator, which names the database and never the password: it cannot be reached, its server cannot
/// be used, it belongs to something else, is of a newer version, or is in use.
pub fn open(url: &PostgresUrl, options: PostgresOptions) -> Result<Opened, StoreError> {
    let (opened, opening) = std::sync::mpsc::channel();
    let (url, callers) = (url.clone(), Handle::try_current().ok());
    let work = move || {
        let runtime =
            Builder::new_multi_thread().worker_threads(threads()).thread_name("rosterd-db").enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(serve(&url, options, &opened, callers));
                runtime.shutdown_timeout(Duration::from_secs(1));
            }
            Err(error) => drop(opened.send(Err(StoreError(format!("cannot start the store's threads: {error}"))))),
        }
    };
    let thread = thread::Builder::new().name("rosterd-store".into()).spawn(work);
    thread.map_err(|error| StoreError(format!("cannot start the store's thread: {error}")))?;
    opening.recv().unwrap_or_else(|_| Err(StoreError("the store broke off at its start".into())))
}

/// The threads that write and follow the log, and that read for callers without a runtime. A result comes in pieces, and
/// threads that take them in turns on few cores only wake each other.
fn threads() -> usize {
    (thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}

/// Opens the store, hands it over, and writes until it is closed.
async fn serve(
    url: &PostgresUrl,
    options: PostgresOptions,
    opened: &std::sync::mpsc::Sender<Result<Opened, StoreError>>,
    callers: Option<Handle>,
) {
    let connector = Connector::new(url);
    let prepared = async {
        let (session, meta) = prepare(&connector, &options).await?;
        let standing = standing_of(session.query(call!(STANDING)).await?.first())?;
        // They may have changed since they were read. That shows before somebody logs in.
        let standing = Standing { rules: meta.rules_number, ..standing };
        Ok((session, meta, standing))
    };
    let (session, meta, standing) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => return drop(opened.send(Err(schema::explain(url, &error)))),
    };
    let found = FoundHistory { epoch: meta.epoch, system: meta.system, standing, rules: meta.rules, salt: meta.salt };
    let link = Arc::new(PgWriterLink::new(session));
    let mut engine = Engine::new((Arc::new(connector.clone()), link), &found, meta.writer, &options);
    if let Err(error) = engine.note_backend().await {
        return drop(opened.send(Err(schema::explain(url, &error.into()))));
    }
    // Whoever waits for a read is woken by who read it, without a switch between threads.
    let runtime = callers.unwrap_or_else(Handle::current);
    let readers_of =
        |connector: &Connector, kind, count| PgReaders::start(&runtime, connector, kind, count, options.write_timeout);
    let readers = |kind, count| readers_of(&connector, kind, count);
    let replica = options.read_url.as_ref().map(|url| {
        let readers = readers_of(&Connector::new(url), SessionKind::Replica, options.readers);
        ReadReplica::new(readers, options.metrics.replica_reads.clone())
    });
    let store = Arc::new(Postgres {
        readers: readers(SessionKind::Reader, options.readers),
        logins: LoginQueue::default(),
        replica,
        // Logins wait for the others, and not behind those who read far back.
        log_reader: readers(SessionKind::Reader, 1),
        writer: engine.handle.clone(),
        clock: options.clock.clone().unwrap_or_else(system_clock),
        history: meta.history.map(|history| LogHistory(history.cast_unsigned())),
        salt: found.salt,
        seen: engine.seen.clone(),
        nodes: options.sharing.is_shared().then(|| readers(SessionKind::Node, NODE_SESSIONS)),
        live: engine.live.clone(),
        node: engine.node.clone(),
    });
    let (log, audit, deliveries) = (store.clone(), store.clone(), store.clone());
    let nodes = options.sharing.is_shared().then(|| store.clone() as Arc<dyn NodeStore>);
    let (feed, run) = engine.run();
    let all = Opened { store, log, audit, deliveries, nodes, feed, head: found.standing.head };
    // Whoever asked for it waits.
    let _ = opened.send(Ok(all));
    let splicing = tokio::spawn(run.splicing);
    for task in [run.following, run.carrying].into_iter().flatten() {
        tokio::spawn(task);
    }
    run.writing.await;
    let _ = splicing.await;
    drop(run.running);
}

/// Connects a writer, and brings the database up to date; again and again while something is in the way.
async fn prepare(connector: &Connector, options: &PostgresOptions) -> Result<(PgSession, PgMeta), PgSchemaError> {
    let begun = Instant::now();
    loop {
        let session = connect_first(connector).await?;
        match schema::prepare(&session, options).await {
            // Nothing of it was done, and its locks end with the session.
            Err(error) if error.may_pass() && begun.elapsed() < MIGRATING.0 => {
                tracing::info!(%error, "the database cannot be opened just now; it is tried again");
                drop(session);
                tokio::time::sleep(MIGRATING.1).await;
            }
            prepared => return Ok((session, prepared?)),
        }
    }
}
