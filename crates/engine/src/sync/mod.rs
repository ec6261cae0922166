//! The algorithms of the sync engine.
//!
//! They are pure: no socket, clock, lock or randomness; revisions and times come in as arguments.
//! [`decide`] turns a command into rows · [`outbox`] collects the dirty marks of a session · [`interest`] knows the
//! watchers of an account · [`watermark`] tracks up to which revision all watchers have been marked · [`delta`] finds
//! what a returning client lacks · [`digest`] is the sum by which both sides prove that they hold the same friend
//! list · [`repair`] finds the buckets of a friend list that differ · [`events`] says what a change means to a backend
//! · [`delivery`] brings events to an endpoint · [`breaker`] stops calls to a server that mostly fails
//! · [`splice`] puts the batches of several writers into one order · [`liveness`] finds out which other gateways are dead ·
//! [`session_directory`] knows the sessions on other gateways · [`sessions_rule`] says which sessions of an account may stay.

pub mod breaker;
pub mod decide;
pub mod delivery;
pub mod delta;
pub mod digest;
pub mod events;
pub mod interest;
pub mod liveness;
pub mod outbox;
pub mod repair;
pub mod session_directory;
pub mod sessions_rule;
pub mod splice;
pub mod watermark;
