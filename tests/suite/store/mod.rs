//! Checks that every store keeps the promises of its trait: one body for each promise, run on each adapter.

mod behind;
#[cfg(target_os = "linux")]
mod cut_off;
mod failover;
mod heavy;
mod history;
mod holders;
mod migrating;
#[cfg(feature = "nats")]
mod nats;
mod pair;
mod pooler;
mod postgres;
mod replica;
mod rig;
mod round_trip;
mod shared;
mod silence;
mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rosterd::store::{Opened, Relations, Store, Write};
use rosterd_engine::model::{
    Added, Answer, Audience, Cause, Change, Credential, Edge, FieldWriter, Fields, Gender, ListedEdge, Millis, Outcome,
    OwnChanges, OwnField, OwnKind, OwnValue, Profile, Reason, Revision, Row, SessionId, StaticToken, TokenHash,
    WriteOrigin,
};

use self::rig::{Place, account, befriend, delete, failed, nick, nick_if, profile, refused, revoke, token, unfriend};

/// Runs each body on every adapter.
macro_rules! on_every_store {
    ($($body:ident)*) => {
        on_store! { on_memory memory $($body)* }
        on_store! { on_sqlite sqlite $($body)* }
        on_store! { on_postgres if_any postgres $($body)* }
        on_store! { on_two_stores if_any pair $($body)* }
    };
}

/// Makes a module that runs each body on one adapter, at a [`Place`] of that name.
macro_rules! on_store {
    ($module:ident if_any $place:ident $($body:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                if let Some(place) = super::Place::$place() {
                    super::$body(place).await;
                }
            })*
        }
    };
    ($module:ident $place:ident $($body:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body(super::Place::$place()).await;
            })*
        }
    };
}

mod audit;
mod change_log;
mod deliveries;
mod relations;

on_every_store! {
    every_command_is_answered
    a_rehearsal_says_what_a_command_would_come_to_and_changes_nothing
    a_change_has_its_rows_revision_and_origin
    revisions_ascend_without_gaps
    versions_do_not_go_back_over_a_deletion
    several_commands_are_done_together_or_not_at_all
    later_commands_see_earlier_ones
    many_writers_are_all_answered
    listed_edges_are_whole_if_the_reader_lacks_them
    pages_come_in_order_of_the_peer
    tombstones_are_on_pages_only_with_since
    edges_are_found_by_peer
    deleting_an_account_ends_its_friendships
    compaction_drops_only_what_is_old_and_raises_the_compacted_revision
    compaction_is_done_a_bounded_number_at_a_time
    custom_is_kept_byte_for_byte
    every_field_is_kept
    own_fields_are_kept
    credentials_are_kept_and_a_revocation_outlives_its_account
    a_store_is_empty_until_an_account_exists
    a_closed_store_takes_no_writes
    a_write_stands_without_anyone_waiting_for_it
    an_answer_waits_until_the_consumer_gives_it
    without_a_consumer_writes_are_answered_still
}

async fn every_command_is_answered(place: Place) {
    let db = place.open();
    let made = db.run(nick("a", "Ann")).await;
    assert_eq!((made.outcome, made.profile.clone()), (Outcome::Created, db.profile("a").await));
    let same = db.run(nick("a", "Ann")).await;
    assert_eq!((same.outcome, same.profile), (Outcome::Unchanged, made.profile));
    let changed = db.run(nick("a", "Anna")).await;
    assert_eq!((changed.outcome, &*changed.profile.unwrap().nick), (Outcome::Changed, "Anna"));

    db.run(nick("b", "Bob")).await;
    assert_eq!(db.run(befriend("a", "b")).await, Answer { outcome: Outcome::Created, profile: None });
    assert_eq!(db.run(befriend("b", "a")).await.outcome, Outcome::Unchanged);
    assert_eq!(db.run(unfriend("b", "a")).await.outcome, Outcome::Changed);
    assert_eq!(db.run(unfriend("a", "b")).await.outcome, Outcome::Unchanged);
    assert_eq!(db.run(delete("b")).await.outcome, Outcome::Changed);
    assert_eq!(db.profile("b").await, None);

    assert_eq!(refused(db.write([delete("b")]).await), (0, Reason::NotFound));
    assert_eq!(refused(db.write([befriend("a", "b")]).await), (0, Reason::NotFound));
    assert_eq!(refused(db.write([nick_if("a", "x", 99)]).await), (0, Reason::VersionMismatch));
    assert_eq!(db.write([]).await.unwrap(), []);
    db.close().await;
}

