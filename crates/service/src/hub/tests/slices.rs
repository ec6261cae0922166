//! Nothing is done for long under the lock of the session table, nor without other tasks in between.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::hub::presence_sweep::SLICE;

/// Sessions of different accounts that have `friend` as a friend.
fn followers(hub: &Arc<Hub>, friend: u8, number: usize) -> Vec<SessionHandle> {
    let mut handles: Vec<_> =
        (0..number).map(|n| hub.join(&account(100 + (n % 100) as u8), SessionId(1000 + n as u64), None)).collect();
    for handle in &mut handles {
        handle.add_friend(&account(friend));
    }
    offer(hub, &user(friend, 1));
    handles
}

fn marked(handles: &mut [SessionHandle]) -> usize {
    handles.iter_mut().map(|handle| usize::from(!handle.take().marks.is_empty())).sum()
}

#[test]
fn logins_go_on_while_a_batch_of_a_million_marks_is_applied() {
    let hub = Hub::new(1, HubSettings::default(), Arc::default());
    let handles = followers(&hub, 1, 1024);
    let changes: Vec<_> = (2..1002).map(|revision| change(revision, None, profile(1, revision))).collect();
    let mut feed = Feed::new(hub.clone());
    let (is_done, joined) = (AtomicBool::default(), AtomicUsize::default());
    let (mut longest, begun) = (Duration::ZERO, Instant::now());
    thread::scope(|scope| {
        scope.spawn(|| {
            // Only logins that begin and end while the batch is applied count.
            while !is_done.load(Ordering::SeqCst) {
                let begun = Instant::now();
                drop(hub.join(&account(2), SessionId(9), None));
                if !is_done.load(Ordering::SeqCst) {
                    joined.fetch_add(1, Ordering::SeqCst);
                    longest = longest.max(begun.elapsed());
                }
            }
        });
        feed.apply(&changes);
        is_done.store(true, Ordering::SeqCst);
    });
    let joined = joined.into_inner();
    eprintln!("{joined} logins, the longest {longest:?}, while a batch took {:?}", begun.elapsed());
    assert!(joined >= 10, "{joined} logins");
    assert_eq!(hub.watermark(), 1001);
    drop(handles);
}

#[test]
fn a_batch_and_a_change_of_many_rows_are_applied_in_parts() {
    let hub = Hub::new(1, HubSettings::default(), Arc::default());
    let mut handles = followers(&hub, 1, 3);
    let mut ann = hub.join(&account(1), SessionId(1), None);
    let mut feed = Feed::new(hub.clone()).in_slices_of(4);
    // Each change has four marks, which are a slice.
    let changes: Vec<_> = (2..102).map(|revision| change(revision, None, profile(1, revision))).collect();
    let (mut rest, mut calls) = (&changes[..], 0);
    while !rest.is_empty() {
        rest = &rest[feed.apply_some(rest)..];
        while feed.sweep() {}
        calls += 1;
    }
    assert!(calls >= 3, "{calls}");
    assert_eq!((hub.watermark(), marked(&mut handles)), (101, 3));
    drop(ann.take());

    // As when an account with ten thousand friends is erased.
    let edge = |n: usize| Row::Edge(Edge::new(account(1), Account::stored(&format!("f{n}")).unwrap(), 102, 0));
    let erased = [Change { rows: (0..10_000).map(edge).collect(), ..change(102, None, edge(0)) }];
    let (mut done, mut calls) = (0, 0);
    while done == 0 {
        assert_eq!(hub.watermark(), 101);
        done = feed.apply_some(&erased);
        calls += 1;
    }
    assert!(calls >= 3, "{calls}");
    assert_eq!((hub.watermark(), ann.take().marks.len()), (102, 10_000));
}

#[test]
fn friends_of_a_famous_account_are_marked_in_slices_and_the_last_one_too() {
    let hub = Hub::new(1, HubSettings::default(), Arc::default());
    let number = 3 * SLICE;
    let mut handles = followers(&hub, 1, number);
    let ann = hub.join(&account(1), SessionId(1), None);
    hub.arrive(&ann, 5, LIMIT);
    assert_eq!(marked(&mut handles), SLICE);
    assert!(hub.sweep_presence());
    assert_eq!(marked(&mut handles), SLICE);
    // Two more transitions meanwhile are one more round.
    let mut feed = Feed::new(hub.clone());
    for (revision, hides) in [(2, true), (3, false)] {
        let chosen = ChosenPresence { hides, version: revision, status: None };
        feed.apply(&[change(revision, None, Row::Presence { account: account(1), chosen, turned: Some(revision) })]);
        let end = Instant::now();
        hub.expire(end, end, 9);
    }
    let mut rounds = 1;
    while hub.sweep_presence() {
        rounds += 1;
    }
    assert_eq!(rounds, 4);
    assert_eq!(marked(&mut handles), number);
    assert!(!hub.sweep_presence());
    let presence = handles[number - 1].view().presence(ann.me()).unwrap();
    assert!(presence.online);
}

#[test]
fn accounts_go_offline_some_at_a_time() {
    let hub = Hub::new(1, HubSettings::default(), Arc::default());
    hub.restore_online((0..100).map(|n| online(n, false)).collect());
    let now = Instant::now();
    let mut calls = 1;
    while hub.expire_some(now, now, 9) {
        calls += 1;
    }
    assert!(calls > 3, "{calls}");
    assert_eq!(hub.take_transitions(usize::MAX).len(), 100);
}
