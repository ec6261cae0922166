//! What the sessions of an account on other nodes follow of another account, for operators.

use serde::{Deserialize, Serialize};

use super::message::{NodeAnswer, NodeQuestion, SessionLine};
use super::messages::{line_of, status_of};
use crate::service::Service;
use crate::service::explain::ExplainedSession;
use rosterd_engine::model::{Account, Revision};
use rosterd_engine::sync::outbox::RecordKinds;

/// One session in an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ExplainedLine {
    session: SessionLine,
    as_friend: bool,
    watches: bool,
    pending: u8,
}

/// The sessions on other nodes.
pub(in crate::service) struct ExplainedElsewhere {
    pub(in crate::service) sessions: Vec<ExplainedSession>,
    /// The last change that is applied on all nodes that answered and on this one.
    pub(in crate::service) applied: Revision,
    /// The nodes that may have more sessions and did not answer.
    pub(in crate::service) unreached: Vec<String>,
}

impl Service {
    pub(super) fn explain_here(&self, viewer: &Account, account: &Account) -> NodeAnswer {
        let sessions = self.explained_sessions(viewer, account).into_iter().map(|found| ExplainedLine {
            session: line_of(found.status),
            as_friend: found.as_friend,
            watches: found.watches,
            pending: found.pending.bits(),
        });
        NodeAnswer::Explained { sessions: sessions.collect(), applied: self.applied_revision() }
    }

    pub(in crate::service) async fn explain_elsewhere(
        &self,
        viewer: &Account,
        account: &Account,
    ) -> ExplainedElsewhere {
        let mut found =
            ExplainedElsewhere { sessions: Vec::new(), applied: self.applied_revision(), unreached: Vec::new() };
        let Some(node) = &self.shared else { return found };
        let question = NodeQuestion::Explain { viewer: viewer.to_string(), account: account.to_string() };
        let (answers, silent) = node.ask(&self.hub.nodes_of(viewer), &question).await;
        for answer in answers {
            let NodeAnswer::Explained { sessions, applied } = answer else { continue };
            found.applied = found.applied.min(applied);
            found.sessions.extend(sessions.into_iter().filter_map(|line| {
                let (as_friend, watches) = (line.as_friend, line.watches);
                let pending = RecordKinds::of_bits(line.pending);
                Some(ExplainedSession { status: status_of(line.session)?, as_friend, watches, pending })
            }));
        }
        found.unreached = node.names_of(silent);
        found
    }
}
