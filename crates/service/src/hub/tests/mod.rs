//! The hub's registry, dirty marks, presence and account sessions, without a store or a socket.

use super::feed::Feed;
use super::{
    Hub, HubSettings, PresenceTransition, SessionHandle, SessionsLimit, ShownDevices, UserRef, VisibleProfile,
};
use proptest::prelude::*;
use rosterd_engine::model::{
    Account, Block, Cause, Change, ChosenPresence, CloseReason, DeviceKind, Edge, LastChange, OnlineAccount, Profile,
    Revision, Row, SeenPresence, SessionId, SessionsPolicy, User, WriteOrigin,
};
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::v1;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::Instant;

mod kinds;
mod readers;
mod slices;
mod status;

fn account(n: u8) -> Account {
    Account::stored(&format!("u{n}")).unwrap()
}

fn profile(n: u8, revision: Revision) -> Row {
    Row::Profile(Arc::new(Profile::new(account(n), revision, 0)))
}

fn user(n: u8, version: u64) -> User {
    let profile = Arc::new(Profile::new(account(n), version, 0));
    let chosen = ChosenPresence::default();
    User { profile, chosen, last_seen: 0, blocks: Vec::new(), has_more_blocks: false, ended: Vec::new() }
}

fn offer(hub: &Arc<Hub>, user: &User) {
    hub.offer(&hub.user(&user.profile.account).unwrap(), Some(user));
}

fn online(n: u8, hides: bool) -> OnlineAccount {
    OnlineAccount {
        account: account(n),
        chosen: ChosenPresence { hides, version: 0, status: None },
        last_seen: 4,
        blocks: Vec::new(),
    }
}

fn change(revision: Revision, origin: Option<SessionId>, row: Row) -> Change {
    let origin = origin.map_or(WriteOrigin::Import, WriteOrigin::Client);
    // The hub goes by the rows.
    Change { revision, time: 0, origin, cause: Cause::PresenceSet, rows: vec![row], replaced: vec![0] }
}

/// The registry has exactly the entries that the session handles account for.
fn check_invariants(hub: &Hub, handles: &[SessionHandle]) {
    let mut expected = BTreeSet::new();
    for handle in handles {
        expected.insert((handle.account().clone(), 'o', handle.session().slot()));
        expected.extend(handle.friends().map(|account| (account.clone(), 'f', handle.session().slot())));
        expected.extend(handle.watched().map(|user| (user.account().clone(), 'w', handle.session().slot())));
    }
    let mut actual = BTreeSet::new();
    for entry in &hub.users {
        let state = entry.state().lock();
        assert!(!state.is_idle(), "an idle entry stayed");
        actual.extend(state.own.iter().map(|slot| (entry.account().clone(), 'o', *slot)));
        actual.extend(state.friends.iter().map(|slot| (entry.account().clone(), 'f', slot)));
        actual.extend(state.strangers.iter().map(|slot| (entry.account().clone(), 'w', slot)));
    }
    assert_eq!(actual, expected);
    assert_eq!(hub.sessions(), handles.len());
}

#[test]
fn the_originator_is_not_marked_its_other_session_is() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let (mut a1, mut a2) = (hub.join(&account(1), SessionId(1), None), hub.join(&account(1), SessionId(2), None));
    let mut b = hub.join(&account(2), SessionId(3), None);
    b.add_friend(&account(1));
    feed.apply(&[change(1, Some(SessionId(1)), profile(1, 1))]);
    assert_eq!((a1.take().marks.len(), a2.take().marks.len(), b.take().marks.len()), (0, 1, 1));
    assert_eq!(hub.watermark(), 1);
}

/// More than there are open files for in a test of the whole gateway.
#[test]
fn fifty_thousand_sessions_are_listed_page_by_page_each_once() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let join = |n: u64| {
        let account = Account::stored(&format!("u{}", n % 20_000)).unwrap();
        let handle = hub.join(&account, SessionId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), None);
        handle.session().connect(1);
        handle
    };
    let handles: Vec<_> = (1..=50_000).map(join).collect();
    let listed = |filter: &dyn Fn(&Account) -> bool| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = hub.sessions_after(after, 1000, |session| filter(session.account()));
            ids.extend(page.iter().map(|session| session.id().0));
            if page.len() < 1000 {
                return ids;
            }
            after = page.last().map(|last| last.id());
        }
    };
    let all = listed(&|_| true);
    assert!(all.len() == handles.len() && all.is_sorted_by(|one, next| one < next));
    let wanted = |account: &Account| account.as_str().starts_with("u19");
    let expected = handles.iter().filter(|handle| wanted(handle.account())).count();
    assert_eq!(listed(&wanted).len(), expected);
}