async fn a_rehearsal_says_what_a_command_would_come_to_and_changes_nothing(place: Place) {
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    db.run(nick("b", "Bob")).await;
    let (head, ann) = (db.store.head(), db.profile("a").await.unwrap());
    let would = db.store.rehearse(nick("a", "Anna")).await.unwrap().unwrap();
    assert_eq!((would.answer.outcome, &*would.answer.profile.unwrap().nick), (Outcome::Changed, "Anna"));
    assert_eq!(would.users, std::slice::from_ref(&ann), "the profile as it is");
    assert_eq!(db.store.rehearse(nick("a", "Ann")).await.unwrap().unwrap().answer.outcome, Outcome::Unchanged);
    let would = db.store.rehearse(befriend("a", "b")).await.unwrap().unwrap();
    assert_eq!((would.answer.outcome, would.users.len()), (Outcome::Created, 2));
    let would = db.store.rehearse(nick_if("a", "x", 99)).await.unwrap();
    assert_eq!(would.unwrap_err().reason, Reason::VersionMismatch);
    assert_eq!(db.store.rehearse(befriend("a", "zoe")).await.unwrap().unwrap_err().reason, Reason::NotFound);
    assert_eq!((db.store.head(), db.profile("a").await), (head, Some(ann)));
    db.close().await;
}

async fn a_change_has_its_rows_revision_and_origin(place: Place) {
    let db = place.open();
    let origin = WriteOrigin::Client(SessionId(7));
    let commands = vec![nick("a", "Ann"), nick("b", "Bob"), befriend("a", "b"), nick("a", "Ann")];
    db.store.write(Write { commands, origin: origin.clone() }).await.unwrap();
    db.run(delete("a")).await;
    let (ann, bob) = (Profile::new(account("a"), 1, 1000), Profile::new(account("b"), 2, 1000));
    let edge = |owner, peer| Row::Edge(Edge::new(account(owner), account(peer), 3, 1000));
    let ended = |owner, peer| Row::Edge(Edge::tombstone(account(owner), account(peer), 4, 1000));
    let expected = vec![
        Change {
            revision: 1,
            time: 1000,
            origin: origin.clone(),
            cause: Cause::UserCreated,
            rows: vec![Row::Profile(Arc::new(Profile { nick: "Ann".into(), ..ann }))],
            replaced: vec![0],
        },
        Change {
            revision: 2,
            time: 1000,
            origin: origin.clone(),
            cause: Cause::UserCreated,
            rows: vec![Row::Profile(Arc::new(Profile { nick: "Bob".into(), ..bob }))],
            replaced: vec![0],
        },
        Change {
            revision: 3,
            time: 1000,
            origin,
            cause: Cause::FriendAdded(Added::Backend),
            rows: vec![edge("a", "b"), edge("b", "a")],
            replaced: vec![0, 0],
        },
        Change {
            revision: 4,
            time: 1000,
            origin: WriteOrigin::Import,
            cause: Cause::UserDeleted,
            rows: vec![Row::Gone { account: account("a"), version: 4 }, ended("a", "b"), ended("b", "a")],
            // The edges of others are not read for a deletion.
            replaced: vec![1, 3, 0],
        },
    ];
    assert_eq!(db.close().await.changes, expected);
}

async fn revisions_ascend_without_gaps(place: Place) {
    let db = place.open();
    assert_eq!(db.head, 0);
    for text in ["one", "one", "two"] {
        db.run(nick("a", text)).await;
        refused(db.write([befriend("a", "a")]).await);
        refused(db.write([nick("a", "never"), delete("nobody")]).await);
    }
    db.write([nick("b", "x"), nick("b", "x"), befriend("a", "b")]).await.unwrap();
    db.run(unfriend("a", "b")).await;
    let revisions: Vec<_> = db.close().await.changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
}

