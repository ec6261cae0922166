//! The changes of the own sessions that other nodes do not know yet.

use std::collections::HashMap;

use crate::hub::OwnSession;
use rosterd_engine::model::SessionId;
use rosterd_engine::sync::session_directory::SessionChange;
use rosterd_protocol::v1;

/// The most changes that are stored at a time.
pub(super) const SOME: usize = 500;

/// The changes of the own sessions that are not stored yet.
#[derive(Debug, Default)]
pub(super) struct UnstoredSessions {
    /// The number of the last change.
    last: u64,
    /// In the order in which they came; of a session the newest only.
    pub(super) unstored: Vec<OwnSession>,
}

impl UnstoredSessions {
    /// Begins anew, under another id: everything is told again.
    pub(super) fn begin_again(&mut self, all: Vec<OwnSession>) {
        *self = Self { last: 0, unstored: all };
    }

    /// Adds changes after those that wait.
    pub(super) fn add(&mut self, changes: Vec<OwnSession>) {
        self.unstored.extend(changes);
        // A statement may write a row once.
        let newest: HashMap<SessionId, usize> =
            self.unstored.iter().enumerate().map(|(at, (id, ..))| (*id, at)).collect();
        let mut at = 0;
        self.unstored.retain(|(id, ..)| {
            at += 1;
            newest.get(id) == Some(&(at - 1))
        });
    }

    /// Numbers the first of them. Numbers that are given again after a failure are higher: others read them once more, which
    /// changes nothing.
    pub(super) fn numbered(&mut self) -> Vec<SessionChange<v1::Device>> {
        let some = self.unstored.iter().take(SOME);
        let numbered = some.map(|(id, account, state)| {
            self.last += 1;
            SessionChange { number: self.last, id: *id, account: account.clone(), state: state.clone() }
        });
        numbered.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::Account;
    use rosterd_engine::sync::session_directory::SessionState;

    #[test]
    fn of_each_session_the_newest_change_is_stored_and_numbers_only_grow() {
        let account = || Account::parse("ann", "account").unwrap();
        let live = |id, at| {
            (
                SessionId(id),
                account(),
                SessionState::Live { connected_at: at, since: at, device: v1::Device::default() },
            )
        };
        let ended = |id, at| (SessionId(id), account(), SessionState::Ended { at });
        let mut own = UnstoredSessions::default();
        own.add(vec![live(1, 1), live(2, 2), ended(1, 3)]);
        let of = |own: &mut UnstoredSessions| {
            own.numbered().into_iter().map(|change| (change.number, change.id.0)).collect::<Vec<_>>()
        };
        assert_eq!(of(&mut own), [(1, 2), (2, 1)]);
        // It was not stored: they come again, with others.
        own.add(vec![live(3, 4)]);
        assert_eq!(of(&mut own), [(3, 2), (4, 1), (5, 3)]);
        own.begin_again(vec![live(2, 2)]);
        assert_eq!(of(&mut own), [(1, 2)]);
    }
}
