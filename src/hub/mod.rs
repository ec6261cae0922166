//! What is live: the registry of users that someone connected cares about, and the sessions.
//!
//! The only place with locks. It decides nothing and reads no store: the feed tells it what was committed
//! ([`feed`]), sessions sit down and follow ([`Seat`]). Invariants: a user is in the registry exactly while a session
//! follows it or is logged in as it, or it counts as online; a mark that is set reaches the session or the session ends; the horizon
//! moves only past changes whose watchers are all marked.
//!
//! Lock order: registry shard, then session table, then one user, then one outbox.

mod devices;
pub mod feed;
mod presence;
mod seat;
mod session;
mod user;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use slab::Slab;
use tokio::time::Instant;

pub use devices::{Delivered, SessionsLimit, SessionsPolicy};
pub use presence::{Passage, Seen};
pub use seat::{Seat, Sight, Taken};
pub use session::{Session, Signal, Wake};
pub use user::UserRef;

use crate::locks::{AtomicU64, DashMap, Mutex, Ordering, RwLock};
use crate::metrics::Metrics;
use crate::model::{Account, CloseReason, SessionId, Stamp, User, Visibility};
use crate::sync::interest::Slot;
use crate::wire::v1;

/// What an operator sets about who sees what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which fields of a profile whom may see.
    pub visibility: Visibility,
    /// Whether friends see who is online.
    pub presence: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { visibility: Visibility::default(), presence: true }
    }
}

/// The live state of one node.
#[derive(Debug)]
pub struct Hub {
    users: DashMap<Account, UserRef, ahash::RandomState>,
    sessions: RwLock<Slab<Arc<Session>>>,
    horizon: AtomicU64,
    settings: Settings,
    /// Whose last session left when, in that order; who came back meanwhile is still in it.
    departed: Mutex<VecDeque<(Instant, UserRef)>>,
    /// Who came and went and is yet to be written down.
    passages: Mutex<FxHashMap<Account, Passage>>,
    metrics: Arc<Metrics>,
}

impl Hub {
    /// An empty hub at the store's last stamp.
    #[must_use]
    pub fn new(head: Stamp, settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let (users, sessions, departed, passages) = Default::default();
        Arc::new(Self { users, sessions, horizon: AtomicU64::new(head), settings, departed, passages, metrics })
    }

    /// Seats a session, which follows its own account from the start. It counts once it has logged in, [`Hub::arrive`].
    #[must_use]
    pub fn join(self: &Arc<Self>, account: &Account, id: SessionId, device: Option<v1::Device>) -> Seat {
        let session = Arc::new(Session::new(id, account.clone(), device.map(Box::new)));
        let slot = self.sessions.write().insert(session.clone()) as Slot;
        let (me, ()) = self.follow(account, |state| state.own.push(slot));
        self.metrics.sessions.inc();
        Seat::new(self.clone(), session, slot, me)
    }

    /// The stamp up to which every change has been marked.
    #[must_use]
    pub fn horizon(&self) -> Stamp {
        self.horizon.load(Ordering::Acquire)
    }

    /// A user's entry, if someone cares about the account.
    #[must_use]
    pub fn user(&self, account: &Account) -> Option<UserRef> {
        self.users.get(account).map(|entry| entry.value().clone())
    }

    /// Brings what was read from the store to an entry that was there before the reading began: what happened since
    /// is known to it, and stays.
    pub fn offer(&self, entry: &UserRef, user: &User) {
        entry.state().lock().offer_user(user, &self.settings.visibility);
    }

    /// Which fields of a profile whom may see.
    #[must_use]
    pub fn visibility(&self) -> &Visibility {
        &self.settings.visibility
    }

    /// Whether friends see who is online.
    #[must_use]
    pub fn has_presence(&self) -> bool {
        self.settings.presence
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.read().len()
    }

    /// How many accounts are followed. Passes over the whole registry's shards: for a scrape, not for a login.
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

