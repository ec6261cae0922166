//! The registry as one session may see it.

use std::sync::Arc;

use super::presence::PresenceView;
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Audience, User};
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::EncodedProfile;

/// The profile of an account as a session may see it.
#[derive(Debug, Clone)]
pub enum VisibleProfile {
    /// The newest, encoded.
    EncodedProfile(Arc<EncodedProfile>),
    /// The frozen copy from when the account blocked the session's account; the store has it.
    Frozen,
    /// Not in the registry: the store has to be read.
    Unknown,
}

/// Shows a session what it may see of the registry.
#[derive(Debug, Clone, Copy)]
pub struct SessionView<'a> {
    hub: &'a Hub,
    session: &'a Session,
}

impl Hub {
    /// The registry as a session may see it.
    #[must_use]
    pub fn view<'a>(&'a self, session: &'a Session) -> SessionView<'a> {
        SessionView { hub: self, session }
    }
}

impl SessionView<'_> {
    /// Whether this is the session's own account.
    #[must_use]
    pub fn is_me(&self, user: &UserRef) -> bool {
        user.account() == self.session.account()
    }

    /// Whether the account's changes mark this session.
    #[must_use]
    pub fn follows(&self, user: &UserRef) -> bool {
        self.relation(user, &user.state().lock()).1
    }

    /// The registry entry of a marked account. A dirty mark may name an entry that has left the registry, or was never in
    /// it.
    #[must_use]
    pub fn entry(&self, marked: &UserRef) -> UserRef {
        if !self.is_me(marked) && self.follows(marked) {
            return marked.clone();
        }
        self.hub.user(marked.account()).unwrap_or_else(|| marked.clone())
    }

    /// The audience of the account to which this session belongs.
    #[must_use]
    pub fn audience(&self, user: &UserRef) -> Audience {
        self.relation(user, &user.state().lock()).0
    }

    /// The account's profile, as this session may see it.
    #[must_use]
    pub fn visible_profile(&self, user: &UserRef) -> VisibleProfile {
        self.look(user).1
    }

    /// Whether the changes of a marked account mark this session, and its profile as the session may see it. Nearly always
    /// the mark names the entry that is followed: then one lock is taken once.
    #[must_use]
    pub fn visible_profile_of_marked(&self, marked: &UserRef) -> (bool, VisibleProfile) {
        match self.look(marked) {
            found @ (true, _) if !self.is_me(marked) => found,
            _ => self.look(&self.entry(marked)),
        }
    }

    fn look(&self, user: &UserRef) -> (bool, VisibleProfile) {
        let mut state = user.state().lock();
        let (audience, follows) = self.relation(user, &state);
        let is_blocked = state.blocks(self.session.account()).is_some();
        if is_blocked {
            // The feed or another session has brought the block: it need not be read.
            state.has_read(self.session.slot());
        }
        let profile = if is_blocked {
            VisibleProfile::Frozen
        } else if !self.knows_block(&state, follows) {
            VisibleProfile::Unknown
        } else {
            let encoded = state.encoded_for(self.session.account(), audience);
            encoded.map_or(VisibleProfile::Unknown, VisibleProfile::EncodedProfile)
        };
        (follows, profile)
    }

    /// Whether the state has the account's block of the session's account, if there is one.
    fn knows_block(&self, state: &UserState, follows: bool) -> bool {
        state.holds_all_blocks() || follows && state.is_known() && !state.is_unread(self.session.slot())
    }

    /// Whether an account that the session follows blocks the session's account; `None` if the store has to be asked.
    #[must_use]
    pub fn is_blocked_by(&self, user: &UserRef) -> Option<bool> {
        let state = user.state().lock();
        let follows = self.relation(user, &state).1;
        self.knows_block(&state, follows).then(|| state.blocks(self.session.account()).is_some())
    }

    /// Brings what a reader found in the store for this session, which follows the account. As [`Hub::offer`].
    pub fn offer(&self, entry: &UserRef, found: Option<&User>) {
        self.hub.offer_from(entry, found, Some(self.session));
    }

    /// The session's audience, and whether the account's changes mark it.
    fn relation(&self, user: &UserRef, state: &UserState) -> (Audience, bool) {
        if self.is_me(user) {
            (Audience::Own, true)
        } else if state.friends.contains(self.session.slot()) {
            (Audience::Friends, true)
        } else {
            (Audience::Everyone, state.strangers.contains(self.session.slot()))
        }
    }

    /// Whether this session may know how many sessions the account has: if it is its own account, or a friend whose
    /// presence it sees.
    #[must_use]
    pub fn sees_sessions(&self, user: &UserRef) -> bool {
        if self.is_me(user) {
            return true;
        }
        // The friendship may have ended without the session having looked yet.
        if !self.hub.has_presence() || self.session.pending(user.account()).has(RecordKinds::EDGE) {
            return false;
        }
        let state = user.state().lock();
        state.friends.contains(self.session.slot())
            && !state.presence.is_invisible()
            && state.blocks(self.session.account()).is_none()
            && self.knows_block(&state, true)
    }

    /// The account's presence as this session may see it: its own or a friend's, and only where presence is enabled.
    #[must_use]
    pub fn presence(&self, user: &UserRef) -> Option<PresenceView> {
        if !self.hub.has_presence() {
            return None;
        }
        if self.is_me(user) {
            return Some(self.hub.own_presence(user));
        }
        let state = user.state().lock();
        let is_friend = state.friends.contains(self.session.slot()) && !state.is_unread(self.session.slot());
        is_friend.then(|| Hub::friends_presence(user, &state, self.session.account()))
    }
}
