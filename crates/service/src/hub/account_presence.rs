//! The presence of one account: what its registry entry keeps of it, and what the service stores.

use std::sync::Arc;

use tokio::time::Instant;

use super::offline_grace::{Departure, GracePlace, OfflineGrace};
use super::shown_kinds::ShownKinds;
use rosterd_engine::model::{Account, ChosenPresence, DeviceKind, Millis, SeenPresence, Status, User};

/// An account's presence, which changes as its sessions log in and leave, and as it hides and shows itself.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "they change independently of each other")]
pub(super) struct AccountPresence {
    /// Whether it has a session that has logged in.
    pub(super) connected: bool,
    /// Whether it has a session on another node.
    pub(super) elsewhere: bool,
    /// Where other nodes serve the account too: whether it was here, so that this node stores its transitions.
    pub(super) owned: bool,
    /// When a session of it ended last or it hid itself, where other nodes have to know.
    pub(super) left: Millis,
    /// When others were seen to have lost it, which begins the offline grace then; `None` if it left by itself.
    pub(super) lost: Option<Instant>,
    /// What it chose; `None` until the store was read.
    pub(super) chosen: Option<ChosenPresence>,
    /// What friends see, except peers with a view of their own.
    pub(super) shown: ShownPresence,
    /// Whether a transition has yet to be stored. The entry stays until then, because a reader would bring older state.
    pub(super) unstored: bool,
}

impl AccountPresence {
    /// Takes what the store has; newer state stays.
    pub(super) fn offer(&mut self, user: &User) {
        self.chosen.get_or_insert_with(|| user.chosen.clone());
        self.shown.seen.last_seen = self.shown.seen.last_seen.max(user.last_seen);
    }

    pub(super) fn is_invisible(&self) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| chosen.hides)
    }

    /// Whether friends are to see it: if not, it is offline for them once offline grace is over.
    pub(super) fn is_present(&self) -> bool {
        (self.connected || self.elsewhere) && !self.is_invisible()
    }

    /// Whether it counts as online for its own sessions.
    pub(super) fn is_online(&self) -> bool {
        self.connected || self.elsewhere || self.shown.seen.online
    }

    /// Whether a status without an end was set since the account is online, within offline grace.
    pub(super) fn is_status_of_now(&self, status: &Status, grace: Millis) -> bool {
        self.shown.seen.online && status.belongs(self.shown.seen.last_seen, grace)
    }

    /// Whether its entry has to stay although nobody follows it: nobody else would take it offline, or store that.
    pub(super) fn is_kept(&self) -> bool {
        self.connected || self.owned || self.unstored || self.shown.seen.online && !self.elsewhere
    }
}

/// A presence as some viewers see it. However an account stops being there for them, by leaving, by hiding or by a block,
/// it goes offline after offline grace; if it is back before, they see nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ShownPresence {
    pub(super) seen: SeenPresence,
    /// Its place in [`OfflineGrace`], while it is seen online without being there.
    pub(super) grace: Option<GracePlace>,
    /// The status that goes with it; in offline grace that of its begin.
    pub(super) status: Option<Arc<Status>>,
    /// The kinds of devices that go with it.
    pub(super) kinds: ShownKinds,
}

impl From<SeenPresence> for ShownPresence {
    fn from(seen: SeenPresence) -> Self {
        Self { seen, grace: None, status: None, kinds: ShownKinds::default() }
    }
}

impl ShownPresence {
    /// Notes that the account is there from `now` on. Returns whether the viewers see it come.
    pub(super) fn come(&mut self, now: Millis, grace: &mut OfflineGrace) -> bool {
        if let Some(place) = self.grace.take() {
            grace.remove(place);
        }
        let comes = !self.seen.online;
        if comes {
            self.seen = SeenPresence { online: true, last_seen: now };
        }
        comes
    }

    /// Notes that the account is no longer there since then, and begins offline grace. Without a change if grace has
    /// begun, or the viewers see it offline.
    pub(super) fn go(&mut self, left: Departure, account: &Account, peer: Option<&Account>, grace: &mut OfflineGrace) {
        if self.seen.online && self.grace.is_none() {
            self.grace = Some(grace.add(left, account.clone(), peer.cloned()));
        }
    }

    /// Whether the account is there for the viewers: they see it online, and not in offline grace.
    pub(super) fn is_there(&self) -> bool {
        self.seen.online && self.grace.is_none()
    }

    /// Shows the newest status, unless the account is no longer there; none shows whose end has come. Returns whether the
    /// viewers see another one than before.
    pub(super) fn show_status(&mut self, newest: Option<&Arc<Status>>, now: Millis) -> bool {
        let next =
            if self.is_there() { newest.cloned() } else { self.status.clone().filter(|status| status.lasts(now)) };
        let looks = |status: &Option<Arc<Status>>| status.as_ref().map(|status| (status.text.clone(), status.until));
        let differs = looks(&self.status) != looks(&next);
        self.status = next;
        differs
    }

    /// Ends offline grace: the account was last there at `last_seen`.
    pub(super) fn expire(&mut self, last_seen: Millis, grace: &mut OfflineGrace) {
        self.grace = None;
        self.status = None;
        self.kinds.clear(grace);
        self.seen = SeenPresence { online: false, last_seen: last_seen.max(self.seen.last_seen) };
    }

    /// Leaves its places in offline grace, because nobody has this view any more.
    pub(super) fn leave_grace(&mut self, grace: &mut OfflineGrace) {
        self.grace.take().into_iter().for_each(|place| grace.remove(place));
        self.kinds.clear(grace);
    }

    /// Whether viewers see the same at the moment.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        (self.seen, &self.status) == (other.seen, &other.status) && self.kinds.kinds().eq(other.kinds.kinds())
    }

    /// Whether from now on both are the same, whatever happens.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let looks = |shown: &Self| shown.status.as_ref().map(|status| (status.text.clone(), status.until));
        self.seen == other.seen
            && looks(self) == looks(other)
            && self.grace.map(GracePlace::left) == other.grace.map(GracePlace::left)
            && self.kinds.agrees(&other.kinds)
    }
}

/// A presence transition that the store does not have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceTransition {
    /// The account that came online or went offline.
    pub account: Account,
    /// The viewer, which the account blocks or has blocked; `None` for all other friends.
    pub peer: Option<Account>,
    /// What they see now; `None` for a peer that sees what others see.
    pub seen: Option<SeenPresence>,
    /// The kinds of devices that friends see beside it; none of a peer.
    pub devices: Vec<DeviceKind>,
}
