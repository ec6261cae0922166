//! The one source of chance: its whole state is its seed.

use std::sync::{Arc, Mutex};

/// A generator (`SplitMix64`) that its copies share.
#[derive(Debug, Clone)]
pub struct Random(Arc<Mutex<u64>>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    /// A place in a list of `length`, which is not empty.
    pub fn index(&self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True in `of` of a hundred cases.
    pub fn percent(&self, of: u64) -> bool {
        self.below(100) < of
    }

    /// A generator of its own, so that what draws from it does not disturb the others.
    pub fn fork(&self) -> Self {
        Self::new(self.next())
    }
}
