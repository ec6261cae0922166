//! Presence transitions: an account comes online with its first session, and goes offline some time after its last.
//!
//! An account that comes back within offline grace never went offline, so nobody sees reconnects and restarts. Hiding and
//! blocking begin the same grace, so nobody can tell them from leaving. The hub keeps the state and marks the watchers; the
//! service decides when to look for accounts whose grace has ended, and stores the transitions.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::time::Instant;

use super::account_presence::{PresenceTransition, ShownPresence};
use super::offline_grace::Departure;
use super::presence_sweep::{PresenceSweep, SLICE};
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Account, ChosenPresence, DeviceKind, Millis, OnlineAccount, SeenPresence, Status};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::RecordKinds;

/// How many accounts go offline at a time, before other tasks run.
const EXPIRED: usize = 16;

/// An account's presence as a session may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceView {
    /// The account.
    pub account: Account,
    /// Whether it is online.
    pub online: bool,
    /// When it came online or was last online; 0 if that is not known.
    pub last_seen: Millis,
    /// The text that the account shows beside it, and its end.
    pub status: Option<Arc<Status>>,
    /// The kinds of its devices, where friends see them.
    pub kinds: Vec<DeviceKind>,
    /// Whether the account hides its presence, and the version of what it chose; only for the account's own sessions.
    pub own: Option<(bool, u64)>,
}

/// The viewers that see an account come or go.
#[derive(Debug, Default)]
pub(super) struct SeenBy {
    /// All friends, except peers with a view of their own.
    pub(super) friends: bool,
    /// Peers with a view of their own.
    pub(super) peers: Vec<Account>,
}

impl SeenBy {
    /// One peer with a view of its own, or all other friends.
    fn only(peer: Option<Account>) -> Self {
        Self { friends: peer.is_none(), peers: peer.into_iter().collect() }
    }

    /// Adds others.
    pub(super) fn and(&mut self, others: Self) {
        self.friends |= others.friends;
        for peer in others.peers {
            if !self.peers.contains(&peer) {
                self.peers.push(peer);
            }
        }
    }
}

impl Hub {
    /// Counts accounts as online that were seen online when the previous process ended. They go offline unless they come
    /// back within offline grace.
    pub fn restore_online(&self, accounts: Vec<OnlineAccount>) {
        let now = Departure { at: Instant::now(), time: None };
        for OnlineAccount { account, chosen, last_seen, blocks } in accounts {
            let entry = self.users.entry(account.clone()).or_insert_with(|| UserRef::detached(account));
            let mut state = entry.state().lock();
            let mut grace = self.offline_grace.lock();
            state.presence.chosen = Some(chosen);
            state.presence.shown.seen = SeenPresence { online: true, last_seen };
            state.presence.shown.go(now, entry.account(), None, &mut grace);
            for block in &blocks {
                let peer = state.offer_block(block);
                if let Some(shown) = peer.and_then(|peer| peer.shown.as_mut()) {
                    shown.go(now, entry.account(), Some(&block.peer), &mut grace);
                }
            }
        }
    }

    /// Notes that a session of the account has logged in.
    pub(super) fn came_online(&self, me: &UserRef, session: &Session, now: Millis) {
        let mut state = me.state().lock();
        state.presence.connected = true;
        self.note_kind(session);
        let returns = state.presence.shown.grace.is_some();
        state.presence.owned = self.settings.shared;
        let seen_by = self.follow_presence(me, &mut state, now);
        if returns && state.presence.shown.kinds.kinds().next().is_none() {
            // Before a restart it may have had some.
            self.note_kinds(me.account(), &mut state, &SeenBy::only(None));
        }
        self.note_shared_presence(me.account(), &mut state);
        drop(state);
        self.mark_seen_by(&self.sessions.read(), me, &seen_by);
    }

