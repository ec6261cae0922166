//! Gateways of several versions on one database, as during an upgrade: a build of the first commit at which two gateways
//! worked, today's, and builds of today's that claim the next form of the change log. The old one is built from the history of
//! this repository. `make upgrade-test` runs it and prints its figures; the builds take minutes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]
#![allow(clippy::print_stdout, reason = "builds take long, and a run has figures")]
#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "the metrics that are compared count, in whole numbers"
)]
#![allow(unreachable_pub, reason = "what the modules share is public to them all, and nobody is outside")]

mod beside;
mod builds;
#[path = "../chaos/client.rs"]
mod client;
#[path = "../chaos/cluster.rs"]
#[allow(dead_code, reason = "faults are for chaos")]
mod cluster;
#[path = "../chaos/crowd.rs"]
#[allow(dead_code, reason = "one gateway is for chaos")]
mod crowd;
#[path = "../chaos/database_proxy.rs"]
#[allow(dead_code, reason = "faults are for chaos")]
mod database_proxy;
mod fleet;
#[path = "../chaos/follower.rs"]
mod follower;
#[path = "../chaos/guests.rs"]
#[allow(dead_code, reason = "faults are for chaos")]
mod guests;
#[path = "../chaos/ledger.rs"]
#[allow(dead_code, reason = "lost commits are for chaos")]
mod ledger;
mod next_form;
#[path = "../sim/random.rs"]
#[allow(dead_code, reason = "not all of it is used here")]
mod random;
mod rolling;
#[path = "../chaos/scale.rs"]
#[allow(dead_code, reason = "faults are for chaos")]
mod scale;
#[path = "../suite/support.rs"]
#[allow(dead_code, clippy::cast_sign_loss, reason = "a gateway in a process of its own; not all of it is used here")]
mod support;
#[path = "../chaos/table.rs"]
mod table;
#[path = "../chaos/truth.rs"]
mod truth;

/// One at a time: each has many processes.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What says that there is no server to test with.
fn skipped() {
    assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: apt-get install postgresql");
    println!("skipped: PostgreSQL is not installed (apt-get install postgresql)");
}