    /// Enters someone's interest into an account's entry. Under the shard's lock, so that the entry cannot be dropped
    /// as idle in between.
    fn follow<T>(&self, account: &Account, enter: impl FnOnce(&mut user::State) -> T) -> (UserRef, T) {
        let entry = match self.users.get(account) {
            Some(entry) => entry,
            None => self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account.clone())).downgrade(),
        };
        let entered = enter(&mut entry.state().lock());
        (entry.clone(), entered)
    }

    fn unfollow(&self, user: &UserRef, withdraw: impl FnOnce(&mut user::State) -> bool) {
        let idle = {
            let mut state = user.state().lock();
            withdraw(&mut state);
            state.is_idle()
        };
        self.forget_if(idle, user);
    }

    fn leave(&self, me: &UserRef, slot: Slot) {
        let (idle, alone) = {
            let mut state = me.state().lock();
            state.own.retain(|own| *own != slot);
            let alone = state.own.is_empty();
            if alone {
                self.left(me, &mut state);
            }
            (state.is_idle(), alone)
        };
        self.forget_if(idle, me);
        // Last: a slot is given anew only when nothing names it any more.
        self.sessions.write().remove(slot as usize);
        self.metrics.sessions.dec();
        if !alone {
            self.sessions_changed(me);
        }
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
    use crate::model::{Block, Change, Edge, Moved, Profile, Row};
    use crate::sync::outbox::Kinds;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn account(n: u8) -> Account {
        Account::stored(&format!("u{n}"))
    }

    fn profile(n: u8, stamp: Stamp) -> Row {
        Row::Profile(Arc::new(Profile::new(account(n), stamp, 0)))
    }

    fn user(n: u8, version: u64) -> User {
        let profile = Arc::new(Profile::new(account(n), version, 0));
        User { profile, invisible: false, last_seen: 0, blocks: Vec::new() }
    }

    fn change(stamp: Stamp, origin: Option<SessionId>, row: Row) -> Change {
        Change { stamp, origin, rows: vec![row] }
    }

    /// The index holds no entry that a seat does not account for, and the other way round.
    fn check_invariants(hub: &Hub, seats: &[Seat]) {
        let mut expected = BTreeSet::new();
        for seat in seats {
            expected.insert((seat.account().clone(), 'o', seat.slot()));
            expected.extend(seat.friends().map(|account| (account.clone(), 'f', seat.slot())));
            expected.extend(seat.watched().map(|user| (user.account().clone(), 'w', seat.slot())));
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
        assert_eq!(hub.sessions(), seats.len());
    }

    #[test]
    fn the_originator_is_not_marked_its_other_session_is() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let (mut a1, mut a2) = (hub.join(&account(1), SessionId(1), None), hub.join(&account(1), SessionId(2), None));
        let mut b = hub.join(&account(2), SessionId(3), None);
        b.add_friend(&account(1));
        feed.apply(&[change(1, Some(SessionId(1)), profile(1, 1))]);
        assert_eq!((a1.take().marks.len(), a2.take().marks.len(), b.take().marks.len()), (0, 1, 1));
        assert_eq!(hub.horizon(), 1);
    }

    #[test]
    fn an_older_profile_that_arrives_late_is_not_believed() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let seat = hub.join(&account(1), SessionId(1), None);
        feed.apply(&[change(5, None, profile(1, 5))]);
        hub.offer(seat.me(), &user(1, 4));
        assert_eq!(seat.me().profile().unwrap().version, 5);
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 })]);
        hub.offer(seat.me(), &user(1, 5));
        assert!(seat.me().profile().is_none());
    }

    #[test]
    fn a_relation_marks_the_owners_sessions_once_however_often_it_changes() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut seat = hub.join(&account(1), SessionId(1), None);
        let before = seat.relations();
        for stamp in 1..100 {
            let edge = Edge::new(account(1), account(2), stamp, 0);
            feed.apply(&[change(stamp, None, Row::Edge(edge))]);
        }
        assert_ne!(seat.relations(), before);
        let marks = seat.take().marks;
        assert_eq!(marks.len(), 1);
        assert!(marks.values().all(|kinds| kinds.has(Kinds::EDGE)));
    }

    #[test]
    fn a_crowd_is_marked_in_slices_while_others_overtake_and_the_horizon_waits() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut crowd: Vec<_> = (0..5000).map(|n| hub.join(&account(9), SessionId(n), None)).collect();
        for seat in &mut crowd {
            seat.add_friend(&account(1));
        }
        let mut other = hub.join(&account(8), SessionId(9999), None);
        other.add_friend(&account(2));
        feed.apply(&[change(1, None, profile(1, 1)), change(2, None, profile(2, 2))]);
        assert_eq!((other.take().marks.len(), hub.horizon()), (1, 0));
        let mut slices = 0;
        while feed.sweep() {
            slices += 1;
            let marked = crowd.iter().filter(|seat| !seat.is_clean()).count();
            assert!(marked == crowd.len() || hub.horizon() == 0);
        }
        assert!(slices > 1);
        assert_eq!(hub.horizon(), 2);
        assert!(crowd.iter_mut().all(|seat| seat.take().marks.len() == 1));
    }

    #[test]
    fn a_celebrity_who_never_rests_is_one_sweep_and_everyone_is_told_the_newest() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut crowd: Vec<_> = (0..3000).map(|n| hub.join(&account(9), SessionId(n), None)).collect();
        for seat in &mut crowd {
            seat.add_friend(&account(1));
        }
        let mut told = vec![0; crowd.len()];
        for stamp in 1..200 {
            feed.apply(&[change(stamp, Some(SessionId(7)), profile(1, stamp))]);
            feed.sweep();
            assert_eq!(feed.sweeps(), 1);
            for (seat, told) in crowd.iter_mut().zip(&mut told) {
                *told += seat.take().marks.len();
            }
        }
        // Every one of the crowd had its turn while the changes went on, but for the author.
        assert!(told.iter().enumerate().all(|(n, told)| (n == 7) == (*told == 0)));
        while feed.sweep() {}
        assert_eq!((feed.sweeps(), hub.horizon()), (0, 199));
    }

    proptest! {
        /// Sessions come, befriend, watch, stop and go in any order, while changes flow, some of them hidden: the two
        /// sides of the index agree, and exactly the sessions that see the change are marked.
        #[test]
        fn the_index_is_consistent(steps in prop::collection::vec((0..7u8, any::<prop::sample::Index>(), 0..6u8, 0..3u8), 1..120)) {
            let hub = Hub::new(0, Settings::default(), Arc::default());
            let mut feed = Feed::new(hub.clone());
            let mut seats: Vec<Seat> = Vec::new();
            for (at, (what, pick, who, audience)) in steps.into_iter().enumerate() {
                let stamp = at as u64 + 1;
                match what {
                    0 => seats.push(hub.join(&account(who), SessionId(stamp), None)),
                    _ if seats.is_empty() => {}
                    1 => drop({ let at = pick.index(seats.len()); seats[at].add_friend(&account(who)) }),
                    2 => { let at = pick.index(seats.len()); seats[at].remove_friend(&account(who)); }
                    3 => drop(seats.swap_remove(pick.index(seats.len()))),
                    4 => drop({ let at = pick.index(seats.len()); seats[at].watch(&[account(who), account(who / 2)]) }),
                    _ => {
                        let older = Moved { version: 0, time: 0 };
                        let mut profile = Profile::new(account(who), stamp, 0);
                        if audience < 2 { profile.everyone = older; }
                        if audience < 1 { profile.friends = older; }
                        feed.apply(&[change(stamp, None, Row::Profile(Arc::new(profile)))]);
                        for seat in &mut seats {
                            let sees = *seat.account() == account(who)
                                || audience >= 1 && seat.friends().any(|friend| *friend == account(who))
                                || audience >= 2 && seat.watched().any(|watched| *watched.account() == account(who));
                            prop_assert_eq!(seat.take().marks.len(), usize::from(sees));
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

    /// What a reader that is ahead of the feed knows of a block must not keep a change from before it.
    #[test]
    fn a_change_from_before_a_block_that_is_known_already_is_marked() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        let ann = bob.add_friend(&account(1));
        hub.offer(&ann, &User { blocks: vec![blocked(1, 2, 2)], ..user(1, 1) });
        feed.apply(&[change(1, None, profile(1, 1))]);
        assert_eq!(bob.take().marks.len(), 1);
        feed.apply(&[change(2, None, block(1, 2, 2, false)), change(3, None, profile(1, 3))]);
        assert!(bob.take().marks.values().all(|kinds| !kinds.has(Kinds::CARD)));
    }

    /// Until the store was read nobody knows whom an account blocks, nor whether it hides.
    #[test]
    fn the_feed_alone_does_not_make_an_account_known() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        let ann = bob.add_friend(&account(1));
        feed.apply(&[change(5, None, profile(1, 5))]);
        assert!(matches!(bob.sight(&ann), Sight::Unknown));
        hub.offer(&ann, &User { blocks: vec![blocked(1, 2, 2)], ..user(1, 4) });
        assert!(matches!(bob.sight(&ann), Sight::Frozen));
        assert_eq!(ann.profile().unwrap().version, 5);
    }

    /// A reader that was slow may bring what an account was before it was deleted and made again.
    #[test]
    fn of_an_account_that_was_made_again_nothing_from_before_is_believed() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        let ann = bob.watch(&[account(1)]).remove(0);
        hub.offer(&ann, &User { invisible: true, ..user(1, 1) });
        feed.apply(&[change(6, None, Row::Gone { account: account(1), version: 6 }), change(7, None, profile(1, 7))]);
        hub.offer(&ann, &User { blocks: vec![blocked(1, 2, 2)], invisible: true, ..user(1, 1) });
        assert!(matches!(bob.sight(&ann), Sight::Card(card) if card.profile().version == 7));
        assert_eq!(hub.own_presence(&ann).invisible, Some(false));
    }

    /// Who was seen online when a block began is seen to go, though it has gone meanwhile.
    #[test]
    fn a_block_is_told_as_offline_whatever_was_told_before() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        bob.add_friend(&account(1));
        feed.apply(&[change(1, None, block(1, 2, 1, false))]);
        assert!(bob.take().marks.values().any(|kinds| kinds.has(Kinds::PRESENCE)));
    }

    fn blocked(owner: u8, peer: u8, stamp: Stamp) -> Block {
        let (owner, peer) = (account(owner), account(peer));
        Block { owner, peer, removed: false, create_time: 7, update_time: 7, version: stamp }
    }

    fn block(owner: u8, peer: u8, stamp: Stamp, removed: bool) -> Row {
        let (owner, peer) = (account(owner), account(peer));
        let block = Block { owner, peer, removed, create_time: 7, update_time: 7, version: stamp };
        Row::Block { block, frozen: None }
    }

    #[test]
    fn who_is_blocked_is_marked_no_more_until_the_block_ends() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut feed = Feed::new(hub.clone());
        let mut ann = hub.join(&account(1), SessionId(1), None);
        let mut bob = hub.join(&account(2), SessionId(2), None);
        bob.add_friend(&account(1));
        hub.offer(ann.me(), &user(1, 1));
        hub.arrive(&ann, 5, LIMIT);
        drop((ann.take(), bob.take()));
        feed.apply(&[change(2, None, block(1, 2, 2, false))]);
        let marks = ann.take().marks;
        assert!(marks.values().all(|kinds| kinds.has(Kinds::BLOCK)) && marks.len() == 1);
        // She goes offline for him; nothing else is told.
        assert!(bob.take().marks.values().all(|kinds| *kinds == Kinds::PRESENCE));
        let seen = bob.presence(ann.me()).unwrap();
        assert_eq!((seen.online, seen.last_seen), (false, 7));
        assert!(matches!(bob.sight(ann.me()), Sight::Frozen));
        feed.apply(&[change(3, None, profile(1, 3))]);
        assert_eq!((ann.take().marks.len(), bob.take().marks.len()), (1, 0));
        // A reader that comes late with the state from before the block is not believed.
        hub.offer(ann.me(), &user(1, 1));
        assert!(matches!(bob.sight(ann.me()), Sight::Frozen));
        feed.apply(&[change(4, None, block(1, 2, 4, true))]);
        assert!(matches!(bob.sight(ann.me()), Sight::Card(_)));
        assert!(bob.presence(ann.me()).unwrap().online);
    }

    const LIMIT: SessionsLimit = SessionsLimit { policy: SessionsPolicy::All, max: 100 };

    #[test]
    fn presence_outlives_the_last_session_by_the_linger() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        let mut bob = hub.join(&account(2), SessionId(2), None);
        let friend = bob.add_friend(&account(1));
        hub.offer(&friend, &user(1, 1));
        let come = || {
            let ann = hub.join(&account(1), SessionId(1), None);
            hub.arrive(&ann, 5, LIMIT);
            ann
        };
        let ann = come();
        let entry = ann.me().clone();
        assert_eq!((bob.take().marks.len(), bob.presence(&entry).unwrap().online), (1, true));
        drop(ann);
        let before = Instant::now();
        let ann = come();
        drop(ann);
        // The first leaving was followed by a return: only the second counts.
        hub.expire(before, before, 6);
        assert_eq!((bob.take().marks.len(), bob.presence(&entry).unwrap().online), (0, true));
        let after = Instant::now();
        hub.expire(after, after, 9);
        let seen = bob.presence(&entry).unwrap();
        assert_eq!((bob.take().marks.len(), seen.online, seen.last_seen), (1, false, 9));
        let passages = hub.take_passages();
        assert_eq!(passages.len(), 1);
        assert!(!passages[0].1.online);
        hub.expire(Instant::now(), Instant::now(), 10);
        assert!(hub.take_passages().is_empty());
    }

    #[test]
    fn who_does_not_come_back_after_a_restart_goes_offline() {
        let hub = Hub::new(0, Settings::default(), Arc::default());
        hub.restore_online(vec![account(1), account(2)]);
        let ann = hub.join(&account(1), SessionId(1), None);
        hub.arrive(&ann, 5, LIMIT);
        assert!(hub.take_passages().is_empty(), "she never went");
        hub.expire(Instant::now(), Instant::now(), 10);
        let passages = hub.take_passages();
        assert_eq!((passages.len(), passages[0].0.clone(), passages[0].1.online), (1, account(2), false));
        assert!(hub.user(&account(2)).is_none() && hub.user(&account(1)).is_some());
    }

    #[test]
    fn the_policy_says_who_goes() {
        let device = |kind: &str| Some(v1::Device { r#type: kind.into(), ..v1::Device::default() });
        let ends = |policy, max, kinds: &[&str]| -> String {
            let hub = Hub::new(0, Settings::default(), Arc::default());
            let mut seats = Vec::new();
            for (n, kind) in (0..).zip(kinds) {
                let seat = hub.join(&account(1), SessionId(n), device(kind));
                hub.arrive(&seat, n, SessionsLimit { policy, max });
                seats.push(seat);
            }
            seats
                .iter()
                .map(|seat| match seat.session().ended() {
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
        assert_eq!(ends(SessionsPolicy::All, 2, &kinds), "llll..");
    }

    impl Seat {
        fn is_clean(&self) -> bool {
            self.session().is_clean()
        }
    }
}
