//! What the gateways of a simulated database know of each other: the tables of nodes, their sessions, messages and leases.

use std::collections::{BTreeMap, VecDeque};

use rosterd::store::StoreError;
use rosterd::store::nodes::{JoiningNode, NodeBeat, NodeLook, NodePhase, NodeRow, NodeSessionChange, NodeSessionsPage};
use rosterd_engine::model::{Account, Millis, NodeId};
use rosterd_engine::sync::session_directory::SessionState;

/// The changes of one node that come at a time: few, so that few are more than that.
const SOME: usize = 3;

#[derive(Clone)]
struct KnownNode {
    row: NodeRow,
    sessions: BTreeMap<u64, NodeSessionChange>,
}

/// The tables.
#[derive(Clone, Default)]
pub struct NodeRows {
    nodes: BTreeMap<NodeId, KnownNode>,
    messages: VecDeque<(NodeId, Vec<u8>)>,
}

impl NodeRows {
    pub fn join(&mut self, id: NodeId, node: &JoiningNode, now: Millis) {
        let row = NodeRow {
            id,
            name: node.name.clone(),
            version: node.version.clone(),
            started: now,
            beat: 0,
            beat_time: now,
            applied: 0,
            phase: NodePhase::Serves,
            status: "{}".into(),
        };
        self.nodes.insert(id, KnownNode { row, sessions: BTreeMap::new() });
    }

    pub fn beat(&mut self, me: NodeId, beat: &NodeBeat, now: Millis) -> NodeLook {
        let own = self.nodes.get_mut(&me).filter(|node| node.row.phase != NodePhase::Dead);
        let is_known = own.is_some();
        if let Some(KnownNode { row, sessions }) = own {
            (row.beat, row.beat_time, row.applied) = (row.beat + 1, now, beat.applied);
            row.phase = match (row.phase, beat.stops) {
                (_, None) => NodePhase::Serves,
                (NodePhase::Stops { since, .. }, Some(grace)) => NodePhase::Stops { since, grace },
                (_, Some(grace)) => NodePhase::Stops { since: now, grace },
            };
            let is_old = |at: Millis| at + beat.keep_ended < now;
            sessions.retain(|_, change| !matches!(change.state, SessionState::Ended { at } if is_old(at)));
        }
        let others = self.nodes.values().filter(|node| node.row.id != me).map(|node| node.row.clone()).collect();
        NodeLook { is_known, now, others }
    }

    pub fn put_sessions(&mut self, me: NodeId, changes: Vec<NodeSessionChange>) -> Result<(), StoreError> {
        let own = self.nodes.get_mut(&me).filter(|node| node.row.phase != NodePhase::Dead);
        let Some(own) = own else { return Err(StoreError("others have called this gateway dead".into())) };
        own.sessions.extend(changes.into_iter().map(|change| (change.id.0, change)));
        Ok(())
    }

    pub fn read_sessions(&self, me: NodeId, read: &[(NodeId, u64)]) -> Vec<NodeSessionsPage> {
        let others = self.nodes.values().filter(|node| node.row.id != me && node.row.phase != NodePhase::Dead);
        let pages = others.filter_map(|KnownNode { row, sessions }| {
            let known = read.iter().find(|(node, _)| *node == row.id).map_or(0, |(_, number)| *number);
            let mut changes: Vec<_> = sessions.values().filter(|change| change.number > known).cloned().collect();
            changes.sort_by_key(|change| change.number);
            changes.truncate(SOME);
            (!changes.is_empty()).then_some(NodeSessionsPage { node: row.id, phase: row.phase, changes })
        });
        pages.collect()
    }

    /// Whether some node that is not dead has a session of an account.
    pub fn is_there(&self, account: &Account) -> bool {
        let lives = |change: &NodeSessionChange| {
            change.account == *account && matches!(change.state, SessionState::Live { .. })
        };
        self.nodes.values().any(|node| node.sessions.values().any(lives))
    }

    /// Whether exactly so many nodes are there, and all of them have said so within a second.
    pub fn are_all_well(&self, count: u64, now: Millis) -> bool {
        let is_well = |row: &NodeRow| row.phase == NodePhase::Serves && row.beat_time + 1000 >= now;
        self.nodes.len() as u64 == count && self.nodes.values().all(|node| is_well(&node.row))
    }

    /// Calls a node dead, unless its beat has moved. Returns whether it is.
    pub fn call_dead(&mut self, node: NodeId, beat: u64) -> bool {
        let Some(held) = self.nodes.get_mut(&node) else { return true };
        if held.row.beat == beat {
            held.row.phase = NodePhase::Dead;
        }
        held.row.phase == NodePhase::Dead
    }

    /// Removes a node that is dead.
    pub fn bury(&mut self, node: NodeId) {
        self.nodes.retain(|id, held| *id != node || held.row.phase != NodePhase::Dead);
    }

    pub fn send(&mut self, messages: Vec<(NodeId, Vec<u8>)>) {
        self.messages.extend(messages);
    }

    pub fn receive(&mut self, me: NodeId) -> Vec<Vec<u8>> {
        let (own, others) = std::mem::take(&mut self.messages).into_iter().partition(|(node, _)| *node == me);
        self.messages = others;
        let own: VecDeque<(NodeId, Vec<u8>)> = own;
        own.into_iter().map(|(_, body)| body).collect()
    }

    /// Messages are not logged.
    pub fn lose_messages(&mut self) {
        self.messages.clear();
    }
}
