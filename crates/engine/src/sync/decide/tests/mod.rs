mod adopt;
mod reads;
mod rules;
mod tokens;
mod versions;

use super::*;
use crate::model::limits::{FRIENDS, REQUESTS};
use crate::model::{Audience, Fields, FriendUpdate, Reason, TokenHash};
use crate::model::{
    Block, ChosenPresence, Credential, Edge, Outcome, PresenceChange, Profile, Request, RequestSide, RequestState, Row,
};
use RequestSide::{Receiver, Sender};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn account(name: &str) -> Account {
    Account::parse(name, "account").unwrap()
}

/// The rows of a store, read and written as a store must.
#[derive(Default)]
struct Table {
    users: BTreeMap<Account, Arc<Profile>>,
    chosen: BTreeMap<Account, ChosenPresence>,
    credentials: BTreeMap<Account, Credential>,
    edges: BTreeMap<(Account, Account), Edge>,
    requests: BTreeMap<(Account, Account, RequestSide), Request>,
    blocks: BTreeMap<(Account, Account), Block>,
    frozen: BTreeMap<(Account, Account), Arc<Profile>>,
    visibility: Visibility,
    revision: Revision,
}

impl Table {
    fn with(accounts: &[&str]) -> Self {
        let mut table = Self::default();
        for name in accounts {
            table.run(&set(name, "x"), 1).unwrap();
        }
        table
    }

    fn current(&self, reads: &Reads) -> CurrentRows {
        let mut current = CurrentRows {
            users: reads.users.iter().filter_map(|a| self.users.get(a).cloned()).collect(),
            presence: StoredPresence {
                chosen: reads.presence.as_ref().and_then(|a| self.chosen.get(a)).cloned().unwrap_or_default(),
                ..StoredPresence::default()
            },
            frozen: reads.frozen.as_ref().and_then(|key| self.frozen.get(key).cloned()),
            ..CurrentRows::default()
        };
        if let Some((a, b)) = &reads.pair {
            let keys = [(a.clone(), b.clone()), (b.clone(), a.clone())];
            current.edges = keys.iter().filter_map(|key| self.edges.get(key).cloned()).collect();
            let between = |r: &&Request| keys.contains(&(r.sender.clone(), r.receiver.clone()));
            current.requests = self.requests.values().filter(between).cloned().collect();
            current.blocks = keys.iter().filter_map(|key| self.blocks.get(key).cloned()).collect();
        }
        if let Some(a) = &reads.all_of {
            current.edges = self.edges.values().filter(|e| e.owner == *a && !e.removed).cloned().collect();
            let involved = |r: &&Request| r.sender == *a || r.receiver == *a;
            current.requests = self.open().filter(involved).cloned().collect();
            current.blocks =
                self.blocks.values().filter(|b| (b.owner == *a || b.peer == *a) && !b.removed).cloned().collect();
            let blocked = current.blocks.iter().filter(|b| b.owner == *a);
            let theirs = blocked.filter_map(|b| self.edges.get(&(b.peer.clone(), a.clone())));
            current.edges.extend(theirs.filter(|e| !e.removed).cloned());
        }
        current.credential = reads.credential.iter().find_map(|a| self.credentials.get(a)).cloned().unwrap_or_default();
        current.counts = reads.counts.iter().map(|a| (a.clone(), self.counts(a))).collect();
        current
    }

    fn open(&self) -> impl Iterator<Item = &Request> {
        self.requests.values().filter(|request| request.state == RequestState::Open)
    }

    fn counts(&self, a: &Account) -> RelationCounts {
        RelationCounts {
            friends: self.edges.values().filter(|e| e.owner == *a && !e.removed).count() as u64,
            sent: self.open().filter(|r| r.sender == *a && r.side == RequestSide::Sender).count() as u64,
            received: self.open().filter(|r| r.receiver == *a && r.side == RequestSide::Sender).count() as u64,
            blocks: self.blocks.values().filter(|b| b.owner == *a && !b.removed).count() as u64,
        }
    }

    fn run(&mut self, command: &Command, now: Millis) -> Result<Decision, RequestError> {
        let current = self.current(&reads(command));
        let decision = decide(&current, command, self.revision + 1, now, &self.visibility)?;
        if !decision.rows.is_empty() {
            self.revision += 1;
        }
        for row in &decision.rows {
            self.put(row.clone());
        }
        Ok(decision)
    }

