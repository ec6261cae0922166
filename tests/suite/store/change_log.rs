//! Checks what every store must keep of the change log.

use std::fs;

use rosterd::store;
use rosterd_engine::model::{
    Cause, ChosenPresence, DeviceKind, Fields, FriendUpdate, Millis, NumberedPresence, PresenceChange, Row,
    SeenPresence, SessionId, WriteOrigin,
};

use super::Place;
use super::rig::{account, ask, befriend, delete, nick, profile, token};
use rosterd::store::{PresenceRow, Write};
use rosterd_engine::model::Command;

on_every_store! {
    the_log_has_every_change_in_order_and_says_who_asked
    a_position_is_read_on_from_across_transactions
    a_change_is_found_by_its_revision
    what_is_old_or_too_much_is_dropped_and_missed_positions_are_below_the_floor
    what_is_refused_or_changes_nothing_is_not_logged
    an_erasure_takes_personal_data_out_and_leaves_the_versions
    kinds_of_devices_are_kept_with_the_transition_that_they_belong_to
    each_presence_transition_takes_the_next_number_and_an_account_has_that_of_its_last
}

async fn the_log_has_every_change_in_order_and_says_who_asked(place: Place) {
    let db = place.open();
    let origin = WriteOrigin::Client(SessionId(7));
    let write =
        Write { commands: vec![nick("a", "Ann"), nick("b", "Bob"), befriend("a", "b")], origin: origin.clone() };
    db.store.write(write).await.unwrap();
    db.run(nick("a", "Anna")).await;
    db.run(token("a", Some(9))).await;
    let logged = db.logged(0).await;
    assert!(logged.iter().all(|logged| !logged.erased));
    assert_eq!((&logged[2].change.origin, logged[2].change.time, logged[2].change.rows.len()), (&origin, 1000, 2));
    assert_eq!(logged[3].change.cause, Cause::UserUpdated(vec!["nick".into()]));
    assert_eq!((&logged[3].change.origin, &logged[3].change.replaced[..]), (&WriteOrigin::Import, &[1][..]));
    // A token is set, and its hash is not in the log.
    assert!(matches!(&logged[4].change.rows[..], [Row::Credential { credential, .. }] if credential.token.is_none()));
    let (log, sent) = (logged.into_iter().map(|logged| logged.change), db.close().await.changes);
    assert!(log.take(4).eq(sent.into_iter().take(4)));
}

async fn a_change_is_found_by_its_revision(place: Place) {
    let db = place.open();
    for batch in 0..3 {
        place.at(1000 + batch);
        db.write((0..700).map(|n| nick(&format!("u{batch}x{n}"), "x"))).await.unwrap();
    }
    let all = db.logged(0).await;
    for revision in [1, 2, 699, 700, 701, 1400, 1401, 2100] {
        let found = db.log.log_change(revision).await.unwrap();
        assert_eq!(found.as_ref(), Some(&all[revision as usize - 1]), "{revision}");
    }
    for none in [0, 2101, 5000] {
        assert_eq!(db.log.log_change(none).await.unwrap(), None, "{none}");
    }
    db.run(delete("u1x3")).await;
    let erased = db.log.log_change(all[703].change.revision).await.unwrap().unwrap();
    assert!(erased.erased && erased == db.logged(703).await[0]);
    while db.log.prune_log(1001, u64::MAX).await.unwrap() {}
    assert_eq!((db.log.log_change(700).await.unwrap(), db.log.log_change(701).await.unwrap().is_some()), (None, true));
    db.close().await;
}

async fn a_position_is_read_on_from_across_transactions(place: Place) {
    let db = place.open();
    for batch in 0..3 {
        db.write((0..700).map(|n| nick(&format!("u{batch}x{n}"), "x"))).await.unwrap();
    }
    let all: Vec<_> = (1..=2100).collect();
    for after in [0, 1, 699, 700, 701, 1399, 2099] {
        let revisions: Vec<_> = db.logged(after).await.iter().map(|logged| logged.change.revision).collect();
        assert_eq!(revisions, all[after as usize..], "after {after}");
    }
    assert_eq!(db.log.log_page(2100).await.unwrap().changes, []);
    db.close().await;
}

