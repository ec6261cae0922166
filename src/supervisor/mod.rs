//! Supervises the tasks that a gateway cannot do without.
//!
//! If the task that applies commits ended, writes would be answered and nobody would hear of them; the others are as
//! quiet. So the unexpected end of any of them, by a panic or by itself, is logged, makes the gateway unready, and ends
//! the process. What is answered is on the disk, and clients come back with their cursors: a restart brings everything
//! back.

#[cfg(debug_assertions)]
pub mod fault;
mod task;

pub use self::task::{MayEnd, Supervisor};
