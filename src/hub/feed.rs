//! Applies committed changes to the hub, in commit order: registry first, then marks, then the horizon, then wake-ups.
//!
//! One consumer per node calls it. It awaits nothing; the loop that feeds it is the service's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::account_sessions::own;
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use crate::locks::Ordering;
use rosterd_engine::model::{
    Account, Audience, Block, Change, CloseReason, Millis, Profile, Request, Revision, Row, SessionId,
};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::{Marked, RecordKinds};
use rosterd_engine::sync::watermark::Watermark;

/// How many watchers are marked before other changes get their turn, unless it is said otherwise.
const SLICE: usize = 1024;

/// The consumer's state.
#[derive(Debug)]
pub struct Feed {
    hub: Arc<Hub>,
    horizon: Watermark,
    /// Changes with so many watchers that they are marked bit by bit, in turn.
    sweeps: VecDeque<Sweep>,
    /// Sessions whose first mark was set since the last were announced.
    woken: Vec<Arc<Session>>,
    /// When what is being marked was committed, by the hub's clock; 0 if that is not known.
    at: u64,
    /// The last stamp applied.
    last: Revision,
    slice: usize,
    marks: u64,
    conflated: u64,
}

/// The marking of a crowd, as it was when the sweep began; who came later reads the new card anyway.
///
/// An account has at most one. Changes that come while it goes on wait for one more round together, so that a
/// celebrity who changes faster than the crowd can be marked costs no more memory, and the last of the crowd gets its turn.
#[derive(Debug)]
struct Sweep {
    user: UserRef,
    slots: Vec<Slot>,
    round: Round,
    again: Option<Round>,
}

/// The changes that a round of marks tells.
#[derive(Debug)]
struct Round {
    stamps: Vec<Revision>,
    /// The session that asked, if all of them are one session's.
    origin: Option<SessionId>,
    /// The widest that sees something of them.
    audience: Audience,
    /// When the first of them was committed.
    at: u64,
}

impl Round {
    fn new(change: &Change, audience: Audience, at: u64) -> Self {
        Self { stamps: vec![change.stamp], origin: change.origin, audience, at }
    }
}

impl Sweep {
    /// In the order of their slots, in which most of them came: what is touched one after the other then lies side by
    /// side in memory.
    fn new(user: UserRef, mut slots: Vec<Slot>, round: Round) -> Self {
        slots.sort_unstable();
        Self { user, slots, round, again: None }
    }

    fn again(&mut self, change: &Change, audience: Audience, at: u64) {
        match &mut self.again {
            Some(round) => {
                round.stamps.push(change.stamp);
                round.origin = round.origin.filter(|origin| Some(*origin) == change.origin);
                round.audience = round.audience.max(audience);
            }
            None => self.again = Some(Round::new(change, audience, at)),
        }
    }
}

