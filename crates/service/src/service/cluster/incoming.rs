//! Carries out what other nodes ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::message::{MessageBody, NodeAnswer, NodeMessage, NodeQuestion};
use super::messages::line_of;
use super::shared_node::SharedNode;
use crate::hub::{Delivered, Signal, UserRef};
use crate::service::{Service, SessionFilter};
use crate::store::StoreError;
use rosterd_engine::model::{Account, Revision, SessionId};

/// How long a message waits for the changes that its sender's node had applied.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Takes the messages that have come, and carries each out in a task of its own. More than a bounded number at a time are
/// left out: who asked gets no answer.
pub(super) async fn receive(service: &Arc<Service>, node: &Arc<SharedNode>) -> Result<(), StoreError> {
    loop {
        let messages = node.store.receive(node.id()).await?;
        if messages.is_empty() {
            return Ok(());
        }
        for message in messages {
            let Ok(NodeMessage { from, number, body }) = serde_json::from_slice(&message) else {
                tracing::warn!("a message of another gateway could not be read");
                continue;
            };
            match (body, number) {
                (MessageBody::Answers(answer), Some(number)) => {
                    if let Some(waits) = node.asked.lock().remove(&number) {
                        let _ = waits.send(answer);
                    }
                }
                (MessageBody::Answers(_), None) => {}
                (MessageBody::Asks(question), number) => {
                    let Ok(place) = node.incoming.clone().try_acquire_owned() else {
                        node.metrics.dropped.inc();
                        continue;
                    };
                    let (service, node) = (service.clone(), node.clone());
                    tokio::spawn(async move {
                        let answer = carry_out(&service, question).await;
                        if let Some((answer, number)) = answer.zip(number) {
                            node.answer(from, number, answer);
                        }
                        drop(place);
                    });
                }
            }
        }
    }
}

/// Does what a node asks; no answer if it cannot be done.
async fn carry_out(service: &Service, question: NodeQuestion) -> Option<NodeAnswer> {
    let account = |text: &str| Account::parse(text, "account").ok();
    Some(match question {
        NodeQuestion::Kick { account: name, sessions } => {
            let sessions = sessions.map(|ids| ids.into_iter().map(SessionId).collect::<Vec<_>>());
            let kicked = service.kick_here(&account(&name)?, sessions.as_deref());
            NodeAnswer::Kicked(kicked.into_iter().map(|id| id.0).collect())
        }
        NodeQuestion::Explain { viewer, account: name } => service.explain_here(&account(&viewer)?, &account(&name)?),
        NodeQuestion::Forwarded(call) => service.carry_out_forwarded(call).await?,
        NodeQuestion::Signal { from, to, payload, applied } => {
            caught_up(service, applied).await?;
            delivered(signal(service, &account(&from)?, &account(&to)?, payload).await)
        }
        NodeQuestion::Prefetch { viewer, accounts, applied } => {
            caught_up(service, applied).await?;
            let accounts: Vec<_> = accounts.iter().filter_map(|name| account(name)).collect();
            delivered(service.hub.prefetch(&account(&viewer)?, &accounts))
        }
        NodeQuestion::Sessions { after, limit, prefix, device, pending } => {
            let filter = SessionFilter { prefix, device, pending };
            let found = service.all_sessions(after.map(SessionId), limit.min(1000), &filter);
            NodeAnswer::Sessions(found.into_iter().map(line_of).collect())
        }
    })
}

fn delivered(done: Delivered) -> NodeAnswer {
    NodeAnswer::Delivered { delivered: done.delivered, dropped: done.dropped }
}

/// Waits for the changes that the sender's node had applied, so that what they bring comes first.
async fn caught_up(service: &Service, applied: Revision) -> Option<()> {
    timeout(CATCH_UP, service.hub.until_applied(applied)).await.ok()
}

/// Hands a signal over, unless the receiver has blocked the sender since the sender's node looked.
async fn signal(service: &Service, from: &Account, to: &Account, payload: String) -> Delivered {
    if !matches!(service.has_blocked(to, from).await, Ok(false)) {
        return Delivered::default();
    }
    let from = service.hub.user(from).unwrap_or_else(|| UserRef::detached(from.clone()));
    service.hub.signal(to, None, &Arc::new(Signal { from, payload }))
}
