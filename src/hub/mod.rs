//! What is live: the registry of users that someone connected cares about, and the sessions.
//!
//! The only place with locks. It decides nothing and reads no store: the feed tells it what was committed
//! ([`feed`]), sessions sit down and watch ([`Seat`]). Invariants: a user is in the registry exactly while a session
//! watches it or is logged in as it; a mark that is set reaches the session or the session ends; the horizon
//! moves only past changes whose watchers are all marked.
//!
//! Lock order: registry shard, then session table, then one user, then one outbox.

pub mod feed;
mod session;
mod user;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::RwLock;
use slab::Slab;

pub use session::{Seat, Session, Wake};
pub use user::UserRef;

use crate::metrics::Metrics;
use crate::model::{Account, CloseReason, SessionId, Stamp};
use crate::sync::interest::Slot;

/// The live state of one node.
#[derive(Debug)]
pub struct Hub {
    users: DashMap<Account, UserRef, ahash::RandomState>,
    sessions: RwLock<Slab<Arc<Session>>>,
    horizon: AtomicU64,
    metrics: Arc<Metrics>,
}

impl Hub {
    /// An empty hub at the store's last stamp.
    #[must_use]
    pub fn new(head: Stamp, metrics: Arc<Metrics>) -> Arc<Self> {
        let (users, sessions) = Default::default();
        Arc::new(Self { users, sessions, horizon: AtomicU64::new(head), metrics })
    }

