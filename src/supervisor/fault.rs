//! Faults that a test injects into a running gateway. Only debug builds have this.
//!
//! `ROSTERD_FAULTS` names a folder. As soon as it has a file with the name of a task, the task does what the file says:
//! `panic`, `end`, or `stall`, which is to go on no more.

use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

/// How often a task looks for its file.
const LOOK: Duration = Duration::from_millis(10);

fn folder() -> Option<&'static PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os("ROSTERD_FAULTS").map(PathBuf::from)).as_ref()
}

/// The fault that this task is to have, if any.
fn fault(name: &str) -> Option<String> {
    std::fs::read_to_string(folder()?.join(name)).ok().filter(|fault| !fault.is_empty())
}

/// Panics if a thread of this name is to. For threads, which cannot be stopped at any other place.
///
/// # Panics
/// A test wants it to.
pub fn panic_if_asked(name: &str) {
    let Some(fault) = fault(name) else { return };
    panic!("the fault {fault} of {name}");
}

/// Runs a task until it ends, or until a test wants a fault in it.
pub(super) async fn with_fault(name: &'static str, work: impl Future<Output = ()>) {
    if folder().is_none() {
        return work.await;
    }
    let mut work = pin!(work);
    let fault = async {
        loop {
            if let Some(fault) = fault(name) {
                return fault;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        biased;
        fault = fault => match fault.as_str() {
            "end" => {}
            // The task is not polled any more, and not dropped either.
            "stall" => pending().await,
            _ => panic!("the fault {fault} of {name}"),
        },
        () = &mut work => {}
    }
}
