//! A session as its own task holds it: which accounts it follows, and its write handle while the task runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::account_sessions::SessionsLimit;
use super::pending::{Signal, TakenMarks, WakeReason};
use super::presence::PresenceView;
use super::registry::Hub;
use super::session::Session;
use super::session_view::SessionView;
use super::user::UserRef;
use super::writer::WriteHandle;
use rosterd_engine::model::limits::WATCHED_ACCOUNTS;
use rosterd_engine::model::{Account, Millis, Revision, SessionId};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::v1;

/// How many profiles of accounts that the session does not follow its client holds at most: as many as it may watch.
const HELD: usize = WATCHED_ACCOUNTS;

/// A session's place in the hub, held by its task alone. Dropping it removes the session and all of its watcher entries.
#[derive(Debug)]
pub struct SessionHandle {
    hub: Arc<Hub>,
    session: Arc<Session>,
    me: UserRef,
    friends: Vec<UserRef>,
    /// When the oldest change among the marks last taken was committed, by the hub's clock; 0 if there was none.
    since: u64,
    /// The write handle that flushers may use while the task sleeps; here while the task runs.
    write_handle: Option<Box<dyn WriteHandle>>,
    rare: Option<Box<RareState>>,
}

/// What only few sessions have, in one box: interest in strangers, and signals.
#[derive(Debug, Default)]
struct RareState {
    watched: Vec<UserRef>,
    /// Signals that were taken and not sent yet.
    signals: VecDeque<Arc<Signal>>,
    /// The accounts whose profiles the client may hold although they are not followed, the one sent last at the end. With
    /// the version that was sent; 0 if the client may have dropped it.
    held: VecDeque<(Account, u64)>,
}

impl SessionHandle {
    pub(super) fn new(hub: Arc<Hub>, session: Arc<Session>, me: UserRef) -> Self {
        Self { hub, session, me, friends: Vec::new(), since: 0, write_handle: None, rare: None }
    }

