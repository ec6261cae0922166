//! Checks what every store must keep of the audit log.

use std::sync::Arc;

use rosterd::store::{AuditEntry, AuditQuery, AuditRow, Write};
use rosterd_engine::model::{Command, Reason, SessionId, TokenHash, WriteOrigin};

use super::Place;
use super::rig::{Running, account, befriend, delete, nick, refused};

on_every_store! {
    actions_of_operators_are_kept_with_their_writes_and_others_are_not
    what_is_refused_leaves_no_entry
    an_action_that_is_no_write_is_kept
    pages_are_in_order_and_of_one_caller_or_account
    an_erased_account_is_found_by_those_who_know_it_alone
    old_entries_and_those_beyond_the_most_are_dropped
}

fn key(name: &str) -> WriteOrigin {
    WriteOrigin::Key(name.into())
}

fn set_token(name: &str, is_set: bool) -> Command {
    let hash = TokenHash { salt: [1; 16], hash: [2; 32] };
    Command::SetToken { account: account(name), token: is_set.then_some(hash) }
}

async fn run(db: &Running, origin: WriteOrigin, commands: Vec<Command>) {
    db.store.write(Write { commands, origin }).await.unwrap();
}

async fn all(db: &Running) -> Vec<AuditRow> {
    db.audit.audit_page(AuditQuery { limit: 1000, ..AuditQuery::default() }).await.unwrap()
}

/// The entries in short: caller, action and subject.
async fn in_short(db: &Running) -> Vec<String> {
    all(db).await.iter().map(|row| format!("{} {} {}", row.caller, row.action, row.subject)).collect()
}

