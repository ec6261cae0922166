//! Follows accounts that have sessions on other nodes, too.
//!
//! An account is there while it has a session on any node. Every hub follows that by itself, in the same way and with the same
//! offline grace, and tells the same times: a session ends when its own node says, by the database's clock.

use std::time::Duration;

use tokio::time::Instant;

use super::account_presence::AccountPresence;
use super::account_sessions::{SessionsLimit, device_id, device_type, live};
use super::elsewhere::{OwnSession, RecentDeparture, own_change};
use super::offline_grace::Departure;
use super::registry::Hub;
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Account, Millis, NodeId, SeenPresence};
use rosterd_engine::sync::session_directory::{DirectoryChange, ListedSession, SessionChange, SessionState};
use rosterd_engine::sync::sessions_rule::{PlacedSession, losers};
use rosterd_protocol::v1;

/// What all nodes do alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedRules {
    /// Which sessions of an account may exist together.
    pub limit: SessionsLimit,
    /// The offline grace.
    pub linger: Duration,
}

impl Hub {
    /// Makes an entry for the registry.
    pub(super) fn new_entry(&self, account: &Account) -> UserRef {
        let entry = UserRef::detached(account.clone());
        if self.settings.shared {
            // Under the lock of the shard: a change of the directory comes before this, or finds the entry.
            entry.state().lock().presence.elsewhere = self.is_elsewhere(account);
        }
        entry
    }

    /// Whether an account has a session on another node.
    #[must_use]
    pub fn is_elsewhere(&self, account: &Account) -> bool {
        self.settings.shared && self.elsewhere.lock().directory.is_there(account)
    }

    /// The sessions of an account on other nodes.
    #[must_use]
    pub fn sessions_elsewhere(&self, account: &Account) -> Vec<ListedSession<v1::Device>> {
        if self.settings.shared { self.elsewhere.lock().directory.sessions_of(account) } else { Vec::new() }
    }

    /// The other nodes on which an account has a session.
    #[must_use]
    pub fn nodes_of(&self, account: &Account) -> Vec<NodeId> {
        if self.settings.shared { self.elsewhere.lock().directory.nodes_of(account) } else { Vec::new() }
    }

    /// Whether this node stores the transitions of an account.
    pub(super) fn stores(&self, state: &UserState) -> bool {
        !self.settings.shared || state.presence.owned
    }

    /// Has it stored that an account is online that has come here: a node on which it was before may not have done so.
    pub(super) fn note_shared_presence(&self, account: &Account, state: &mut UserState) {
        if self.settings.shared && state.presence.is_present() {
            self.note_friends(account, state);
        }
    }

    /// What is known of a departure at this time.
    pub(super) fn departure(&self, time: Millis) -> Departure {
        let now = Instant::now();
        if !self.settings.shared {
            return Departure { at: now, time: None };
        }
        let ago = Duration::from_millis(self.time().saturating_sub(time));
        Departure { at: now.checked_sub(ago).unwrap_or(now), time: Some(time) }
    }

    /// What is known of the departure of an account that is no longer there.
    pub(super) fn departure_of(&self, presence: &AccountPresence) -> Departure {
        let left = self.departure(presence.left);
        Departure { at: presence.lost.filter(|_| self.settings.shared).unwrap_or(left.at), ..left }
    }

    /// Notes that the last session here of an account has ended.
    pub(super) fn note_departure(&self, account: &Account, state: &UserState) {
        if self.settings.shared && state.presence.elsewhere {
            self.elsewhere.lock().gone_here.push_back((Instant::now(), account.clone()));
        }
    }

    /// Notes that an account hid itself or shows itself again, whether or not somebody here is interested in it.
    pub(super) fn note_hidden(&self, account: &Account, hides: bool, time: Millis) {
        if !self.settings.shared {
            return;
        }
        let departure = self.departure(time);
        let mut held = self.elsewhere.lock();
        match held.directory.since(account) {
            Some(came) if hides => drop(held.recent.insert(account.clone(), RecentDeparture { came, departure })),
            _ => drop(held.recent.remove(account)),
        }
    }