#[test]
fn a_relation_marks_the_owners_sessions_once_however_often_it_changes() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut handle = hub.join(&account(1), SessionId(1), None);
    let before = handle.relations_epoch();
    for revision in 1..100 {
        let edge = Edge::new(account(1), account(2), revision, 0);
        feed.apply(&[change(revision, None, Row::Edge(edge))]);
    }
    assert_ne!(handle.relations_epoch(), before);
    let marks = handle.take().marks;
    assert_eq!(marks.len(), 1);
    assert!(marks.iter().all(|(_, kinds)| kinds.has(RecordKinds::EDGE)));
}

#[test]
fn many_watchers_are_marked_in_slices_while_others_overtake_and_the_watermark_waits() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut watchers: Vec<_> = (0..5000).map(|n| hub.join(&account(9), SessionId(n), None)).collect();
    for handle in &mut watchers {
        handle.add_friend(&account(1));
    }
    let mut other = hub.join(&account(8), SessionId(9999), None);
    other.add_friend(&account(2));
    feed.apply(&[change(1, None, profile(1, 1)), change(2, None, profile(2, 2))]);
    assert_eq!((other.take().marks.len(), hub.watermark()), (1, 0));
    let mut slices = 0;
    while feed.sweep() {
        slices += 1;
        let marked = watchers.iter().filter(|handle| !handle.is_clean()).count();
        assert!(marked == watchers.len() || hub.watermark() == 0);
    }
    assert!(slices > 1);
    assert_eq!(hub.watermark(), 2);
    assert!(watchers.iter_mut().all(|handle| handle.take().marks.len() == 1));
}

#[test]
fn a_celebrity_who_changes_constantly_is_one_sweep_and_everyone_gets_the_newest() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut watchers: Vec<_> = (0..3000).map(|n| hub.join(&account(9), SessionId(n), None)).collect();
    for handle in &mut watchers {
        handle.add_friend(&account(1));
    }
    let mut taken = vec![0; watchers.len()];
    for revision in 1..200 {
        feed.apply(&[change(revision, Some(SessionId(7)), profile(1, revision))]);
        feed.sweep();
        assert_eq!(feed.sweeps(), 1);
        for (handle, taken) in watchers.iter_mut().zip(&mut taken) {
            *taken += handle.take().marks.len();
        }
    }
    // Every watcher was marked while the changes went on, except the author.
    assert!(taken.iter().enumerate().all(|(n, taken)| (n == 7) == (*taken == 0)));
    while feed.sweep() {}
    assert_eq!((feed.sweeps(), hub.watermark()), (0, 199));
}

proptest! {
    /// Sessions come, befriend, watch, stop and leave in any order, while changes flow, some of them hidden: registry
    /// and handles agree, and exactly the sessions that see a change are marked.
    #[test]
    fn the_index_is_consistent(steps in prop::collection::vec((0..7u8, any::<prop::sample::Index>(), 0..6u8, 0..3u8), 1..120)) {
        let hub = Hub::new(0, HubSettings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut handles: Vec<SessionHandle> = Vec::new();
        for (at, (what, pick, who, audience)) in steps.into_iter().enumerate() {
            let revision = at as u64 + 1;
            match what {
                0 => handles.push(hub.join(&account(who), SessionId(revision), None)),
                _ if handles.is_empty() => {}
                1 => drop({ let at = pick.index(handles.len()); handles[at].add_friend(&account(who)) }),
                2 => { let at = pick.index(handles.len()); handles[at].remove_friend(&account(who)); }
                3 => drop(handles.swap_remove(pick.index(handles.len()))),
                4 => drop({ let at = pick.index(handles.len()); handles[at].watch(&[account(who), account(who / 2)]) }),
                _ => {
                    let older = LastChange { version: 0, time: 0 };
                    let mut profile = Profile::new(account(who), revision, 0);
                    if audience < 2 { profile.everyone = older; }
                    if audience < 1 { profile.friends = older; }
                    feed.apply(&[change(revision, None, Row::Profile(Arc::new(profile)))]);
                    for handle in &mut handles {
                        let sees = *handle.account() == account(who)
                            || audience >= 1 && handle.friends().any(|friend| *friend == account(who))
                            || audience >= 2 && handle.watched().any(|watched| *watched.account() == account(who));
                        prop_assert_eq!(handle.take().marks.len(), usize::from(sees));
                    }
                    prop_assert_eq!(hub.watermark(), revision);
                }
            }
            check_invariants(&hub, &handles);
        }
        handles.clear();
        check_invariants(&hub, &handles);
    }
}

/// A block that a reader ahead of the feed brings must not suppress a change from before it.
#[test]
fn a_change_from_before_a_block_that_is_known_already_is_marked() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut bob = hub.join(&account(2), SessionId(2), None);
    let ann = bob.add_friend(&account(1));
    hub.offer(&ann, Some(&User { blocks: vec![blocked(1, 2, 2)], ..user(1, 1) }));
    feed.apply(&[change(1, None, profile(1, 1))]);
    assert_eq!(bob.take().marks.len(), 1);
    feed.apply(&[change(2, None, block(1, 2, 2, false)), change(3, None, profile(1, 3))]);
    assert!(bob.take().marks.iter().all(|(_, kinds)| !kinds.has(RecordKinds::PROFILE)));
}

