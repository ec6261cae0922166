//! State that readers bring from the store, late or ahead of the feed, and which of it the hub takes.

use super::*;

const HIDES: Invisibility = Invisibility { hides: true, version: 0 };

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
    hub.offer(&ann, Some(&User { invisible: HIDES, ..user(1, 1) }));
    feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
    hub.offer(&ann, Some(&User { blocks: vec![blocked(1, 2, 2)], invisible: HIDES, ..user(1, 1) }));
    assert!(
        matches!(bob.view().visible_profile(&ann), VisibleProfile::EncodedProfile(encoded) if encoded.profile().version == 7)
    );
    assert_eq!(hub.own_presence(&ann).invisible, Some(Invisibility::default()));
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
            hub.offer(
                &ann,
                Some(&User { blocks: vec![blocked(1, 2, 2)], invisible: HIDES, last_seen: 5, ..user(1, 1) }),
            );
        } else {
            let hides = Row::Invisible { account: account(1), invisible: HIDES, time: 1 };
            feed.apply(&[change(1, None, hides), change(2, None, block(1, 2, 2, false))]);
        }
        hub.offer(&ann, Some(&user(1, 7)));
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
        assert!(
            matches!(bob.view().visible_profile(&ann), VisibleProfile::EncodedProfile(encoded) if encoded.profile().version == 7),
            "known: {known}"
        );
        let seen = hub.own_presence(&ann);
        assert_eq!((seen.invisible, seen.last_seen), (Some(Invisibility::default()), 0), "known: {known}");
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
