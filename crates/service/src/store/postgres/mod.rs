//! A store in a PostgreSQL database, version 13 or later: one task that writes it, and a few connections that read it.
//!
//! The order of all changes is that of one lock, the row in `sequencer`, which a batch holds from before its first revision
//! until its commit is visible. The last revision is that of the newest row in `feed`, whose key is a second fence.
//!
//! Several gateways may write to one database. Each reads from `feed` what the others wrote, and takes it to its hub together
//! with its own batches, in the order of their revisions. A gateway that is to be alone holds an advisory lock.
//!
//! The server's answer to a commit may get lost. Then nobody is answered before the writer has waited, on a new connection
//! and under the lock, until the transaction is over, and has looked for its row in `feed`.

mod adapter;
mod copy_target;
mod fetch;
mod followers;
mod lock_times;
mod messages;
mod new_epoch;
mod node_store;
mod opening;
mod options;
mod pg_error;
mod position;
mod readers;
mod rows;
mod schema;
mod session;
mod splicer;
mod staged;
mod tail;
mod tasks;
mod tls;
mod transaction;
mod url;
mod writer;
mod writer_session;
mod writer_state;

pub use self::copy_target::copy_into;
pub use self::new_epoch::new_epoch;
pub use self::opening::open;
pub use self::options::{Failover, PostgresOptions, Sharing};
pub use self::url::PostgresUrl;