async fn what_is_old_or_too_much_is_dropped_and_missed_positions_are_below_the_floor(place: Place) {
    let db = place.open();
    assert_eq!(db.log.log_extent().await.unwrap(), store::LogExtent { floor: 0, since: None, bytes: 0 });
    for n in 0..4 {
        place.at(1000 + n);
        db.run(nick("a", &format!("{n}"))).await;
    }
    let full = db.log.log_extent().await.unwrap();
    assert_eq!((full.floor, full.since), (0, Some(1000)));
    assert!(!db.log.prune_log(1000, full.bytes).await.unwrap());
    // By age.
    while db.log.prune_log(1002, u64::MAX).await.unwrap() {}
    let rest = db.log.log_extent().await.unwrap();
    assert_eq!((rest.floor, rest.since, rest.bytes < full.bytes), (2, Some(1002), true));
    let missed = db.log.log_page(1).await.unwrap();
    assert_eq!((missed.floor, missed.changes.len()), (2, 0));
    assert_eq!(db.logged(2).await.len(), 2);
    // By size.
    while db.log.prune_log(0, rest.bytes - 1).await.unwrap() {}
    assert_eq!(db.log.log_extent().await.unwrap().floor, 3);
    // All of it: whoever has the last change has missed nothing.
    while db.log.prune_log(Millis::MAX, 0).await.unwrap() {}
    assert_eq!(db.log.log_extent().await.unwrap(), store::LogExtent { floor: 4, since: None, bytes: 0 });
    assert_eq!(db.logged(4).await, []);
    db.run(nick("a", "more")).await;
    assert_eq!(db.logged(4).await.len(), 1);
    db.close().await;
}

async fn what_is_refused_or_changes_nothing_is_not_logged(place: Place) {
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    db.run(nick("a", "Ann")).await;
    // The first command of these is undone with the second.
    db.write([nick("a", "never"), delete("nobody")]).await.unwrap_err();
    db.run(nick("a", "Anna")).await;
    let nicks: Vec<_> = db.logged(0).await.into_iter().map(|logged| logged.change.revision).collect();
    assert_eq!(nicks, [1, 2]);
    db.close().await;
}

/// Texts of every kind that a deletion erases.
const PRIVATE: [&str; 4] = ["Annabel-the-nick", "Annabel-the-alias", "Annabel-the-note", "Annabel-the-message"];

async fn an_erasure_takes_personal_data_out_and_leaves_the_versions(place: Place) {
    let db = place.open();
    let fields = Fields { nick: Some(PRIVATE[0].into()), email: Some("annabel@x.example".into()), ..Fields::default() };
    db.write([profile("a", fields), nick("b", "Bob-the-nick"), nick("c", "C"), befriend("a", "b")]).await.unwrap();
    let note = FriendUpdate::check(Some(PRIVATE[1].into()), Some(PRIVATE[2].into())).unwrap();
    db.run(Command::UpdateFriend { account: account("b"), peer: account("a"), note, if_version: None }).await;
    db.run(ask("a", "c", PRIVATE[3])).await;
    let before = db.logged(0).await;
    db.run(delete("a")).await;
    db.run(nick("a", "another-a")).await;
    // At once for readers, and later on the disk.
    for scrubbed in [false, true] {
        let after = db.logged(0).await;
        let text = format!("{after:?}");
        assert!(PRIVATE.iter().all(|text_of_a| !text.contains(text_of_a)), "{text}");
        assert!(!text.contains("annabel@") && text.contains("Bob-the-nick") && text.contains("another-a"));
        let erased: Vec<_> = after.iter().map(|logged| logged.erased).collect();
        assert_eq!(erased, [true, false, false, false, true, true, false, false]);
        for (one, other) in before.iter().zip(&after) {
            let (one, other) = (&one.change, &other.change);
            assert_eq!((one.revision, &one.cause, &one.replaced), (other.revision, &other.cause, &other.replaced));
        }
        if !scrubbed {
            while db.log.scrub_log().await.unwrap() {}
        }
    }
    let bytes = db.log.log_extent().await.unwrap().bytes;
    db.store.purge().await.unwrap();
    if let Some(directory) = &place.directory {
        for file in fs::read_dir(directory.path().join("data")).unwrap() {
            let held = fs::read(file.unwrap().path()).unwrap();
            let holds = |text: &str| held.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!PRIVATE.iter().any(|text| holds(text)), "{PRIVATE:?} are on the disk");
        }
    }
    assert!(bytes > 0);
    db.close().await;
}

