//! What a node knows of the sessions on others, and what the others do not know yet of its own.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::offline_grace::Departure;
use super::session::Session;
use rosterd_engine::model::{Account, Millis, SessionId};
use rosterd_engine::sync::session_directory::{SessionDirectory, SessionState};
use rosterd_protocol::v1;

/// A change of a session here.
pub type OwnSession = (SessionId, Account, SessionState<v1::Device>);

/// The sessions of other nodes, and the changes of the own ones that the others do not know yet.
#[derive(Debug, Default)]
pub struct Elsewhere {
    pub(super) directory: SessionDirectory<v1::Device>,
    /// Of each session the newest change, in the order in which they came.
    pub(super) own: VecDeque<OwnSession>,
    /// Accounts that went or hid themselves within the offline grace: whoever begins to follow one sees it online, too.
    pub(super) recent: FxHashMap<Account, RecentDeparture>,
    /// Accounts that left here while they were on other nodes, in the order in which they left.
    pub(super) gone_here: VecDeque<(Instant, Account)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct RecentDeparture {
    /// Since when it was there, or 0.
    pub(super) came: Millis,
    pub(super) departure: Departure,
}

impl Elsewhere {
    pub(super) fn came(&mut self, session: &Session, since: Millis) {
        self.own.extend(own_change(session, since));
    }

    pub(super) fn left(&mut self, session: &Session, at: Millis) {
        self.own.push_back((session.id(), session.account().clone(), SessionState::Ended { at }));
    }
}

/// Returns a session as a change, if it has logged in.
pub(super) fn own_change(session: &Session, since: Millis) -> Option<OwnSession> {
    let device = session.device().cloned().unwrap_or_default();
    let state = SessionState::Live { connected_at: session.connected_at()?, since, device };
    Some((session.id(), session.account().clone(), state))
}
