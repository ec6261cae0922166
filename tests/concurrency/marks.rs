//! Setting dirty marks, taking them, and sleeping.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use shuttle::future::block_on;
use shuttle::thread;

use crate::hub::feed::Feed;
use crate::hub::{Hub, HubSettings, SessionHandle, Signal, TakenMarks, UserRef, WakeReason};
use rosterd_engine::model::{
    Account, Block, Cause, Change, ChosenPresence, CloseReason, Profile, Revision, Row, SessionId, WriteOrigin,
};

pub fn account(n: usize) -> Account {
    Account::parse(&format!("u{n}"), "account").unwrap()
}

pub fn hub() -> Arc<Hub> {
    Hub::new(0, HubSettings::default(), Arc::default())
}

/// The commit of a profile at a revision.
pub fn change(n: usize, revision: Revision) -> Change {
    of_row(revision, Row::Profile(Arc::new(Profile::new(account(n), revision, 0))))
}

fn of_row(revision: Revision, row: Row) -> Change {
    let (origin, cause) = (WriteOrigin::Import, Cause::UserCreated);
    Change { revision, time: 0, origin, cause, rows: vec![row], replaced: vec![0] }
}

/// Applies batches of changes, in slices of one watcher, as the consumer of the feed does.
pub fn apply(feed: &mut Feed, batches: &[Vec<Change>]) {
    for batch in batches {
        feed.apply(batch);
        while feed.sweep() {}
    }
}

/// Sleeps as a session's task does that has nothing else to wait for.
pub fn sleep(handle: &mut SessionHandle) -> WakeReason {
    block_on(poll_fn(|cx| match ready!(handle.poll_resume(cx)) {
        Some(wake) => Poll::Ready(wake),
        None => handle.poll_sleep(cx, false),
    }))
}

/// Sleeps and takes marks as a session does, until it has seen the last commit; checks each cursor on the way.
fn listen(handle: &mut SessionHandle, commits: &[(Account, Revision)]) {
    let last = commits.iter().map(|(_, revision)| *revision).max().unwrap();
    let mut sent: BTreeMap<Account, Revision> = BTreeMap::new();
    while sent.values().max() != Some(&last) {
        assert_eq!(sleep(handle), WakeReason::DirtyMarks);
        let TakenMarks { watermark, marks, .. } = handle.take();
        for (user, _) in &marks {
            let version = user.profile().unwrap().version;
            sent.insert(user.account().clone(), version);
        }
        for (account, revision) in commits.iter().filter(|(_, revision)| *revision <= watermark) {
            let version_sent = sent.get(account).copied().unwrap_or(0);
            assert!(version_sent >= *revision, "the cursor is {watermark}, and {account} at {revision} was not sent");
        }
    }
}

/// Two followed accounts that change in three batches.
fn history() -> (Arc<Hub>, Vec<Vec<Change>>, Vec<(Account, Revision)>) {
    let batches = vec![vec![change(1, 1), change(2, 2)], vec![change(1, 3)], vec![change(2, 4)]];
    let commits = batches.iter().flatten().map(|change| match &change.rows[0] {
        Row::Profile(profile) => (profile.account.clone(), change.revision),
        _ => unreachable!(),
    });
    (hub(), batches.clone(), commits.collect())
}

fn follow(hub: &Arc<Hub>, id: u64, accounts: &[usize]) -> SessionHandle {
    let mut handle = hub.join(&account(0), SessionId(id), None);
    for n in accounts {
        let user = handle.add_friend(&account(*n));
        known(hub, &user);
    }
    handle
}

/// Brings the oldest possible state of a user, as a reader of the store.
pub fn known(hub: &Arc<Hub>, user: &UserRef) {
    let profile = Arc::new(Profile::new(user.account().clone(), 0, 0));
    hub.offer(
        user,
        Some(&rosterd_engine::model::User {
            profile,
            chosen: ChosenPresence::default(),
            last_seen: 0,
            blocks: Vec::new(),
            has_more_blocks: false,
            ended: Vec::new(),
        }),
    );
}

