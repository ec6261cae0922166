//! Applies committed changes to the hub, in commit order: first the registry, then dirty marks, the watermark, wake-ups.
//!
//! A node has one consumer, the service's loop, which calls this. Nothing here waits, and no call does more than a bounded
//! number of marks: logins and ends need the session table meanwhile, and other tasks the thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::account_sessions::in_slots;
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use crate::locks::Ordering;
use rosterd_engine::model::{Account, Audience, Block, Change, CloseReason, Millis, Profile, Revision, Row, SessionId};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::{Marked, RecordKinds};
use rosterd_engine::sync::watermark::Watermark;

/// How many watchers are marked at a time, before other changes are, by default. The session table is locked for so many.
const SLICE: usize = 1024;
/// How many rows are applied at a time at most: one that nobody follows takes some time as well.
const ROWS: usize = 256;
/// How many slices are applied before other tasks run, and before sessions are announced. With fewer, sessions would flush
/// more often during a large batch, and fewer marks would be conflated.
const SLICES: usize = 16;

/// Applies changes to the hub, and marks large audiences in slices.
#[derive(Debug)]
pub struct Feed {
    hub: Arc<Hub>,
    watermark: Watermark,
    /// Changes with so many watchers that they are marked in slices, in turn.
    sweeps: VecDeque<Sweep>,
    /// Sessions whose first mark was set since sessions were last announced.
    to_announce: Vec<Arc<Session>>,
    /// When the change that is being marked was committed, by the hub's clock; 0 if that is not known.
    at: u64,
    /// The last revision applied.
    last: Revision,
    /// The change that is applied next, if some of its rows are applied already.
    begun: Option<BegunChange>,
    slice: usize,
    marks: u64,
    conflated: u64,
}

/// How far a change is applied.
#[derive(Debug, Default)]
struct BegunChange {
    /// How many of its rows are applied.
    rows: usize,
    /// Whether watchers of one of them are left to [`Feed::sweep`].
    is_swept: bool,
}

/// Marks the watchers that an account had when the sweep began, in slices. Later watchers read the new profile anyway.
///
/// An account has at most one sweep. Changes that come meanwhile wait for one more round together: a celebrity who changes
/// faster than the watchers can be marked costs no more memory, and the last watcher is marked too.
#[derive(Debug)]
struct Sweep {
    user: UserRef,
    slots: Vec<Slot>,
    round: Round,
    again: Option<Round>,
}

/// The changes that one round of marks is for.
#[derive(Debug)]
struct Round {
    revisions: Vec<Revision>,
    /// The session that made the changes, if one session made all of them.
    origin: Option<SessionId>,
    /// The widest audience that sees one of the changes.
    audience: Audience,
    /// When the first of them was committed.
    at: u64,
}

impl Round {
    fn new(change: &Change, audience: Audience, at: u64) -> Self {
        Self { revisions: vec![change.revision], origin: change.origin.session(), audience, at }
    }
}

impl Sweep {
    /// Sorts the slots, most of which were given in the order in which their sessions came: sessions that are marked one
    /// after the other then lie side by side in memory.
    fn new(user: UserRef, mut slots: Vec<Slot>, round: Round) -> Self {
        slots.sort_unstable();
        Self { user, slots, round, again: None }
    }

    fn again(&mut self, change: &Change, audience: Audience, at: u64) {
        match &mut self.again {
            Some(round) => {
                round.revisions.push(change.revision);
                round.origin = round.origin.filter(|origin| Some(*origin) == change.origin.session());
                round.audience = round.audience.max(audience);
            }
            None => self.again = Some(Round::new(change, audience, at)),
        }
    }
}

