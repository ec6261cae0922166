//! Follows which kinds of devices an account is on, and shows them to who may see them; see [`ShownKinds`].
//!
//! [`ShownKinds`]: super::shown_kinds::ShownKinds

use super::account_sessions::device_type;
use super::offline_grace::{Departure, OfflineGrace};
use super::presence::SeenBy;
use super::registry::{Hub, ShownDevices};
use super::session::Session;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Account, DeviceKind};
use rosterd_engine::sync::interest::Slot;

impl UserState {
    /// Lets every viewer for whom the account is there see these kinds. Returns who sees others than before.
    fn show_kinds(
        &mut self,
        account: &Account,
        kinds: &[DeviceKind],
        left: Departure,
        grace: &mut OfflineGrace,
    ) -> SeenBy {
        let mut seen_by = SeenBy::default();
        let shown = &mut self.presence.shown;
        let there = shown.is_there().then_some(kinds);
        seen_by.friends = shown.kinds.follow(there, left, (account, None), grace);
        for (name, peer) in self.peers_mut() {
            let Some(shown) = &mut peer.shown else { continue };
            // To one that it blocks it is not there.
            let there = (shown.is_there() && peer.block.removed).then_some(kinds);
            if shown.kinds.follow(there, left, (account, Some(name)), grace) {
                seen_by.peers.push(name.clone());
            }
        }
        seen_by
    }
}

impl Hub {
    /// Whether friends see the kinds of devices that are online.
    #[must_use]
    pub fn has_devices(&self) -> bool {
        self.settings.presence && self.settings.devices != ShownDevices::Nobody
    }

    pub(super) fn tells_devices(&self) -> bool {
        self.settings.presence && self.settings.devices == ShownDevices::FriendsAndBackends
    }

    /// Notes the kind of a session that has logged in.
    pub(super) fn note_kind(&self, session: &Session) {
        if let Some(kind) = DeviceKind::of(device_type(session)).filter(|_| self.has_devices()) {
            self.kinds_here.lock().add(session.account(), session.slot(), kind);
        }
    }

    /// Forgets the kind of a session that has ended.
    pub(super) fn forget_kind(&self, account: &Account, slot: Slot) {
        if self.has_devices() {
            self.kinds_here.lock().remove(account, slot);
        }
    }

    /// Lets viewers see the kinds that are there now; one that is no longer there has left then. Returns who sees others
    /// than before.
    pub(super) fn show_kinds(&self, user: &UserRef, state: &mut UserState, left: Departure) -> SeenBy {
        if !self.has_devices() {
            return SeenBy::default();
        }
        let kinds = self.kinds_of(user.account());
        let seen_by = state.show_kinds(user.account(), &kinds, left, &mut self.offline_grace.lock());
        self.note_kinds(user.account(), state, &seen_by);
        seen_by
    }

    /// Notes for the store that friends see other kinds, if backends are told.
    pub(super) fn note_kinds(&self, account: &Account, state: &mut UserState, seen_by: &SeenBy) {
        if seen_by.friends && self.tells_devices() && self.stores(state) {
            self.note_friends(account, state);
        }
    }

    /// The kinds of an account's sessions that are there now, here and on other nodes, whether or not it hides; none if
    /// friends see no kinds.
    #[must_use]
    pub fn kinds_of(&self, account: &Account) -> Vec<DeviceKind> {
        if !self.has_devices() {
            return Vec::new();
        }
        let mut kinds = self.kinds_here.lock().of(account);
        if self.settings.shared {
            let held = self.elsewhere.lock();
            kinds.extend(held.directory.devices_of(account).filter_map(|device| DeviceKind::of(&device.r#type)));
        }
        DeviceKind::seen_of(kinds)
    }
}