async fn versions_do_not_go_back_over_a_deletion(place: Place) {
    let db = place.open();
    let mut newest = 0;
    db.run(nick("b", "Bob")).await;
    for _ in 0..3 {
        let made = db.run(nick("a", "Ann")).await.profile.unwrap().version;
        db.run(befriend("a", "b")).await;
        let friend = db.edge("b", "a").await.version;
        db.run(delete("a")).await;
        let ended = db.edge("b", "a").await;
        assert!(ended.removed && newest < made && made < friend && friend < ended.version);
        newest = ended.version;
    }
    db.close().await;
}

async fn several_commands_are_done_together_or_not_at_all(place: Place) {
    let db = place.open();
    db.write([nick("a", "Ann"), nick("b", "Bob"), nick("c", "Cid"), befriend("a", "c")]).await.unwrap();
    let bad = [nick("a", "lost"), nick("d", "lost"), befriend("a", "b"), delete("c"), delete("nobody")];
    assert_eq!(refused(db.write(bad).await), (4, Reason::NotFound));
    assert_eq!(&*db.profile("a").await.unwrap().nick, "Ann");
    assert_eq!(db.profile("d").await, None);
    assert_eq!(db.peers("a", 9, Some(0)).await, [["c"]]);

    let next = db.run(nick("a", "Anna")).await.profile.unwrap();
    assert_eq!(next.version, 5);
    assert_eq!(db.close().await.changes.last().unwrap().revision, 5);
}

async fn later_commands_see_earlier_ones(place: Place) {
    let db = place.open();
    let commands = [nick("a", "Ann"), nick_if("a", "Anna", 1), nick("b", "Bob"), befriend("a", "b"), delete("b")];
    let outcomes: Vec<_> = db.write(commands).await.unwrap().iter().map(|answer| answer.outcome).collect();
    assert_eq!(outcomes, [Outcome::Created, Outcome::Changed, Outcome::Created, Outcome::Created, Outcome::Changed]);
    assert_eq!(db.peers("a", 9, Some(0)).await, [["-b"]]);
    db.close().await;
}

const TASKS: usize = 64;
const WRITES: usize = 20;

async fn many_writers_are_all_answered(place: Place) {
    let db = place.open();
    let durable = place.directory.is_some();
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(one_of_many(db.store.clone(), task))).collect();
    let mut latest = BTreeMap::new();
    for task in tasks {
        let profile = task.await.unwrap();
        latest.insert(profile.account.clone(), profile);
    }
    for (account, profile) in &latest {
        assert_eq!(db.profile(account.as_str()).await.as_ref(), Some(profile));
    }
    let seen = db.close().await;
    let revisions: Vec<_> = seen.changes.iter().map(|change| change.revision).collect();
    let expected: Vec<_> = (1..=(TASKS * WRITES) as Revision).collect();
    assert_eq!(revisions, expected);
    if durable {
        assert!(seen.batches < TASKS * WRITES, "{} batches: every write was synced by itself", seen.batches);
    }
}

/// Writes one profile after the other, reads each as soon as it is answered, and returns the last.
async fn one_of_many(store: Arc<dyn Store>, task: usize) -> Arc<Profile> {
    let name = format!("user{task}");
    let mut last = None;
    for turn in 0..WRITES {
        let write = Write { commands: vec![nick(&name, &format!("turn {turn}"))], origin: WriteOrigin::Import };
        let answer = store.write(write).await.unwrap().remove(0);
        let read = store.users(vec![account(&name)]).await.unwrap().pop().map(|user| user.profile);
        assert_eq!(answer.profile, read);
        last = read;
    }
    last.expect("it was written")
}

