//! Kinds of devices: who sees which, up to when.

use super::*;

fn settings() -> HubSettings {
    HubSettings { devices: ShownDevices::Friends, ..HubSettings::default() }
}

/// A session of Ann on a device of a type.
fn ann_on(hub: &Arc<Hub>, id: u64, device_type: &str) -> SessionHandle {
    let device = v1::Device { r#type: device_type.into(), id: "secret id".into(), tag: "secret tag".into() };
    let session = hub.join(&account(1), SessionId(id), Some(device));
    offer(hub, &user(1, 1));
    hub.arrive(&session, 100, LIMIT);
    session
}

/// Bob, who lists Ann.
fn bob(hub: &Arc<Hub>) -> SessionHandle {
    let mut bob = hub.join(&account(2), SessionId(900), None);
    bob.add_friend(&account(1));
    offer(hub, &user(1, 1));
    drop(bob.take());
    bob
}

/// The kinds that Bob sees, and of how many accounts he is told.
fn seen(hub: &Arc<Hub>, bob: &mut SessionHandle) -> (String, usize) {
    let ann = hub.user(&account(1)).unwrap();
    let seen = bob.view().presence(&ann).unwrap();
    assert!(seen.online || seen.kinds.is_empty());
    let kinds: Vec<_> = seen.kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    (kinds.join(" "), bob.take().marks.len())
}

/// Ends the offline grace of whatever left by now.
fn expire(hub: &Arc<Hub>) {
    let end = Instant::now();
    hub.expire(end, end, 60_000);
}

fn text(kinds: &str, marks: usize) -> (String, usize) {
    (kinds.to_owned(), marks)
}

#[test]
fn a_friend_sees_each_kind_once_and_through_the_offline_grace() {
    let hub = Hub::new(0, settings(), Arc::default());
    let mut bob = bob(&hub);
    let first = ann_on(&hub, 1, "Web");
    assert_eq!(seen(&hub, &mut bob), text("web", 1), "with her coming");
    let second = ann_on(&hub, 2, "web");
    assert_eq!(seen(&hub, &mut bob), text("web", 0), "another of the same kind is nothing new");
    let phone = ann_on(&hub, 3, "ios");
    assert_eq!(seen(&hub, &mut bob), text("ios web", 1));
    let odd = ann_on(&hub, 4, "Ann's phone: call me");
    assert_eq!(seen(&hub, &mut bob), text("ios web", 0), "a text is no kind");
    assert_eq!(hub.kinds_of(&account(1)).len(), 2);
    assert!(hub.own_presence(odd.me()).kinds.is_empty());
    drop(phone);
    assert_eq!(seen(&hub, &mut bob), text("ios web", 0), "it may come back");
    let phone = ann_on(&hub, 5, "ios");
    expire(&hub);
    assert_eq!(seen(&hub, &mut bob), text("ios web", 0), "nobody saw it go");
    drop((first, phone));
    expire(&hub);
    assert_eq!(seen(&hub, &mut bob), text("web", 1), "one of two is there");
    drop((second, odd));
    assert_eq!(seen(&hub, &mut bob), text("web", 0));
    expire(&hub);
    assert_eq!(seen(&hub, &mut bob), text("", 1), "with her going");
    assert!(hub.kinds_here.lock().is_empty());
    assert_eq!(hub.offline_grace.lock().len(), 0);
}

#[test]
fn nobody_sees_kinds_where_they_are_not_shown() {
    for settings in [HubSettings::default(), HubSettings { presence: false, ..settings() }] {
        let hub = Hub::new(0, settings.clone(), Arc::default());
        let mut bob = bob(&hub);
        let _ann = (ann_on(&hub, 1, "web"), ann_on(&hub, 2, "ios"));
        if settings.presence {
            assert_eq!(seen(&hub, &mut bob), text("", 1));
        }
        assert!(hub.kinds_of(&account(1)).is_empty() && hub.kinds_here.lock().is_empty());
        assert_eq!(hub.offline_grace.lock().len(), 0);
    }
}

/// What a blocked friend, one from whom she hides and one whom she leaves see, at four moments.
fn seen_after(how: &str) -> Vec<(String, usize)> {
    let hub = Hub::new(0, settings(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut bob = bob(&hub);
    let tablet = ann_on(&hub, 1, "tablet");
    let mut there = vec![ann_on(&hub, 2, "web"), ann_on(&hub, 3, "ios")];
    // It left before, and stands still with the others.
    drop(tablet);
    let between = Instant::now();
    while Instant::now() == between {
        std::thread::yield_now();
    }
    drop(bob.take());
    let hides = |hides| ChosenPresence { hides, version: 3, status: None };
    let presence = |chosen, turned| Row::Presence { account: account(1), chosen, turned: Some(turned) };
    match how {
        "blocks" => feed.apply(&[change(3, None, block(1, 2, 3, false))]),
        "hides" => feed.apply(&[change(3, None, presence(hides(true), 300))]),
        _ => there.clear(),
    }
    let mut looks = vec![seen(&hub, &mut bob)];
    if !there.is_empty() {
        // In secret she takes another device, and puts one away.
        there.push(ann_on(&hub, 4, "tv"));
        there.remove(0);
        looks[0].1 += seen(&hub, &mut bob).1;
    }
    hub.expire(between, between, 60_000);
    looks.push(seen(&hub, &mut bob));
    // She is back before the grace is over.
    let back = match how {
        "blocks" => {
            feed.apply(&[change(4, None, block(1, 2, 4, true))]);
            there
        }
        "hides" => {
            feed.apply(&[change(4, None, presence(hides(false), 400))]);
            there
        }
        // As two frames or one.
        _ => {
            let phone = ann_on(&hub, 5, "ios");
            drop(bob.take());
            vec![ann_on(&hub, 6, "tv"), phone]
        }
    };
    looks.push(seen(&hub, &mut bob));
    expire(&hub);
    looks.push(seen(&hub, &mut bob));
    drop(back);
    expire(&hub);
    looks.push(seen(&hub, &mut bob));
    assert_eq!(hub.offline_grace.lock().len(), 0);
    looks
}

#[test]
fn a_friend_who_is_blocked_or_hidden_from_sees_the_kinds_of_a_departure() {
    let expected = [("ios tablet web", 0), ("ios tablet web", 0), ("ios tv web", 1), ("ios tv", 1), ("", 1)];
    let expected: Vec<_> = expected.iter().map(|(kinds, marks)| text(kinds, *marks)).collect();
    for how in ["leaves", "hides", "blocks"] {
        assert_eq!(seen_after(how), expected, "{how}");
    }
}

#[test]
fn a_friend_sees_eight_kinds_and_those_that_are_there_before_those_that_went() {
    let hub = Hub::new(0, settings(), Arc::default());
    let mut bob = bob(&hub);
    let mut there: Vec<_> = (0..12).map(|n| ann_on(&hub, n, &format!("k{n:02}"))).collect();
    assert_eq!(seen(&hub, &mut bob).0, "k00 k01 k02 k03 k04 k05 k06 k07");
    drop(there.drain(..3));
    assert_eq!(seen(&hub, &mut bob).0, "k03 k04 k05 k06 k07 k08 k09 k10");
    drop(there.drain(..5));
    assert_eq!(seen(&hub, &mut bob).0, "k04 k05 k06 k07 k08 k09 k10 k11", "the rest is filled up");
    // However often others come and go, nothing piles up.
    for n in 0..1000 {
        drop(ann_on(&hub, 20 + n, &format!("a{n}")));
    }
    let (kinds, _) = seen(&hub, &mut bob);
    assert_eq!((kinds.split(' ').count(), &kinds[kinds.len() - 15..]), (8, "k08 k09 k10 k11"));
    assert!(hub.offline_grace.lock().len() <= 8);
    drop(there);
    expire(&hub);
    assert_eq!((seen(&hub, &mut bob).0, hub.offline_grace.lock().len()), (String::new(), 0));
}

#[test]
fn kinds_of_a_deleted_account_are_not_those_of_one_that_is_made_again() {
    let hub = Hub::new(0, settings(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut bob = bob(&hub);
    let before = ann_on(&hub, 1, "web");
    feed.apply(&[change(5, None, Row::Gone { account: account(1), version: 5 })]);
    assert_eq!(seen(&hub, &mut bob).0, "");
    feed.apply(&[change(6, None, profile(1, 6))]);
    let after = ann_on(&hub, 2, "ios");
    assert_eq!(seen(&hub, &mut bob).0, "ios");
    drop(before);
    assert_eq!(seen(&hub, &mut bob).0, "ios");
    drop(after);
    expire(&hub);
    assert!(hub.kinds_here.lock().is_empty());
}

#[test]
fn other_kinds_are_noted_for_backends_that_are_told() {
    for told in [true, false] {
        let devices = if told { ShownDevices::FriendsAndBackends } else { ShownDevices::Friends };
        let hub = Hub::new(0, HubSettings { devices, ..HubSettings::default() }, Arc::default());
        let noted = || {
            let noted = hub.take_transitions(9);
            hub.transitions_stored(&noted);
            let of = |noted: &PresenceTransition| (noted.seen.unwrap().online, DeviceKind::written(&noted.devices));
            noted.iter().map(of).collect::<Vec<_>>()
        };
        let is = |online, kinds: &str| vec![(online, kinds.to_owned())];
        let phone = ann_on(&hub, 1, "ios");
        assert_eq!(noted(), is(true, if told { "ios" } else { "" }));
        let laptop = ann_on(&hub, 2, "web");
        assert_eq!(noted(), if told { is(true, "ios web") } else { vec![] });
        let tab = ann_on(&hub, 3, "web");
        drop((phone, laptop));
        assert_eq!(noted(), [], "nothing that friends see");
        expire(&hub);
        assert_eq!(noted(), if told { is(true, "web") } else { vec![] });
        drop(tab);
        expire(&hub);
        assert_eq!(noted(), is(false, ""));
    }
}
