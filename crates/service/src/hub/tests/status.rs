//! Statuses: who sees which, up to when.

use super::*;
use rosterd_engine::model::{Millis, Status};

fn chosen(text: &str, until: Option<Millis>, time: Millis) -> ChosenPresence {
    let status = (!text.is_empty()).then(|| Arc::new(Status { text: text.into(), until, time }));
    ChosenPresence { hides: false, version: time, status }
}

fn sets(feed: &mut Feed, revision: Revision, chosen: ChosenPresence, turned: Option<Millis>) {
    feed.apply(&[change(revision, None, Row::Presence { account: account(1), chosen, turned })]);
}

fn shown(viewer: &SessionHandle, of: &SessionHandle) -> Option<String> {
    viewer.view().presence(of.me()).unwrap().status.map(|status| status.text.to_string())
}

/// Ann, who is online since 100, and Bob, who lists her.
fn two(hub: &Arc<Hub>) -> (SessionHandle, SessionHandle) {
    let ann = hub.join(&account(1), SessionId(1), None);
    let mut bob = hub.join(&account(2), SessionId(2), None);
    bob.add_friend(&account(1));
    offer(hub, &user(1, 1));
    hub.arrive(&ann, 100, LIMIT);
    drop(bob.take());
    (ann, bob)
}

#[test]
fn a_friend_sees_a_status_until_it_ends_and_is_marked_once_for_each_change() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let (mut ann, mut bob) = two(&hub);
    drop(ann.take());
    sets(&mut feed, 2, chosen("lunch", Some(500), 200), None);
    assert_eq!((shown(&bob, &ann).as_deref(), bob.take().marks.len(), ann.take().marks.len()), (Some("lunch"), 1, 1));
    hub.end_statuses(499);
    assert_eq!((shown(&bob, &ann).as_deref(), bob.take().marks.len()), (Some("lunch"), 0));
    hub.end_statuses(500);
    assert_eq!((shown(&bob, &ann), bob.take().marks.len(), ann.take().marks.len()), (None, 1, 1));
    assert_eq!(shown(&ann, &ann), None);
    hub.end_statuses(600);
    assert_eq!(bob.take().marks.len(), 0, "once");
    // One replaces another, whose end no longer counts.
    sets(&mut feed, 3, chosen("a", Some(800), 700), None);
    sets(&mut feed, 4, chosen("b", None, 710), None);
    drop(bob.take());
    hub.end_statuses(900);
    assert_eq!((shown(&bob, &ann).as_deref(), bob.take().marks.len()), (Some("b"), 0));
    sets(&mut feed, 5, chosen("", None, 720), None);
    assert_eq!((shown(&bob, &ann), bob.take().marks.len()), (None, 1));
}

#[test]
fn a_status_without_an_end_goes_with_the_account_and_does_not_come_back_with_it() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let (ann, mut bob) = two(&hub);
    sets(&mut feed, 2, chosen("here", None, 200), None);
    let entry = ann.me().clone();
    drop(ann);
    assert!(bob.view().presence(&entry).unwrap().status.is_some(), "through the offline grace");
    let ann = hub.join(&account(1), SessionId(3), None);
    hub.arrive(&ann, 5_000, LIMIT);
    assert_eq!(shown(&bob, &ann).as_deref(), Some("here"), "she never went");
    drop((ann, bob.take()));
    let end = Instant::now();
    hub.expire(end, end, 60_000);
    let seen = bob.view().presence(&entry).unwrap();
    assert_eq!((seen.online, seen.status), (false, None));
    let ann = hub.join(&account(1), SessionId(4), None);
    hub.arrive(&ann, 90_000, LIMIT);
    assert_eq!((shown(&bob, &ann), shown(&ann, &ann)), (None, None));
    sets(&mut feed, 3, chosen("again", Some(200_000), 91_000), None);
    drop(ann);
    let end = Instant::now();
    hub.expire(end, end, 100_000);
    assert_eq!(bob.view().presence(&entry).unwrap().status, None, "nobody sees that of one who is offline");
    let ann = hub.join(&account(1), SessionId(5), None);
    hub.arrive(&ann, 150_000, LIMIT);
    assert_eq!(shown(&bob, &ann).as_deref(), Some("again"), "it has an end of its own");
}

#[test]
fn whoever_is_blocked_or_hidden_from_sees_what_was_there_at_the_begin_of_the_grace() {
    for blocks in [true, false] {
        let hub = Hub::new(0, HubSettings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let (ann, mut bob) = two(&hub);
        sets(&mut feed, 2, chosen("before", Some(1000), 200), None);
        let hidden = |text: &str, until| ChosenPresence { hides: !blocks, ..chosen(text, until, 300) };
        if blocks {
            feed.apply(&[change(3, None, block(1, 2, 3, false))]);
        } else {
            sets(&mut feed, 3, hidden("before", Some(1000)), Some(300));
        }
        drop(bob.take());
        sets(&mut feed, 4, hidden("after", Some(2000)), None);
        assert_eq!((shown(&bob, &ann).as_deref(), bob.take().marks.len()), (Some("before"), 0), "{blocks}");
        assert_eq!(shown(&ann, &ann).as_deref(), Some("after"), "{blocks}");
        // It ends when it said that it would.
        hub.end_statuses(1000);
        assert_eq!((shown(&bob, &ann), bob.take().marks.len()), (None, 1), "{blocks}");
        let end = Instant::now();
        hub.expire(end, end, 1500);
        let seen = bob.view().presence(ann.me()).unwrap();
        assert_eq!((seen.online, seen.status), (false, None), "{blocks}");
        drop(bob.take());
        sets(&mut feed, 5, hidden("later", Some(2000)), None);
        hub.end_statuses(2000);
        assert_eq!((shown(&bob, &ann), bob.take().marks.len()), (None, 0), "{blocks}");
        sets(&mut feed, 6, hidden("now", Some(3000)), None);
        if blocks {
            feed.apply(&[change(7, None, block(1, 2, 7, true))]);
        } else {
            sets(&mut feed, 7, chosen("now", Some(3000), 2100), Some(2100));
        }
        assert_eq!((shown(&bob, &ann).as_deref(), bob.take().marks.len()), (Some("now"), 1), "{blocks}");
    }
}

#[test]
fn an_entry_that_goes_leaves_no_end_behind() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let (ann, bob) = two(&hub);
    for number in 0..100 {
        sets(&mut feed, 2 + number, chosen("x", Some(10_000 + number), 200), None);
    }
    assert_eq!(hub.status_ends.lock().len(), 1);
    drop((ann, bob));
    let end = Instant::now();
    hub.expire(end, end, 300);
    hub.transitions_stored(&hub.take_transitions(9));
    assert_eq!((hub.status_ends.lock().len(), hub.watched_accounts()), (0, 0));
}
