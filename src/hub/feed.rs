//! Applies committed changes to the hub, in commit order: registry first, then marks, then the horizon, then wake-ups.
//!
//! One consumer per node calls it. It awaits nothing; the loop that feeds it is the service's.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;

use super::{Hub, Session, UserRef};
use crate::model::{Change, CloseReason, Edge, Profile, Row, SessionId, Stamp};
use crate::sync::horizon::Horizon;
use crate::sync::interest::Slot;
use crate::sync::outbox::{Kinds, Marked};

/// How many watchers are marked before other changes get their turn.
const SLICE: usize = 1024;

/// The consumer's state.
#[derive(Debug)]
pub struct Feed {
    hub: Arc<Hub>,
    horizon: Horizon,
    /// Changes with so many watchers that they are marked bit by bit, in turn.
    sweeps: VecDeque<Sweep>,
    /// Sessions whose first mark was set since the last wake-up.
    woken: Vec<Arc<Session>>,
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
    stamps: Vec<Stamp>,
    /// The session that asked, if all of them are one session's.
    origin: Option<SessionId>,
}

impl Sweep {
    fn again(&mut self, change: &Change) {
        match &mut self.again {
            Some(round) => {
                round.stamps.push(change.stamp);
                round.origin = round.origin.filter(|origin| Some(*origin) == change.origin);
            }
            None => self.again = Some(Round { stamps: vec![change.stamp], origin: change.origin }),
        }
    }
}

impl Feed {
    /// A consumer that goes on where the hub stands.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        let horizon = Horizon::new(hub.horizon());
        Self { hub, horizon, sweeps: VecDeque::new(), woken: Vec::new(), marks: 0, conflated: 0 }
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
                    Row::Gone { account, version } => {
                        if let Some(user) = hub.user(account) {
                            let mut state = user.state().lock();
                            state.gone(*version);
                            let own = state.own.iter().filter_map(|slot| sessions.get(*slot as usize));
                            own.for_each(|session| session.end(CloseReason::AccountDisabled));
                        }
                    }
                    Row::Edge(edge) => self.edge(&sessions, edge),
                }
            }
            if !swept {
                self.horizon.finish(change.stamp);
            }
        }
        drop(sessions);
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
        let rest = sweep.slots.len().saturating_sub(SLICE);
        for slot in sweep.slots.drain(rest..) {
            self.mark(sessions.get(slot as usize), sweep.round.origin, &sweep.user, Kinds::CARD);
        }
        drop(sessions);
        if sweep.slots.is_empty() {
            for stamp in sweep.round.stamps {
                self.horizon.finish(stamp);
            }
            if let Some(round) = sweep.again {
                let slots = sweep.user.state().lock().watchers.iter().collect();
                self.sweeps.push_back(Sweep { user: sweep.user, slots, round, again: None });
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
        state.offer(profile);
        if let Some(sweep) = self.sweeps.iter_mut().find(|sweep| sweep.user == user) {
            sweep.again(change);
            return true;
        }
        if state.watchers.len() > SLICE {
            let slots = state.watchers.iter().collect();
            drop(state);
            let round = Round { stamps: vec![change.stamp], origin: change.origin };
            self.sweeps.push_back(Sweep { user, slots, round, again: None });
            return true;
        }
        for slot in state.watchers.iter() {
            self.mark(sessions.get(slot as usize), change.origin, &user, Kinds::CARD);
        }
        false
    }

    fn edge(&mut self, sessions: &Slab<Arc<Session>>, edge: &Edge) {
        let Some(owner) = self.hub.user(&edge.owner) else {
            return;
        };
        let own = owner.state().lock().own.clone();
        if own.is_empty() {
            return;
        }
        // A peer nobody watches needs no entry: the mark is only a name for the session to look up.
        let peer = self.hub.user(&edge.peer).unwrap_or_else(|| UserRef::detached(edge.peer.clone()));
        for slot in own {
            self.mark(sessions.get(slot as usize), None, &peer, Kinds::EDGE);
        }
    }

    fn mark(&mut self, session: Option<&Arc<Session>>, origin: Option<SessionId>, user: &UserRef, kind: Kinds) {
        let Some(session) = session.filter(|session| Some(session.id()) != origin) else {
            return;
        };
        self.marks += 1;
        match session.mark(user.clone(), kind) {
            Marked::First => self.woken.push(session.clone()),
            Marked::More => {}
            Marked::Conflated => self.conflated += 1,
        }
    }

    /// Moves the horizon, and only then wakes: a session that drains now may promise all of this batch.
    fn publish(&mut self) {
        let reached = self.horizon.reached();
        self.hub.horizon.store(reached, std::sync::atomic::Ordering::Release);
        let metrics = &self.hub.metrics;
        metrics.horizon.set(reached as i64);
        metrics.marks.inc_by(std::mem::take(&mut self.marks));
        metrics.conflated.inc_by(std::mem::take(&mut self.conflated));
        self.woken.drain(..).for_each(|session| session.wake());
    }
}
