//! What readers of the store bring, late or ahead of the feed, and what of it is believed.

use super::*;

#[test]
fn an_older_profile_that_arrives_late_is_not_believed() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let seat = hub.join(&account(1), SessionId(1), None);
    feed.apply(&[change(5, None, profile(1, 5))]);
    offer(&hub, &user(1, 4));
    assert_eq!(seat.me().profile().unwrap().version, 5);
    feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 })]);
    offer(&hub, &user(1, 5));
    assert!(seat.me().profile().is_none());
}

/// A reader that was slow may bring what an account was before it was deleted and made again.
#[test]
fn of_an_account_that_was_made_again_nothing_from_before_is_believed() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut bob = hub.join(&account(2), SessionId(2), None);
    let ann = bob.watch(&[account(1)]).remove(0);
    hub.offer(&ann, Some(&User { invisible: true, ..user(1, 1) }));
    feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
    hub.offer(&ann, Some(&User { blocks: vec![blocked(1, 2, 2)], invisible: true, ..user(1, 1) }));
    assert!(
        matches!(bob.view().visible_profile(&ann), VisibleProfile::EncodedProfile(card) if card.profile().version == 7)
    );
    assert_eq!(hub.own_presence(&ann).invisible, Some(false));
}

/// A reader may be so far ahead of the feed that it brings the account that was made again before the end of the first.
#[test]
fn of_an_account_that_was_made_again_nothing_is_left_though_a_reader_brings_it_before_its_end() {
    for known in [true, false] {
        let hub = Hub::new(0, HubSettings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        let ann = bob.add_friend(&account(1));
        if known {
            hub.offer(
                &ann,
                Some(&User { blocks: vec![blocked(1, 2, 2)], invisible: true, last_seen: 5, ..user(1, 1) }),
            );
        } else {
            let hides = Row::Invisible { account: account(1), invisible: true };
            feed.apply(&[change(1, None, hides), change(2, None, block(1, 2, 2, false))]);
        }
        hub.offer(&ann, Some(&user(1, 7)));
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
        assert!(
            matches!(bob.view().visible_profile(&ann), VisibleProfile::EncodedProfile(card) if card.profile().version == 7),
            "known: {known}"
        );
        let seen = hub.own_presence(&ann);
        assert_eq!((seen.invisible, seen.last_seen), (Some(false), 0), "known: {known}");
    }
}

#[test]
fn who_has_come_in_as_an_account_that_was_made_again_comes_back() {
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
fn nothing_is_told_of_an_account_before_what_the_store_has_of_it_is_known() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let ann = hub.join(&account(1), SessionId(1), None);
    let mut bob = hub.join(&account(2), SessionId(2), None);
    bob.add_friend(&account(1));
    // A change comes by the feed before any reader: it brings a card, but not that she blocks him.
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
fn a_reader_that_had_no_entry_when_it_began_tells_nothing_to_one_that_was_made_meanwhile() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let name = UserRef::detached(account(1));
    // It reads version 5; then 7 is committed and told, when nobody follows; then somebody does.
    feed.apply(&[change(7, None, profile(1, 7))]);
    let mut bob = hub.join(&account(2), SessionId(2), None);
    let entry = bob.add_friend(&account(1));
    hub.offer(&name, Some(&user(1, 5)));
    assert!(matches!(bob.view().visible_profile(&entry), VisibleProfile::Unknown), "he has to read for himself");
    assert!(matches!(bob.view().visible_profile(&name), VisibleProfile::EncodedProfile(_)));
}
