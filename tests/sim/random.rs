//! The source of randomness: its whole state is its seed.

use std::sync::{Arc, Mutex};

/// A generator (`SplitMix64`). Its clones share one state.
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

    /// Returns a number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    /// Returns a position in a list of `length`, which is not empty.
    pub fn index(&self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Returns true in `of` of a hundred cases.
    pub fn percent(&self, of: u64) -> bool {
        self.below(100) < of
    }

    /// Makes a generator with a state of its own, so that drawing from it does not change the numbers of others.
    pub fn fork(&self) -> Self {
        Self::new(self.next())
    }
}