async fn actions_of_operators_are_kept_with_their_writes_and_others_are_not(place: Place) {
    let db = place.open();
    run(&db, key("crm"), vec![nick("a", "Ann"), nick("b", "Bob"), befriend("a", "b")]).await;
    assert_eq!(all(&db).await, []);
    run(&db, key("crm"), vec![set_token("a", true), nick("a", "Anna"), set_token("a", false)]).await;
    place.at(2000);
    run(&db, key("ops"), vec![Command::RevokeTokens { account: account("b"), before: 7 }]).await;
    // Also where nothing changes by it: it was done.
    run(&db, key("ops"), vec![Command::RevokeTokens { account: account("b"), before: 5 }]).await;
    for origin in [WriteOrigin::Client(SessionId(7)), WriteOrigin::Import, WriteOrigin::Login] {
        run(&db, origin, vec![set_token("a", true)]).await;
    }
    let row = |number, time, caller: &str, action: &str, subject: &str, detail: &str| AuditRow {
        number,
        time,
        caller: caller.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    let expected = [
        row(1, 1000, "crm", "token.set", "a", ""),
        row(2, 1000, "crm", "token.removed", "a", ""),
        row(3, 2000, "ops", "tokens.revoked", "b", "issuedBefore=7"),
        row(4, 2000, "ops", "tokens.revoked", "b", "issuedBefore=5"),
    ];
    assert_eq!(all(&db).await, expected);
    db.close().await;
    if place.directory.is_some() {
        let db = place.open();
        assert_eq!(all(&db).await, expected);
        db.close().await;
    }
}

async fn what_is_refused_leaves_no_entry(place: Place) {
    let db = place.open();
    let write = Write { commands: vec![delete("a")], origin: key("ops") };
    assert_eq!(refused(db.store.write(write).await), (0, Reason::NotFound));
    run(&db, key("ops"), vec![nick("a", "Ann")]).await;
    let write = Write { commands: vec![set_token("a", true), delete("b")], origin: key("ops") };
    assert_eq!(refused(db.store.write(write).await), (1, Reason::NotFound));
    assert_eq!(all(&db).await, []);
    db.close().await;
}

async fn an_action_that_is_no_write_is_kept(place: Place) {
    let db = place.open();
    let caller: Arc<str> = "support".into();
    let entry = AuditEntry::sessions_ended(5, caller, &account("a"), "session=1".to_owned());
    db.audit.record(entry).await.unwrap();
    assert_eq!(in_short(&db).await, ["support sessions.ended a"]);
    assert_eq!(all(&db).await[0].detail, "session=1");
    db.close().await;
}

async fn pages_are_in_order_and_of_one_caller_or_account(place: Place) {
    let db = place.open();
    run(&db, WriteOrigin::Import, vec![nick("a", "Ann"), nick("b", "Bob")]).await;
    for n in 0..10 {
        let (caller, name) = (["x", "y"][n % 2], ["a", "b"][n / 5]);
        run(&db, key(caller), vec![set_token(name, true)]).await;
    }
    let numbers = async |query: AuditQuery| {
        let page = db.audit.audit_page(query).await.unwrap();
        page.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    let query = |after, limit| AuditQuery { after, limit, ..AuditQuery::default() };
    assert_eq!(numbers(query(0, 4)).await, [1, 2, 3, 4]);
    assert_eq!(numbers(query(8, 4)).await, [9, 10]);
    assert_eq!(numbers(query(10, 4)).await, [0_u64; 0]);
    let of = |caller: Option<&str>, subject: Option<&str>| AuditQuery {
        caller: caller.map(str::to_owned),
        subject: subject.map(account),
        ..query(0, 100)
    };
    assert_eq!(numbers(of(Some("y"), None)).await, [2, 4, 6, 8, 10]);
    assert_eq!(numbers(of(None, Some("b"))).await, [6, 7, 8, 9, 10]);
    assert_eq!(numbers(of(Some("y"), Some("a"))).await, [2, 4]);
    assert_eq!(numbers(of(Some("z"), None)).await, [0_u64; 0]);
    let newest = |query: AuditQuery| AuditQuery { newest_first: true, ..query };
    assert_eq!(numbers(newest(query(0, 4))).await, [10, 9, 8, 7]);
    assert_eq!(numbers(newest(query(7, 4))).await, [6, 5, 4, 3]);
    assert_eq!(numbers(newest(query(3, 4))).await, [2, 1]);
    assert_eq!(numbers(newest(query(1, 4))).await, [0_u64; 0]);
    assert_eq!(numbers(newest(of(Some("y"), Some("a")))).await, [4, 2]);
    assert_eq!(numbers(newest(AuditQuery { after: 8, ..of(None, Some("b")) })).await, [7, 6]);
    db.close().await;
}

async fn an_erased_account_is_found_by_those_who_know_it_alone(place: Place) {
    let db = place.open();
    run(&db, key("crm"), vec![nick("ann", "Ann"), nick("bob", "Bob")]).await;
    run(&db, key("crm"), vec![set_token("ann", true), set_token("bob", true)]).await;
    run(&db, key("crm"), vec![delete("ann")]).await;
    let rows = all(&db).await;
    assert_eq!((rows.len(), rows[1].subject.as_str(), rows[2].action.as_str()), (3, "bob", "user.deleted"));
    assert!(rows[0].subject.starts_with("erased:") && rows[0].subject == rows[2].subject, "{rows:?}");
    let about = |name: &str| AuditQuery { subject: Some(account(name)), limit: 100, ..AuditQuery::default() };
    assert_eq!(db.audit.audit_page(about("ann")).await.unwrap(), [rows[0].clone(), rows[2].clone()]);
    assert_eq!(db.audit.audit_page(about("cyd")).await.unwrap(), []);
    db.close().await;
}

async fn old_entries_and_those_beyond_the_most_are_dropped(place: Place) {
    let db = place.open();
    run(&db, WriteOrigin::Import, vec![nick("a", "Ann")]).await;
    for n in 0..6 {
        place.at(1000 + n);
        run(&db, key("crm"), vec![set_token("a", true)]).await;
    }
    let numbers = async || all(&db).await.into_iter().map(|row| row.number).collect::<Vec<_>>();
    assert!(!db.audit.prune_audit(1000, 6).await.unwrap());
    while db.audit.prune_audit(1002, u64::MAX).await.unwrap() {}
    assert_eq!(numbers().await, [3, 4, 5, 6]);
    while db.audit.prune_audit(0, 2).await.unwrap() {}
    assert_eq!(numbers().await, [5, 6]);
    while db.audit.prune_audit(u64::MAX, 0).await.unwrap() {}
    assert_eq!(numbers().await, [0_u64; 0]);
    // A reader's position stays good.
    run(&db, key("crm"), vec![set_token("a", true)]).await;
    assert_eq!(numbers().await, [7]);
    db.close().await;
}
