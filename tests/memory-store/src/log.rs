//! The change log of the store in memory.

use std::collections::VecDeque;

use rosterd_engine::model::{Change, LoggedChange, Millis, Revision, Row};
use rosterd_service::store::{LOG_PAGE, LogExtent, LogPage};

/// The changes, with their sizes, oldest first.
#[derive(Default, Clone)]
pub(crate) struct MemoryLog {
    changes: VecDeque<(u64, LoggedChange)>,
    bytes: u64,
}

impl MemoryLog {
    pub(crate) fn append(&mut self, changes: &[Change]) {
        for change in changes {
            let size = rosterd_protocol::encode_changes(std::slice::from_ref(change)).len() as u64;
            self.bytes += size;
            self.changes.push_back((size, LoggedChange { change: change.clone(), erased: false }));
            let gone = change.rows.iter().find_map(|row| match row {
                Row::Gone { account, version } => Some((account, *version)),
                _ => None,
            });
            if let Some((account, below)) = gone {
                for (_, logged) in &mut self.changes {
                    logged.erase(account, below);
                }
            }
        }
    }

    fn floor(&self, head: Revision) -> Revision {
        self.changes.front().map_or(head, |(_, oldest)| oldest.change.revision - 1)
    }

    pub(crate) fn page(&self, after: Revision, head: Revision) -> LogPage {
        let floor = self.floor(head);
        let later = self.changes.iter().map(|(_, logged)| logged).filter(|logged| logged.change.revision > after);
        let changes = if after < floor { Vec::new() } else { later.take(LOG_PAGE).map(without_secrets).collect() };
        LogPage { floor, changes }
    }

    pub(crate) fn change(&self, revision: Revision) -> Option<LoggedChange> {
        let found = self.changes.iter().find(|(_, logged)| logged.change.revision == revision);
        found.map(|(_, logged)| without_secrets(logged))
    }

    pub(crate) fn extent(&self, head: Revision) -> LogExtent {
        let since = self.changes.front().map(|(_, oldest)| oldest.change.time);
        LogExtent { floor: self.floor(head), since, bytes: self.bytes }
    }

    pub(crate) fn prune(&mut self, before: Millis, most: u64) -> bool {
        let held = self.changes.len();
        while let Some((size, oldest)) = self.changes.front()
            && (oldest.change.time < before || self.bytes > most)
        {
            self.bytes -= size;
            self.changes.pop_front();
        }
        self.changes.len() < held
    }
}

/// Leaves out what a log leaves out: the frozen profile of a block, and the hash of a token.
fn without_secrets(logged: &LoggedChange) -> LoggedChange {
    let mut logged = logged.clone();
    for row in &mut logged.change.rows {
        match row {
            Row::Block { frozen, .. } => *frozen = None,
            Row::Credential { credential, .. } => credential.token = None,
            _ => {}
        }
    }
    logged
}