pub fn none_is_lost() {
    let (hub, batches, commits) = history();
    let mut handle = follow(&hub, 1, &[1, 2]);
    let mut feed = Feed::new(hub);
    let feeding = thread::spawn(move || apply(&mut feed, &batches));
    // A session that sleeps through a mark never ends: that is a deadlock, which fails.
    listen(&mut handle, &commits);
    feeding.join().unwrap();
}

/// Two sessions, so that changes are marked in slices while others overtake.
pub fn a_cursor_is_true() {
    let (hub, batches, commits) = history();
    let handles = [follow(&hub, 1, &[1, 2]), follow(&hub, 2, &[1, 2])];
    let mut feed = Feed::new(hub).in_slices_of(1);
    let listening = handles.map(|mut handle| {
        let commits = commits.clone();
        thread::spawn(move || listen(&mut handle, &commits))
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
    let mut handle = follow(&hub, 1, &[]);
    let session = handle.session().clone();
    let ending = thread::spawn(move || session.end(CloseReason::Kicked));
    assert_eq!(sleep(&mut handle), WakeReason::End(CloseReason::Kicked));
    ending.join().unwrap();
}

pub fn a_signal_wakes() {
    let hub = hub();
    let mut handle = follow(&hub, 1, &[]);
    hub.arrive(&handle, 1, crate::hub::SessionsLimit { policy: rosterd_engine::model::SessionsPolicy::All, max: 9 });
    drop(handle.take());
    let sending = {
        let hub = hub.clone();
        thread::spawn(move || {
            let from = UserRef::detached(account(9));
            let signal = Arc::new(Signal { from, payload: String::new() });
            assert_eq!(hub.signal(&account(0), None, &signal).delivered, 1);
        })
    };
    while handle.next_signal().is_none() {
        assert_eq!(sleep(&mut handle), WakeReason::DirtyMarks);
        drop(handle.take());
    }
    sending.join().unwrap();
}

/// Relations change while a signal is taken, and nothing is marked for that: the flush starts over, with the signal.
pub fn a_signal_survives_a_flush_that_starts_over() {
    let hub = Hub::new(0, HubSettings { presence: false, ..HubSettings::default() }, Arc::default());
    let mut handle = follow(&hub, 1, &[1]);
    hub.arrive(&handle, 1, crate::hub::SessionsLimit { policy: rosterd_engine::model::SessionsPolicy::All, max: 9 });
    drop(handle.take());
    let sending = {
        let hub = hub.clone();
        thread::spawn(move || {
            let signal = Arc::new(Signal { from: UserRef::detached(account(9)), payload: String::new() });
            assert_eq!(hub.signal(&account(0), None, &signal).delivered, 1);
        })
    };
    let blocking = thread::spawn(move || {
        let (owner, peer) = (account(1), account(0));
        let (removed, presence, views, create_time, update_time, version) = Default::default();
        let block = Block { owner, peer, removed, presence, views, create_time, update_time, version };
        Feed::new(hub).apply(&[of_row(1, Row::Block { block, frozen: None })]);
    });
    loop {
        // A signal that lies where nobody looks is a deadlock here, which fails.
        assert_eq!(sleep(&mut handle), WakeReason::DirtyMarks);
        let TakenMarks { relations, marks, .. } = handle.take();
        if handle.relations_epoch() != relations {
            handle.put_back(marks.iter());
        } else if handle.next_signal().is_some() {
            break;
        }
    }
    sending.join().unwrap();
    blocking.join().unwrap();
}

/// One mark, and one session that sleeps until it comes.
pub fn smallest() {
    let hub = hub();
    let mut handle = follow(&hub, 1, &[1]);
    let mut feed = Feed::new(hub);
    let feeding = thread::spawn(move || feed.apply(&[change(1, 1)]));
    listen(&mut handle, &[(account(1), 1)]);
    feeding.join().unwrap();
}
