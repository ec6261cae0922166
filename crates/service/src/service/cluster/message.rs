//! What nodes ask and answer each other.

use serde::{Deserialize, Serialize};

use super::forwarded_call::{ForwardedAnswer, ForwardedCall};
use rosterd_engine::model::Revision;

/// A message on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NodeMessage {
    /// The node that sent it.
    pub from: u64,
    /// The number of the question, if an answer is wanted, or that it answers.
    pub number: Option<u64>,
    pub body: MessageBody,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum MessageBody {
    Asks(NodeQuestion),
    Answers(NodeAnswer),
}

/// What a node asks of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum NodeQuestion {
    /// Ends sessions of an account, all or those that are named.
    Kick { account: String, sessions: Option<Vec<u64>> },
    /// Hands a signal over, once the changes that the sender's node had applied are applied.
    Signal { from: String, to: String, payload: String, applied: Revision },
    /// Brings profiles to the sessions of an account.
    Prefetch { viewer: String, accounts: Vec<String>, applied: Revision },
    /// Lists sessions.
    Sessions { after: Option<u64>, limit: usize, prefix: String, device: String, pending: usize },
    /// Says what the sessions of a viewer follow of an account.
    Explain { viewer: String, account: String },
    /// Answers a request for all nodes.
    Forwarded(ForwardedCall),
}

/// What a node answers another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum NodeAnswer {
    Kicked(Vec<u64>),
    Delivered { delivered: u32, dropped: u32 },
    Sessions(Vec<SessionLine>),
    Explained { sessions: Vec<ExplainedLine>, applied: Revision },
    Forwarded(ForwardedAnswer),
}

/// One session in an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SessionLine {
    pub id: u64,
    pub account: String,
    pub device: [String; 3],
    pub connected_at: u64,
    pub pending: usize,
    pub delivered_up_to: Option<Revision>,
}

/// What one session follows of an account, in an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExplainedLine {
    pub session: SessionLine,
    pub as_friend: bool,
    pub watches: bool,
    pub pending: u8,
}

/// What a node says of itself to operators.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its connections.
    pub connections: u64,
    /// Its sessions.
    pub sessions: u64,
    /// The accounts that a session there is interested in.
    pub watched_accounts: u64,
    /// The last change that is committed, as far as it knows.
    pub committed: Revision,
    /// The watermark there.
    pub watermark: Revision,
}
