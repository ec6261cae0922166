//! Decides what a command does to the current rows.
//!
//! The store reads what [`reads`] asks for, calls [`decide`], and writes the rows it answers with, all in one
//! transaction. Every write of every origin passes here; nothing else makes rows.

use std::sync::Arc;

use crate::model::{
    Account, Answer, Command, Edge, FRIENDS, Millis, Outcome, Patch, Profile, Reason, RequestError, Row, Stamp,
};

/// The rows a command is decided on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Profiles, where they exist.
    pub users: Vec<Account>,
    /// Edges by owner and peer, where they exist, tombstones included.
    pub edges: Vec<(Account, Account)>,
    /// How many friends these accounts have.
    pub counts: Vec<Account>,
    /// Every live edge of this account.
    pub friends_of: Option<Account>,
}

/// What the store found.
#[derive(Debug, Default)]
pub struct Current {
    /// The profiles asked for that exist.
    pub users: Vec<Arc<Profile>>,
    /// The edges asked for that exist.
    pub edges: Vec<Edge>,
    /// The friend counts asked for.
    pub counts: Vec<(Account, u64)>,
}

impl Current {
    fn user(&self, account: &Account) -> Option<&Arc<Profile>> {
        self.users.iter().find(|p| p.account == *account)
    }

    fn known(&self, account: &Account) -> Result<&Arc<Profile>, RequestError> {
        self.user(account).ok_or_else(|| RequestError::unknown_account(account))
    }

    fn lists(&self, owner: &Account, peer: &Account) -> bool {
        self.edges.iter().any(|e| e.owner == *owner && e.peer == *peer && !e.removed)
    }

    fn is_full(&self, account: &Account) -> bool {
        self.counts.iter().any(|(a, n)| a == account && *n >= FRIENDS)
    }
}

/// What a command comes to: the rows to write (none means that nothing changes) and the answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rows as they shall stand.
    pub rows: Vec<Row>,
    /// What the asker is told once they are durable.
    pub answer: Answer,
}

impl Decision {
    fn new(rows: Vec<Row>, outcome: Outcome) -> Self {
        Self { rows, answer: Answer { outcome, profile: None } }
    }
}

/// The rows that [`decide`] needs for this command.
#[must_use]
pub fn reads(command: &Command) -> Reads {
    match command {
        Command::SetProfile { account, .. } => Reads { users: vec![account.clone()], ..Reads::default() },
        Command::DeleteUser { account } => {
            Reads { users: vec![account.clone()], friends_of: Some(account.clone()), ..Reads::default() }
        }
        Command::Befriend { account, peer } => {
            Reads { counts: vec![account.clone(), peer.clone()], ..pair(account, peer) }
        }
        Command::Unfriend { account, peer } => pair(account, peer),
    }
}

fn pair(account: &Account, peer: &Account) -> Reads {
    Reads {
        users: vec![account.clone(), peer.clone()],
        edges: vec![(account.clone(), peer.clone()), (peer.clone(), account.clone())],
        ..Reads::default()
    }
}

/// Decides. `stamp` is the change's place in commit order and becomes the version of the rows: it is greater
/// than any before, so a key that is deleted and made again never goes back.
///
/// # Errors
/// The command cannot be carried out; nothing is to be written.
pub fn decide(current: &Current, command: &Command, stamp: Stamp, now: Millis) -> Result<Decision, RequestError> {
    match command {
        Command::SetProfile { account, patch, create, if_version } => {
            let before = match current.user(account) {
                None if !*create => return Err(RequestError::unknown_account(account)),
                before => before,
            };
            expect_version(before, *if_version)?;
            Ok(set_profile(before, account, patch, stamp, now))
        }
        Command::DeleteUser { account } => {
            current.known(account)?;
            Ok(delete_user(current, account, stamp, now))
        }
        Command::Befriend { account, peer } => befriend(current, account, peer, stamp, now),
        Command::Unfriend { account, peer } => unfriend(current, account, peer, stamp, now),
    }
}

fn expect_version(before: Option<&Arc<Profile>>, expected: Option<u64>) -> Result<(), RequestError> {
    let held = before.map_or(0, |p| p.version);
    match expected {
        Some(version) if version != held => {
            let message = format!("the profile has version {held}, not {version}");
            Err(RequestError::new(Reason::VersionMismatch, message).field("ifVersion"))
        }
        _ => Ok(()),
    }
}

fn set_profile(before: Option<&Arc<Profile>>, account: &Account, patch: &Patch, stamp: Stamp, now: Millis) -> Decision {
    let (next, outcome) = match before {
        None => {
            let empty = Profile::new(account.clone(), stamp, now);
            (patch.apply(&empty).unwrap_or(empty), Outcome::Created)
        }
        Some(before) => match patch.apply(before) {
            None => {
                let answer = Answer { outcome: Outcome::Unchanged, profile: Some(before.clone()) };
                return Decision { rows: Vec::new(), answer };
            }
            // A clock that was set back does not make a profile look older than it was.
            Some(next) => {
                (Profile { version: stamp, update_time: now.max(before.update_time), ..next }, Outcome::Changed)
            }
        },
    };
    let next = Arc::new(next);
    Decision { rows: vec![Row::Profile(next.clone())], answer: Answer { outcome, profile: Some(next) } }
}

