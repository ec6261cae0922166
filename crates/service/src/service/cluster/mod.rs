//! Serves accounts together with other nodes that share the store: who of them lives, where sessions are, and what nodes ask
//! each other.
//!
//! Everything that matters is in the store, which each node reads by itself; a message that gets lost costs an answer and no
//! state.

mod clock;
mod explained;
mod follow;
mod forward;
mod forwarded_call;
mod gauges;
mod incoming;
mod lease;
mod message;
mod messages;
mod own_changes;
mod presence;
mod shared_node;

pub use self::clock::ClusterClock;
pub use self::follow::{follow_sessions, keep_beat};
pub use self::forward::Unforwarded;
pub use self::forwarded_call::{ForwardHandler, ForwardedAnswer, ForwardedCall};
pub use self::message::NodeStatus;
pub use self::messages::send_messages;
pub use self::shared_node::{ClusterSettings, OtherNode, SharedNode};