    /// Notes that the account's last session has left.
    pub(super) fn disconnected(&self, me: &UserRef, state: &mut UserState) {
        if std::mem::take(&mut state.presence.connected) {
            self.note_departure(me.account(), state);
            // Nobody sees that before offline grace is over.
            let _ = self.follow_presence(me, state, 0);
            // Nothing is left to be stored of one that friends see offline.
            state.presence.owned &= state.presence.shown.seen.online;
        }
    }

    /// Lets every view follow whether the account is there; `now` is when it came, if it is. Returns who sees it come.
    pub(super) fn follow_presence(&self, user: &UserRef, state: &mut UserState, now: Millis) -> SeenBy {
        let present = state.presence.is_present();
        let left = self.departure_of(&state.presence);
        let mut seen_by = SeenBy::default();
        let mut grace = self.offline_grace.lock();
        if present {
            seen_by.friends = state.presence.shown.come(now, &mut grace);
        } else {
            state.presence.shown.go(left, user.account(), None, &mut grace);
        }
        // To one that it blocks it is not there anyway.
        for (account, peer) in state.peers_mut().filter(|(_, peer)| peer.block.removed) {
            let Some(shown) = &mut peer.shown else { continue };
            if !present {
                shown.go(left, user.account(), Some(account), &mut grace);
            } else if shown.come(now, &mut grace) {
                seen_by.peers.push(account.clone());
            }
        }
        drop(grace);
        let mut differs = self.show_status(user, state);
        differs.and(self.show_kinds(user, state, left));
        self.note_transitions(user.account(), state, &seen_by);
        seen_by.and(differs);
        self.rejoin_peers(user.account(), state);
        seen_by
    }

    /// Notes for the store what the viewers see now.
    fn note_transitions(&self, account: &Account, state: &mut UserState, seen_by: &SeenBy) {
        if !self.stores(state) {
            return;
        }
        if seen_by.friends {
            self.note_friends(account, state);
        }
        for peer in &seen_by.peers {
            self.note_peer(account, state, peer);
        }
    }

    /// Notes for the store what friends see now.
    pub(super) fn note_friends(&self, account: &Account, state: &mut UserState) {
        let shown = &state.presence.shown;
        let kinds = if self.tells_devices() { shown.kinds.kinds().collect() } else { Vec::new() };
        self.transitions.lock().add(account, None, (Some(shown.seen), kinds));
        state.presence.unstored = true;
    }

    /// Notes for the store what a peer sees now.
    pub(super) fn note_peer(&self, account: &Account, state: &mut UserState, peer: &Account) {
        let shown = state.peer(peer).and_then(|peer| peer.shown.as_ref());
        self.transitions.lock().add(account, Some(peer), (shown.map(|shown| shown.seen), Vec::new()));
        state.presence.unstored = true;
    }

    /// Ends the views of peers whose block has ended, and that see what others see from now on.
    pub(super) fn rejoin_peers(&self, account: &Account, state: &mut UserState) {
        for peer in state.rejoin_peers(&mut self.offline_grace.lock()) {
            if self.stores(state) {
                self.note_peer(account, state, &peer);
            }
        }
    }

    /// Forgets the transitions of an account that was deleted: an account that is made again under its name must not get them.
    pub(super) fn forget_presence(&self, account: &Account) {
        self.transitions.lock().forget(account);
    }

    /// Takes accounts offline that left no later than `until`; `now` is the wall clock at `instant`.
    pub fn expire(&self, until: Instant, instant: Instant, now: Millis) {
        while self.expire_some(until, instant, now) {}
    }