/// A reader that has every edge up to some version gets these without their texts, in the same order as all others.
async fn listed_edges_are_whole_if_the_reader_lacks_them(place: Place) {
    let db = place.open();
    db.run(nick("a", "")).await;
    for peer in ["b", "c", "d", "e"] {
        db.write([nick(peer, ""), befriend("a", peer)]).await.unwrap();
    }
    let since = db.edge("a", "c").await.version;
    db.run(unfriend("a", "b")).await;
    let listed =
        |after: Option<&'static str>, limit, since| db.store.listed(account("a"), after.map(account), limit, since);
    let show = |edges: Vec<ListedEdge>| -> Vec<_> {
        edges.into_iter().map(|edge| (edge.peer.to_string(), edge.removed, edge.edge.is_some())).collect()
    };
    let is = |peer: &str, removed, whole| (peer.to_owned(), removed, whole);
    let all = db.store.page(account("a"), None, 9, Some(since)).await.unwrap();
    let found = listed(None, 9, Some(since)).await.unwrap().rows;
    for (edge, listed) in all.iter().zip(&found) {
        assert_eq!((&edge.peer, edge.version, edge.removed), (&listed.peer, listed.version, listed.removed));
        assert!(listed.edge.as_deref().is_none_or(|whole| whole == edge));
    }
    assert_eq!(show(found), [is("b", true, true), is("c", false, false), is("d", false, true), is("e", false, true)]);
    assert_eq!(show(listed(Some("c"), 1, Some(since)).await.unwrap().rows), [is("d", false, true)]);
    assert_eq!(show(listed(None, 1, None).await.unwrap().rows), [is("c", false, true)]);
    let held = [is("c", false, false), is("d", false, false), is("e", false, false)];
    assert_eq!(show(listed(None, 9, Some(Revision::MAX)).await.unwrap().rows), held);
    db.close().await;
}

async fn pages_come_in_order_of_the_peer(place: Place) {
    let db = place.open();
    db.run(nick("a", "")).await;
    for peer in ["e", "c", "B", "d", "b", "_"] {
        db.write([nick(peer, ""), befriend("a", peer)]).await.unwrap();
    }
    // Other owners before and after, whose edges must not be on the pages.
    db.write([befriend("B", "_"), befriend("b", "c")]).await.unwrap();
    assert_eq!(db.peers("a", 4, None).await, [vec!["B", "_", "b", "c"], vec!["d", "e"]]);
    assert_eq!(db.peers("a", 6, None).await, [["B", "_", "b", "c", "d", "e"]]);
    assert_eq!(db.peers("nobody", 6, Some(0)).await, [[""; 0]; 0]);
    assert_eq!(db.store.page(account("a"), None, 0, None).await.unwrap(), []);
    db.close().await;
}

async fn tombstones_are_on_pages_only_with_since(place: Place) {
    let db = place.open();
    db.run(nick("a", "")).await;
    for peer in ["b", "c", "d", "e"] {
        db.write([nick(peer, ""), befriend("a", peer)]).await.unwrap();
    }
    db.run(unfriend("a", "b")).await;
    let between = db.edge("a", "b").await.version;
    db.run(unfriend("a", "d")).await;
    assert_eq!(db.peers("a", 9, None).await, [["c", "e"]]);
    assert_eq!(db.peers("a", 9, Some(Revision::MAX)).await, [["c", "e"]]);
    assert_eq!(db.peers("a", 9, Some(between)).await, [["c", "-d", "e"]]);
    assert_eq!(db.peers("a", 3, Some(between - 1)).await, [vec!["-b", "c", "-d"], vec!["e"]]);
    db.close().await;
}

async fn edges_are_found_by_peer(place: Place) {
    let db = place.open();
    db.write(["a", "b", "c", "d"].map(|name| nick(name, ""))).await.unwrap();
    db.write([befriend("a", "b"), befriend("a", "c"), befriend("b", "c"), unfriend("a", "c")]).await.unwrap();
    let peers = ["d", "c", "b", "a", "nobody"].map(account).to_vec();
    let mut found = db.store.relations(account("a"), peers).await.unwrap().edges;
    found.sort_by_key(|edge| edge.peer.clone());
    let expected =
        [Edge::new(account("a"), account("b"), 5, 1000), Edge::tombstone(account("a"), account("c"), 8, 1000)];
    assert_eq!(found, expected);
    assert_eq!(db.store.relations(account("a"), Vec::new()).await.unwrap(), Relations::default());
    let some = db.store.users(vec![account("b"), account("nobody"), account("d")]).await.unwrap();
    assert_eq!(some.len(), 2);
    db.close().await;
}

