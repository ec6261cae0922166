//! State that readers bring from the store, late or ahead of the feed, and which of it the hub takes.

use super::*;

const HIDES: ChosenPresence = ChosenPresence { hides: true, version: 0, status: None };

#[test]
fn an_older_profile_that_arrives_late_is_ignored() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let handle = hub.join(&account(1), SessionId(1), None);
    feed.apply(&[change(5, None, profile(1, 5))]);
    offer(&hub, &user(1, 4));
    assert_eq!(handle.me().profile().unwrap().version, 5);
    feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 })]);
    offer(&hub, &user(1, 5));
    assert!(handle.me().profile().is_none());
}

/// A slow reader may bring the state from before an account was deleted and made again.
#[test]
fn state_from_before_an_account_was_made_again_is_ignored() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut bob = hub.join(&account(2), SessionId(2), None);
    let ann = bob.watch(&[account(1)]).remove(0);
    hub.offer(&ann, Some(&User { chosen: HIDES, ..user(1, 1) }));
    feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
    hub.offer(&ann, Some(&User { blocks: vec![blocked(1, 2, 2)], chosen: HIDES, ..user(1, 1) }));
    assert!(
        matches!(bob.view().visible_profile(&ann), VisibleProfile::EncodedProfile(encoded) if encoded.profile().version == 7)
    );
    assert_eq!(hub.own_presence(&ann).own, Some((false, 0)));
}

/// A reader may be so far ahead of the feed that it brings the new account before the feed deletes the old one.
#[test]
fn nothing_of_a_deleted_account_is_left_though_a_reader_brings_the_new_one_first() {
    for known in [true, false] {
        let hub = Hub::new(0, HubSettings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        let ann = bob.add_friend(&account(1));
        if known {
            hub.offer(&ann, Some(&User { blocks: vec![blocked(1, 2, 2)], chosen: HIDES, last_seen: 5, ..user(1, 1) }));
        } else {
            let hides = Row::Presence { account: account(1), chosen: HIDES, turned: Some(1) };
            feed.apply(&[change(1, None, hides), change(2, None, block(1, 2, 2, false))]);
        }
        hub.offer(&ann, Some(&user(1, 7)));
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
        assert!(
            matches!(bob.view().visible_profile(&ann), VisibleProfile::EncodedProfile(encoded) if encoded.profile().version == 7),
            "known: {known}"
        );
        let seen = hub.own_presence(&ann);
        assert_eq!((seen.own, seen.last_seen), (Some((false, 0)), 0), "known: {known}");
    }
}

#[test]
fn a_session_of_an_account_that_was_made_again_may_reconnect() {
    for (brought, reason) in [(1, CloseReason::AccountDisabled), (7, CloseReason::Internal)] {
        let hub = Hub::new(0, HubSettings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let ann = hub.join(&account(1), SessionId(1), None);
        offer(&hub, &user(1, brought));
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 })]);
        assert_eq!(ann.session().ended(), Some(reason));
    }
}

#[test]
fn nothing_of_an_account_is_shown_before_the_store_was_read_for_it() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let ann = hub.join(&account(1), SessionId(1), None);
    let mut bob = hub.join(&account(2), SessionId(2), None);
    bob.add_friend(&account(1));
    // The feed brings a change before any reader comes: it has a profile, but not that she blocks him.
    feed.apply(&[change(9, None, profile(1, 9))]);
    assert!(matches!(bob.view().visible_profile(ann.me()), VisibleProfile::Unknown) && ann.me().profile().is_none());
    let blocks = vec![Block { removed: false, ..blocked(1, 2, 5) }];
    hub.offer(ann.me(), Some(&User { blocks, ..user(1, 8) }));
    assert!(matches!(bob.view().visible_profile(ann.me()), VisibleProfile::Frozen));
    assert_eq!(ann.me().profile().unwrap().version, 9);
    // An account that is watched before it exists is known to have nothing.
    let later = bob.watch(&[account(3)]).remove(0);
    hub.offer(&later, None);
    feed.apply(&[change(10, None, profile(3, 10))]);
    assert!(matches!(bob.view().visible_profile(&later), VisibleProfile::EncodedProfile(_)));
}