    /// Does what [`Hub::expire`] does for a bounded number of accounts, and returns whether there may be more.
    pub fn expire_some(&self, until: Instant, instant: Instant, now: Millis) -> bool {
        for _ in 0..EXPIRED {
            let Some((place, account, peer)) = self.offline_grace.lock().pop(until) else { return false };
            let Some(user) = self.user(&account) else { continue };
            let mut state = user.state().lock();
            let mut seen_by = SeenBy::default();
            let shown = match &peer {
                None => Some(&mut state.presence.shown),
                Some(peer) => state.peer_mut(peer).and_then(|peer| peer.shown.as_mut()),
            };
            // It came back meanwhile, and has left later or not at all; or it was deleted.
            if let Some(shown) = shown {
                if shown.grace == Some(place) {
                    shown.expire(place.last_seen(instant, now), &mut self.offline_grace.lock());
                    seen_by = SeenBy::only(peer);
                    self.note_transitions(user.account(), &mut state, &seen_by);
                    self.rejoin_peers(user.account(), &mut state);
                    state.presence.owned &= state.presence.connected || state.presence.shown.seen.online;
                } else {
                    if shown.kinds.expire(place, !shown.is_there()) {
                        seen_by = SeenBy::only(peer);
                        self.note_kinds(user.account(), &mut state, &seen_by);
                    }
                    self.rejoin_peers(user.account(), &mut state);
                }
            }
            let idle = state.is_idle();
            drop(state);
            self.mark_seen_by(&self.sessions.read(), &user, &seen_by);
            self.forget_if(idle, &user);
        }
        true
    }

    /// Takes at least so many presence transitions that are not stored yet, if there are so many, and those of one more
    /// account at most; of each account and viewer the newest.
    #[must_use]
    pub fn take_transitions(&self, some: usize) -> Vec<PresenceTransition> {
        self.transitions.lock().take(some)
    }

    /// Puts back transitions that could not be stored; newer ones stay.
    pub fn put_back_transitions(&self, transitions: Vec<PresenceTransition>) {
        let mut held = self.transitions.lock();
        for transition in transitions {
            held.put_back(transition);
        }
    }

    /// Notes that transitions are stored: their entries may be dropped, because a reader finds what they hold.
    pub fn transitions_stored(&self, transitions: &[PresenceTransition]) {
        for transition in transitions {
            let Some(user) = self.user(&transition.account) else { continue };
            let mut state = user.state().lock();
            state.presence.unstored = self.transitions.lock().has(&transition.account);
            let idle = state.is_idle();
            drop(state);
            self.forget_if(idle, &user);
        }
    }

    /// Lets an account hide its presence or show it again, if it turns to that, and sets its status.
    pub(super) fn set_presence(
        &self,
        sessions: &Slab<Arc<Session>>,
        user: &UserRef,
        chosen: &ChosenPresence,
        turned: Option<Millis>,
    ) {
        let mut state = user.state().lock();
        state.presence.chosen = Some(chosen.clone());
        let seen_by = if let Some(time) = turned {
            if chosen.hides {
                state.presence.left = time;
            }
            self.follow_presence(user, &mut state, time)
        } else {
            let seen_by = self.show_status(user, &mut state);
            self.rejoin_peers(user.account(), &mut state);
            seen_by
        };
        for session in state.own.iter().filter_map(|slot| sessions.get(*slot as usize)) {
            self.mark(session, user.clone(), RecordKinds::PRESENCE);
        }
        drop(state);
        self.mark_seen_by(sessions, user, &seen_by);
    }

    /// An account's presence as its own sessions see it.
    #[must_use]
    pub fn own_presence(&self, user: &UserRef) -> PresenceView {
        let state = user.state().lock();
        let presence = &state.presence;
        PresenceView {
            account: user.account().clone(),
            online: presence.is_online(),
            last_seen: presence.shown.seen.last_seen,
            status: self.own_status(&state),
            // Its own clients know its sessions.
            kinds: Vec::new(),
            own: Some(presence.chosen.as_ref().map_or((false, 0), |chosen| (chosen.hides, chosen.version))),
        }
    }