async fn deleting_an_account_ends_its_friendships(place: Place) {
    let db = place.open();
    db.write(["a", "b", "c"].map(|name| nick(name, ""))).await.unwrap();
    db.write([befriend("a", "b"), befriend("a", "c"), befriend("b", "c"), delete("a")]).await.unwrap();
    assert_eq!(db.peers("a", 9, Some(0)).await, [["-b", "-c"]]);
    assert_eq!(db.peers("b", 9, Some(0)).await, [["-a", "c"]]);
    db.run(nick("a", "again")).await;
    assert_eq!(db.peers("a", 9, None).await, [[""; 0]; 0]);
    db.close().await;
}

async fn compaction_drops_only_what_is_old_and_raises_the_compacted_revision(place: Place) {
    let db = place.open();
    let before = db.store.lineage();
    assert_eq!(before.compacted, 0);
    db.write(["a", "b", "c", "d"].map(|name| nick(name, ""))).await.unwrap();
    db.write([befriend("a", "b"), befriend("a", "c"), befriend("a", "d")]).await.unwrap();
    place.at(2000);
    db.run(unfriend("a", "b")).await;
    place.at(3000);
    db.run(unfriend("a", "c")).await;

    assert_eq!(db.store.compact(2000).await.unwrap(), 0);
    assert_eq!(db.store.lineage(), before);
    assert_eq!(db.store.compact(2001).await.unwrap(), 2);
    assert_eq!((db.store.lineage().epoch, db.store.lineage().compacted), (before.epoch, 8));
    // Whatever is read says how far back it goes.
    let login = db.store.login_rows(account("a"), 9, Some(0), None).await.unwrap();
    assert_eq!((login.lineage, login.head), (db.store.lineage(), 9));
    assert_eq!(db.store.listed(account("a"), None, 9, Some(0)).await.unwrap().compacted, 8);
    assert_eq!(db.store.blocks(account("a"), None, 9, Some(0)).await.unwrap().compacted, 8);
    assert_eq!(db.peers("a", 9, Some(0)).await, [["-c", "d"]]);
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 2);
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 0);
    assert_eq!(db.store.lineage().compacted, 9);
    assert_eq!(db.peers("a", 9, Some(0)).await, [["d"]]);
    assert_eq!(db.run(nick("a", "next")).await.profile.unwrap().version, 10);
    db.close().await;
}

async fn compaction_is_done_a_bounded_number_at_a_time(place: Place) {
    let db = place.open();
    let names: Vec<_> = (0..600).map(|n| format!("peer{n}")).collect();
    db.run(nick("a", "")).await;
    let befriended = names.iter().flat_map(|peer| [nick(peer, ""), befriend("a", peer)]);
    db.write(befriended).await.unwrap();
    db.run(delete("a")).await;
    let mut dropped = Vec::new();
    while dropped.last() != Some(&0) {
        dropped.push(db.store.compact(Millis::MAX).await.unwrap());
    }
    assert_eq!(dropped, [1000, 200, 0]);
    db.close().await;
}

async fn custom_is_kept_byte_for_byte(place: Place) {
    let db = place.open();
    for custom in ["", "{\"b\": 1.0,  \"a\":1e2}", "not JSON", "a\0b\0", "\u{FEFF}é e\u{301}\r\n\u{1F600}", "x'00'"] {
        let fields = Fields { custom: Some(custom.into()), ..Fields::default() };
        let answer = db.run(profile("a", fields.clone())).await;
        assert_eq!(&*answer.profile.unwrap().custom, custom);
        assert_eq!(&*db.profile("a").await.unwrap().custom, custom);
        assert_eq!(db.run(profile("a", fields)).await.outcome, Outcome::Unchanged);
    }
    db.close().await;
}

