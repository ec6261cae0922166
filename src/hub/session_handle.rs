//! A session as its own task holds it: whom it follows, and what it may see.

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
use rosterd_engine::model::{Account, Millis, Revision, SessionId};
use rosterd_engine::sync::interest::Slot;
use rosterd_engine::sync::outbox::RecordKinds;
use rosterd_protocol::v1;

/// How many cards of accounts it does not follow a session is remembered to have been told.
const TOLD: usize = 32;

/// A session's place in the hub, held by its task alone. Dropping it leaves: no watcher entry stays behind.
#[derive(Debug)]
pub struct SessionHandle {
    hub: Arc<Hub>,
    session: Arc<Session>,
    me: UserRef,
    friends: Vec<UserRef>,
    /// When the oldest change that was taken last was committed, by the hub's clock; 0 if none was.
    since: u64,
    /// Where tellers may write while the task sleeps; here while it does not.
    line: Option<Box<dyn WriteHandle>>,
    extra: Option<Box<StrangerInterest>>,
}

/// What few sessions have.
#[derive(Debug, Default)]
struct StrangerInterest {
    watched: Vec<UserRef>,
    /// Signals taken, and not yet told.
    signals: VecDeque<Arc<Signal>>,
    /// The versions of cards last told of accounts that are not followed, the newest last.
    told: VecDeque<(Account, u64)>,
}

impl SessionHandle {
    pub(super) fn new(hub: Arc<Hub>, session: Arc<Session>, me: UserRef) -> Self {
        Self { hub, session, me, friends: Vec::new(), since: 0, line: None, extra: None }
    }