    /// An account's presence as its friend `viewer` sees it.
    pub(super) fn friends_presence(user: &UserRef, state: &UserState, viewer: &Account) -> PresenceView {
        let own_view = state.peer(viewer).and_then(|peer| peer.shown.as_ref());
        let ShownPresence { seen: SeenPresence { online, last_seen }, status, kinds, .. } =
            own_view.unwrap_or(&state.presence.shown);
        let (online, last_seen, status) = (*online, *last_seen, status.clone());
        PresenceView {
            account: user.account().clone(),
            online,
            last_seen,
            status,
            kinds: kinds.kinds().collect(),
            own: None,
        }
    }

    /// Marks the sessions of those who see the account come or go, and who list it as a friend.
    pub(super) fn mark_seen_by(&self, sessions: &Slab<Arc<Session>>, user: &UserRef, seen_by: &SeenBy) {
        if seen_by.friends {
            self.mark_friends(sessions, user);
        }
        for peer in &seen_by.peers {
            let slots = self.user(peer).map(|peer| peer.state().lock().own.clone()).unwrap_or_default();
            let state = user.state().lock();
            for slot in slots.into_iter().filter(|slot| state.friends.contains(*slot)) {
                if let Some(session) = sessions.get(slot as usize) {
                    self.mark(session, user.clone(), RecordKinds::PRESENCE);
                }
            }
        }
    }

    /// Marks the sessions of everyone who lists the account as a friend, except peers with a view of their own. Those beyond
    /// a slice are left to [`Hub::sweep_presence`].
    pub(super) fn mark_friends(&self, sessions: &Slab<Arc<Session>>, user: &UserRef) {
        let mut slots: Vec<_> = user.state().lock().friends.iter().collect();
        let rest = slots.split_off(slots.len().min(SLICE));
        self.mark_presence(sessions, user, &slots);
        if rest.is_empty() {
            return;
        }
        let idle = self.presence_sweeps.lock().add(user, rest);
        idle.into_iter().for_each(Waker::wake);
    }

    fn mark_presence(&self, sessions: &Slab<Arc<Session>>, user: &UserRef, slots: &[Slot]) {
        let state = user.state().lock();
        for session in slots.iter().filter_map(|slot| sessions.get(*slot as usize)) {
            // One that is yet to read whether it is blocked reads the presence after that.
            let is_unread = state.is_unread(session.slot());
            if !is_unread && state.peer(session.account()).is_none_or(|peer| peer.shown.is_none()) {
                self.mark(session, user.clone(), RecordKinds::PRESENCE);
            }
        }
    }

    /// Waits until sessions are to be marked for a presence transition. One task may wait.
    pub fn poll_presence_sweep(&self, cx: &Context<'_>) -> Poll<()> {
        let mut sweeps = self.presence_sweeps.lock();
        if sweeps.waiting.is_empty() {
            sweeps.idle = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Marks the next slice of sessions for a presence transition. False if none is left.
    pub fn sweep_presence(&self) -> bool {
        // It stays in its place meanwhile, so that another transition of the account finds it.
        let (user, slots) = {
            let mut sweeps = self.presence_sweeps.lock();
            let Some(sweep) = sweeps.waiting.front_mut() else { return false };
            let rest = sweep.slots.len().saturating_sub(SLICE);
            (sweep.user.clone(), sweep.slots.split_off(rest))
        };
        self.mark_presence(&self.sessions.read(), &user, &slots);
        // The user's lock comes before that of the sweeps.
        let again = self.presence_sweeps.lock().waiting.front_mut().is_some_and(PresenceSweep::begins_again);
        let round = again.then(|| user.state().lock().friends.iter().collect::<Vec<_>>());
        let mut sweeps = self.presence_sweeps.lock();
        let Some(mut sweep) = sweeps.waiting.pop_front() else { return false };
        sweep.slots.extend(round.into_iter().flatten());
        if !sweep.slots.is_empty() || sweep.again {
            sweeps.waiting.push_back(sweep);
        }
        !sweeps.waiting.is_empty()
    }
}
