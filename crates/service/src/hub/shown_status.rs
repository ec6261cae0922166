//! The statuses that viewers see beside an account's presence, and their ends.
//!
//! A viewer of an account that is no longer there for it sees the status of that moment until offline grace is over, so nobody
//! can tell hiding and blocking from leaving. All others see the newest one.

use std::sync::Arc;

use super::presence::SeenBy;
use super::registry::Hub;
use super::user::{UserRef, UserState};
use crate::locks::Ordering;
use rosterd_engine::model::{Account, ChosenPresence, Millis, Status};
use rosterd_engine::sync::outbox::RecordKinds;

/// How many accounts lose their statuses at a time, before other tasks run.
const ENDED: usize = 16;

impl UserState {
    /// Lets every viewer for whom the account is there see its newest status. Returns who sees another one than before.
    fn show_status(&mut self, grace: Millis, now: Millis) -> SeenBy {
        let mut seen_by = SeenBy::default();
        let presence = &self.presence;
        let chosen = presence.chosen.as_ref().filter(|_| presence.is_present());
        let status = chosen.and_then(|chosen| chosen.shown_status(presence.shown.seen, grace, now)).cloned();
        seen_by.friends = self.presence.shown.show_status(status.as_ref(), now);
        for (account, peer) in self.peers_mut() {
            let Some(shown) = &mut peer.shown else { continue };
            // To one that it blocks it is not there.
            let status = status.as_ref().filter(|_| peer.block.removed);
            if shown.show_status(status, now) {
                seen_by.peers.push(account.clone());
            }
        }
        seen_by
    }

    /// When the next of its statuses ends that somebody sees.
    fn next_status_end(&mut self) -> Option<Millis> {
        let until = |status: Option<&Arc<Status>>| status.and_then(|status| status.until);
        let own = until(self.presence.chosen.as_ref().and_then(|chosen| chosen.status.as_ref()));
        let shown = until(self.presence.shown.status.as_ref());
        let peers = self.peers_mut().filter_map(|(_, peer)| until(peer.shown.as_ref()?.status.as_ref()));
        peers.chain(own).chain(shown).min()
    }
}

impl Hub {
    /// Lets viewers see the account's newest status, and notes when it ends. Returns who sees another one than before.
    pub(super) fn show_status(&self, user: &UserRef, state: &mut UserState) -> SeenBy {
        let seen_by = state.show_status(self.grace(), self.statuses_at());
        if self.settings.presence {
            let end = state.next_status_end();
            self.status_ends.lock().set(user.account(), end);
        }
        seen_by
    }

    /// Ends statuses whose time has come at `now`, of a bounded number of accounts. Returns whether there may be more. No
    /// status ends between two calls.
    pub fn end_statuses(&self, now: Millis) -> bool {
        self.statuses_at.store(now, Ordering::Release);
        for _ in 0..ENDED {
            let Some(account) = self.status_ends.lock().pop(now) else { return false };
            let Some(user) = self.user(&account) else { continue };
            let sessions = self.sessions.read();
            let mut state = user.state().lock();
            let chosen = state.presence.chosen.as_mut();
            let own_ends = chosen.is_some_and(|chosen| chosen.status.take_if(|status| !status.lasts(now)).is_some());
            if own_ends {
                for session in state.own.iter().filter_map(|slot| sessions.get(*slot as usize)) {
                    self.mark(session, user.clone(), RecordKinds::PRESENCE);
                }
            }
            let seen_by = self.show_status(&user, &mut state);
            self.rejoin_peers(user.account(), &mut state);
            drop(state);
            self.mark_seen_by(&sessions, &user, &seen_by);
        }
        true
    }

    /// The time up to which statuses have ended.
    fn statuses_at(&self) -> Millis {
        self.statuses_at.load(Ordering::Acquire)
    }

    /// The offline grace in milliseconds.
    pub(super) fn grace(&self) -> Millis {
        self.settings.linger.as_millis() as Millis
    }

    /// Before which a status without an end was set that has ended, because its account has been offline since; 0 of one
    /// that hides, whose status waits.
    #[must_use]
    pub fn status_ended_before(&self, account: &Account) -> Millis {
        let Some(user) = self.user(account) else { return Millis::MAX };
        let state = user.state().lock();
        let presence = &state.presence;
        if presence.is_invisible() {
            0
        } else if presence.shown.seen.online {
            presence.shown.seen.last_seen.saturating_sub(self.grace())
        } else {
            Millis::MAX
        }
    }

    /// The status of an account as its own clients see it. While it hides, nobody else does.
    pub(super) fn own_status(&self, state: &UserState) -> Option<Arc<Status>> {
        let (presence, now) = (&state.presence, self.statuses_at());
        let ChosenPresence { hides, status, .. } = presence.chosen.as_ref()?;
        let is_own =
            |status: &&Arc<Status>| status.lasts(now) && (*hides || presence.is_status_of_now(status, self.grace()));
        status.as_ref().filter(is_own).cloned()
    }
}