#[test]
fn a_reader_that_began_without_an_entry_brings_nothing_to_one_made_meanwhile() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let name = UserRef::detached(account(1));
    // It reads version 5; then 7 is committed and applied while nobody follows; then somebody does.
    feed.apply(&[change(7, None, profile(1, 7))]);
    let mut bob = hub.join(&account(2), SessionId(2), None);
    let entry = bob.add_friend(&account(1));
    hub.offer(&name, Some(&user(1, 5)));
    assert!(matches!(bob.view().visible_profile(&entry), VisibleProfile::Unknown), "he has to read for himself");
    assert!(matches!(bob.view().visible_profile(&name), VisibleProfile::EncodedProfile(_)));
}

fn sees(session: &SessionHandle, user: &UserRef) -> Option<u64> {
    match session.view().visible_profile(user) {
        VisibleProfile::EncodedProfile(encoded) => Some(encoded.profile().version),
        VisibleProfile::Frozen => Some(0),
        VisibleProfile::Unknown => None,
    }
}

/// Of an account that blocks thousands, each follower brings the block of its own account and no other.
#[test]
fn nothing_is_shown_to_a_follower_before_it_has_read_whether_it_is_blocked() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let join = |n: u8| hub.join(&account(n), SessionId(n.into()), None);
    let (mut bob, mut cid, mut dan, eve) = (join(2), join(3), join(4), join(5));
    let ann = bob.add_friend(&account(1));
    cid.watch(&[account(1)]);
    let many = |blocks| User { blocks, has_more_blocks: true, ..user(1, 1) };
    bob.view().offer(&ann, Some(&many(vec![blocked(1, 2, 1)])));
    assert_eq!(held_blocks(&ann), 1);
    assert_eq!([&bob, &cid, &eve].map(|session| sees(session, &ann)), [Some(0), None, None]);
    // It is not marked either: it may be blocked, and reads the newest profile anyway.
    feed.apply(&[change(2, None, profile(1, 2))]);
    assert!(bob.is_clean() && cid.is_clean());
    cid.view().offer(&ann, Some(&many(Vec::new())));
    dan.add_friend(&account(1));
    assert_eq!([&bob, &cid, &dan].map(|session| sees(session, &ann)), [Some(0), Some(2), None]);
    feed.apply(&[change(3, None, profile(1, 3))]);
    assert!(bob.is_clean() && !cid.is_clean() && dan.is_clean());
    // A block and its end come from the feed while dan reads: what he brings is older.
    feed.apply(&[change(4, None, block(1, 4, 4, false)), change(5, None, block(1, 4, 5, true))]);
    dan.view().offer(&ann, Some(&many(vec![blocked(1, 4, 4)])));
    assert_eq!((sees(&dan, &ann), sees(&eve, &ann)), (Some(3), None));
    // A block that the feed brings while gil reads need not be read, and what comes after it is marked.
    let mut gil = join(7);
    gil.add_friend(&account(1));
    feed.apply(&[change(6, None, block(1, 7, 6, false))]);
    assert_eq!(sees(&gil, &ann), Some(0));
    feed.apply(&[change(7, None, block(1, 7, 7, true))]);
    assert_eq!((gil.take().marks.len(), sees(&gil, &ann)), (0, Some(3)));
    feed.apply(&[change(8, None, profile(1, 8))]);
    assert_eq!((gil.is_clean(), sees(&dan, &ann)), (false, Some(8)));
    // A second interest of a session that has read changes nothing, and nothing is left of one that goes.
    dan.watch(&[account(1)]);
    assert_eq!(sees(&dan, &ann), Some(8));
    drop(dan);
    let mut fay = join(6);
    fay.add_friend(&account(1));
    assert_eq!(sees(&fay, &ann), None);
    drop((bob, cid, fay, gil));
    let state = ann.state().lock();
    assert!(state.friends.is_empty() && state.strangers.is_empty() && !(0..9).any(|slot| state.is_unread(slot)));
}