    /// The part that others see.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whose session it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        self.session.account()
    }

    /// The entry of the session's own account.
    #[must_use]
    pub fn me(&self) -> &UserRef {
        &self.me
    }

    /// Follows a friend: from now on its changes mark this session. Harmless if it did already.
    pub fn add_friend(&mut self, account: &Account) -> UserRef {
        let (user, new) = self.hub.follow(account, |state| state.friends.insert(self.session.slot()));
        if new {
            self.friends.push(user.clone());
        }
        user
    }

    /// Makes room for the number of friends that will be followed.
    pub fn expect(&mut self, accounts: usize) {
        self.friends.reserve_exact(accounts);
    }

    /// The friends that it follows, which are those that its client was told.
    pub fn friends(&self) -> impl Iterator<Item = &Account> {
        self.friends.iter().map(UserRef::account)
    }

    /// Follows a friend no longer.
    pub fn remove_friend(&mut self, account: &Account) {
        if let Some(at) = self.friends.iter().position(|user| user.account() == account) {
            let user = self.friends.swap_remove(at);
            self.hub.unfollow(&user, |state| state.friends.remove(self.session.slot()));
        }
        // The client forgets the card with the friend.
        if let Some(extra) = &mut self.extra {
            extra.told.retain(|(told, _)| told != account);
        }
    }

    /// Watches exactly these accounts, friends or not; answers those it did not watch before.
    pub fn watch(&mut self, accounts: &[Account]) -> Vec<UserRef> {
        let mut kept = Vec::with_capacity(accounts.len());
        let mut new = Vec::new();
        for account in accounts {
            let (user, is_new) = self.hub.follow(account, |state| state.strangers.insert(self.session.slot()));
            if is_new {
                new.push(user.clone());
            }
            kept.push(user);
        }
        let before = std::mem::replace(&mut self.extra.get_or_insert_default().watched, kept);
        let names: rustc_hash::FxHashSet<_> = accounts.iter().collect();
        for user in before.iter().filter(|user| !names.contains(user.account())) {
            self.hub.unfollow(user, |state| state.strangers.remove(self.session.slot()));
        }
        new
    }

    /// The registry as this session sees it.
    #[must_use]
    pub fn view(&self) -> SessionView<'_> {
        self.hub.view(&self.session)
    }

    /// The presence of every friend that has ever been online.
    pub fn friends_presence(&self) -> impl Iterator<Item = PresenceView> + '_ {
        self.friends
            .iter()
            .filter_map(|user| self.view().presence(user))
            .filter(|seen| seen.online || seen.last_seen > 0)
    }

    /// How often what this session may see has changed since login.
    #[must_use]
    pub fn relations_epoch(&self) -> u32 {
        self.session.relations_epoch()
    }

    /// The accounts that this session watches, friends or not.
    pub fn watched(&self) -> impl Iterator<Item = &UserRef> {
        self.extra.iter().flat_map(|extra| &extra.watched)
    }

    /// Whether something is to be told.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        self.session.has_pending()
    }

    /// Takes everything that is owed; signals wait for [`SessionHandle::next_signal`].
    #[must_use]
    pub fn take(&mut self) -> TakenMarks {
        // Both before the marks: what is marked up to the horizon is then among them, or was taken before, and a
        // relation that is marked later is noticed.
        let (horizon, relations) = (self.hub.watermark(), self.relations_epoch());
        let (marks, since, signals) = self.session.take();
        self.since = since;
        let mut signals = signals.peekable();
        if signals.peek().is_some() {
            self.extra.get_or_insert_default().signals.extend(signals);
        }
        TakenMarks { horizon, relations, marks }
    }

    /// The next signal that was taken.
    pub fn next_signal(&mut self) -> Option<Arc<Signal>> {
        self.extra.as_mut()?.signals.pop_front()
    }

    /// Puts back what was taken but not told.
    pub fn put_back<'a>(&self, marks: impl Iterator<Item = (&'a UserRef, &'a RecordKinds)>) {
        self.session.put_back(marks, self.since);
    }

    /// What was taken last is on its way to the client: how long that took since its commit is a measure of the gateway.
    pub fn delivered(&self) {
        self.hub.delivered(self.since);
    }

    /// The client was told that it holds everything up to this stamp.
    pub fn set_delivered_up_to(&self, horizon: Revision) {
        self.session.set_delivered_up_to(horizon);
    }

    /// Marks something for this session itself.
    pub fn mark(&self, user: UserRef, kinds: RecordKinds) {
        self.hub.mark(&self.session, user, kinds);
    }

    /// Whether this version of an account that is not followed was told lately; notes it if not.
    pub fn remember_sent(&mut self, account: &Account, version: u64) -> bool {
        let told = &mut self.extra.get_or_insert_default().told;
        if let Some(at) = told.iter().position(|(held, _)| held == account) {
            if told[at].1 == version {
                return true;
            }
            told.remove(at);
        } else if told.len() == TOLD {
            told.pop_front();
        }
        told.push_back((account.clone(), version));
        false
    }

    /// Tellers may write there while the session's task sleeps.
    pub fn hand_over(&mut self, line: Option<Box<dyn WriteHandle>>) {
        self.line = line;
    }

    /// What there is to do, now that nobody else writes; waits while a teller does.
    pub fn poll_resume(&mut self, cx: &Context<'_>) -> Poll<Option<WakeReason>> {
        self.session.poll_resume(cx, &mut self.line)
    }

    /// Waits until something is owed that a teller cannot tell, or the session is to end. Until then a teller may write,
    /// unless the session keeps to itself.
    pub fn poll_sleep(&mut self, cx: &Context<'_>, keeps_to_itself: bool) -> Poll<WakeReason> {
        if keeps_to_itself {
            return self.session.poll_sleep(cx, &mut None);
        }
        self.session.poll_sleep(cx, &mut self.line)
    }

    /// What is left of a frame that a teller began, to be written before anything else.
    #[must_use]
    pub fn take_rest(&self) -> Option<Box<[u8]>> {
        self.session.take_rest()
    }
}

impl Hub {
    /// Seats a session, which follows its own account from the start. It counts once it has logged in, [`Hub::arrive`].
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

    /// The session has logged in: it counts from now on, and those that may not stay beside it end.
    pub fn arrive(&self, seat: &SessionHandle, now: Millis, limit: SessionsLimit) {
        let is_alone = self.admit(seat.me(), seat.session(), now, limit);
        if self.settings.presence {
            self.came(seat.me(), now);
        }
        // Who is alone knows that without being told.
        if !is_alone {
            self.sessions_changed(seat.me());
        }
    }

    fn leave(&self, me: &UserRef, slot: Slot) {
        let (idle, alone) = {
            let mut state = me.state().lock();
            state.own.retain(|own| *own != slot);
            let alone = state.own.is_empty();
            if alone {
                self.left(me, &mut state);
            }
            (state.is_idle(), alone)
        };
        self.forget_if(idle, me);
        // Last: a slot is given anew only when nothing names it any more.
        self.sessions.write().remove(slot as usize);
        self.metrics.sessions.dec();
        if !alone {
            self.sessions_changed(me);
        }
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        for user in self.friends.drain(..) {
            self.hub.unfollow(&user, |state| state.friends.remove(self.session.slot()));
        }
        for user in self.extra.take().into_iter().flat_map(|extra| extra.watched) {
            self.hub.unfollow(&user, |state| state.strangers.remove(self.session.slot()));
        }
        self.hub.leave(&self.me, self.session.slot());
    }
}
