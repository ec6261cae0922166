//! Joining, following and leaving while changes come.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;

use crate::hub::feed::Feed;
use crate::hub::{Hub, SessionHandle};
use crate::marks::{account, change, hub};
use rosterd_engine::model::{ChosenPresence, Profile, Revision, SessionId, User};

const LAST: Revision = 3;

/// A store with one profile: what it holds is committed, and the feed applies it a moment later.
type Store = Arc<Mutex<Revision>>;

/// Follows the account, and returns the version that the session knows then: the store's, read after it followed, or newer.
fn follow(hub: &Hub, handle: &mut SessionHandle, store: &Store) -> Revision {
    let user = handle.add_friend(&account(1));
    if user.profile().is_none() {
        let version = *store.lock().unwrap();
        let profile = Arc::new(Profile::new(account(1), version, 0));
        hub.offer(
            &user,
            Some(&User {
                profile,
                chosen: ChosenPresence::default(),
                last_seen: 0,
                blocks: Vec::new(),
                has_more_blocks: false,
                ended: Vec::new(),
            }),
        );
    }
    user.profile().map_or(0, |profile| profile.version)
}

/// The newest version that the session has seen once it has taken its marks.
fn seen(handle: &mut SessionHandle, known: Revision) -> Revision {
    let marks = handle.take().marks;
    let versions = marks.iter().map(|(user, _)| user).filter(|user| *user.account() == account(1));
    versions.map(|user| user.profile().unwrap().version).fold(known, Revision::max)
}

/// Commits and feeds, while sessions join and follow, and some leave again. Those that stay know the newest version.
pub fn none_is_missed() {
    let (hub, store) = (hub(), Store::default());
    let feeding = {
        let (mut feed, store) = (Feed::new(hub.clone()), store.clone());
        thread::spawn(move || {
            for revision in 1..=LAST {
                *store.lock().unwrap() = revision;
                feed.apply(&[change(1, revision)]);
            }
        })
    };
    let staying = (0..2).map(|n| {
        let (hub, store) = (hub.clone(), store.clone());
        thread::spawn(move || {
            // A session that joins and leaves lets the entry be dropped and made again.
            let mut passing = hub.join(&account(0), SessionId(10 + n), None);
            follow(&hub, &mut passing, &store);
            drop(passing);
            let mut handle = hub.join(&account(0), SessionId(n), None);
            let known = follow(&hub, &mut handle, &store);
            (handle, known)
        })
    });
    let staying: Vec<_> = staying.collect();
    feeding.join().unwrap();
    for thread in staying {
        let (mut handle, known) = thread.join().unwrap();
        assert_eq!(seen(&mut handle, known), LAST);
    }
}

/// Sessions that follow, stop, watch and leave at once leave nothing behind.
pub fn nothing_stays() {
    let hub = hub();
    let passing = (0..3).map(|n| {
        let hub = hub.clone();
        thread::spawn(move || {
            let mut handle = hub.join(&account(n), SessionId(n as u64), None);
            handle.add_friend(&account(5));
            handle.watch(&[account(5), account((n + 1) % 3)]);
            handle.remove_friend(&account(5));
            handle.watch(&[]);
        })
    });
    let passing: Vec<_> = passing.collect();
    passing.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((hub.watched_accounts(), hub.sessions()), (0, 0));
}
