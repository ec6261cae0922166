//! The client of rosterd for other languages, through `UniFFI`: Python, Kotlin, Swift.
//!
//! Everything here is a thin face of `rosterd_client`: objects, records and errors with the protocol's names. The client's
//! task runs on threads of this library, so a foreign runtime only waits for results. A foreign callback runs in a task of
//! its own and under no lock: whatever it does, nobody else waits for it.

mod client;
mod error;
mod options;
mod records;
mod schema;
mod snapshot;

pub use client::{ForeignChange, ForeignChanges, ForeignClient, ForeignFound, ForeignHold, ForeignSignalled};
pub use error::{ErrorDetail, ForeignError};
pub use options::{ForeignOptions, ForeignTokenAnswer, ForeignTokenReason, TokenProvider};
pub use records::{
    ForeignBlock, ForeignDevice, ForeignDirection, ForeignFieldValue, ForeignFriend, ForeignGender, ForeignPresence,
    ForeignRequest, ForeignRequestState, ForeignSession, ForeignUpdate, ForeignUser,
};
pub use schema::{ForeignFieldSchema, ForeignFieldType, ForeignFieldVisibility, ForeignFieldWriter, ForeignSchema};
pub use snapshot::{ForeignConnection, ForeignPhase, ForeignSnapshot, ForeignSnapshotChange};

uniffi::setup_scaffolding!();
