//! A request that one node passes on to another, and its answer.

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// A request that its caller sent to another node, which knows the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedCall {
    /// Its HTTP method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its body.
    pub body: String,
    /// The name of the caller's key.
    pub caller: String,
    /// The scopes of that key.
    pub scopes: Vec<String>,
    /// Whether it changes nothing.
    pub is_safe: bool,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON.
    pub body: String,
}

/// What carries out the requests that other nodes pass on.
pub type ForwardHandler = Box<dyn Fn(ForwardedCall) -> BoxFuture<'static, Option<ForwardedAnswer>> + Send + Sync>;
