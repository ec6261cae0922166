//! The part of a store that writes and follows a database, whatever answers for the database: PostgreSQL, or a simulation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};

use super::batch_seal::BatchSeal;
use super::courier::{CarriedRows, Courier};
use super::database::{Database, Standing, WriterLink};
use super::handle::WriterHandle;
use super::messages::BATCH;
use super::options::{PostgresOptions, Sharing};
use super::pg_error::PgResult;
use super::position::{KnownPosition, LogPosition};
use super::splicer::{NumberedBatch, Splicer};
use super::tail::Tail;
use super::waker::Waker;
use super::writer_session::{KnownHistory, WriterSession};
use super::writer_state::PgWriter;
use crate::store::{CommitBatch, FEED_CAPACITY, RulesInForce};
use rosterd_engine::model::{Epoch, SeenNumber, Visibility};
use rosterd_engine::sync::splice::Splice;

/// What was found in the database when it was opened.
#[derive(Debug, Clone)]
pub struct FoundHistory {
    /// The epoch.
    pub epoch: i64,
    /// Which server, database and schema it is.
    pub system: String,
    /// Where the history stood.
    pub standing: Standing,
    /// The rules about who sees what.
    pub rules: Visibility,
    /// Goes into what stands for deleted accounts.
    pub salt: Arc<[u8]>,
}

/// A writer, and what follows the writers of other gateways. Nothing of it runs before [`Engine::run`].
pub struct Engine {
    /// The way to the writer.
    pub handle: Arc<WriterHandle>,
    /// The number of the last presence transition that is durable, if they get any.
    pub seen: Option<watch::Receiver<SeenNumber>>,
    /// Told where other gateways have something else for this one.
    pub live: Arc<Notify>,
    /// The id of this gateway among the others; 0 before it has joined them.
    pub node: Arc<AtomicI64>,
    writer: PgWriter,
    splicer: Splicer,
    tail: Option<Tail>,
    carrying: Option<BoxFuture<'static, ()>>,
    feed: mpsc::Receiver<CommitBatch>,
    running: watch::Sender<()>,
}

/// The tasks of a store.
pub struct EngineTasks {
    /// Writes until the store is closed, or its history is another.
    pub writing: BoxFuture<'static, ()>,
    /// Takes batches to the feed, until the writer has ended.
    pub splicing: BoxFuture<'static, ()>,
    /// Follows other gateways, unless this one is alone.
    pub following: Option<BoxFuture<'static, ()>>,
    /// Carries batches to and from other gateways besides the log, if something does.
    pub carrying: Option<BoxFuture<'static, ()>>,
    /// To be dropped at the end of the first two; who closes the store waits for that.
    pub running: watch::Sender<()>,
}

