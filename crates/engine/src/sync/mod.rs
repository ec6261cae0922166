//! The sync engine's algorithms, pure: no socket, clock, lock or randomness; revisions and times come in as arguments.
//!
//! [`decide`] turns a command into rows · [`outbox`] is what one session has yet to be told · [`interest`] who
//! watches an account · [`watermark`] up to where everything has been marked · [`delta`] what a returning
//! client lacks · [`digest`] the sum by which both sides prove that they hold the same · [`repair`] which parts of a
//! friend list differ where they do not.

pub mod decide;
pub mod delta;
pub mod digest;
pub mod interest;
pub mod outbox;
pub mod repair;
pub mod watermark;