async fn every_field_is_kept(place: Place) {
    let db = place.open();
    for gender in [Gender::Male, Gender::Female, Gender::Unknown] {
        let fields = Fields {
            nick: Some("Ann".into()),
            avatar: Some("https://pictures.example/a.png".into()),
            sign: Some("'; DROP TABLE user; --".into()),
            gender: Some(gender),
            email: Some("a@b.example".into()),
            birth: Some("2000-02-29".into()),
            tel: Some("+1 234".into()),
            custom: Some("[]".into()),
            own: OwnChanges::default(),
            muted: None,
        };
        place.at(place.now.load(Ordering::Relaxed) + 1);
        let answered = db.run(profile("a", fields)).await.profile.unwrap();
        assert_eq!(answered.gender, gender);
        assert_eq!(db.profile("a").await, Some(answered));
    }
    let kept = db.profile("a").await.unwrap();
    assert_eq!((kept.create_time, kept.update_time, kept.version), (1001, 1003, 3));
    db.close().await;
}

async fn own_fields_are_kept(mut place: Place) {
    let field = |kind| OwnField { kind, default: None, audience: Audience::Everyone, writer: FieldWriter::Account };
    let number = OwnKind::Number { min: -1e300, max: 1e300 };
    let text = OwnKind::Text { max_length: 100, values: Vec::new() };
    let tags = OwnKind::List { max_items: 9, max_length: 9, values: Vec::new() };
    let integer = OwnKind::Integer { min: -9_007_199_254_740_991, max: 9_007_199_254_740_991 };
    let kinds = [("flag", OwnKind::Boolean), ("list", tags), ("n", integer), ("number", number), ("text", text)];
    place.visibility.own = Arc::new(kinds.into_iter().map(|(name, kind)| (name.into(), field(kind))).collect());
    let db = place.open();
    let set = |values: &[(&str, Option<OwnValue>)]| {
        let set = values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        profile("a", Fields { own: OwnChanges { set, clears_others: false }, ..Fields::default() })
    };
    let all = [
        ("flag", Some(OwnValue::Boolean(true))),
        ("list", Some(OwnValue::List(["'".into(), "".into(), "\u{1F600}".into()].into()))),
        ("n", Some(OwnValue::Integer(-9_007_199_254_740_991))),
        ("number", Some(OwnValue::Number(0.1 + 0.2))),
        ("text", Some(OwnValue::Text("'; DROP TABLE user; --".into()))),
    ];
    let made = db.run(set(&all)).await;
    assert_eq!(made.profile.as_ref().unwrap().own.iter().count(), 5);
    assert_eq!(db.profile("a").await, made.profile);
    assert_eq!(db.run(set(&all)).await.outcome, Outcome::Unchanged);
    let partly = db.run(set(&[("text", None), ("n", Some(OwnValue::Integer(7)))])).await.profile.unwrap();
    assert_eq!((partly.own.get("text"), partly.own.get("n")), (None, Some(&OwnValue::Integer(7))));
    assert_eq!(refused(db.write([set(&[("flag", Some(OwnValue::Integer(1)))])]).await), (0, Reason::InvalidArgument));
    assert_eq!(refused(db.write([nick("a", "x"), set(&[("zzz", None)])]).await), (1, Reason::InvalidArgument));
    assert_eq!(db.profile("a").await.unwrap(), partly, "nothing of a refused write is done");
    db.run(set(&[("flag", None), ("list", None), ("n", None), ("number", None)])).await;
    assert!(db.profile("a").await.unwrap().own.is_empty());
    let last = db.run(set(&all)).await.profile.unwrap();
    let changes = db.close().await.changes;
    assert!(matches!(&changes[1].cause, Cause::UserUpdated(names) if *names == ["fields.n", "fields.text"]));
    if place.directory.is_some() {
        let db = place.open();
        assert_eq!(db.profile("a").await.unwrap(), last);
        db.close().await;
    }
}