    /// The part that others see.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The session's account.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.session.account()
    }

    /// The registry entry of the session's own account.
    #[must_use]
    pub fn me(&self) -> &UserRef {
        &self.me
    }

    /// Follows a friend: from now on the friend's changes mark this session. Does nothing if it is followed already.
    pub fn add_friend(&mut self, account: &Account) -> UserRef {
        let (user, new) = self.hub.follow(account, |state| state.add_friend(self.session.slot()));
        if new {
            self.friends.push(user.clone());
        }
        user
    }

    /// Reserves room for the number of friends that will be followed.
    pub fn expect(&mut self, accounts: usize) {
        self.friends.reserve_exact(accounts);
    }

    /// The friends that it follows, which are those that its client holds.
    pub fn friends(&self) -> impl Iterator<Item = &Account> {
        self.friends.iter().map(UserRef::account)
    }

    /// Stops following a friend.
    pub fn remove_friend(&mut self, account: &Account) {
        if let Some(at) = self.friends.iter().position(|user| user.account() == account) {
            let user = self.friends.swap_remove(at);
            self.hub.unfollow(&user, |state| state.remove_friend(self.session.slot()));
        }
        // The client drops the profile with the friend.
        self.release(account);
    }

    /// Watches exactly these accounts, friends or not; returns those that it did not watch before.
    pub fn watch(&mut self, accounts: &[Account]) -> Vec<UserRef> {
        let mut kept = Vec::with_capacity(accounts.len());
        let mut new = Vec::new();
        for account in accounts {
            let (user, is_new) = self.hub.follow(account, |state| state.add_stranger(self.session.slot()));
            if is_new {
                new.push(user.clone());
            }
            kept.push(user);
        }
        let before = std::mem::replace(&mut self.rare.get_or_insert_default().watched, kept);
        let names: rustc_hash::FxHashSet<_> = accounts.iter().collect();
        for user in before.iter().filter(|user| !names.contains(user.account())) {
            // A client need not drop the profile. Held before it is unfollowed, so that no deletion is missed.
            self.release(user.account());
            self.hold(user.account());
            self.hub.unfollow(user, |state| state.remove_stranger(self.session.slot()));
        }
        new
    }

    /// The registry as this session may see it.
    #[must_use]
    pub fn view(&self) -> SessionView<'_> {
        self.hub.view(&self.session)
    }

    /// The presence of every friend that has ever been online.
    pub fn friends_presence(&self) -> impl Iterator<Item = PresenceView> + '_ {
        self.friends
            .iter()
            .filter_map(|user| self.view().presence(user))
            .filter(|presence| presence.online || presence.last_seen > 0)
    }

    /// The session's relations epoch: it advances when what the session may see changes.
    #[must_use]
    pub fn relations_epoch(&self) -> u32 {
        self.session.relations_epoch()
    }

    /// The accounts that this session watches, friends or not.
    pub fn watched(&self) -> impl Iterator<Item = &UserRef> {
        self.rare.iter().flat_map(|rare| &rare.watched)
    }

    /// Whether there is something to write.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.session.has_pending()
    }

    /// Takes all that is pending; signals wait for [`SessionHandle::next_signal`].
    #[must_use]
    pub fn take(&mut self) -> TakenMarks {
        // Both before the marks: every mark up to the watermark is then among them or was taken before, and a change
        // of relations after this is noticed.
        let (watermark, relations) = (self.hub.watermark(), self.relations_epoch());
        let (marks, since, signals) = self.session.take();
        self.since = since;
        let mut signals = signals.peekable();
        if signals.peek().is_some() {
            self.rare.get_or_insert_default().signals.extend(signals);
        }
        TakenMarks { watermark, relations, marks }
    }

    /// The next signal to send, of those that were taken.
    pub fn next_signal(&mut self) -> Option<Arc<Signal>> {
        self.rare.as_mut()?.signals.pop_front()
    }

    /// Puts back marks that were taken and not sent, and the signals that were taken with them: nothing else might wake the
    /// session for those.
    pub fn put_back<'a>(&mut self, marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>) {
        self.session.put_back(marks, self.since);
        if let Some(rare) = &mut self.rare {
            self.session.put_back_signals(rare.signals.drain(..));
        }
    }

    /// Measures how long it took from the commit until what was taken last is on its way to the client.
    pub fn delivered(&self) {
        self.hub.delivered(self.since);
    }

    /// Notes that a cursor was sent to the client: it holds every change up to this watermark.
    pub fn set_delivered_up_to(&self, watermark: Revision) {
        self.session.set_delivered_up_to(watermark);
    }

    /// Sets a dirty mark for this session itself.
    pub fn mark(&self, user: UserRef, kinds: RecordKinds) {
        self.hub.mark(&self.session, user, kinds);
    }

    /// Notes that the client may be sent the profile of an account that the session does not follow. To be called before
    /// the profile is read: from then on the session learns if the account is deleted. Beyond the most that a client holds,
    /// it is to forget the one that was sent longest ago.
    pub fn hold(&mut self, account: &Account) {
        let held = &mut self.rare.get_or_insert_default().held;
        if held.iter().any(|(held, _)| held == account) {
            return;
        }
        held.push_back((account.clone(), 0));
        self.hub.holders.add(account, self.session.slot());
        let oldest = if held.len() > HELD { held.pop_front() } else { None };
        if let Some((oldest, _)) = oldest {
            self.hub.holders.remove(&oldest, self.session.slot());
            let user = self.hub.user(&oldest).unwrap_or_else(|| UserRef::detached(oldest));
            self.mark(user, RecordKinds::FORGET);
        }
    }

    /// Notes that the client no longer holds the profile of an account that the session does not follow.
    pub fn release(&mut self, account: &Account) {
        let Some(rare) = &mut self.rare else { return };
        if let Some(at) = rare.held.iter().position(|(held, _)| held == account) {
            rare.held.remove(at);
            self.hub.holders.remove(account, self.session.slot());
        }
    }

    /// Whether the client was sent this version of a profile that it [holds](SessionHandle::hold); remembers it if not.
    pub fn remember_sent(&mut self, account: &Account, version: u64) -> bool {
        let held = &mut self.rare.get_or_insert_default().held;
        let Some(before) = held.iter().position(|(held, _)| held == account).and_then(|at| held.remove(at)) else {
            return false;
        };
        held.push_back((before.0, version));
        before.1 == version
    }

    /// Sets the write handle that flushers may use while the session's task sleeps.
    pub fn hand_over(&mut self, write_handle: Option<Box<dyn WriteHandle>>) {
        self.write_handle = write_handle;
    }

    /// Resumes the task, which alone may write from now on, and says what there is to do. Pending while a flusher writes.
    pub fn poll_resume(&mut self, cx: &Context<'_>) -> Poll<Option<WakeReason>> {
        self.session.poll_resume(cx, &mut self.write_handle)
    }

    /// Waits until something is pending that a flusher cannot send, or the session is to end. Until then flushers may write,
    /// unless the task keeps its write handle. Call it only after [`SessionHandle::poll_resume`] was ready.
    pub fn poll_sleep(&mut self, cx: &Context<'_>, keeps_write_handle: bool) -> Poll<WakeReason> {
        let has_signals = self.rare.as_ref().is_some_and(|rare| !rare.signals.is_empty());
        debug_assert!(!has_signals, "signals that were taken are sent or put back before the task sleeps");
        if keeps_write_handle {
            return self.session.poll_sleep(cx, &mut None);
        }
        self.session.poll_sleep(cx, &mut self.write_handle)
    }

    /// Takes the rest of a frame that a flusher began; it has to be written before anything else.
    #[must_use]
    pub fn take_rest(&self) -> Option<Box<[u8]>> {
        self.session.take_rest()
    }
}

