//! The audit log of the store in memory.

use std::collections::VecDeque;

use rosterd_engine::model::{Account, Millis};
use rosterd_service::store::{AuditEntry, AuditQuery, AuditRow, erased_subject};

/// A test does not guess accounts.
const SALT: &[u8] = b"salt";

/// The entries, oldest first.
#[derive(Default, Clone)]
pub(crate) struct MemoryAudit {
    rows: VecDeque<AuditRow>,
    last: u64,
}

impl MemoryAudit {
    pub(crate) fn append(&mut self, entry: &AuditEntry) {
        self.last += 1;
        let AuditEntry { time, caller, action, subject, detail } = entry;
        self.rows.push_back(AuditRow {
            number: self.last,
            time: *time,
            caller: caller.to_string(),
            action: (*action).to_owned(),
            subject: subject.to_string(),
            detail: detail.clone(),
        });
    }

    pub(crate) fn erase(&mut self, account: &Account) {
        for row in self.rows.iter_mut().filter(|row| row.subject == account.as_str()) {
            row.subject = erased_subject(SALT, account);
        }
    }

    pub(crate) fn page(&self, query: &AuditQuery) -> Vec<AuditRow> {
        let is_about = |row: &&AuditRow| {
            query
                .subject
                .as_ref()
                .is_none_or(|account| row.subject == account.as_str() || row.subject == erased_subject(SALT, account))
        };
        let (above, below) = query.between();
        let between = self.rows.iter().filter(|row| row.number > above && row.number < below);
        let of_caller = between.filter(|row| query.caller.as_ref().is_none_or(|caller| row.caller == *caller));
        let found = of_caller.filter(is_about);
        if query.newest_first {
            found.rev().take(query.limit).cloned().collect()
        } else {
            found.take(query.limit).cloned().collect()
        }
    }

    pub(crate) fn prune(&mut self, before: Millis, most: u64) -> bool {
        let held = self.rows.len();
        while let Some(oldest) = self.rows.front()
            && (oldest.time < before || self.rows.len() as u64 > most)
        {
            self.rows.pop_front();
        }
        self.rows.len() < held
    }
}