async fn credentials_are_kept_and_a_revocation_outlives_its_account(place: Place) {
    let db = place.open();
    let credential = async |name: &str| db.store.credential(account(name)).await.unwrap();
    assert_eq!(credential("a").await, Credential::default());
    assert_eq!(refused(db.write([token("a", Some(1))]).await), (0, Reason::NotFound));
    db.run(nick("a", "Ann")).await;
    db.run(token("a", Some(1))).await;
    db.run(token("a", Some(0xff))).await;
    let hash = TokenHash { salt: [0xff; 16], hash: [0xff; 32] };
    let held = Credential { revoked_before: 0, token: Some(StaticToken { hash, issued: 1000 }) };
    assert_eq!(credential("a").await, held);
    assert_eq!(db.run(revoke("a", 900)).await.outcome, Outcome::Changed);
    assert_eq!(db.run(revoke("a", 900)).await.outcome, Outcome::Unchanged);
    assert_eq!(credential("a").await, Credential { revoked_before: 900, ..held.clone() });
    db.run(delete("a")).await;
    let revoked = Credential { revoked_before: 900, token: None };
    assert_eq!(credential("a").await, revoked);
    // A revocation may also be of an account that does not exist.
    db.run(revoke("b", 5)).await;
    db.run(nick("c", "C")).await;
    db.run(token("c", Some(1))).await;
    db.run(token("c", None)).await;
    assert_eq!(credential("c").await, Credential::default());
    // The feed has the change, because the hub ends sessions.
    let changes = db.close().await.changes;
    let of_a = changes.iter().flat_map(|change| &change.rows).filter_map(|row| match row {
        Row::Credential { account, credential } if account.as_str() == "a" => Some(credential.revoked_before),
        _ => None,
    });
    assert_eq!(of_a.collect::<Vec<_>>(), [0, 0, 900, 900]);
    if place.directory.is_some() {
        let db = place.open();
        assert_eq!(db.store.credential(account("a")).await.unwrap(), revoked);
        db.close().await;
    }
}

async fn a_store_is_empty_until_an_account_exists(place: Place) {
    let db = place.open();
    assert!(db.store.is_empty().await.unwrap());
    db.run(nick("a", "")).await;
    assert!(!db.store.is_empty().await.unwrap());
    db.run(delete("a")).await;
    assert!(db.store.is_empty().await.unwrap());
    db.close().await;
}

async fn a_closed_store_takes_no_writes(place: Place) {
    let db = place.open();
    db.run(nick("a", "")).await;
    db.store.close().await;
    db.store.close().await;
    assert!(failed(db.write([nick("a", "late")]).await).contains("closed"));
    assert_eq!(db.close().await.changes.len(), 1);
}

async fn a_write_stands_without_anyone_waiting_for_it(place: Place) {
    let db = place.open();
    let write = db.store.write(Write { commands: vec![nick("a", "Ann")], origin: WriteOrigin::Import });
    // Polls the write once and drops it, whether or not it was answered.
    let _ = futures::FutureExt::now_or_never(write);
    let seen = db.close().await;
    assert_eq!(seen.changes.len(), 1);
}

async fn an_answer_waits_until_the_consumer_gives_it(place: Place) {
    let Opened { store, mut feed, .. } = place.try_open().unwrap();
    let asker = store.clone();
    let ask = |commands| Write { commands, origin: WriteOrigin::Import };
    let write = tokio::spawn(async move { asker.write(ask(vec![nick("a", "Ann"), nick("a", "Ann")])).await });
    let batch = feed.recv().await.unwrap();
    assert!(!store.is_empty().await.unwrap(), "the feed has it before it is committed");
    assert!(!write.is_finished());
    batch.answer();
    assert_eq!(write.await.unwrap().unwrap().len(), 2);
}

async fn without_a_consumer_writes_are_answered_still(place: Place) {
    let Opened { store, feed, .. } = place.try_open().unwrap();
    drop(feed);
    store.write(Write { commands: vec![nick("a", "Ann")], origin: WriteOrigin::Import }).await.unwrap();
    assert!(!store.is_empty().await.unwrap());
    store.close().await;
}