fn delete_user(current: &Current, account: &Account, stamp: Stamp, now: Millis) -> Decision {
    let mut rows = vec![Row::Gone { account: account.clone(), version: stamp }];
    for edge in current.edges.iter().filter(|e| !e.removed) {
        rows.extend(tombstones(account, &edge.peer, stamp, now));
    }
    Decision::new(rows, Outcome::Changed)
}

fn befriend(current: &Current, a: &Account, b: &Account, stamp: Stamp, now: Millis) -> Result<Decision, RequestError> {
    strangers_named(current, a, b)?;
    let missing: Vec<_> = [(a, b), (b, a)].into_iter().filter(|(owner, peer)| !current.lists(owner, peer)).collect();
    if let Some((full, _)) = missing.iter().find(|(owner, _)| current.is_full(owner)) {
        let message = format!("account \"{full}\" has {FRIENDS} friends, which is the limit");
        return Err(RequestError::new(Reason::LimitExceeded, message).field("account"));
    }
    let outcome = if missing.is_empty() { Outcome::Unchanged } else { Outcome::Created };
    let edge = |(owner, peer): (&Account, &Account)| Row::Edge(Edge::new(owner.clone(), peer.clone(), stamp, now));
    Ok(Decision::new(missing.into_iter().map(edge).collect(), outcome))
}

fn unfriend(current: &Current, a: &Account, b: &Account, stamp: Stamp, now: Millis) -> Result<Decision, RequestError> {
    strangers_named(current, a, b)?;
    if !current.lists(a, b) && !current.lists(b, a) {
        return Ok(Decision::new(Vec::new(), Outcome::Unchanged));
    }
    Ok(Decision::new(tombstones(a, b, stamp, now).into(), Outcome::Changed))
}

/// Both exist and are two.
fn strangers_named(current: &Current, a: &Account, b: &Account) -> Result<(), RequestError> {
    if a == b {
        let message = format!("\"{a}\" cannot be a friend of itself");
        return Err(RequestError::new(Reason::InvalidArgument, message).field("peer"));
    }
    current.known(a).map_err(|e| e.field("account"))?;
    current.known(b).map_err(|e| e.field("peer"))?;
    Ok(())
}

