//! What a session may see.

use std::sync::Arc;

use super::presence::PresenceView;
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::Audience;
use rosterd_protocol::EncodedProfile;

/// What a session may see of an account.
#[derive(Debug, Clone)]
pub enum VisibleProfile {
    /// This.
    EncodedProfile(Arc<EncodedProfile>),
    /// The account as it was when it blocked the session's: the store has it.
    Frozen,
    /// The registry does not know.
    Unknown,
}

/// The registry as one session sees it.
#[derive(Debug, Clone, Copy)]
pub struct SessionView<'a> {
    hub: &'a Hub,
    session: &'a Session,
}

impl Hub {
    /// The registry as a session sees it.
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

    /// Whether this session is told of the account's changes.
    #[must_use]
    pub fn follows(&self, user: &UserRef) -> bool {
        self.relation(user, &user.state().lock()).1
    }

    /// The entry to ask about an account that was marked: a mark may name one that was in the registry before, or never.
    #[must_use]
    pub fn entry(&self, marked: &UserRef) -> UserRef {
        if !self.is_me(marked) && self.follows(marked) {
            return marked.clone();
        }
        self.hub.user(marked.account()).unwrap_or_else(|| marked.clone())
    }

    /// As whom this session sees the account.
    #[must_use]
    pub fn audience(&self, user: &UserRef) -> Audience {
        self.relation(user, &user.state().lock()).0
    }

    /// What this session may see of the account as the registry has it.
    #[must_use]
    pub fn visible_profile(&self, user: &UserRef) -> VisibleProfile {
        self.look(user).1
    }

    /// Whether this session is told of the changes of an account that was marked, and what it may see of it. Nearly always
    /// the mark names the entry that is followed: one look, under one lock.
    #[must_use]
    pub fn visible_profile_of_marked(&self, marked: &UserRef) -> (bool, VisibleProfile) {
        match self.look(marked) {
            found @ (true, _) if !self.is_me(marked) => found,
            _ => self.look(&self.entry(marked)),
        }
    }

    fn look(&self, user: &UserRef) -> (bool, VisibleProfile) {
        let state = user.state().lock();
        let (audience, follows) = self.relation(user, &state);
        let sight = match state.blocks(self.session.account()) {
            Some(_) => VisibleProfile::Frozen,
            None => state.encoded(audience).map_or(VisibleProfile::Unknown, VisibleProfile::EncodedProfile),
        };
        (follows, sight)
    }

    /// As whom it sees the account, and whether it is told of its changes.
    fn relation(&self, user: &UserRef, state: &UserState) -> (Audience, bool) {
        if self.is_me(user) {
            (Audience::Own, true)
        } else if state.friends.contains(self.session.slot()) {
            (Audience::Friends, true)
        } else {
            (Audience::Everyone, state.strangers.contains(self.session.slot()))
        }
    }

    /// What this session may know of the account's presence, if it is its own or a friend's, and there is presence.
    #[must_use]
    pub fn presence(&self, user: &UserRef) -> Option<PresenceView> {
        if !self.hub.has_presence() {
            return None;
        }
        if self.is_me(user) {
            return Some(self.hub.own_presence(user));
        }
        let state = user.state().lock();
        let is_friend = state.friends.contains(self.session.slot());
        is_friend.then(|| Hub::friends_presence(user, &state, self.session.account()))
    }
}
