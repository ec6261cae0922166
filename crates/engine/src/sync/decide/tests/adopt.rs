//! What is brought from another store.

use super::*;
use crate::model::{Added, Cause, SeenPresence, StaticToken};

pub(super) fn user(name: &str, nick: &str, hides: bool) -> Command {
    let patch = Fields { nick: Some(nick.into()), ..Fields::default() }.check().unwrap();
    let (account, invisible) = (account(name), Some(hides));
    Command::AdoptUser { account, patch, create_time: Some(3), invisible, last_seen: Some(4) }
}

pub(super) fn friend(a: &str, b: &str, alias: &str, create_time: Millis) -> Command {
    let ((account, peer), note) = (pair(a, b), FriendUpdate::check(Some(alias.into()), Some("c".into())).unwrap());
    Command::AdoptFriend { account, peer, note, create_time: Some(create_time) }
}

pub(super) fn request(a: &str, b: &str, create_time: Millis) -> Command {
    let (account, peer) = pair(a, b);
    Command::AdoptRequest { account, peer, message: "hello".into(), create_time: Some(create_time) }
}

pub(super) fn block(a: &str, b: &str, nick: &str) -> Command {
    let (account, peer) = pair(a, b);
    let frozen = Fields { nick: Some(nick.into()), sign: Some(String::new()), ..Fields::default() }.check().unwrap();
    Command::AdoptBlock { account, peer, create_time: Some(3), last_seen: Some(4), frozen: Some(frozen) }
}

pub(super) fn credential(name: &str, revoked_before: Millis) -> Command {
    let token = Some(StaticToken { hash: TokenHash { salt: [1; 16], hash: [2; 32] }, issued: revoked_before });
    Command::AdoptCredential { account: account(name), credential: Credential { revoked_before, token } }
}

/// Runs a command that changes something the first time only.
fn once(table: &mut Table, command: &Command) -> Decision {
    let decision = table.run(command, 9).unwrap();
    assert!(!decision.rows.is_empty(), "{command:?}");
    let again = table.run(command, 10).unwrap();
    assert_eq!((again.rows.len(), again.answer.outcome), (0, Outcome::Unchanged), "{command:?}");
    decision
}

#[test]
fn an_account_is_made_as_it_was_and_one_that_exists_keeps_its_times() {
    let mut table = Table::default();
    let made = once(&mut table, &user("a", "one", true));
    let profile = table.users[&account("a")].clone();
    assert_eq!((made.answer.outcome, made.last_seen), (Outcome::Created, Some(4)));
    assert_eq!(made.answer.profile, Some(profile.clone()));
    assert_eq!((profile.create_time, profile.update_time, profile.version), (3, 9, 1));
    assert!(table.chosen[&account("a")].hides);
    let Command::AdoptUser { account: a, patch, .. } = user("a", "two", true) else { unreachable!() };
    let other = Command::AdoptUser { account: a, patch, create_time: Some(1), invisible: None, last_seen: Some(1) };
    let changed = once(&mut table, &other);
    assert_eq!((changed.answer.outcome, changed.last_seen), (Outcome::Changed, None));
    assert_eq!((table.users[&account("a")].create_time, table.chosen[&account("a")].hides), (3, true));
    // Its presence alone is a change too.
    let shown = once(&mut table, &user("a", "two", false));
    assert!(matches!(shown.rows[..], [Row::Presence { .. }]), "{shown:?}");
    assert_eq!(shown.answer.outcome, Outcome::Changed);
}

#[test]
fn each_side_of_a_friendship_brings_its_own_notes_and_time() {
    let mut table = Table::with(&["a", "b"]);
    table.run(&ask("b", "a"), 1).unwrap();
    once(&mut table, &friend("a", "b", "Bee", 3));
    assert!(table.friends(&account("a"), &account("b")) && table.friends(&account("b"), &account("a")));
    assert_eq!(table.state("b", "a"), Some(RequestState::Accepted));
    once(&mut table, &friend("b", "a", "Ay", 5));
    let edge = |a: &str, b: &str| table.edges[&pair(a, b)].clone();
    assert_eq!((&*edge("a", "b").alias, edge("a", "b").create_time), ("Bee", 3));
    assert_eq!((&*edge("b", "a").alias, edge("b", "a").create_time), ("Ay", 5));
    assert_eq!(edge("b", "a").update_time, 9);
}