fn block(owner: u8, peer: u8, revision: Revision, removed: bool) -> Row {
    let begun = blocked(owner, peer, revision);
    let presence = begun.presence.filter(|_| !removed);
    Row::Block { block: Block { removed, presence, ..begun }, frozen: None }
}

fn blocked(owner: u8, peer: u8, version: Revision) -> Block {
    Block {
        owner: account(owner),
        peer: account(peer),
        removed: false,
        presence: Some(SeenPresence { online: false, last_seen: 7 }),
        views: None,
        create_time: 7,
        update_time: 7,
        version,
    }
}

#[test]
fn a_blocked_session_is_not_marked_until_the_block_ends() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut ann = hub.join(&account(1), SessionId(1), None);
    let mut bob = hub.join(&account(2), SessionId(2), None);
    bob.add_friend(&account(1));
    offer(&hub, &user(1, 1));
    hub.arrive(&ann, 5, LIMIT);
    drop((ann.take(), bob.take()));
    feed.apply(&[change(2, None, block(1, 2, 2, false))]);
    let marks = ann.take().marks;
    assert!(marks.iter().all(|(_, kinds)| kinds.has(RecordKinds::BLOCK)) && marks.len() == 1);
    // She goes offline for him once offline grace is over; nothing else is marked.
    assert_eq!(bob.take().marks.len(), 0);
    assert!(bob.view().presence(ann.me()).unwrap().online);
    let end = Instant::now();
    hub.expire(end, end, 8);
    assert!(bob.take().marks.iter().all(|(_, kinds)| *kinds == RecordKinds::PRESENCE));
    let seen = bob.view().presence(ann.me()).unwrap();
    assert_eq!((seen.online, seen.last_seen), (false, 8));
    assert!(matches!(bob.view().visible_profile(ann.me()), VisibleProfile::Frozen));
    feed.apply(&[change(3, None, profile(1, 3))]);
    assert_eq!((ann.take().marks.len(), bob.take().marks.len()), (1, 0));
    // A late reader with the state from before the block is ignored.
    offer(&hub, &user(1, 1));
    assert!(matches!(bob.view().visible_profile(ann.me()), VisibleProfile::Frozen));
    let ends = Block {
        removed: true,
        presence: Some(SeenPresence { online: true, last_seen: 9 }),
        update_time: 9,
        ..blocked(1, 2, 4)
    };
    feed.apply(&[change(4, None, Row::Block { block: ends, frozen: None })]);
    assert!(matches!(bob.view().visible_profile(ann.me()), VisibleProfile::EncodedProfile(_)));
    // For him she came back when it ended, until she leaves for everyone.
    let seen = bob.view().presence(ann.me()).unwrap();
    assert_eq!((seen.online, seen.last_seen, held_blocks(ann.me())), (true, 9, 1));
    let entry = ann.me().clone();
    drop(ann);
    let end = Instant::now();
    hub.expire(end, end, 20);
    let seen = bob.view().presence(&entry).unwrap();
    assert_eq!((seen.online, seen.last_seen), (false, 20));
    let merged = hub.take_transitions(9).into_iter().find(|transition| transition.peer.is_some()).unwrap();
    assert_eq!((merged.seen, held_blocks(&entry)), (None, 1));
}