    /// Lets an entry whose account was read just now show what is known of other nodes.
    pub(super) fn begin_elsewhere(&self, entry: &UserRef, state: &mut UserState) {
        let held = self.elsewhere.lock();
        let (came, recent) = (held.directory.since(entry.account()), held.recent.get(entry.account()).copied());
        drop(held);
        let presence = &mut state.presence;
        if !self.settings.presence || presence.shown.seen.online {
            return;
        }
        let before = presence.shown.seen.last_seen;
        if presence.is_present() {
            presence.shown.seen = SeenPresence { online: true, last_seen: came.unwrap_or(before) };
        } else if let Some(RecentDeparture { came, departure }) = recent {
            presence.shown.seen = SeenPresence { online: true, last_seen: came.max(before) };
            presence.shown.go(departure, entry.account(), None, &mut self.offline_grace.lock());
        }
    }

    /// Takes at most so many changes of the own sessions that the others do not know yet.
    #[must_use]
    pub fn take_own_changes(&self, most: usize) -> Vec<OwnSession> {
        let mut held = self.elsewhere.lock();
        let some = held.own.len().min(most);
        held.own.drain(..some).collect()
    }

    /// All sessions here that have logged in, as changes: for nodes that know nothing of this one any more.
    #[must_use]
    pub fn all_own(&self) -> Vec<OwnSession> {
        let sessions = self.all_sessions().into_iter();
        sessions.filter_map(|session| own_change(&session, self.online_since(session.account()))).collect()
    }

    /// Since when an account has been online, as friends see it; now if they do not.
    fn online_since(&self, account: &Account) -> Millis {
        let seen = self.user(account).map(|user| user.state().lock().presence.shown.seen);
        seen.filter(|seen| seen.online).map_or_else(|| self.time(), |seen| seen.last_seen)
    }

    /// Lets the others know of a session that has logged in here.
    pub(super) fn note_arrival(&self, session: &Session) {
        if self.settings.shared {
            let since = self.online_since(session.account());
            self.elsewhere.lock().came(session, since);
        }
    }

    /// How far the sessions of other nodes were read.
    #[must_use]
    pub fn elsewhere_read(&self) -> Vec<(NodeId, u64)> {
        self.elsewhere.lock().directory.read()
    }

    /// Notes that a node stops since then: its accounts count as being there until it is forgotten.
    pub fn node_stops(&self, node: NodeId, since: Millis) {
        self.elsewhere.lock().directory.stops(node, since);
    }

    /// Takes what the sessions of another node did.
    pub fn take_elsewhere(&self, node: NodeId, changes: Vec<SessionChange<v1::Device>>, rules: SharedRules) {
        for change in changes {
            let ended = matches!(change.state, SessionState::Ended { .. });
            let was_there = self.is_elsewhere(&change.account);
            let followed = self.elsewhere.lock().directory.take(node, vec![change]);
            for change in followed {
                // It came and went between two looks: friends see that it was there.
                let flashes = ended && !was_there;
                self.follow_elsewhere(&change, flashes, None, rules);
            }
        }
    }

    /// Forgets accounts of a node that is no more, and was last there at `left_at`. False once nothing is left of it.
    pub fn forget_node(&self, node: NodeId, left_at: Millis, rules: SharedRules) -> bool {
        let gone = self.elsewhere.lock().directory.forget_some(node, left_at, 64);
        for change in &gone {
            self.follow_elsewhere(change, false, Some(Instant::now()), rules);
        }
        !gone.is_empty()
    }

