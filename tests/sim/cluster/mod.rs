//! Histories of several gateways on one database.
//!
//! Each gateway is the real one: hub, feed, service, sessions, what gateways know of each other, and of its store the writer,
//! the order of its transactions, the decisions on rows in memory, the verdict on commits in doubt, the epochs, the splicer
//! and the tail. The database behind them is simulated: sessions, the lock, the log, a standby, and how all of it fails.

mod cursor;
mod gateway;
mod line;
mod links;
mod network;
mod nodes;
mod plan;
mod server;
mod store;
mod world;

pub use self::plan::plan;
pub use self::world::play;