const LIMIT: SessionsLimit = SessionsLimit { policy: SessionsPolicy::All, max: 100 };

#[test]
fn presence_outlives_the_last_session_by_offline_grace() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut bob = hub.join(&account(2), SessionId(2), None);
    bob.add_friend(&account(1));
    offer(&hub, &user(1, 1));
    let come = || {
        let ann = hub.join(&account(1), SessionId(1), None);
        hub.arrive(&ann, 5, LIMIT);
        ann
    };
    let ann = come();
    let entry = ann.me().clone();
    assert_eq!((bob.take().marks.len(), bob.view().presence(&entry).unwrap().online), (1, true));
    drop(ann);
    let before = Instant::now();
    let ann = come();
    drop(ann);
    // She came back after the first time: only the second counts.
    hub.expire(before, before, 6);
    assert_eq!((bob.take().marks.len(), bob.view().presence(&entry).unwrap().online), (0, true));
    let after = Instant::now();
    hub.expire(after, after, 9);
    let seen = bob.view().presence(&entry).unwrap();
    assert_eq!((bob.take().marks.len(), seen.online, seen.last_seen), (1, false, 9));
    let transitions = hub.take_transitions(9);
    assert_eq!(transitions.len(), 1);
    assert!(!transitions[0].seen.unwrap().online);
    hub.expire(Instant::now(), Instant::now(), 10);
    assert!(hub.take_transitions(9).is_empty());
}

#[test]
fn accounts_that_do_not_come_back_after_a_restart_go_offline() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    hub.restore_online(vec![online(1, false), online(2, false), online(3, true)]);
    let ann = hub.join(&account(1), SessionId(1), None);
    hub.arrive(&ann, 5, LIMIT);
    assert!(hub.take_transitions(9).is_empty(), "she never went");
    hub.expire(Instant::now(), Instant::now(), 10);
    let transitions = hub.take_transitions(9);
    let gone = |n: u8| transitions.iter().find(|transition| transition.account == account(n)).unwrap().seen.unwrap();
    let offline = SeenPresence { online: false, last_seen: 10 };
    // One that hid within offline grace is seen to go as any other.
    assert_eq!((transitions.len(), gone(2), gone(3)), (2, offline, offline));
    hub.transitions_stored(&transitions);
    assert!(hub.user(&account(2)).is_none() && hub.user(&account(1)).is_some());
}

#[test]
fn the_policy_says_which_sessions_end() {
    let device = |kind: &str| Some(v1::Device { id: kind.into(), r#type: kind.into(), ..v1::Device::default() });
    let ends = |policy, max, kinds: &[&str]| -> String {
        let hub = Hub::new(0, HubSettings::default(), Arc::default());
        let mut handles = Vec::new();
        for (n, kind) in (0..).zip(kinds) {
            let handle = hub.join(&account(1), SessionId(n), device(kind));
            hub.arrive(&handle, n, SessionsLimit { policy, max });
            handles.push(handle);
        }
        handles
            .iter()
            .map(|handle| match handle.session().ended() {
                None => '.',
                Some(CloseReason::Kicked) => 'k',
                Some(CloseReason::SessionLimit) => 'l',
                Some(_) => '?',
            })
            .collect()
    };
    let kinds = ["web", "ios", "web", "", "ios", ""];
    assert_eq!(ends(SessionsPolicy::All, 10, &kinds), "......");
    assert_eq!(ends(SessionsPolicy::One, 10, &kinds), "kkkkk.");
    assert_eq!(ends(SessionsPolicy::OnePerDeviceType, 10, &kinds), "kk.k..");
    // The device's id is its kind here: those without one are left alone.
    assert_eq!(ends(SessionsPolicy::OnePerDeviceId, 10, &kinds), "kk....");
    assert_eq!(ends(SessionsPolicy::All, 2, &kinds), "llll..");
}

/// The number of an account's blocks in the registry.
fn held_blocks(user: &UserRef) -> usize {
    user.state().lock().held_blocks()
}

#[test]
fn blocks_that_ended_are_held_no_longer_than_a_reader_may_still_bring_them() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let ann = hub.join(&account(1), SessionId(1), None);
    feed.apply(&[change(2, None, block(1, 2, 2, true))]);
    assert_eq!(held_blocks(ann.me()), 1);
    // This one read before the block ended.
    let blocks = vec![Block { removed: false, ..blocked(1, 2, 1) }];
    hub.offer(ann.me(), Some(&User { blocks, ..user(1, 1) }));
    assert_eq!(held_blocks(ann.me()), 0);
    for revision in 3..1000 {
        feed.apply(&[change(revision, None, block(1, (revision / 2 % 200) as u8, revision, revision % 2 == 0))]);
    }
    assert!(held_blocks(ann.me()) <= 200);
    for peer in 0..200 {
        feed.apply(&[change(1000 + u64::from(peer), None, block(1, peer, 1000 + u64::from(peer), true))]);
    }
    assert_eq!(held_blocks(ann.me()), 0);
}

#[test]
fn a_mark_finds_the_entry_that_is_there_now() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut bob = hub.join(&account(2), SessionId(2), None);
    // Nobody follows ann when the edge is marked: the mark only names her.
    feed.apply(&[change(1, None, Row::Edge(Edge::new(account(2), account(1), 1, 0)))]);
    let ann = hub.join(&account(1), SessionId(1), None);
    offer(&hub, &user(1, 1));
    hub.arrive(&ann, 5, LIMIT);
    let marks = bob.take().marks;
    let (marked, _) = marks.iter().next().unwrap();
    bob.add_friend(marked.account());
    assert!(bob.view().presence(&bob.view().entry(marked)).unwrap().online);
    assert!(matches!(bob.view().visible_profile(&bob.view().entry(marked)), VisibleProfile::EncodedProfile(_)));
}

