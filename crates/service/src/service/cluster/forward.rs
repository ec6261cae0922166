//! Requests to the server API that one node answers for all: another that is asked passes them on.

use std::time::Duration;

use super::forwarded_call::{ForwardHandler, ForwardedAnswer, ForwardedCall};
use super::message::{NodeAnswer, NodeQuestion};
use crate::service::Service;

/// How long an answer to a question may take.
const READING: Duration = Duration::from_secs(2);

/// How long the answer to what changes something may take: an endpoint has 30 seconds for an event.
const WRITING: Duration = Duration::from_secs(35);

/// Why there is no answer of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unforwarded(
    /// What operators call that node.
    pub String,
);

impl Service {
    /// Names what carries out the requests that other nodes pass on.
    pub fn answer_forwarded(&self, handler: ForwardHandler) {
        if let Some(node) = &self.shared {
            // The first stays.
            let _ = node.forwarded.set(handler);
        }
    }

    /// Passes a request on to the node that brings events to endpoints; `None` if that is this one, or none.
    ///
    /// # Errors
    /// It did not answer.
    pub async fn ask_deliverer(&self, call: &ForwardedCall) -> Result<Option<ForwardedAnswer>, Unforwarded> {
        let Some(node) = &self.shared else { return Ok(None) };
        let holder = node.lease.lock().holder.filter(|holder| *holder != node.id());
        let Some(holder) = holder.filter(|_| !self.delivers()) else { return Ok(None) };
        let patience = if call.is_safe { READING } else { WRITING };
        let (answers, _) = node.ask_within(patience, &[holder], &NodeQuestion::Forwarded(call.clone())).await;
        match answers.into_iter().next() {
            Some(NodeAnswer::Forwarded(answer)) => Ok(Some(answer)),
            _ => Err(Unforwarded(node.name_of(holder))),
        }
    }

    pub(super) async fn carry_out_forwarded(&self, call: ForwardedCall) -> Option<NodeAnswer> {
        let handler = self.shared.as_ref()?.forwarded.get()?;
        handler(call).await.map(NodeAnswer::Forwarded)
    }
}