    /// Seats a session, which watches its own account from the start.
    #[must_use]
    pub fn join(self: &Arc<Self>, account: &Account, id: SessionId) -> Seat {
        let session = Arc::new(Session::new(id, account.clone()));
        let slot = self.sessions.write().insert(session.clone()) as Slot;
        let me = {
            let entry = self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account.clone()));
            let mut state = entry.state().lock();
            state.watchers.insert(slot);
            state.own.push(slot);
            drop(state);
            entry.clone()
        };
        self.metrics.sessions.inc();
        Seat::new(self.clone(), session, slot, me)
    }

    /// The stamp up to which every change has been marked.
    #[must_use]
    pub fn horizon(&self) -> Stamp {
        self.horizon.load(Ordering::Acquire)
    }

    /// A user's entry, if a session cares about the account.
    #[must_use]
    pub fn user(&self, account: &Account) -> Option<UserRef> {
        self.users.get(account).map(|entry| entry.value().clone())
    }

    /// How many sessions are logged in.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.read().len()
    }

    /// How many accounts are watched. Passes over the whole registry's shards: for a scrape, not for a login.
    #[must_use]
    pub fn watched_accounts(&self) -> usize {
        self.users.len()
    }

    /// Ends every session.
    pub fn end_all(&self, reason: CloseReason) {
        let sessions: Vec<_> = self.sessions.read().iter().map(|(_, session)| session.clone()).collect();
        for session in sessions {
            session.end(reason);
        }
    }

    /// Adds a watcher; the entry, and whether it was new. Under the shard's lock, so that the entry cannot be
    /// dropped as idle in between.
    fn watch(&self, account: &Account, slot: Slot) -> (UserRef, bool) {
        let entry = match self.users.get(account) {
            Some(entry) => entry,
            None => self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account.clone())).downgrade(),
        };
        let new = entry.state().lock().watchers.insert(slot);
        (entry.clone(), new)
    }

    fn unwatch(&self, user: &UserRef, slot: Slot) {
        let idle = {
            let mut state = user.state().lock();
            state.watchers.remove(slot);
            state.is_idle()
        };
        self.forget_if(idle, user);
    }

    fn leave(&self, me: &UserRef, slot: Slot) {
        let idle = {
            let mut state = me.state().lock();
            state.watchers.remove(slot);
            state.own.retain(|own| *own != slot);
            state.is_idle()
        };
        self.forget_if(idle, me);
        // Last: a slot is given anew only when nothing names it any more.
        self.sessions.write().remove(slot as usize);
        self.metrics.sessions.dec();
    }

    fn forget_if(&self, idle: bool, user: &UserRef) {
        if idle {
            self.users.remove_if(user.account(), |_, held| held.is(user) && held.state().lock().is_idle());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::feed::Feed;
    use super::*;
    use crate::model::{Change, Edge, Profile, Row};
    use crate::sync::outbox::Kinds;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn account(n: u8) -> Account {
        Account::stored(&format!("u{n}"))
    }

    fn profile(n: u8, stamp: Stamp) -> Row {
        Row::Profile(Arc::new(Profile::new(account(n), stamp, 0)))
    }

    fn change(stamp: Stamp, origin: Option<SessionId>, row: Row) -> Change {
        Change { stamp, origin, rows: vec![row] }
    }

    /// The index holds no entry that a seat does not account for, and the other way round.
    fn check_invariants(hub: &Hub, seats: &[Seat]) {
        let mut expected = BTreeSet::new();
        for seat in seats {
            expected.insert((seat.session().account().clone(), seat.slot()));
            expected.extend(seat.watched().iter().map(|user| (user.account().clone(), seat.slot())));
        }
        let mut actual = BTreeSet::new();
        for entry in &hub.users {
            let state = entry.state().lock();
            assert!(!state.is_idle(), "an idle entry stayed");
            actual.extend(state.watchers.iter().map(|slot| (entry.account().clone(), slot)));
        }
        assert_eq!(actual, expected);
        assert_eq!(hub.sessions(), seats.len());
    }

    #[test]
    fn the_originator_is_not_marked_its_other_session_is() {
        let hub = Hub::new(0, Arc::default());
        let mut feed = Feed::new(hub.clone());
        let (a1, a2) = (hub.join(&account(1), SessionId(1)), hub.join(&account(1), SessionId(2)));
        let mut b = hub.join(&account(2), SessionId(3));
        b.watch(&account(1));
        feed.apply(&[change(1, Some(SessionId(1)), profile(1, 1))]);
        assert_eq!((a1.take().len(), a2.take().len(), b.take().len()), (0, 1, 1));
        assert_eq!(hub.horizon(), 1);
    }

    #[test]
    fn an_older_profile_that_arrives_late_is_not_believed() {
        let hub = Hub::new(0, Arc::default());
        let mut feed = Feed::new(hub.clone());
        let seat = hub.join(&account(1), SessionId(1));
        feed.apply(&[change(5, None, profile(1, 5))]);
        seat.me().offer(&Arc::new(Profile::new(account(1), 4, 0)));
        assert_eq!(seat.me().card().unwrap().profile().version, 5);
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 })]);
        seat.me().offer(&Arc::new(Profile::new(account(1), 5, 0)));
        assert!(seat.me().card().is_none());
    }

    #[test]
    fn a_relation_marks_the_owners_sessions_once_however_often_it_changes() {
        let hub = Hub::new(0, Arc::default());
        let mut feed = Feed::new(hub.clone());
        let seat = hub.join(&account(1), SessionId(1));
        let before = seat.relations();
        for stamp in 1..100 {
            let edge = Edge::new(account(1), account(2), stamp, 0);
            feed.apply(&[change(stamp, None, Row::Edge(edge))]);
        }
        assert_ne!(seat.relations(), before);
        let marks = seat.take();
        assert_eq!(marks.len(), 1);
        assert!(marks.values().all(|kinds| kinds.has(Kinds::EDGE)));
    }

    #[test]
    fn a_crowd_is_marked_in_slices_while_others_overtake_and_the_horizon_waits() {
        let hub = Hub::new(0, Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut crowd: Vec<_> = (0..5000).map(|n| hub.join(&account(9), SessionId(n))).collect();
        for seat in &mut crowd {
            seat.watch(&account(1));
        }
        let mut other = hub.join(&account(8), SessionId(9999));
        other.watch(&account(2));
        feed.apply(&[change(1, None, profile(1, 1)), change(2, None, profile(2, 2))]);
        assert_eq!((other.take().len(), hub.horizon()), (1, 0));
        let mut slices = 0;
        while feed.sweep() {
            slices += 1;
            let marked = crowd.iter().filter(|seat| !seat.is_clean()).count();
            assert!(marked == crowd.len() || hub.horizon() == 0);
        }
        assert!(slices > 1);
        assert_eq!(hub.horizon(), 2);
        assert!(crowd.iter().all(|seat| seat.take().len() == 1));
    }

    #[test]
    fn a_celebrity_who_never_rests_is_one_sweep_and_everyone_is_told_the_newest() {
        let hub = Hub::new(0, Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut crowd: Vec<_> = (0..3000).map(|n| hub.join(&account(9), SessionId(n))).collect();
        for seat in &mut crowd {
            seat.watch(&account(1));
        }
        let mut told = vec![0; crowd.len()];
        for stamp in 1..200 {
            feed.apply(&[change(stamp, Some(SessionId(7)), profile(1, stamp))]);
            feed.sweep();
            assert_eq!(feed.sweeps(), 1);
            for (seat, told) in crowd.iter().zip(&mut told) {
                *told += seat.take().len();
            }
        }
        // Every one of the crowd had its turn while the changes went on, but for the author.
        assert!(told.iter().enumerate().all(|(n, told)| (n == 7) == (*told == 0)));
        while feed.sweep() {}
        assert_eq!((feed.sweeps(), hub.horizon()), (0, 199));
    }

    proptest! {
        /// Sessions come, watch, stop and go in any order, while changes flow: the two sides of the index agree, and
        /// exactly the sessions that watch are marked.
        #[test]
        fn the_index_is_consistent(steps in prop::collection::vec((0..5u8, any::<prop::sample::Index>(), 0..6u8), 1..120)) {
            let hub = Hub::new(0, Arc::default());
            let mut feed = Feed::new(hub.clone());
            let mut seats: Vec<Seat> = Vec::new();
            for (at, (what, pick, who)) in steps.into_iter().enumerate() {
                let stamp = at as u64 + 1;
                match what {
                    0 => seats.push(hub.join(&account(who), SessionId(stamp))),
                    _ if seats.is_empty() => {}
                    1 => drop({ let at = pick.index(seats.len()); seats[at].watch(&account(who)) }),
                    2 => { let at = pick.index(seats.len()); seats[at].unwatch(&account(who)); }
                    3 => drop(seats.swap_remove(pick.index(seats.len()))),
                    _ => {
                        feed.apply(&[change(stamp, None, profile(who, stamp))]);
                        for seat in &seats {
                            let watches = *seat.session().account() == account(who) || seat.watched().iter().any(|u| *u.account() == account(who));
                            prop_assert_eq!(seat.take().len(), usize::from(watches));
                        }
                        prop_assert_eq!(hub.horizon(), stamp);
                    }
                }
                check_invariants(&hub, &seats);
            }
            seats.clear();
            check_invariants(&hub, &seats);
        }
    }

    impl Seat {
        fn slot(&self) -> Slot {
            self.slot
        }

        fn watched(&self) -> &[UserRef] {
            &self.watched
        }

        fn is_clean(&self) -> bool {
            self.session.is_clean()
        }
    }
}
