//! The flush state of sessions, for an operator who asks why a client does not have a record.

use std::sync::Arc;

use super::registry::Hub;
use super::session::Session;
use rosterd_engine::model::{Account, SessionId};
use rosterd_engine::sync::outbox::RecordKinds;

/// Which records of one account a session follows, and which are pending for it.
#[derive(Debug, Clone)]
pub struct FlushState {
    /// The session.
    pub session: Arc<Session>,
    /// Whether it follows the account as a friend: it does once its catch-up has read that friendship.
    pub as_friend: bool,
    /// Whether it watches the account.
    pub watches: bool,
    /// The kinds of the account's records that are pending.
    pub pending: RecordKinds,
}

impl Hub {
    /// The sessions that have logged in and pass the filter, in order of their ids, after `after`; at most `limit`.
    #[must_use]
    pub fn sessions_after(
        &self,
        after: Option<SessionId>,
        limit: usize,
        filter: impl Fn(&Session) -> bool,
    ) -> Vec<Arc<Session>> {
        let sessions = self.sessions.read();
        let wanted = |session: &Session| {
            session.connected_at().is_some() && after.is_none_or(|after| session.id().0 > after.0) && filter(session)
        };
        let mut found: Vec<_> = sessions.iter().filter(|(_, session)| wanted(session)).collect();
        if found.len() > limit {
            found.select_nth_unstable_by_key(limit, |(_, session)| session.id().0);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(|(_, session)| session.id().0);
        found.into_iter().map(|(_, session)| session.clone()).collect()
    }

    /// The flush state of the sessions of `viewer` for `account`; sessions that have not logged in yet are left out.
    #[must_use]
    pub fn flush_states(&self, viewer: &Account, account: &Account) -> Vec<FlushState> {
        let Some(user) = self.user(viewer) else {
            return Vec::new();
        };
        let followed = self.user(account);
        let sessions = self.sessions.read();
        let slots = user.state().lock().own.clone();
        let flush_state = |slot: u32| {
            let session = sessions.get(slot as usize).filter(|session| session.connected_at().is_some())?;
            let (as_friend, watches) = followed.as_ref().map_or((false, false), |followed| {
                let state = followed.state().lock();
                (state.friends.contains(slot), state.strangers.contains(slot))
            });
            Some(FlushState { session: session.clone(), as_friend, watches, pending: session.pending(account) })
        };
        slots.into_iter().filter_map(flush_state).collect()
    }
}