async fn kinds_of_devices_are_kept_with_the_transition_that_they_belong_to(place: Place) {
    let db = place.open();
    db.write([nick("a", "Ann"), nick("b", "Bob")]).await.unwrap();
    let mut number = 0;
    for (turn, kinds) in ["", "ios smart-tv-2", "ios", "web", ""].into_iter().enumerate() {
        let other = format!("tv-{turn}");
        let seen = |name, devices: &str| {
            let seen = Some(SeenPresence { online: true, last_seen: 5 });
            PresenceRow { account: account(name), peer: None, seen, devices: DeviceKind::read(devices) }
        };
        // Of several rows of one account the last one counts.
        db.store.put_seen(vec![seen("b", &other), seen("a", "car"), seen("a", kinds)]).await.unwrap();
        let found = db.log.seen_page(number, 99, 9).await.unwrap();
        let held: Vec<_> = found.iter().map(|found| (found.account.as_str(), &found.devices[..])).collect();
        assert_eq!(held, [("b", &DeviceKind::read(&other)[..]), ("a", &DeviceKind::read(kinds)[..])]);
        number = found[1].seen;
    }
    db.close().await;
}

async fn each_presence_transition_takes_the_next_number_and_an_account_has_that_of_its_last(place: Place) {
    let db = place.open();
    db.write([nick("a", "Ann"), nick("b", "Bob"), nick("c", "C")]).await.unwrap();
    let seen = |name, online, last_seen| {
        let seen = Some(SeenPresence { online, last_seen });
        PresenceRow { account: account(name), peer: None, seen, devices: Vec::new() }
    };
    let number = |db: &super::rig::Running| *db.log.seen().expect("numbers").borrow();
    let found = |name, online, last_seen, hides, revision, seen| NumberedPresence {
        account: account(name),
        presence: SeenPresence { online, last_seen },
        devices: Vec::new(),
        chosen: ChosenPresence { hides, version: if hides { revision } else { 0 }, status: None },
        revision,
        seen,
    };
    assert_eq!((number(&db), db.log.seen_page(0, 99, 9).await.unwrap()), (0, vec![]));
    // One who does not exist takes none, and what a peer sees is not what friends see.
    let peer = PresenceRow { peer: Some(account("c")), ..seen("a", true, 9) };
    db.store.put_seen(vec![seen("a", true, 5), seen("nobody", true, 5), seen("b", true, 6), peer]).await.unwrap();
    assert_eq!(number(&db), 2);
    for time in 0..10 {
        db.store.put_seen(vec![seen("a", time % 2 == 1, 10 + time)]).await.unwrap();
    }
    let all = [found("b", true, 6, false, 2, 2), found("a", true, 19, false, 1, 12)];
    assert_eq!((number(&db), db.log.seen_page(0, 99, 9).await.unwrap()), (12, all.to_vec()));
    // Bounds on both sides, and of the number.
    assert_eq!(db.log.seen_page(2, 12, 9).await.unwrap(), all[1..]);
    assert_eq!(db.log.seen_page(0, 11, 9).await.unwrap(), all[..1]);
    assert_eq!(db.log.seen_page(0, 99, 1).await.unwrap(), all[..1]);
    // Whether an account hides takes a number, too; nothing else does, and a refused write takes none.
    db.run(Command::SetPresence { account: account("c"), set: PresenceChange::hides(true), if_version: None }).await;
    db.run(nick("b", "Bobby")).await;
    db.write([
        Command::SetPresence { account: account("a"), set: PresenceChange::hides(true), if_version: None },
        delete("nobody"),
    ])
    .await
    .unwrap_err();
    let rest =
        [found("b", true, 6, false, 5, 2), found("a", true, 19, false, 1, 12), found("c", false, 0, true, 4, 13)];
    assert_eq!((number(&db), db.log.seen_page(0, 99, 9).await.unwrap()), (13, rest.to_vec()));
    // An account that is gone has none, and neither has a later one of its name.
    db.write([delete("a"), nick("a", "another")]).await.unwrap();
    assert_eq!(db.log.seen_page(2, 99, 9).await.unwrap(), rest[2..]);
    let durable = place.directory.is_some();
    db.close().await;
    if durable {
        let db = place.open();
        assert_eq!((number(&db), db.log.seen_page(2, 99, 9).await.unwrap()), (13, rest[2..].to_vec()));
        db.close().await;
    }
}
