//! Names the locks and atomics of the hub in one place.
//!
//! `tests/concurrency` replaces them by others, which try different thread interleavings. This file holds only names.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub(crate) use dashmap::DashMap;
pub(crate) use parking_lot::{Mutex, RwLock};