    /// Lets the entry of an account follow the directory. The offline grace of one that its node has lost begins at `lost`.
    fn follow_elsewhere(&self, change: &DirectoryChange, flashes: bool, lost: Option<Instant>, rules: SharedRules) {
        let DirectoryChange { account, left_at } = change;
        let departure = left_at.map(|left| self.departure(left));
        let departure = departure.map(|left| Departure { at: lost.unwrap_or(left.at), ..left });
        let is_recent = departure.is_some_and(|left| left.at.elapsed() < rules.linger);
        let mut held = self.elsewhere.lock();
        let (is_there, since) = (held.directory.is_there(account), held.directory.since(account));
        if let Some(departure) = departure.filter(|_| !is_there && is_recent) {
            held.recent.insert(account.clone(), RecentDeparture { came: 0, departure });
        }
        drop(held);
        let Some(user) = self.user(account) else { return };
        let mut state = user.state().lock();
        let before = std::mem::replace(&mut state.presence.elsewhere, is_there);
        if let Some(left) = left_at {
            state.presence.left = state.presence.left.max(*left);
            state.presence.lost = lost;
        }
        let mut seen_by = Vec::new();
        if self.settings.presence && state.is_known() {
            let left = left_at.unwrap_or_default();
            if flashes && !is_there && is_recent {
                state.presence.elsewhere = true;
                seen_by.push(self.follow_presence(&user, &mut state, left));
                state.presence.elsewhere = false;
                seen_by.push(self.follow_presence(&user, &mut state, 0));
            } else if before != is_there {
                let since = since.unwrap_or_else(|| self.time());
                seen_by.push(self.follow_presence(&user, &mut state, since));
            } else {
                let left = self.departure_of(&state.presence);
                seen_by.push(self.show_kinds(&user, &mut state, left));
                self.rejoin_peers(user.account(), &mut state);
            }
        }
        let idle = state.is_idle();
        drop(state);
        for seen_by in &seen_by {
            self.mark_seen_by(&self.sessions.read(), &user, seen_by);
        }
        self.enforce(&user, rules.limit);
        self.sessions_changed(&user);
        self.forget_if(idle, &user);
    }

    /// Ends those of the own sessions of an account that may not stay beside those on other nodes. Every node does so by the
    /// same rule. True if the account has sessions elsewhere.
    pub(super) fn enforce(&self, user: &UserRef, limit: SessionsLimit) -> bool {
        let others = self.sessions_elsewhere(user.account());
        if others.is_empty() {
            return false;
        }
        let sessions = self.sessions.read();
        let state = user.state().lock();
        let own: Vec<_> = live(&sessions, &state.own).collect();
        let placed_own = own.iter().map(|session| PlacedSession {
            id: session.id(),
            connected_at: session.connected_at().unwrap_or_default(),
            device_id: device_id(session),
            device_type: device_type(session),
        });
        let placed_others = others.iter().map(|session| PlacedSession {
            id: session.id,
            connected_at: session.connected_at,
            device_id: &session.device.id,
            device_type: &session.device.r#type,
        });
        let all: Vec<_> = placed_own.chain(placed_others).collect();
        for (id, reason) in losers(&all, limit.policy, limit.max) {
            if let Some(session) = own.iter().find(|session| session.id() == id) {
                session.end(reason);
            }
        }
        true
    }

    /// Forgets departures that are older than the offline grace.
    pub fn tidy_elsewhere(&self, linger: Duration) {
        if !self.settings.shared {
            return;
        }
        let now = Instant::now();
        let mut held = self.elsewhere.lock();
        held.recent.retain(|_, recent| recent.departure.at.elapsed() < linger);
        let due = held.gone_here.partition_point(|(at, _)| now.saturating_duration_since(*at) >= linger);
        let due: Vec<_> = held.gone_here.drain(..due).collect();
        drop(held);
        for (_, account) in due {
            let Some(user) = self.user(&account) else { continue };
            let mut state = user.state().lock();
            // Whoever has it now stores when it goes.
            if state.presence.elsewhere && !state.presence.connected {
                state.presence.owned = false;
            }
            let idle = state.is_idle();
            drop(state);
            self.forget_if(idle, &user);
        }
    }
}