fn tombstones(a: &Account, b: &Account, stamp: Stamp, now: Millis) -> [Row; 2] {
    [(a, b), (b, a)].map(|(owner, peer)| Row::Edge(Edge::tombstone(owner.clone(), peer.clone(), stamp, now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fields;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn account(name: &str) -> Account {
        Account::parse(name, "account").unwrap()
    }

    /// The rows a store would hold; reads and writes as a store must.
    #[derive(Default)]
    struct Table {
        users: BTreeMap<Account, Arc<Profile>>,
        edges: BTreeMap<(Account, Account), Edge>,
        stamp: Stamp,
    }

    impl Table {
        fn current(&self, reads: &Reads) -> Current {
            let live = |a: &Account| {
                self.edges.values().filter(move |e| e.owner == *a && !e.removed).cloned().collect::<Vec<_>>()
            };
            let mut edges: Vec<_> = reads.edges.iter().filter_map(|k| self.edges.get(k).cloned()).collect();
            edges.extend(reads.friends_of.iter().flat_map(live));
            Current {
                users: reads.users.iter().filter_map(|a| self.users.get(a).cloned()).collect(),
                edges,
                counts: reads.counts.iter().map(|a| (a.clone(), live(a).len() as u64)).collect(),
            }
        }

        fn run(&mut self, command: &Command, now: Millis) -> Result<Decision, RequestError> {
            let decision = decide(&self.current(&reads(command)), command, self.stamp + 1, now)?;
            if !decision.rows.is_empty() {
                self.stamp += 1;
            }
            for row in &decision.rows {
                match row.clone() {
                    Row::Profile(p) => drop(self.users.insert(p.account.clone(), p)),
                    Row::Gone { account, .. } => drop(self.users.remove(&account)),
                    Row::Edge(e) => drop(self.edges.insert((e.owner.clone(), e.peer.clone()), e)),
                }
            }
            Ok(decision)
        }

        fn friends(&self, a: &Account, b: &Account) -> bool {
            self.edges.get(&(a.clone(), b.clone())).is_some_and(|e| !e.removed)
        }
    }

    fn set(name: &str, nick: &str) -> Command {
        let patch = Fields { nick: Some(nick.into()), ..Fields::default() }.check().unwrap();
        Command::SetProfile { account: account(name), patch, create: true, if_version: None }
    }

    fn if_version(command: Command, version: u64) -> Command {
        match command {
            Command::SetProfile { account, patch, .. } => {
                Command::SetProfile { account, patch, create: false, if_version: Some(version) }
            }
            other => other,
        }
    }

    fn befriend(a: &str, b: &str) -> Command {
        Command::Befriend { account: account(a), peer: account(b) }
    }

    #[test]
    fn compare_and_set_takes_only_the_version_held() {
        let mut table = Table::default();
        let made = table.run(&set("a", "one"), 1).unwrap().answer.profile.unwrap();
        let error = table.run(&if_version(set("a", "two"), made.version + 1), 2).unwrap_err();
        assert_eq!((error.reason, error.field.as_deref()), (Reason::VersionMismatch, Some("ifVersion")));
        assert!(table.run(&if_version(set("a", "two"), made.version), 2).is_ok());
        assert_eq!(table.run(&if_version(set("b", "x"), 1), 2).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn what_changes_nothing_makes_no_row() {
        let mut table = Table::default();
        table.run(&set("a", "one"), 1).unwrap();
        table.run(&set("b", "one"), 1).unwrap();
        table.run(&befriend("a", "b"), 1).unwrap();
        for command in [set("a", "one"), befriend("a", "b"), befriend("b", "a")] {
            let decision = table.run(&command, 9).unwrap();
            assert_eq!((decision.rows.len(), decision.answer.outcome), (0, Outcome::Unchanged));
        }
    }

    #[test]
    fn a_clock_set_back_does_not_age_a_profile() {
        let mut table = Table::default();
        table.run(&set("a", "one"), 100).unwrap();
        let after = table.run(&set("a", "two"), 50).unwrap().answer.profile.unwrap();
        assert_eq!((after.create_time, after.update_time), (100, 100));
    }

    #[test]
    fn wrong_pairs_are_told_apart() {
        let mut table = Table::default();
        table.run(&set("a", "one"), 1).unwrap();
        let error = table.run(&befriend("a", "a"), 1).unwrap_err();
        assert_eq!((error.reason, error.field.as_deref()), (Reason::InvalidArgument, Some("peer")));
        let error = table.run(&befriend("a", "nobody"), 1).unwrap_err();
        assert_eq!((error.reason, error.field.as_deref()), (Reason::NotFound, Some("peer")));
        assert!(error.message.contains("nobody"));
    }

    #[test]
    fn the_friend_limit_names_who_is_full() {
        let (a, b) = (account("a"), account("b"));
        let user = |a: &Account| Arc::new(Profile::new(a.clone(), 1, 1));
        let current = Current {
            users: vec![user(&a), user(&b)],
            counts: vec![(a.clone(), 3), (b.clone(), FRIENDS)],
            ..Current::default()
        };
        let error = decide(&current, &befriend("a", "b"), 5, 5).unwrap_err();
        assert_eq!(error.reason, Reason::LimitExceeded);
        assert!(error.message.contains("\"b\""));
    }

    fn commands() -> impl Strategy<Value = Command> {
        let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
        prop_oneof![
            (name(), "[xy]").prop_map(|(a, n)| set(a, &n)),
            (name(), "[xy]", 0..9u64).prop_map(|(a, n, v)| if_version(set(a, &n), v)),
            name().prop_map(|a| Command::DeleteUser { account: account(a) }),
            (name(), name()).prop_map(|(a, b)| befriend(a, b)),
            (name(), name()).prop_map(|(a, b)| Command::Unfriend { account: account(a), peer: account(b) }),
        ]
    }

    proptest! {
        /// Versions of a key never go back, deletion included; friendship is mutual and only among accounts that exist;
        /// a refused or void command leaves no row.
        #[test]
        fn histories_keep_the_invariants(history in prop::collection::vec(commands(), 1..60)) {
            let mut table = Table::default();
            let mut newest: BTreeMap<String, u64> = BTreeMap::new();
            for command in &history {
                let before = table.stamp;
                let rows = table.run(command, 1).map(|d| d.rows).unwrap_or_default();
                prop_assert_eq!(table.stamp, before + u64::from(!rows.is_empty()));
                for row in rows {
                    let (key, version) = match row {
                        Row::Profile(p) => (format!("u{}", p.account), p.version),
                        Row::Gone { account, version } => (format!("u{account}"), version),
                        Row::Edge(e) => (format!("e{} {}", e.owner, e.peer), e.version),
                    };
                    prop_assert!(newest.insert(key, version).is_none_or(|held| held < version));
                }
                for edge in table.edges.values().filter(|e| !e.removed) {
                    prop_assert!(table.friends(&edge.peer, &edge.owner));
                    prop_assert!(table.users.contains_key(&edge.owner) && table.users.contains_key(&edge.peer));
                }
            }
        }
    }
}