impl Hub {
    /// Registers a session, which follows its own account from the start. It is live once it has logged in: see
    /// [`Hub::arrive`].
    #[must_use]
    pub fn join(self: &Arc<Self>, account: &Account, id: SessionId, device: Option<v1::Device>) -> SessionHandle {
        let (session, slot) = {
            let mut sessions = self.sessions.write();
            let place = sessions.vacant_entry();
            let slot = place.key() as Slot;
            let session = Arc::new(Session::new(id, slot, account.clone(), device.map(Box::new)));
            (place.insert(session).clone(), slot)
        };
        let (me, ()) = self.follow(account, |state| state.own.push(slot));
        self.metrics.sessions.inc();
        SessionHandle::new(self.clone(), session, me)
    }

    /// Logs a session in: it is live from now on, and those that may not stay beside it end.
    pub fn arrive(&self, handle: &SessionHandle, now: Millis, limit: SessionsLimit) {
        let mut is_only = self.admit(handle.me(), handle.session(), now, limit);
        if self.settings.shared {
            is_only &= !self.enforce(handle.me(), limit);
        }
        if self.settings.presence {
            self.came_online(handle.me(), handle.session(), now);
        }
        self.note_arrival(handle.session());
        // Its client knows that without a list of sessions.
        if !is_only {
            self.sessions_changed(handle.me());
        }
    }

    /// Removes a session.
    fn leave(&self, me: &UserRef, slot: Slot) {
        let session = if self.settings.shared { self.sessions.read().get(slot as usize).cloned() } else { None };
        let (idle, was_last) = {
            let mut state = me.state().lock();
            state.own.retain(|own| *own != slot);
            if let Some(session) = session.filter(|session| session.connected_at().is_some()) {
                state.presence.left = state.presence.left.max(self.time());
                state.presence.lost = None;
                self.elsewhere.lock().left(&session, state.presence.left);
            }
            self.forget_kind(me.account(), slot);
            let was_last = state.own.is_empty();
            if was_last {
                self.disconnected(me, &mut state);
            } else {
                // Nobody sees that before offline grace is over.
                let left = self.departure_of(&state.presence);
                let _ = self.show_kinds(me, &mut state, left);
                self.rejoin_peers(me.account(), &mut state);
            }
            (state.is_idle(), was_last)
        };
        self.forget_if(idle, me);
        // Last: a slot is used again only when nothing names it any more.
        self.sessions.write().remove(slot as usize);
        self.metrics.sessions.dec();
        if !was_last {
            self.sessions_changed(me);
        }
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        for user in self.friends.drain(..) {
            self.hub.unfollow(&user, |state| state.remove_friend(self.session.slot()));
        }
        if let Some(rare) = self.rare.take() {
            for user in &rare.watched {
                self.hub.unfollow(user, |state| state.remove_stranger(self.session.slot()));
            }
            for (account, _) in &rare.held {
                self.hub.holders.remove(account, self.session.slot());
            }
        }
        self.hub.leave(&self.me, self.session.slot());
    }
}
