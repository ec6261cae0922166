//! What nodes ask each other, and how an answer comes back.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::message::{MessageBody, NodeAnswer, NodeMessage, NodeQuestion, SessionLine};
use super::shared_node::SharedNode;
use crate::hub::Delivered;
use crate::service::Service;
use crate::service::sessions::{Kicked, SessionFilter, SessionInfo, SessionStatus};
use rosterd_engine::model::{Account, NodeId, SessionId};
use rosterd_protocol::v1;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most messages that are sent at a time.
const AT_A_TIME: usize = 500;

/// Puts a session into an answer.
pub(super) fn line_of(status: SessionStatus) -> SessionLine {
    let SessionStatus { info, account, pending, delivered_up_to } = status;
    let v1::Device { id, r#type, tag } = info.device;
    let (account, device) = (account.to_string(), [id, r#type, tag]);
    SessionLine { id: info.id.0, account, device, connected_at: info.connected_at, pending, delivered_up_to }
}

/// Takes a session out of an answer.
pub(super) fn status_of(line: SessionLine) -> Option<SessionStatus> {
    let [id, r#type, tag] = line.device;
    let device = v1::Device { id, r#type, tag };
    let info = SessionInfo { id: SessionId(line.id), device, connected_at: line.connected_at };
    let account = Account::parse(&line.account, "account").ok()?;
    Some(SessionStatus { info, account, pending: line.pending, delivered_up_to: line.delivered_up_to })
}

/// The answers of the nodes that were asked, and the nodes that did not answer.
type Answers = (Vec<NodeAnswer>, Vec<NodeId>);

impl SharedNode {
    /// Sends a message to nodes that need not answer. It does not wait: how long that takes says nothing.
    pub(super) fn tell(&self, nodes: &[NodeId], question: &NodeQuestion) {
        let message = NodeMessage { from: self.id().0, number: None, body: MessageBody::Asks(question.clone()) };
        for node in nodes {
            self.post(*node, encode(&message));
        }
    }

    /// Asks nodes, and waits for their answers, for a while.
    pub(super) async fn ask(&self, nodes: &[NodeId], question: &NodeQuestion) -> Answers {
        self.ask_within(PATIENCE, nodes, question).await
    }

    /// Asks nodes, and waits for their answers for so long.
    pub(super) async fn ask_within(&self, patience: Duration, nodes: &[NodeId], question: &NodeQuestion) -> Answers {
        let waiting = nodes.iter().map(|node| {
            let (number, (answer, answered)) = (self.next_ask(), oneshot::channel());
            self.asked.lock().insert(number, answer);
            let body = MessageBody::Asks(question.clone());
            let message = encode(&NodeMessage { from: self.id().0, number: Some(number), body });
            let is_sent = self.post(*node, message);
            async move {
                let answer = if is_sent { timeout(patience, answered).await.ok().and_then(Result::ok) } else { None };
                self.asked.lock().remove(&number);
                answer.ok_or(*node)
            }
        });
        let (mut answers, mut silent) = (Vec::new(), Vec::new());
        for answer in join_all(waiting.collect::<Vec<_>>()).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(node) => silent.push(node),
            }
        }
        self.metrics.unanswered.inc_by(silent.len() as u64);
        (answers, silent)
    }

    /// Puts a message among those that wait to be sent. Returns whether there was room.
    fn post(&self, to: NodeId, message: Vec<u8>) -> bool {
        let has_room = self.outbox.try_send((to, message)).is_ok();
        let count = if has_room { &self.metrics.sent } else { &self.metrics.dropped };
        count.inc();
        has_room
    }

    /// Answers a question.
    pub(super) fn answer(&self, to: u64, number: u64, answer: NodeAnswer) {
        let body = MessageBody::Answers(answer);
        let message = NodeMessage { from: self.id().0, number: Some(number), body };
        self.post(NodeId(to), encode(&message));
    }

    pub(super) fn names_of(&self, nodes: Vec<NodeId>) -> Vec<String> {
        nodes.into_iter().map(|node| self.name_of(node)).collect()
    }
}

/// Sends the messages that wait, several at a time, for ever. What cannot be sent gets lost: it would be too late.
pub async fn send_messages(service: Arc<Service>) {
    let Some(node) = service.shared.clone() else { return std::future::pending().await };
    let mut waiting = node.to_send.lock().await;
    let mut some = Vec::new();
    while waiting.recv_many(&mut some, AT_A_TIME).await > 0 {
        let count = some.len() as u64;
        if let Err(error) = node.store.send(std::mem::take(&mut some)).await {
            node.metrics.dropped.inc_by(count);
            tracing::debug!(%error, "messages to other gateways were lost");
        }
    }
}

fn encode(message: &NodeMessage) -> Vec<u8> {
    serde_json::to_vec(message).expect("a message has no map with keys that are no text")
}

impl Service {
    /// Ends sessions of an account wherever they are, all or those that are named.
    pub async fn kick(&self, account: &Account, named: Option<&[SessionId]>) -> Kicked {
        let mut done = Kicked { sessions: self.kick_here(account, named), unreached: Vec::new() };
        let Some(node) = &self.shared else { return done };
        let sessions = named.map(|named| named.iter().map(|id| id.0).collect());
        let question = NodeQuestion::Kick { account: account.to_string(), sessions };
        let (answers, silent) = node.ask(&self.hub.nodes_of(account), &question).await;
        for answer in answers {
            if let NodeAnswer::Kicked(ids) = answer {
                done.sessions.extend(ids.into_iter().map(SessionId));
            }
        }
        done.unreached = node.names_of(silent);
        done
    }

    /// Hands a signal over to sessions on other nodes, and counts those that will be sent it.
    pub(in crate::service) async fn signal_elsewhere(&self, from: &Account, to: &Account, payload: &str) -> Delivered {
        let mut done = Delivered::default();
        let (Some(node), nodes) = (&self.shared, self.hub.nodes_of(to)) else { return done };
        let question = self.signal_question(from, to, payload);
        for answer in node.ask(&nodes, &question).await.0 {
            if let NodeAnswer::Delivered { delivered, dropped } = answer {
                done.delivered += delivered;
                done.dropped += dropped;
            }
        }
        done
    }

    /// Hands a signal over to sessions on other nodes, without an answer.
    pub(in crate::service) fn tell_signal(&self, from: &Account, to: &Account, payload: &str) {
        let Some(node) = &self.shared else { return };
        let nodes = self.hub.nodes_of(to);
        if !nodes.is_empty() {
            node.tell(&nodes, &self.signal_question(from, to, payload));
        }
    }

    fn signal_question(&self, from: &Account, to: &Account, payload: &str) -> NodeQuestion {
        let (from, to, payload) = (from.to_string(), to.to_string(), payload.to_owned());
        NodeQuestion::Signal { from, to, payload, applied: self.applied_revision() }
    }

    /// Brings profiles to the sessions of an account on other nodes. Returns how many sessions got them, and how many have
    /// too many to read already.
    pub(in crate::service) async fn prefetch_elsewhere(&self, viewer: &Account, accounts: &[Account]) -> Delivered {
        let mut done = Delivered::default();
        let (Some(node), nodes) = (&self.shared, self.hub.nodes_of(viewer)) else { return done };
        let accounts = accounts.iter().map(ToString::to_string).collect();
        let question =
            NodeQuestion::Prefetch { viewer: viewer.to_string(), accounts, applied: self.applied_revision() };
        for answer in node.ask(&nodes, &question).await.0 {
            if let NodeAnswer::Delivered { delivered, dropped } = answer {
                done.delivered += delivered;
                done.dropped += dropped;
            }
        }
        done
    }

    /// Returns the nodes that may have sessions.
    fn other_nodes(&self, node: &SharedNode) -> Vec<NodeId> {
        let mut nodes = node.other_ids();
        // One that has joined since the last look.
        nodes.extend(self.hub.elsewhere_read().into_iter().map(|(id, _)| id));
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Returns a session that has logged in, on whichever node.
    pub async fn session_anywhere(&self, id: SessionId) -> Option<SessionStatus> {
        if let Some(found) = self.session(id) {
            return Some(found);
        }
        let (found, _) =
            self.sessions_everywhere(id.0.checked_sub(1).map(SessionId), 1, &SessionFilter::default()).await;
        found.into_iter().find(|status| status.info.id == id)
    }

    /// Returns sessions of all nodes as [`Service::all_sessions`] does, and the names of the nodes that did not answer.
    pub async fn sessions_everywhere(
        &self,
        after: Option<SessionId>,
        limit: usize,
        filter: &SessionFilter,
    ) -> (Vec<SessionStatus>, Vec<String>) {
        let mut found = self.all_sessions(after, limit, filter);
        let Some(node) = &self.shared else { return (found, Vec::new()) };
        let question = NodeQuestion::Sessions {
            after: after.map(|id| id.0),
            limit,
            prefix: filter.prefix.clone(),
            device: filter.device.clone(),
            pending: filter.pending,
        };
        let (answers, silent) = node.ask(&self.other_nodes(node), &question).await;
        for answer in answers {
            if let NodeAnswer::Sessions(lines) = answer {
                found.extend(lines.into_iter().filter_map(status_of));
            }
        }
        found.sort_by_key(|status| status.info.id.0);
        found.truncate(limit);
        (found, node.names_of(silent))
    }
}
