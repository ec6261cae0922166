//! The vocabulary and the sync engine of rosterd: pure data and pure functions.
//!
//! No runtime, no clock, no randomness, no lock and no I/O: revisions and times come in as arguments.
//! [`model`] is the vocabulary, [`sync`] the algorithms.

pub mod model;
pub mod sync;