impl Feed {
    /// A consumer that goes on at the hub's watermark.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        let watermark = Watermark::new(hub.watermark());
        let last = hub.watermark();
        let (sweeps, to_announce, begun) = Default::default();
        Self { hub, watermark, sweeps, to_announce, at: 0, last, begun, slice: SLICE, marks: 0, conflated: 0 }
    }

    /// The same with another slice size.
    #[must_use]
    pub fn in_slices_of(self, slice: usize) -> Self {
        Self { slice, ..self }
    }

    /// Sets when the changes that are applied next were committed; their time to the clients is measured from then.
    pub fn committed(&mut self, at: Instant) {
        self.at = self.hub.at(at);
    }

    /// Makes it known that everything so far is applied.
    pub fn publish_applied(&self) {
        self.hub.applied.send_replace(self.last);
        self.hub.applied_more.notify_waiters();
    }

    /// Applies changes. Afterwards the registry has them, and every watcher is marked, except those left to
    /// [`Feed::sweep`].
    pub fn apply(&mut self, mut changes: &[Change]) {
        while !changes.is_empty() {
            changes = &changes[self.apply_some(changes)..];
        }
    }

    /// Applies the first of some changes, and returns how many of them are done; the next call has to begin with the others.
    /// It returns after some milliseconds, so that other tasks run: an erased account is a change of thousands of rows.
    pub fn apply_some(&mut self, changes: &[Change]) -> usize {
        let mut done = 0;
        for _ in 0..SLICES {
            if done == changes.len() {
                break;
            }
            done += self.apply_slice(&changes[done..]);
        }
        self.last = changes[..done].last().map_or(self.last, |change| change.revision);
        self.hub.metrics.changes.inc_by(done as u64);
        self.publish();
        done
    }

    /// Applies a slice of rows or of marks under one lock of the session table. Returns how many changes are done.
    fn apply_slice(&mut self, changes: &[Change]) -> usize {
        let hub = self.hub.clone();
        let sessions = hub.sessions.read();
        let (mut rows, before) = (0, self.marks);
        for (done, change) in changes.iter().enumerate() {
            let mut begun = self.begun.take().unwrap_or_else(|| {
                self.watermark.begin(change.revision);
                BegunChange::default()
            });
            for row in &change.rows[begun.rows..] {
                if rows == ROWS || self.marks - before >= self.slice as u64 {
                    self.begun = Some(begun);
                    return done;
                }
                begun.is_swept |= self.row(&sessions, change, row);
                begun.rows += 1;
                rows += 1;
            }
            if !begun.is_swept {
                self.watermark.finish(change.revision);
            }
        }
        changes.len()
    }

    /// Applies a row; true if its watchers are left to [`Feed::sweep`].
    fn row(&mut self, sessions: &Slab<Arc<Session>>, change: &Change, row: &Row) -> bool {
        match row {
            Row::Profile(profile) => return self.profile(sessions, change, profile),
            Row::Gone { account, version } => self.gone(sessions, account, *version),
            Row::Edge(edge) => self.mark_own(sessions, &edge.owner, &edge.peer, RecordKinds::EDGE),
            Row::Request(request) => {
                self.mark_own(sessions, request.owner(), request.peer(), RecordKinds::REQUEST);
            }
            Row::Block { block, frozen } if block.version < change.revision => {
                self.frozen_copy(sessions, block, frozen.as_deref(), change.revision);
            }
            Row::Block { block, .. } => self.block(sessions, block),
            Row::Presence { account, chosen, turned } => {
                if let Some(time) = turned {
                    self.hub.note_hidden(account, chosen.hides, *time);
                }
                if let Some(user) = self.hub.user(account) {
                    self.hub.set_presence(sessions, &user, chosen, *turned);
                }
            }
            Row::Credential { account, credential } => self.revoke(sessions, account, credential.revoked_before),
        }
        false
    }

    /// Marks the next slice of a sweep. False if no sweep is left.
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
            self.mark_profile(&sessions, slot, (sweep.round.revisions[0], sweep.round.origin), &sweep.user, &state);
        }
        drop(state);
        drop(sessions);
        if sweep.slots.is_empty() {
            for revision in sweep.round.revisions {
                self.watermark.finish(revision);
            }
            if let Some(round) = sweep.again {
                let slots = watchers(&sweep.user.state().lock(), round.audience);
                self.sweeps.push_back(Sweep::new(sweep.user, slots, round));
            }
        } else {
            self.sweeps.push_back(sweep);
        }
        self.publish();
        !self.sweeps.is_empty()
    }

    /// Whether a sweep is left.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        !self.sweeps.is_empty()
    }

    #[cfg(test)]
    pub(super) fn sweeps(&self) -> usize {
        self.sweeps.len()
    }

    /// Applies a profile; true if its watchers are left to [`Feed::sweep`].
    fn profile(&mut self, sessions: &Slab<Arc<Session>>, change: &Change, profile: &Arc<Profile>) -> bool {
        let Some(user) = self.hub.user(&profile.account) else {
            return false;
        };
        let mut state = user.state().lock();
        // A reader may have brought this version already; its watchers are marked all the same.
        state.offer(profile, &self.hub.visibility());
        // Sessions that see nothing of the change are not marked.
        let sees_change = |audience| profile.last_change(audience).version == profile.version;
        let audience = [Audience::Everyone, Audience::Friends].into_iter().find(|audience| sees_change(*audience));
        let audience = audience.unwrap_or(Audience::Own);
        if let Some(sweep) = self.sweeps.iter_mut().find(|sweep| sweep.user == user) {
            sweep.again(change, audience, self.at);
            return true;
        }
        let slots = watchers(&state, audience);
        if slots.len() > self.slice {
            drop(state);
            let round = Round::new(change, audience, self.at);
            self.sweeps.push_back(Sweep::new(user, slots, round));
            return true;
        }
        for slot in slots {
            self.mark_profile(sessions, slot, (change.revision, change.origin.session()), &user, &state);
        }
        false
    }

    /// Applies a deletion: ends the account's sessions, and marks those whose clients may hold its profile, friends aside,
    /// which lose their edges.
    fn gone(&mut self, sessions: &Slab<Arc<Session>>, account: &Account, version: u64) {
        let mut holders = self.hub.holders.of(account);
        let user = self.hub.user(account);
        if let Some(user) = &user {
            let mut state = user.state().lock();
            // Sessions that logged in as the account that was made again may reconnect as it.
            let is_made_again = state.gone(version);
            state.presence.elsewhere = self.hub.is_elsewhere(account);
            self.hub.kinds_here.lock().forget(account);
            let reason = if is_made_again { CloseReason::Internal } else { CloseReason::AccountDisabled };
            in_slots(sessions, &state.own).for_each(|session| session.end(reason));
            holders.extend(state.strangers.iter());
        }
        let user = user.unwrap_or_else(|| UserRef::detached(account.clone()));
        for slot in holders {
            self.mark(sessions.get(slot as usize), None, &user, RecordKinds::FORGET);
        }
        self.hub.forget_presence(account);
    }

    /// Ends the sessions whose token is revoked, those included that have not logged in yet.
    fn revoke(&self, sessions: &Slab<Arc<Session>>, account: &Account, before: Millis) {
        if let Some(user) = self.hub.user(account) {
            let state = user.state().lock();
            let revoked = in_slots(sessions, &state.own).filter(|session| session.issued_at() < before);
            revoked.for_each(|session| session.end(CloseReason::BadToken));
        }
    }

    /// Applies the begin or end of a block. Marks the block for the owner's sessions, and for those of the peer that follow
    /// the owner what they see of it: at the begin nothing, because the owner goes offline for them as if it had left, and at
    /// the end that it came back, and that its profile changed if it did.
    fn block(&mut self, sessions: &Slab<Arc<Session>>, block: &Block) {
        self.mark_own(sessions, &block.owner, &block.peer, RecordKinds::BLOCK);
        let Some(owner) = self.hub.user(&block.owner) else {
            return;
        };
        let peers = self.hub.user(&block.peer).map(|peer| peer.state().lock().own.clone()).unwrap_or_default();
        let mut state = owner.state().lock();
        let seen_by = self.hub.apply_block(&owner, &mut state, block);
        let presence = self.hub.settings.presence && !seen_by.peers.is_empty();
        for slot in peers {
            let Some(session) = sessions.get(slot as usize) else { continue };
            session.relations_changed();
            let is_friend = state.friends.contains(slot);
            let audience = if is_friend { Audience::Friends } else { Audience::Everyone };
            let mut kinds = RecordKinds::default();
            if is_friend && presence {
                kinds = kinds.with(RecordKinds::PRESENCE);
            }
            if block.removed && block.brings_profile(audience) && (is_friend || state.strangers.contains(slot)) {
                kinds = kinds.with(RecordKinds::PROFILE);
            }
            if kinds != RecordKinds::default() {
                self.mark(Some(session), None, &owner, kinds);
            }
        }
    }

    /// Marks, for the sessions of the peer of a block that follow its owner, the copy that they see of its profile. The block
    /// is as it was.
    fn frozen_copy(
        &mut self,
        sessions: &Slab<Arc<Session>>,
        block: &Block,
        frozen: Option<&Profile>,
        revision: Revision,
    ) {
        let (Some(owner), Some(peer)) = (self.hub.user(&block.owner), self.hub.user(&block.peer)) else { return };
        let peers = peer.state().lock().own.clone();
        let state = owner.state().lock();
        for slot in peers {
            let is_friend = state.friends.contains(slot);
            let audience = if is_friend { Audience::Friends } else { Audience::Everyone };
            let follows = is_friend || state.strangers.contains(slot);
            // A change that was read from the log has no copy with it.
            if follows && frozen.is_none_or(|copy| copy.last_change(audience).version == revision) {
                self.mark(sessions.get(slot as usize), None, &owner, RecordKinds::PROFILE);
            }
        }
    }

    /// Marks, for the sessions of `account`, what has changed between it and `peer`.
    fn mark_own(&mut self, sessions: &Slab<Arc<Session>>, account: &Account, peer: &Account, kinds: RecordKinds) {
        let Some(user) = self.hub.user(account) else {
            return;
        };
        let slots = user.state().lock().own.clone();
        if slots.is_empty() {
            return;
        }
        // A peer that nobody follows needs no entry: the mark only names what the session looks up.
        let peer = self.hub.user(peer).unwrap_or_else(|| UserRef::detached(peer.clone()));
        for slot in slots {
            self.mark(sessions.get(slot as usize), None, &peer, kinds);
        }
    }

    /// Marks a profile for a session, unless its account was blocked before the change. A reader ahead of the feed may have
    /// brought a later block already: the change is part of the frozen copy, so the session is marked.
    fn mark_profile(
        &mut self,
        sessions: &Slab<Arc<Session>>,
        slot: Slot,
        (oldest, origin): (Revision, Option<SessionId>),
        user: &UserRef,
        state: &UserState,
    ) {
        let session = sessions.get(slot as usize);
        let may_see = |session: &Session| state.blocks(session.account()).is_none_or(|block| block.version > oldest);
        // One that is yet to read whether it is blocked reads the profile with that.
        if !state.is_unread(slot) && session.is_some_and(|session| may_see(session)) {
            self.mark(session, origin, user, RecordKinds::PROFILE);
        }
    }

    fn mark(&mut self, session: Option<&Arc<Session>>, origin: Option<SessionId>, user: &UserRef, kind: RecordKinds) {
        let Some(session) = session.filter(|session| Some(session.id()) != origin) else {
            return;
        };
        self.marks += 1;
        match session.mark(user.clone(), kind, self.at) {
            Marked::First => self.to_announce.push(session.clone()),
            Marked::More => {}
            Marked::Conflated => self.conflated += 1,
        }
    }

    /// Moves the watermark, and only then announces sessions: a session that flushes now sends a cursor for the whole batch.
    fn publish(&mut self) {
        let reached = self.watermark.reached();
        self.hub.watermark.store(reached, Ordering::Release);
        self.hub.feed_steps.fetch_add(1, Ordering::Release);
        let metrics = &self.hub.metrics;
        metrics.watermark.set(reached as i64);
        metrics.watermark_lag.set(self.last.saturating_sub(reached) as i64);
        metrics.marks.inc_by(std::mem::take(&mut self.marks));
        metrics.conflated.inc_by(std::mem::take(&mut self.conflated));
        self.hub.announce(&self.to_announce);
        self.to_announce.clear();
    }
}

/// The sessions that see a change visible to `audience`. A session that follows the account as a friend and watches it too
/// may be there twice.
fn watchers(state: &UserState, audience: Audience) -> Vec<Slot> {
    let mut slots = state.own.clone();
    if audience >= Audience::Friends {
        slots.extend(state.friends.iter());
    }
    if audience >= Audience::Everyone {
        slots.extend(state.strangers.iter());
    }
    slots
}
