//! What the sessions of an account on other nodes follow of another account, for operators.

use super::message::{ExplainedLine, NodeAnswer, NodeQuestion};
use super::messages::{line_of, status_of};
use crate::service::Service;
use crate::service::explain::ExplainedSession;
use rosterd_engine::model::{Account, Revision};
use rosterd_engine::sync::outbox::RecordKinds;

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

    /// Returns the viewer's sessions on other nodes, the last change that is applied on all nodes that answered and on this one,
    /// and the names of the nodes that may have more sessions and did not answer.
    pub(in crate::service) async fn explain_elsewhere(
        &self,
        viewer: &Account,
        account: &Account,
    ) -> (Vec<ExplainedSession>, Revision, Vec<String>) {
        let (mut found, mut lowest) = (Vec::new(), self.applied_revision());
        let Some(node) = &self.shared else { return (found, lowest, Vec::new()) };
        let question = NodeQuestion::Explain { viewer: viewer.to_string(), account: account.to_string() };
        let (answers, silent) = node.ask(&self.hub.nodes_of(viewer), &question).await;
        for answer in answers {
            let NodeAnswer::Explained { sessions, applied } = answer else { continue };
            lowest = lowest.min(applied);
            found.extend(sessions.into_iter().filter_map(|line| {
                let (as_friend, watches) = (line.as_friend, line.watches);
                let pending = RecordKinds::of_bits(line.pending);
                Some(ExplainedSession { status: status_of(line.session)?, as_friend, watches, pending })
            }));
        }
        (found, lowest, node.names_of(silent))
    }
}