    fn put(&mut self, row: Row) {
        match row {
            Row::Profile(p) => drop(self.users.insert(p.account.clone(), p)),
            Row::Gone { account, .. } => {
                self.users.remove(&account);
                self.chosen.remove(&account);
            }
            Row::Edge(e) => drop(self.edges.insert((e.owner.clone(), e.peer.clone()), e)),
            Row::Request(r) => drop(self.requests.insert((r.sender.clone(), r.receiver.clone(), r.side), r)),
            Row::Block { block, frozen } => {
                assert_eq!(frozen.is_none(), block.removed);
                let key = (block.owner.clone(), block.peer.clone());
                match frozen {
                    Some(profile) => drop(self.frozen.insert(key.clone(), profile)),
                    None => drop(self.frozen.remove(&key)),
                }
                self.blocks.insert(key, block);
            }
            Row::Presence { account, chosen, .. } => drop(self.chosen.insert(account, chosen)),
            Row::Credential { account, credential } => drop(self.credentials.insert(account, credential)),
        }
    }

    fn friends(&self, a: &Account, b: &Account) -> bool {
        self.edges.get(&(a.clone(), b.clone())).is_some_and(|e| !e.removed)
    }

    fn copy(&self, sender: &str, receiver: &str, side: RequestSide) -> Option<&Request> {
        self.requests.get(&(account(sender), account(receiver), side))
    }

    /// The state of a request of which both sides know the same.
    fn state(&self, sender: &str, receiver: &str) -> Option<RequestState> {
        let [one, other] = [Sender, Receiver].map(|side| self.copy(sender, receiver, side));
        let known = |copy: Option<&Request>| copy.map(|copy| (copy.version, copy.state));
        assert_eq!(known(one), known(other));
        one.map(|copy| copy.state)
    }

    fn refused(&mut self, command: &Command) -> (Reason, Option<String>) {
        let error = self.run(command, 9).unwrap_err();
        (error.reason, error.field.map(std::borrow::Cow::into_owned))
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
        Command::UpdateFriend { account, peer, note, .. } => {
            Command::UpdateFriend { account, peer, note, if_version: Some(version) }
        }
        Command::Block { account, peer, .. } => Command::Block { account, peer, if_version: Some(version) },
        Command::Unblock { account, peer, .. } => Command::Unblock { account, peer, if_version: Some(version) },
        Command::SetPresence { account, set, .. } => Command::SetPresence { account, set, if_version: Some(version) },
        other => other,
    }
}

