//! Marking, taking and sleeping.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use shuttle::future::block_on;
use shuttle::thread;

use crate::hub::feed::Feed;
use crate::hub::{Hub, HubSettings, SessionHandle, Signal, TakenMarks, UserRef, WakeReason};
use rosterd_engine::model::{Account, Change, CloseReason, Profile, Revision, Row, SessionId};

pub fn account(n: usize) -> Account {
    Account::parse(&format!("u{n}"), "account").unwrap()
}

pub fn hub() -> Arc<Hub> {
    Hub::new(0, HubSettings::default(), Arc::default())
}

/// The commit of a profile at a stamp.
pub fn change(n: usize, stamp: Revision) -> Change {
    let profile = Arc::new(Profile::new(account(n), stamp, 0));
    Change { stamp, origin: None, rows: vec![Row::Profile(profile)] }
}

/// Applies batches of changes, in slices of one watcher, as the consumer of the feed does.
pub fn apply(feed: &mut Feed, batches: &[Vec<Change>]) {
    for batch in batches {
        feed.apply(batch);
        while feed.sweep() {}
    }
}

/// Sleeps as a session's task does that has nothing else to wait for.
pub fn sleep(seat: &mut SessionHandle) -> WakeReason {
    block_on(poll_fn(|cx| match ready!(seat.poll_resume(cx)) {
        Some(wake) => Poll::Ready(wake),
        None => seat.poll_sleep(cx, false),
    }))
}

/// Sleeps and takes as a session does, until it was told of every stamp up to `last`; checks each cursor on the way.
fn listen(seat: &mut SessionHandle, commits: &[(Account, Revision)]) {
    let last = commits.iter().map(|(_, stamp)| *stamp).max().unwrap();
    let mut told: BTreeMap<Account, Revision> = BTreeMap::new();
    while told.values().max() != Some(&last) {
        assert_eq!(sleep(seat), WakeReason::DirtyMarks);
        let TakenMarks { horizon, marks, .. } = seat.take();
        for (user, _) in &marks {
            let version = user.profile().unwrap().version;
            told.insert(user.account().clone(), version);
        }
        for (account, stamp) in commits.iter().filter(|(_, stamp)| *stamp <= horizon) {
            let of_it = told.get(account).copied().unwrap_or(0);
            assert!(of_it >= *stamp, "the cursor says {horizon}, and {account} at {stamp} was not told");
        }
    }
}

/// Two followed accounts that change in two batches; a third thread's session follows one of them, too.
fn history() -> (Arc<Hub>, Vec<Vec<Change>>, Vec<(Account, Revision)>) {
    let batches = vec![vec![change(1, 1), change(2, 2)], vec![change(1, 3)], vec![change(2, 4)]];
    let commits = batches.iter().flatten().map(|change| match &change.rows[0] {
        Row::Profile(profile) => (profile.account.clone(), change.stamp),
        _ => unreachable!(),
    });
    (hub(), batches.clone(), commits.collect())
}

fn follow(hub: &Arc<Hub>, id: u64, accounts: &[usize]) -> SessionHandle {
    let mut seat = hub.join(&account(0), SessionId(id), None);
    for n in accounts {
        let user = seat.add_friend(&account(*n));
        known(hub, &user);
    }
    seat
}

/// The store was read for it, and had nothing newer than anything.
pub fn known(hub: &Arc<Hub>, user: &UserRef) {
    let profile = Arc::new(Profile::new(user.account().clone(), 0, 0));
    hub.offer(user, Some(&rosterd_engine::model::User { profile, invisible: false, last_seen: 0, blocks: Vec::new() }));
}

pub fn none_is_lost() {
    let (hub, batches, commits) = history();
    let mut seat = follow(&hub, 1, &[1, 2]);
    let mut feed = Feed::new(hub);
    let feeding = thread::spawn(move || apply(&mut feed, &batches));
    // Whoever sleeps through a mark never ends: that is a deadlock, which fails.
    listen(&mut seat, &commits);
    feeding.join().unwrap();
}

/// Two sessions, so that changes have a crowd, which is marked in slices while others overtake.
pub fn a_cursor_is_true() {
    let (hub, batches, commits) = history();
    let seats = [follow(&hub, 1, &[1, 2]), follow(&hub, 2, &[1, 2])];
    let mut feed = Feed::new(hub).in_slices_of(1);
    let listening = seats.map(|mut seat| {
        let commits = commits.clone();
        thread::spawn(move || listen(&mut seat, &commits))
    });
    // Not swept to the end at once: the next batch comes in between.
    for batch in &batches {
        feed.apply(batch);
        feed.sweep();
    }
    while feed.sweep() {}
    listening.into_iter().for_each(|thread| thread.join().unwrap());
}

pub fn an_end_wakes() {
    let hub = hub();
    let mut seat = follow(&hub, 1, &[]);
    let session = seat.session().clone();
    let ending = thread::spawn(move || session.end(CloseReason::Kicked));
    assert_eq!(sleep(&mut seat), WakeReason::End(CloseReason::Kicked));
    ending.join().unwrap();
}

pub fn a_signal_wakes() {
    let hub = hub();
    let mut seat = follow(&hub, 1, &[]);
    hub.arrive(&seat, 1, crate::hub::SessionsLimit { policy: rosterd_engine::model::SessionsPolicy::All, max: 9 });
    drop(seat.take());
    let sending = {
        let hub = hub.clone();
        thread::spawn(move || {
            let from = UserRef::detached(account(9));
            let signal = Arc::new(Signal { from, payload: String::new() });
            assert_eq!(hub.signal(&account(0), None, &signal).delivered, 1);
        })
    };
    while seat.next_signal().is_none() {
        assert_eq!(sleep(&mut seat), WakeReason::DirtyMarks);
        drop(seat.take());
    }
    sending.join().unwrap();
}

/// One mark and one that sleeps for it.
pub fn smallest() {
    let hub = hub();
    let mut seat = follow(&hub, 1, &[1]);
    let mut feed = Feed::new(hub);
    let feeding = thread::spawn(move || feed.apply(&[change(1, 1)]));
    listen(&mut seat, &[(account(1), 1)]);
    feeding.join().unwrap();
}
