//! Coming, following and leaving while changes come.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;

use crate::hub::feed::Feed;
use crate::hub::{Hub, SessionHandle};
use crate::marks::{account, change, hub};
use rosterd_engine::model::{Profile, Revision, SessionId, User};

const LAST: Revision = 3;

/// A store with one profile: what it holds is committed, and told by the feed a moment later.
type Store = Arc<Mutex<Revision>>;

/// What a session that follows the account knows of it: the store's state, read after it followed, or a newer one.
fn follow(hub: &Hub, seat: &mut SessionHandle, store: &Store) -> Revision {
    let user = seat.add_friend(&account(1));
    if user.profile().is_none() {
        let version = *store.lock().unwrap();
        let profile = Arc::new(Profile::new(account(1), version, 0));
        hub.offer(&user, Some(&User { profile, invisible: false, last_seen: 0, blocks: Vec::new() }));
    }
    user.profile().map_or(0, |profile| profile.version)
}

fn told(seat: &mut SessionHandle, known: Revision) -> Revision {
    let marks = seat.take().marks;
    let versions = marks.iter().map(|(user, _)| user).filter(|user| *user.account() == account(1));
    versions.map(|user| user.profile().unwrap().version).fold(known, Revision::max)
}

/// Commits and feeds; meanwhile sessions come, follow, and some leave again. Whoever stays knows the newest.
pub fn none_is_missed() {
    let (hub, store) = (hub(), Store::default());
    let feeding = {
        let (mut feed, store) = (Feed::new(hub.clone()), store.clone());
        thread::spawn(move || {
            for stamp in 1..=LAST {
                *store.lock().unwrap() = stamp;
                feed.apply(&[change(1, stamp)]);
            }
        })
    };
    let staying = (0..2).map(|n| {
        let (hub, store) = (hub.clone(), store.clone());
        thread::spawn(move || {
            // One that comes and goes leaves the entry to be dropped and made anew.
            let mut passing = hub.join(&account(0), SessionId(10 + n), None);
            follow(&hub, &mut passing, &store);
            drop(passing);
            let mut seat = hub.join(&account(0), SessionId(n), None);
            let known = follow(&hub, &mut seat, &store);
            (seat, known)
        })
    });
    let staying: Vec<_> = staying.collect();
    feeding.join().unwrap();
    for thread in staying {
        let (mut seat, known) = thread.join().unwrap();
        assert_eq!(told(&mut seat, known), LAST);
    }
}

/// Two that follow, stop, watch and leave at once leave nothing behind.
pub fn nothing_stays() {
    let hub = hub();
    let passing = (0..3).map(|n| {
        let hub = hub.clone();
        thread::spawn(move || {
            let mut seat = hub.join(&account(n), SessionId(n as u64), None);
            seat.add_friend(&account(5));
            seat.watch(&[account(5), account((n + 1) % 3)]);
            seat.remove_friend(&account(5));
            seat.watch(&[]);
        })
    });
    let passing: Vec<_> = passing.collect();
    passing.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((hub.watched_accounts(), hub.sessions()), (0, 0));
}
