//! A store in a PostgreSQL database, version 13 or later: one task that writes it, and a few connections that read it.
//!
//! The order of all changes is that of one lock, the row in `sequencer`, which a batch holds from before its first revision
//! until its commit is visible. The last revision is that of the newest row in `feed`, whose key is a second fence.
//!
//! Several gateways may write to one database. Each reads from `feed` what the others wrote, and takes it to its hub together
//! with its own batches, in the order of their revisions. A gateway that is to be alone holds an advisory lock.
//!
//! All I/O of the writer and of what follows others is behind the traits in `database`, which a simulation can implement.
//!
//! The server's answer to a commit may get lost. Then nobody is answered before the writer has waited, on a new connection
//! and under the lock, until the transaction is over, and has looked for its row in `feed`.

mod adapter;
mod batch_network;
mod batch_seal;
mod copy_target;
mod courier;
mod database;
mod engine;
mod fetch;
mod followers;
mod handle;
mod lock_times;
mod logins;
mod messages;
#[cfg(feature = "nats")]
mod nats_network;
mod nats_servers;
mod new_epoch;
mod node_store;
mod opening;
mod options;
mod pause;
mod pg_error;
mod pg_link;
mod pg_tasks;
mod pooler;
mod position;
mod readers;
mod replica;
mod rows;
mod rules;
mod rules_change;
mod schema;
mod session;
mod splicer;
mod staged;
mod tail;
mod tasks;
mod tls;
mod transaction;
mod url;
mod waker;
mod writer;
mod writer_session;
mod writer_state;

pub use self::batch_network::{BatchNetwork, CourierEnd};
pub use self::copy_target::copy_into;
pub use self::database::{
    BatchRows, Database, FeedBatch, LogLink, LogTail, PresenceNotes, Standing, TailRow, TaskDone, WriterBackend,
    WriterLink,
};
pub use self::engine::{Engine, EngineTasks, FoundHistory};
pub use self::handle::WriterHandle;
pub use self::messages::StoreTask;
#[cfg(feature = "nats")]
pub use self::nats_network::NatsNetwork;
pub use self::nats_servers::NatsServers;
pub use self::new_epoch::new_epoch;
pub use self::opening::open;
pub use self::options::{Failover, PostgresOptions, Sharing};
pub use self::pg_error::{PgError, PgResult};
pub use self::position::LogPosition;
pub use self::rules_change::{RulesApplied, apply_rules};
pub use self::staged::{Staged, StagedTable, UserRow};
pub use self::url::PostgresUrl;
pub use self::waker::Waker;
