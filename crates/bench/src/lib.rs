//! The load generator: measures a gateway from outside, over its sockets and its server API.
//!
//! One thread with one epoll loop drives all sessions. It makes frames by hand and allocates nothing for a message,
//! because it shares the machine with the gateway and must cost less. It counts every record once, so the number of lost
//! records is exact. It knows nothing of the gateway's insides and prints nothing; `cli` does. Linux only.
//!
//! [`graph`], [`ledger`], [`returns`], [`frames`], [`speech`], [`tally`], [`goals`], [`outcome`], [`plot`] and [`report`]
//! are pure.
//! [`crowd`] has the sockets, [`mod@run`] the steps, and [`scenario`] the order of the steps.

#![cfg(target_os = "linux")]

pub mod crowd;
mod error;
pub mod frames;
pub mod gauge;
pub mod goals;
pub mod graph;
pub mod ledger;
mod measure;
pub mod ops;
pub mod outcome;
pub mod plot;
pub mod report;
pub mod returns;
pub mod run;
pub mod scenario;
mod session;
pub mod speech;
pub mod tally;
pub mod target;
pub mod world;

pub use self::error::BenchError;
pub use self::measure::{BenchSettings, run};