impl Engine {
    /// Puts it together on a connection that has just looked at the history. `writer` is the number of this process in the
    /// log, another at each start.
    #[must_use]
    pub fn new(
        (database, link): (Arc<dyn Database>, Arc<dyn WriterLink>),
        found: &FoundHistory,
        writer: i64,
        options: &PostgresOptions,
    ) -> Self {
        let standing = &found.standing;
        let (messages, inbox) = mpsc::channel(BATCH);
        let (feed, commits) = mpsc::channel(FEED_CAPACITY);
        let (running, ended) = watch::channel(());
        let numbers = options.keeps_log && options.numbers_presence;
        let (durable, seen) = watch::channel(standing.seen);
        let durable = numbers.then_some(durable);
        let position = LogPosition { head: standing.head, nonce: standing.nonce };
        let position = Arc::new(KnownPosition::new(position));
        let (own, batches) = mpsc::channel(FEED_CAPACITY);
        let (others, read) = mpsc::channel(FEED_CAPACITY);
        let handle = WriterHandle {
            messages,
            rules: rules(found, options),
            epoch: Epoch(found.epoch.cast_unsigned()),
            head: Arc::new(AtomicU64::new(standing.head)),
            compacted: Arc::new(AtomicU64::new(standing.compacted)),
            wake: Arc::new(Notify::new()),
            closing: Arc::new(AtomicBool::new(false)),
            ended,
        };
        let known =
            KnownHistory { epoch: found.epoch, system: found.system.clone(), timeline: standing.timeline.clone() };
        let writing = (options.failover, options.sharing, options.metrics.clone());
        let Courier { carrier, rows, carrying } = courier(found, writer, options);
        let connection = WriterSession::new(database.clone(), writing, link, (known, position.clone()));
        let writer = PgWriter {
            connection,
            inbox,
            backlog: VecDeque::new(),
            clock: options.clock.clone(),
            rules: handle.rules.clone(),
            salt: found.salt.clone(),
            keeps_log: options.keeps_log,
            write_timeout: options.write_timeout,
            head: handle.head.clone(),
            compacted: handle.compacted.clone(),
            seen: durable.clone(),
            writer,
            carrier,
            own,
            closing: handle.closing.clone(),
            failing: false,
            pause: Duration::ZERO,
            lost: false,
        };
        let waker = Waker::new(handle.wake.clone(), writer.writer);
        let (live, node) = (waker.live.clone(), waker.node.clone());
        let tail = tail((database, waker), (found, writer.writer), options, &handle, (position, others, durable, rows));
        let splicer = Splicer { splice: Splice::new(standing.head), own: batches, others: read, feed };
        let handle = Arc::new(handle);
        Self {
            handle,
            seen: numbers.then_some(seen),
            live,
            node,
            writer,
            splicer,
            tail,
            carrying,
            feed: commits,
            running,
        }
    }

    /// Notes which session of the server the writer has.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn note_backend(&mut self) -> PgResult<()> {
        self.writer.connection.note_backend().await
    }

    /// Returns what is committed, and the tasks that are to be run.
    #[must_use]
    pub fn run(self) -> (mpsc::Receiver<CommitBatch>, EngineTasks) {
        let tasks = EngineTasks {
            writing: Box::pin(self.writer.run()),
            splicing: Box::pin(self.splicer.run()),
            following: self.tail.map(|tail| Box::pin(tail.run()) as BoxFuture<'static, ()>),
            carrying: self.carrying,
            running: self.running,
        };
        (self.feed, tasks)
    }
}

/// The rules about who sees what, which have a number if other gateways may change them.
fn rules(found: &FoundHistory, options: &PostgresOptions) -> RulesInForce {
    let number = if options.sharing.is_shared() { found.standing.rules } else { 0 };
    RulesInForce::numbered(found.rules.clone(), number)
}

/// What hands batches over besides the log, if there is a network for it.
fn courier(found: &FoundHistory, writer: i64, options: &PostgresOptions) -> Courier {
    let Some(network) = options.network.as_ref().filter(|_| options.sharing.is_shared()) else {
        return Courier::none();
    };
    let seal = BatchSeal::new(&found.salt, &found.system);
    Courier::new(&**network, seal, (found.epoch, writer), &options.metrics)
}

/// What a tail knows, and where it takes and gives batches.
type FollowerEnds =
    (Arc<KnownPosition>, mpsc::Sender<NumberedBatch>, Option<watch::Sender<SeenNumber>>, Option<CarriedRows>);

/// What follows other gateways, unless this one is alone.
fn tail(
    (database, waker): (Arc<dyn Database>, Waker),
    (found, writer): (&FoundHistory, i64),
    options: &PostgresOptions,
    handle: &WriterHandle,
    (known, others, seen, carried): FollowerEnds,
) -> Option<Tail> {
    let Sharing::Shared { poll } = options.sharing else { return None };
    Some(Tail {
        database,
        waker,
        writer,
        epoch: found.epoch,
        read: found.standing.head,
        known,
        head: handle.head.clone(),
        compacted: handle.compacted.clone(),
        rules: handle.rules.clone(),
        seen,
        poll,
        others,
        carried,
        messages: handle.messages.downgrade(),
        hole: None,
        metrics: options.metrics.clone(),
    })
}