#[test]
fn an_edge_that_one_side_made_during_a_block_stays_alone() {
    let mut table = Table::with(&["a", "b"]);
    once(&mut table, &block("b", "a", "old"));
    once(&mut table, &friend("a", "b", "Bee", 3));
    assert!(table.friends(&account("a"), &account("b")) && !table.friends(&account("b"), &account("a")));
    // The other side says that they were friends before.
    once(&mut table, &friend("b", "a", "Ay", 3));
    assert!(table.friends(&account("b"), &account("a")));
}

#[test]
fn a_request_is_hidden_by_a_block_and_left_out_where_there_can_be_none() {
    let mut table = Table::with(&["a", "b", "c"]);
    once(&mut table, &request("a", "b", 3));
    assert_eq!(table.copy("a", "b", Receiver).unwrap().create_time, 3);
    once(&mut table, &block("c", "a", "old"));
    once(&mut table, &request("a", "c", 3));
    assert!(table.copy("a", "c", Sender).is_some() && table.copy("a", "c", Receiver).is_none());
    table.run(&befriend("b", "c"), 1).unwrap();
    for left_out in [request("b", "a", 3), request("b", "c", 3), request("c", "a", 3)] {
        assert_eq!(table.run(&left_out, 9).unwrap().answer.outcome, Outcome::Unchanged, "{left_out:?}");
    }
    assert_eq!(table.refused(&request("a", "nobody", 3)).0, Reason::NotFound);
}

#[test]
fn who_is_blocked_sees_the_frozen_fields_with_the_versions_that_others_see() {
    let mut table = Table::with(&["a", "b"]);
    let shown = once(&mut table, &block("a", "b", "old"));
    let (now, frozen) = (table.users[&account("a")].clone(), table.frozen[&pair("a", "b")].clone());
    assert_eq!((&*now.nick, &*frozen.nick), ("x", "old"));
    assert_eq!(*frozen, Profile { nick: "old".into(), ..Profile::clone(&now) });
    let Row::Block { block: made, .. } = &shown.rows[0] else { panic!("{shown:?}") };
    assert_eq!((made.create_time, made.update_time), (3, 9));
    assert_eq!(made.presence, Some(SeenPresence { online: false, last_seen: 4 }));
    // What was changed meanwhile shows when the block ends.
    table.run(&unblock("a", "b"), 20).unwrap();
    let ended = &table.blocks[&pair("a", "b")];
    assert!(ended.brings_profile(Audience::Everyone));
}

#[test]
fn a_credential_replaces_what_there_was() {
    let mut table = Table::default();
    once(&mut table, &credential("nobody", 5));
    assert_eq!(table.credentials[&account("nobody")].revoked_before, 5);
    once(&mut table, &credential("nobody", 6));
}

#[test]
fn what_is_adopted_has_the_cause_of_what_it_made() {
    let mut table = Table::with(&["a", "b"]);
    let mut cause_of = |command: &Command| {
        let current = table.current(&reads(command));
        let decision = table.run(command, 9).unwrap();
        cause(&current, command, &decision.rows)
    };
    assert_eq!(cause_of(&user("n", "x", true)), Cause::UserCreated);
    assert_eq!(cause_of(&user("n", "y", true)), Cause::UserUpdated(vec!["nick".into()]));
    assert_eq!(cause_of(&user("n", "y", false)), Cause::PresenceSet);
    assert_eq!(cause_of(&request("a", "b", 3)), Cause::RequestCreated);
    assert_eq!(cause_of(&friend("a", "b", "x", 3)), Cause::FriendAdded(Added::Backend));
    assert_eq!(cause_of(&friend("b", "a", "x", 3)), Cause::FriendUpdated(vec!["alias".into(), "custom".into()]));
    assert_eq!(cause_of(&block("a", "b", "old")), Cause::BlockAdded);
    assert_eq!(cause_of(&credential("a", 5)), Cause::TokenSet);
    let forgotten =
        Command::AdoptCredential { account: account("a"), credential: Credential { revoked_before: 5, token: None } };
    assert_eq!(cause_of(&forgotten), Cause::TokenRemoved);
    let revoked =
        Command::AdoptCredential { account: account("a"), credential: Credential { revoked_before: 6, token: None } };
    assert_eq!(cause_of(&revoked), Cause::TokensRevoked);
}