fn hide(name: &str, invisible: bool) -> Command {
    Command::SetPresence { account: account(name), set: PresenceChange::hides(invisible), if_version: None }
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
fn wrong_pairs_have_distinct_errors() {
    let mut table = Table::default();
    table.run(&set("a", "one"), 1).unwrap();
    let error = table.run(&befriend("a", "a"), 1).unwrap_err();
    assert_eq!((error.reason, error.field.as_deref()), (Reason::InvalidArgument, Some("peer")));
    let error = table.run(&befriend("a", "nobody"), 1).unwrap_err();
    assert_eq!((error.reason, error.field.as_deref()), (Reason::NotFound, Some("peer")));
    assert!(error.message.contains("nobody"));
}

fn pair(a: &str, b: &str) -> (Account, Account) {
    (account(a), account(b))
}

fn ask(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::RequestFriend { account, peer, message: "hello".into() }
}

fn add(a: &str, b: &str, message: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::AddFriend { account, peer, message: message.into() }
}

fn accept(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::AcceptFriend { account, peer }
}

fn reject(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::RejectFriend { account, peer }
}

fn cancel(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::CancelRequest { account, peer }
}

fn delete(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::DeleteFriend { account, peer }
}

fn note(a: &str, b: &str, alias: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::UpdateFriend {
        account,
        peer,
        note: FriendUpdate::check(Some(alias.into()), None).unwrap(),
        if_version: None,
    }
}

fn block(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::Block { account, peer, if_version: None }
}

fn unblock(a: &str, b: &str) -> Command {
    let (account, peer) = pair(a, b);
    Command::Unblock { account, peer, if_version: None }
}

#[test]
fn the_friend_limit_names_the_account_that_is_full() {
    let (a, b) = pair("a", "b");
    let user = |a: &Account| Arc::new(Profile::new(a.clone(), 1, 1));
    let full = RelationCounts { friends: FRIENDS, ..RelationCounts::default() };
    let current = CurrentRows {
        users: vec![user(&a), user(&b)],
        counts: vec![(a, RelationCounts::default()), (b, full)],
        ..CurrentRows::default()
    };
    for command in [befriend("a", "b"), add("a", "b", "")] {
        let error = decide(&current, &command, 5, 5, &Visibility::default()).unwrap_err();
        assert_eq!(error.reason, Reason::LimitExceeded);
        assert!(error.message.contains("\"b\""));
    }
}

#[test]
fn requests_are_asked_answered_taken_back_and_expire() {
    use RequestState::{Accepted, Cancelled, Expired, Open, Rejected};
    let mut table = Table::with(&["a", "b"]);
    let (a, b) = pair("a", "b");
    let not_open = (Reason::NotFound, Some("account".to_owned()));
    for command in [accept("b", "a"), reject("b", "a"), cancel("a", "b")] {
        assert_eq!(table.refused(&command), not_open);
    }
    table.run(&ask("a", "b"), 5).unwrap();
    assert_eq!(table.state("a", "b"), Some(Open));
    assert_eq!(table.refused(&ask("a", "b")).0, Reason::AlreadyExists);
    assert_eq!(table.refused(&accept("a", "b")), not_open, "one cannot accept one's own request");
    table.run(&reject("b", "a"), 6).unwrap();
    assert_eq!(table.state("a", "b"), Some(Rejected));
    assert_eq!(table.refused(&accept("b", "a")), not_open);
    table.run(&ask("a", "b"), 7).unwrap();
    table.run(&cancel("a", "b"), 8).unwrap();
    assert_eq!(table.state("a", "b"), Some(Cancelled));
    table.run(&ask("a", "b"), 10).unwrap();
    let expire = |before| Command::ExpireRequest { sender: a.clone(), receiver: b.clone(), before };
    assert_eq!(table.run(&expire(10), 20).unwrap().answer.outcome, Outcome::Unchanged);
    table.run(&expire(11), 20).unwrap();
    assert_eq!(table.state("a", "b"), Some(Expired));
    table.run(&ask("a", "b"), 21).unwrap();
    table.run(&accept("b", "a"), 22).unwrap();
    assert_eq!(table.state("a", "b"), Some(Accepted));
    assert!(table.friends(&a, &b) && table.friends(&b, &a));
    for command in [ask("a", "b"), add("b", "a", ""), accept("b", "a")] {
        assert_eq!(table.refused(&command).0, Reason::AlreadyExists);
    }
    table.run(&delete("b", "a"), 23).unwrap();
    assert_eq!(table.refused(&delete("b", "a")), not_open);
}

#[test]
fn two_who_ask_each_other_are_friends_once() {
    let mut table = Table::with(&["a", "b"]);
    table.run(&ask("a", "b"), 5).unwrap();
    let decision = table.run(&ask("b", "a"), 6).unwrap();
    assert_eq!(decision.rows.len(), 4);
    assert_eq!((table.state("a", "b"), table.state("b", "a")), (Some(RequestState::Accepted), None));
    assert_eq!(table.refused(&accept("b", "a")).0, Reason::AlreadyExists);
}

#[test]
fn adding_closes_an_open_request_and_brings_its_message() {
    let mut table = Table::with(&["a", "b", "c"]);
    table.run(&ask("a", "b"), 5).unwrap();
    table.run(&add("b", "a", ""), 6).unwrap();
    assert_eq!((table.state("a", "b"), table.state("b", "a")), (Some(RequestState::Accepted), None));
    table.run(&ask("a", "c"), 7).unwrap();
    table.run(&add("a", "c", "hi"), 8).unwrap();
    assert_eq!(table.state("a", "c"), Some(RequestState::Accepted));
    let request = table.copy("a", "c", Receiver).unwrap();
    assert_eq!((request.state, &*request.message), (RequestState::Accepted, "hi"));
}

#[test]
fn the_limits_of_requests_name_the_account_that_is_full() {
    let (a, b) = pair("a", "b");
    let user = |a: &Account| Arc::new(Profile::new(a.clone(), 1, 1));
    let current = |sent, received| CurrentRows {
        users: vec![user(&a), user(&b)],
        counts: vec![
            (a.clone(), RelationCounts { sent, ..RelationCounts::default() }),
            (b.clone(), RelationCounts { received, ..RelationCounts::default() }),
        ],
        ..CurrentRows::default()
    };
    let rules = Visibility::default();
    assert!(decide(&current(REQUESTS - 1, REQUESTS - 1), &ask("a", "b"), 5, 5, &rules).is_ok());
    for (current, full) in [(current(REQUESTS, 0), "\"a\""), (current(0, REQUESTS), "\"b\"")] {
        let error = decide(&current, &ask("a", "b"), 5, 5, &rules).unwrap_err();
        assert_eq!(error.reason, Reason::LimitExceeded);
        assert!(error.message.contains(full));
    }
}

#[test]
fn a_blocked_account_does_not_notice_the_block_by_asking() {
    let mut table = Table::with(&["a", "b"]);
    table.run(&block("a", "b"), 5).unwrap();
    assert_eq!(table.run(&block("a", "b"), 5).unwrap().answer.outcome, Outcome::Unchanged);
    let asked =
        table.run(&Command::RequestFriend { account: account("b"), peer: account("a"), message: "hi".into() }, 6);
    assert_eq!(asked.unwrap().rows.len(), 1);
    let sent = table.copy("b", "a", Sender).unwrap().clone();
    assert_eq!(table.copy("b", "a", Receiver), None);
    assert_eq!(table.refused(&ask("a", "b")).0, Reason::PermissionDenied);
    assert_eq!(table.refused(&accept("a", "b")).0, Reason::PermissionDenied);
    assert_eq!(table.refused(&reject("a", "b")).0, Reason::NotFound);
    table.run(&unblock("a", "b"), 7).unwrap();
    assert_eq!(table.run(&unblock("a", "b"), 7).unwrap().answer.outcome, Outcome::Unchanged);
    // The receiver is asked now, and the sender's copy is as it was: it cannot tell that from one who takes its time.
    let version = table.revision;
    assert_eq!(table.copy("b", "a", Sender), Some(&sent));
    let received = table.copy("b", "a", Receiver).unwrap().clone();
    assert_eq!(received, Request { side: Receiver, update_time: 7, version, ..sent });
    assert_eq!(table.refused(&ask("b", "a")).0, Reason::AlreadyExists);
    table.run(&ask("a", "b"), 8).unwrap();
    assert_eq!(table.state("b", "a"), Some(RequestState::Accepted));
}

/// Adding one that blocks the account succeeds as it does for anyone, on the side of the account alone.
#[test]
fn a_blocked_account_does_not_notice_the_block_by_adding() {
    for (ends, is_gone) in [
        (unblock("a", "b"), false),
        (delete("b", "a"), false),
        (Command::Unfriend { account: account("a"), peer: account("b") }, false),
        (Command::DeleteUser { account: account("a") }, true),
    ] {
        let mut table = Table::with(&["a", "b", "c"]);
        table.run(&block("a", "b"), 5).unwrap();
        let added = table.run(&add("b", "a", "hi"), 6).unwrap();
        let others = table.run(&add("b", "c", "hi"), 6).unwrap();
        assert_eq!((added.answer.outcome, added.rows.len()), (others.answer.outcome, others.rows.len() / 2));
        assert_eq!(table.copy("b", "a", Sender).unwrap().state, RequestState::Accepted);
        assert_eq!(table.copy("b", "a", Receiver), None);
        let (a, b) = pair("a", "b");
        assert_eq!((table.friends(&b, &a), table.friends(&a, &b)), (true, false));
        for again in [add("b", "a", ""), ask("b", "a")] {
            assert_eq!(table.refused(&again).0, Reason::AlreadyExists);
        }
        assert_eq!(table.refused(&delete("a", "b")).0, Reason::NotFound);
        // It ends on that side alone, too.
        let edges = table.run(&ends, 7).unwrap().rows.into_iter().filter(|row| matches!(row, Row::Edge(_))).count();
        assert_eq!((edges, table.friends(&b, &a)), (1, false), "{ends:?}");
        assert_eq!(table.users.contains_key(&a), !is_gone);
    }
    // The backend may make it whole.
    let mut table = Table::with(&["a", "b"]);
    table.run(&block("a", "b"), 5).unwrap();
    table.run(&add("b", "a", ""), 6).unwrap();
    table.run(&befriend("a", "b"), 7).unwrap();
    table.run(&unblock("a", "b"), 8).unwrap();
    let (a, b) = pair("a", "b");
    assert!(table.friends(&a, &b) && table.friends(&b, &a));
}

#[test]
fn a_block_keeps_for_one_who_is_no_friend_what_everyone_sees() {
    let visibility = Visibility { tel: Audience::Friends, ..Visibility::default() };
    for (friend, tel) in [(true, "1"), (false, "")] {
        let mut table = Table { visibility: visibility.clone(), ..Table::with(&["a", "b"]) };
        let patch = Fields { tel: Some("1".to_owned()), ..Fields::default() }.check().unwrap();
        let set = Command::SetProfile { account: account("a"), patch, create: false, if_version: None };
        table.run(&set, 2).unwrap();
        if friend {
            table.run(&befriend("a", "b"), 3).unwrap();
        }
        let decision = table.run(&block("a", "b"), 5).unwrap();
        let Row::Block { frozen: Some(frozen), .. } = &decision.rows[0] else { panic!("{decision:?}") };
        assert_eq!(&*frozen.tel, tel);
        let seen = |audience| frozen.last_change(audience).version;
        let moved = if friend { 3 } else { 1 };
        assert_eq!((seen(Audience::Everyone), seen(Audience::Friends)), (1, moved));
    }
}

/// The receiver's client, which was away, still has to learn of the end of the first request.
#[test]
fn a_request_of_one_who_is_blocked_leaves_alone_what_the_receiver_knew() {
    let mut table = Table::with(&["a", "b"]);
    table.run(&ask("b", "a"), 5).unwrap();
    table.run(&block("a", "b"), 6).unwrap();
    assert_eq!(table.state("b", "a"), Some(RequestState::Rejected));
    let known = table.copy("b", "a", Receiver).unwrap().clone();
    for end in [cancel("b", "a"), unblock("a", "b")] {
        table.run(&ask("b", "a"), 7).unwrap();
        assert_eq!(table.copy("b", "a", Receiver), Some(&known));
        table.run(&end, 8).unwrap();
    }
    assert_eq!(table.copy("b", "a", Receiver).unwrap().state, RequestState::Open);
}

/// Whether its inbox is full, and who fills it, says nothing of whom an account blocks.
#[test]
fn a_full_inbox_is_full_for_those_who_are_blocked_and_because_of_them() {
    let mut table = Table::with(&["a", "b", "c"]);
    let others: Vec<_> = (1..REQUESTS).map(|n| format!("x{n}")).collect();
    for other in &others {
        table.run(&set(other, "x"), 1).unwrap();
        table.run(&ask(other, "a"), 2).unwrap();
    }
    table.run(&block("a", "b"), 3).unwrap();
    // Asked in either order, the first is taken and the second is not.
    for [first, second] in [["b", "c"], ["c", "b"]] {
        table.run(&ask(first, "a"), 4).unwrap();
        let full = table.run(&ask(second, "a"), 4).unwrap_err();
        assert_eq!((full.reason, full.message.contains("\"a\"")), (Reason::LimitExceeded, true));
        table.run(&cancel(first, "a"), 5).unwrap();
    }
}

#[test]
fn a_block_ends_open_requests_and_its_end_leaves_the_edges() {
    let mut table = Table::with(&["a", "b", "c"]);
    table.run(&ask("a", "b"), 5).unwrap();
    table.run(&ask("c", "a"), 5).unwrap();
    table.run(&block("a", "b"), 6).unwrap();
    table.run(&block("a", "c"), 6).unwrap();
    assert_eq!(table.state("a", "b"), Some(RequestState::Cancelled));
    assert_eq!(table.state("c", "a"), Some(RequestState::Rejected));
    table.run(&befriend("a", "b"), 7).unwrap();
    let before = table.edges.clone();
    table.run(&unblock("a", "b"), 8).unwrap();
    assert_eq!(table.edges[&pair("a", "b")], before[&pair("a", "b")]);
    let (held, now) = (&before[&pair("b", "a")], &table.edges[&pair("b", "a")]);
    assert_eq!(*now, held.clone());
}

#[test]
fn an_update_of_a_friend_changes_only_the_own_edge() {
    let mut table = Table::with(&["a", "b"]);
    assert_eq!(table.refused(&note("a", "b", "Bee")).0, Reason::NotFound);
    table.run(&befriend("a", "b"), 5).unwrap();
    assert_eq!(table.run(&note("a", "b", "Bee"), 6).unwrap().rows.len(), 1);
    assert_eq!(table.run(&note("a", "b", "Bee"), 7).unwrap().answer.outcome, Outcome::Unchanged);
    assert_eq!(&*table.edges[&pair("a", "b")].alias, "Bee");
    assert_eq!(&*table.edges[&pair("b", "a")].alias, "");
}

#[test]
fn oneself_and_an_unknown_account_have_distinct_errors() {
    let mut table = Table::with(&["a"]);
    for to in [ask, accept, reject, cancel, delete, block] {
        assert_eq!(table.refused(&to("a", "a")), (Reason::InvalidArgument, Some("account".to_owned())));
        assert_eq!(table.refused(&to("a", "nobody")), (Reason::NotFound, Some("account".to_owned())));
    }
}

#[test]
fn a_deleted_account_leaves_nothing_open() {
    let mut table = Table::with(&["a", "b", "c", "d"]);
    table.run(&ask("a", "b"), 5).unwrap();
    table.run(&ask("c", "a"), 5).unwrap();
    table.run(&block("d", "a"), 5).unwrap();
    table.run(&block("a", "d"), 5).unwrap();
    table.run(&Command::DeleteUser { account: account("a") }, 6).unwrap();
    for key in [pair("a", "b"), pair("c", "a")] {
        for side in [Sender, Receiver] {
            let request = &table.requests[&(key.0.clone(), key.1.clone(), side)];
            assert_eq!((request.state, &*request.message), (RequestState::Cancelled, ""));
        }
    }
    assert!(table.blocks[&pair("d", "a")].removed && table.blocks[&pair("a", "d")].removed);
}

#[test]
fn a_view_moves_with_what_it_shows() {
    let visibility = Visibility { sign: Audience::Friends, tel: Audience::Own, ..Visibility::default() };
    let mut table = Table { visibility, ..Table::default() };
    table.run(&set("a", "one"), 1).unwrap();
    let mut change = |fields: Fields, now| {
        let (account, patch) = (account("a"), fields.check().unwrap());
        let command = Command::SetProfile { account, patch, create: false, if_version: None };
        let profile = table.run(&command, now).unwrap().answer.profile.unwrap();
        (profile.version, profile.friends.version, profile.everyone.version, profile.friends.time)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(change(Fields { tel: text("1"), ..Fields::default() }, 2), (2, 1, 1, 1));
    assert_eq!(change(Fields { sign: text("s"), ..Fields::default() }, 3), (3, 3, 1, 3));
    assert_eq!(change(Fields { nick: text("two"), ..Fields::default() }, 4), (4, 4, 4, 4));
}

fn token(name: &str, byte: Option<u8>) -> Command {
    let token = byte.map(|byte| TokenHash { salt: [byte; 16], hash: [byte; 32] });
    Command::SetToken { account: account(name), token }
}

fn revoke(name: &str, before: Millis) -> Command {
    Command::RevokeTokens { account: account(name), before }
}

fn commands() -> impl Strategy<Value = Command> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d"]);
    let two = (name(), name(), 0..15u8).prop_map(|(a, b, what)| match what {
        0 => befriend(a, b),
        1 => add(a, b, ""),
        2 => add(a, b, "hi"),
        3 | 4 => ask(a, b),
        5 => accept(a, b),
        6 => reject(a, b),
        7 => cancel(a, b),
        8 => delete(a, b),
        9 => note(a, b, "x"),
        10 => block(a, b),
        11 => adopt::friend(a, b, "x", 3),
        12 => adopt::request(a, b, 3),
        13 => adopt::block(a, b, "old"),
        _ => unblock(a, b),
    });
    prop_oneof![
        2 => (name(), "[xy]").prop_map(|(a, n)| set(a, &n)),
        1 => (name(), "[xy]", 0..9u64).prop_map(|(a, n, v)| if_version(set(a, &n), v)),
        1 => name().prop_map(|a| Command::DeleteUser { account: account(a) }),
        1 => (name(), any::<bool>()).prop_map(|(a, invisible)| hide(a, invisible)),
        1 => (name(), name()).prop_map(|(a, b)| Command::Unfriend { account: account(a), peer: account(b) }),
        1 => (name(), 0..9u64).prop_map(|(a, before)| Command::RevokeTokens { account: account(a), before }),
        1 => (name(), any::<bool>()).prop_map(|(a, some)| token(a, some.then_some(1))),
        1 => (name(), "[xy]", any::<bool>()).prop_map(|(a, n, hides)| adopt::user(a, &n, hides)),
        1 => (name(), 0..9u64).prop_map(|(a, before)| adopt::credential(a, before)),
        6 => two.clone(),
        2 => (two, 0..40u64).prop_map(|(command, version)| if_version(command, version)),
    ]
}

/// Returns a row's key and version, if it has a version.
fn key(row: &Row) -> Option<(String, u64)> {
    Some(match row {
        Row::Profile(p) => (format!("u{}", p.account), p.version),
        Row::Gone { account, version } => (format!("u{account}"), *version),
        Row::Edge(e) => (format!("e{} {}", e.owner, e.peer), e.version),
        Row::Request(r) => (format!("r{} {} {:?}", r.sender, r.receiver, r.side), r.version),
        Row::Block { block, .. } => (format!("b{} {}", block.owner, block.peer), block.version),
        Row::Presence { .. } | Row::Credential { .. } => return None,
    })
}

proptest! {
    /// The version of a key never goes back, deletion included. Friendship is mutual unless one blocks the other, and only
    /// among accounts that exist.
    /// Two accounts have at most one open request, friends have none. Its receiver has a copy unless it blocks the sender.
    /// A command that is refused or changes nothing leaves no row.
    #[test]
    fn histories_keep_the_invariants(history in prop::collection::vec(commands(), 1..80)) {
        let mut table = Table::default();
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for command in &history {
            let before = table.revision;
            let rows = table.run(command, 1).map(|d| d.rows).unwrap_or_default();
            prop_assert_eq!(table.revision, before + u64::from(!rows.is_empty()));
            let mut keys = BTreeSet::new();
            for (key, version) in rows.iter().filter_map(key) {
                prop_assert!(keys.insert(key.clone()), "a row is written once: {key}");
                prop_assert!(newest.insert(key, version).is_none_or(|held| held < version));
            }
            for edge in table.edges.values().filter(|e| !e.removed) {
                let blocked = table.blocks.get(&(edge.peer.clone(), edge.owner.clone())).is_some_and(|b| !b.removed);
                prop_assert!(table.friends(&edge.peer, &edge.owner) || blocked);
                prop_assert!(table.users.contains_key(&edge.owner) && table.users.contains_key(&edge.peer));
            }
            for open in table.open() {
                let (sender, receiver) = (&open.sender, &open.receiver);
                let side = |side| table.requests.get(&(sender.clone(), receiver.clone(), side));
                let is_open = |copy: Option<&Request>| copy.is_some_and(|copy| copy.state == RequestState::Open);
                prop_assert!(is_open(side(Sender)));
                prop_assert!(!table.open().any(|back| back.sender == *receiver && back.receiver == *sender));
                prop_assert!(!table.friends(sender, receiver));
                prop_assert!(table.users.contains_key(sender) && table.users.contains_key(receiver));
                let blocked = table.blocks.get(&(receiver.clone(), sender.clone())).is_some_and(|b| !b.removed);
                prop_assert_eq!(is_open(side(Receiver)), !blocked);
            }
        }
    }
}
