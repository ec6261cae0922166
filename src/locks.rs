//! The locks and atomics of what is live, named once. `tests/concurrency` puts others in their place, which try the
//! orders in which threads can meet. Nothing here but names.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub(crate) use dashmap::DashMap;
pub(crate) use parking_lot::{Mutex, RwLock};