impl Feed {
    /// A consumer that goes on where the hub stands.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        let horizon = Watermark::new(hub.watermark());
        let last = hub.watermark();
        let (sweeps, woken) = Default::default();
        Self { hub, horizon, sweeps, woken, at: 0, last, slice: SLICE, marks: 0, conflated: 0 }
    }

    /// The same, marking crowds in slices of another size.
    #[must_use]
    pub fn in_slices_of(self, slice: usize) -> Self {
        Self { slice, ..self }
    }

    /// What is applied next was committed then: how long it takes to reach clients counts from there.
    pub fn committed(&mut self, at: Instant) {
        self.at = self.hub.at(at);
    }

    /// Applies changes; afterwards the registry shows them, and every watcher is marked but those of a crowd.
    pub fn apply(&mut self, changes: &[Change]) {
        let hub = self.hub.clone();
        let sessions = hub.sessions.read();
        for change in changes {
            self.horizon.begin(change.stamp);
            let mut swept = false;
            for row in &change.rows {
                match row {
                    Row::Profile(profile) => swept |= self.profile(&sessions, change, profile),
                    Row::Gone { account, version } => self.gone(&sessions, account, *version),
                    Row::Edge(edge) => self.mark_own(&sessions, &edge.owner, &edge.peer, RecordKinds::EDGE),
                    Row::Request(request) => self.request(&sessions, request),
                    Row::Block { block, .. } => self.block(&sessions, block),
                    Row::Invisible { account, invisible } => {
                        if let Some(user) = hub.user(account) {
                            hub.set_invisible(&sessions, &user, *invisible);
                        }
                    }
                    Row::Credential { account, credential } => {
                        self.revoke(&sessions, account, credential.revoked_before);
                    }
                }
            }
            if !swept {
                self.horizon.finish(change.stamp);
            }
        }
        drop(sessions);
        self.last = changes.last().map_or(self.last, |change| change.stamp);
        hub.metrics.changes.inc_by(changes.len() as u64);
        self.publish();
    }

    /// Marks the next slice of a crowd. False if there is none left.
    pub fn sweep(&mut self) -> bool {
        let Some(mut sweep) = self.sweeps.pop_front() else {
            return false;
        };
        let hub = self.hub.clone();
        let sessions = hub.sessions.read();
        let rest = sweep.slots.len().saturating_sub(self.slice);
        let state = sweep.user.state().lock();
        self.at = sweep.round.at;
        for slot in sweep.slots.drain(rest..) {
            self.mark_profile(&sessions, slot, (sweep.round.stamps[0], sweep.round.origin), &sweep.user, &state);
        }
        drop(state);
        drop(sessions);
        if sweep.slots.is_empty() {
            for stamp in sweep.round.stamps {
                self.horizon.finish(stamp);
            }
            if let Some(round) = sweep.again {
                let slots = crowd(&sweep.user.state().lock(), round.audience);
                self.sweeps.push_back(Sweep::new(sweep.user, slots, round));
            }
        } else {
            self.sweeps.push_back(sweep);
        }
        self.publish();
        !self.sweeps.is_empty()
    }

    /// Whether a crowd is still being marked.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        !self.sweeps.is_empty()
    }

    #[cfg(test)]
    pub(super) fn sweeps(&self) -> usize {
        self.sweeps.len()
    }

    /// Takes over a profile; true if its watchers are left to [`Feed::sweep`].
    fn profile(&mut self, sessions: &Slab<Arc<Session>>, change: &Change, profile: &Arc<Profile>) -> bool {
        let Some(user) = self.hub.user(&profile.account) else {
            return false;
        };
        let mut state = user.state().lock();
        // A reader may have brought this very version already; its watchers are owed it all the same.
        state.offer(profile, &self.hub.settings.visibility);
        // Who sees nothing of what changed is not told.
        let moved = |audience| profile.last_change(audience).version == profile.version;
        let audience = [Audience::Everyone, Audience::Friends].into_iter().find(|audience| moved(*audience));
        let audience = audience.unwrap_or(Audience::Own);
        if let Some(sweep) = self.sweeps.iter_mut().find(|sweep| sweep.user == user) {
            sweep.again(change, audience, self.at);
            return true;
        }
        let slots = crowd(&state, audience);
        if slots.len() > self.slice {
            drop(state);
            let round = Round::new(change, audience, self.at);
            self.sweeps.push_back(Sweep::new(user, slots, round));
            return true;
        }
        for slot in slots {
            self.mark_profile(sessions, slot, (change.stamp, change.origin), &user, &state);
        }
        false
    }

    fn gone(&mut self, sessions: &Slab<Arc<Session>>, account: &Account, version: u64) {
        if let Some(user) = self.hub.user(account) {
            let mut state = user.state().lock();
            // Who has come in as the one that was made again comes back as that.
            let is_made_again = state.gone(version);
            let reason = if is_made_again { CloseReason::Internal } else { CloseReason::AccountDisabled };
            own(sessions, &state.own).for_each(|session| session.end(reason));
        }
        self.hub.forget_presence(account);
    }

    /// Ends the sessions whose token is not accepted any more, those included that are about to log in.
    fn revoke(&self, sessions: &Slab<Arc<Session>>, account: &Account, before: Millis) {
        if let Some(user) = self.hub.user(account) {
            let state = user.state().lock();
            let revoked = own(sessions, &state.own).filter(|session| session.issued_at() < before);
            revoked.for_each(|session| session.end(CloseReason::BadToken));
        }
    }

    fn request(&mut self, sessions: &Slab<Arc<Session>>, request: &Request) {
        self.mark_own(sessions, &request.sender, &request.receiver, RecordKinds::REQUEST);
        if !request.hidden {
            self.mark_own(sessions, &request.receiver, &request.sender, RecordKinds::REQUEST);
        }
    }

    /// A block began or ended. The owner's sessions are told so; those of the blocked that follow the owner see it go
    /// offline, or again as it is.
    fn block(&mut self, sessions: &Slab<Arc<Session>>, block: &Block) {
        self.mark_own(sessions, &block.owner, &block.peer, RecordKinds::BLOCK);
        let Some(owner) = self.hub.user(&block.owner) else {
            return;
        };
        let peers = self.hub.user(&block.peer).map(|peer| peer.state().lock().own.clone()).unwrap_or_default();
        let mut state = owner.state().lock();
        state.block(block);
        for slot in peers {
            let Some(session) = sessions.get(slot as usize) else { continue };
            session.relations_changed();
            let mut kinds = RecordKinds::default();
            // Also where it does not show now: it may have gone after the block was known, and before it was told.
            if state.friends.contains(slot) && self.hub.settings.presence {
                kinds = kinds.with(RecordKinds::PRESENCE);
            }
            if state.strangers.contains(slot) && block.removed {
                kinds = kinds.with(RecordKinds::PROFILE);
            }
            if kinds != RecordKinds::default() {
                self.mark(Some(session), None, &owner, kinds);
            }
        }
    }

    /// Marks the sessions of `account` with what is between it and `peer`.
    fn mark_own(&mut self, sessions: &Slab<Arc<Session>>, account: &Account, peer: &Account, kinds: RecordKinds) {
        let Some(user) = self.hub.user(account) else {
            return;
        };
        let slots = user.state().lock().own.clone();
        if slots.is_empty() {
            return;
        }
        // A peer nobody follows needs no entry: the mark is only a name for the session to look up.
        let peer = self.hub.user(peer).unwrap_or_else(|| UserRef::detached(peer.clone()));
        for slot in slots {
            self.mark(sessions.get(slot as usize), None, &peer, kinds);
        }
    }

    /// Who was blocked before the change sees nothing of it. A block that came later may be known already, from a reader
    /// that is ahead of the feed; the change is among what that session goes on seeing.
    fn mark_profile(
        &mut self,
        sessions: &Slab<Arc<Session>>,
        slot: Slot,
        (oldest, origin): (Revision, Option<SessionId>),
        user: &UserRef,
        state: &UserState,
    ) {
        let session = sessions.get(slot as usize);
        let sees = |session: &Session| state.blocks(session.account()).is_none_or(|block| block.version > oldest);
        if session.is_some_and(|session| sees(session)) {
            self.mark(session, origin, user, RecordKinds::PROFILE);
        }
    }

    fn mark(&mut self, session: Option<&Arc<Session>>, origin: Option<SessionId>, user: &UserRef, kind: RecordKinds) {
        let Some(session) = session.filter(|session| Some(session.id()) != origin) else {
            return;
        };
        self.marks += 1;
        match session.mark(user.clone(), kind, self.at) {
            Marked::First => self.woken.push(session.clone()),
            Marked::More => {}
            Marked::Conflated => self.conflated += 1,
        }
    }

    /// Moves the horizon, and only then wakes: a session that drains now may promise all of this batch.
    fn publish(&mut self) {
        let reached = self.horizon.reached();
        self.hub.horizon.store(reached, Ordering::Release);
        let metrics = &self.hub.metrics;
        metrics.watermark.set(reached as i64);
        metrics.watermark_lag.set(self.last.saturating_sub(reached) as i64);
        metrics.marks.inc_by(std::mem::take(&mut self.marks));
        metrics.conflated.inc_by(std::mem::take(&mut self.conflated));
        self.hub.announce(&self.woken);
        self.woken.clear();
    }
}

/// The sessions that are told when something changes that `audience` sees, those who see more included. A session that
/// both lists and watches the account may be there twice.
fn crowd(state: &UserState, audience: Audience) -> Vec<Slot> {
    let mut slots = state.own.clone();
    if audience >= Audience::Friends {
        slots.extend(state.friends.iter());
    }
    if audience >= Audience::Everyone {
        slots.extend(state.strangers.iter());
    }
    slots
}
