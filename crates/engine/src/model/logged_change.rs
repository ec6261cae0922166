//! A change as the change log keeps it, and what an erasure takes out of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Account, Change, Profile, Revision, Row};

/// The identity of a change log: two logs that have the same hold the same changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogHistory(pub u64);

impl fmt::Display for LogHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for LogHistory {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits { u64::from_str_radix(text, 16).map(Self).map_err(drop) } else { Err(()) }
    }
}

/// A change in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedChange {
    /// The change.
    pub change: Change,
    /// Whether personal data was taken out of it.
    pub erased: bool,
}

impl LoggedChange {
    /// Takes the personal data of a deleted account out: its profile, and the texts of its relations, its friends' notes
    /// about it included. Changes from `below` on are those of a later account of the same name. Returns whether there
    /// was any.
    pub fn erase(&mut self, account: &Account, below: Revision) -> bool {
        if self.change.revision >= below {
            return false;
        }
        let mut erased = false;
        for row in &mut self.change.rows {
            erased |= erase_row(row, account);
        }
        self.erased |= erased;
        erased
    }
}

fn erase_row(row: &mut Row, account: &Account) -> bool {
    match row {
        Row::Profile(profile) if profile.account == *account => {
            let Profile { account, create_time, update_time, version, friends, everyone, .. } = &**profile;
            let empty = Profile::new(account.clone(), *version, *create_time);
            let bare = Profile { update_time: *update_time, friends: *friends, everyone: *everyone, ..empty };
            let had_any = bare != **profile;
            *profile = Arc::new(bare);
            had_any
        }
        Row::Edge(edge) if edge.owner == *account || edge.peer == *account => {
            let had_any = !edge.alias.is_empty() || !edge.custom.is_empty();
            (edge.alias, edge.custom) = Default::default();
            had_any
        }
        Row::Request(request) if request.sender == *account || request.receiver == *account => {
            let had_any = !request.message.is_empty();
            request.message = Box::default();
            had_any
        }
        Row::Presence { account: owner, chosen, .. } if owner == account => chosen.status.take().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, ChosenPresence, Edge, Request, RequestSide, RequestState, Status, WriteOrigin};

    fn account(name: &str) -> Account {
        Account::parse(name, "account").unwrap()
    }

    fn logged(rows: Vec<Row>) -> LoggedChange {
        let replaced = vec![0; rows.len()];
        let change =
            Change { revision: 5, time: 1, origin: WriteOrigin::Import, cause: Cause::UserCreated, rows, replaced };
        LoggedChange { change, erased: false }
    }

    #[test]
    fn an_erasure_takes_the_texts_out_and_leaves_the_versions() {
        let (ann, bob) = (account("ann"), account("bob"));
        let profile = Profile { nick: "Ann".into(), ..Profile::new(ann.clone(), 5, 3) };
        let edge = |owner: &Account, peer: &Account| Edge {
            alias: "A".into(),
            ..Edge::new(owner.clone(), peer.clone(), 5, 3)
        };
        let request = Request {
            sender: bob.clone(),
            receiver: ann.clone(),
            side: RequestSide::Sender,
            message: "hi".into(),
            state: RequestState::Open,
            create_time: 3,
            update_time: 3,
            version: 5,
        };
        let chosen = |text: Option<&str>| ChosenPresence {
            status: text.map(|text| Arc::new(Status { text: text.into(), until: None, time: 3 })),
            version: 5,
            ..ChosenPresence::default()
        };
        let bobs = Row::Profile(Arc::new(Profile { nick: "Bob".into(), ..Profile::new(bob.clone(), 5, 3) }));
        let mut change = logged(vec![
            Row::Profile(Arc::new(profile)),
            bobs.clone(),
            Row::Edge(edge(&ann, &bob)),
            Row::Edge(edge(&bob, &ann)),
            Row::Request(request.clone()),
            Row::Presence { account: ann.clone(), chosen: chosen(Some("lunch")), turned: None },
        ]);
        // One of a later account of the name stays.
        let before = change.clone();
        assert!(!change.erase(&ann, 5));
        assert_eq!(change, before);
        assert!(change.erase(&ann, 6) && change.erased);
        let expected = vec![
            Row::Profile(Arc::new(Profile::new(ann.clone(), 5, 3))),
            bobs,
            Row::Edge(Edge::new(ann.clone(), bob.clone(), 5, 3)),
            Row::Edge(Edge::new(bob.clone(), ann.clone(), 5, 3)),
            Row::Request(Request { message: Box::default(), ..request }),
            Row::Presence { account: ann.clone(), chosen: chosen(None), turned: None },
        ];
        assert_eq!(change.change.rows, expected);
        assert!(!change.erase(&ann, 6) && change.erased);
    }

    #[test]
    fn a_history_is_read_as_it_was_written() {
        assert_eq!(LogHistory(7).to_string().parse(), Ok(LogHistory(7)));
        for text in ["", "7", "000000000000000G", "000000000000000A"] {
            assert_eq!(text.parse::<LogHistory>(), Err(()), "{text}");
        }
    }
}