#[test]
fn a_hidden_change_during_a_sweep_marks_nobody_new() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    let mut watchers: Vec<_> = (0..3000).map(|n| hub.join(&account(9), SessionId(n), None)).collect();
    for handle in &mut watchers {
        drop(handle.watch(&[account(1)]));
    }
    let own = hub.join(&account(1), SessionId(9999), None);
    feed.apply(&[change(1, None, profile(1, 1))]);
    let older = LastChange { version: 1, time: 0 };
    let hidden = Profile { friends: older, everyone: older, ..Profile::new(account(1), 2, 0) };
    feed.apply(&[change(2, None, Row::Profile(Arc::new(hidden)))]);
    assert_eq!(feed.sweeps(), 1);
    while hub.watermark() == 0 {
        feed.sweep();
    }
    assert!(watchers.iter_mut().all(|handle| handle.take().marks.len() == 1) && !own.is_clean());
    while feed.sweep() {}
    assert!(hub.watermark() == 2 && watchers.iter().all(SessionHandle::is_clean));
}

#[test]
fn of_sessions_that_log_in_together_one_stays() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let limit = SessionsLimit { policy: SessionsPolicy::One, max: 100 };
    for round in 0..1000 {
        let handles: Vec<_> = (0..4).map(|n| hub.join(&account(1), SessionId(round * 4 + n), None)).collect();
        let gate = std::sync::Barrier::new(handles.len());
        std::thread::scope(|scope| {
            for handle in &handles {
                let (hub, gate) = (&hub, &gate);
                scope.spawn(move || {
                    gate.wait();
                    hub.arrive(handle, 1, limit);
                });
            }
        });
        let ended = handles.iter().filter(|handle| handle.session().ended().is_some()).count();
        assert_eq!(ended, handles.len() - 1, "round {round}");
    }
}

#[test]
fn an_account_takes_one_place_in_offline_grace_and_none_after_it_is_deleted() {
    let hub = Hub::new(0, HubSettings::default(), Arc::default());
    let mut feed = Feed::new(hub.clone());
    for n in 0..1000 {
        let ann = hub.join(&account(1), SessionId(n), None);
        hub.offer(ann.me(), Some(&user(1, 1)));
        hub.arrive(&ann, 5, LIMIT);
    }
    assert_eq!(hub.offline_grace.lock().len(), 1);
    feed.apply(&[change(2, None, Row::Gone { account: account(1), version: 2 })]);
    assert!(hub.take_transitions(9).is_empty(), "a deleted account has no transition to store");
    hub.expire(Instant::now(), Instant::now(), 10);
    assert_eq!((hub.offline_grace.lock().len(), hub.take_transitions(9).len()), (0, 0));
    assert!(hub.user(&account(1)).is_none());
}

impl SessionHandle {
    fn is_clean(&self) -> bool {
        self.session().is_clean()
    }
}
