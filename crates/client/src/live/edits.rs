//! Changes of the own profile: those that show before the gateway has answered, and those that wait in the cache for a
//! connection.

use std::sync::Arc;

use rosterd_protocol::v1;

use super::calls::EditEnd;
use super::effects;

/// How a change of the own profile is treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpdateOptions {
    /// Shows the change at once. It is taken back if it fails, for whatever reason.
    pub optimistic: bool,
    /// The same, and without a limit of time: the change waits for a connection, in the cache too, and is sent for the
    /// version of the profile that was held when it was made.
    pub keep: bool,
}

/// A change as the cache keeps it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct KeptUpdate {
    /// The version of the profile that it rests on; `None` if none was known yet.
    pub(super) version: Option<u64>,
    pub(super) update: v1::UpdateMyInfo,
}

#[derive(Debug)]
struct ProfileEdit {
    id: u64,
    change: KeptUpdate,
    keep: bool,
    /// A call carries it.
    is_running: bool,
}

/// The changes that show and are not answered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct ProfileEdits {
    list: Vec<ProfileEdit>,
    last_id: u64,
    pending: Option<Arc<v1::UpdateMyInfo>>,
    kept: Arc<Vec<KeptUpdate>>,
    /// The confirmed profile and what shows of it, while something is pending.
    shown: Option<(Arc<v1::User>, Arc<v1::User>)>,
}

impl ProfileEdits {
    /// Adds a change that a call is about to carry, and returns its number.
    pub(super) fn add(&mut self, update: v1::UpdateMyInfo, version: Option<u64>, keep: bool) -> u64 {
        self.last_id += 1;
        let change = KeptUpdate { version: update.if_version.or(version), update: plain(update) };
        self.list.push(ProfileEdit { id: self.last_id, change, keep, is_running: true });
        self.changed();
        self.last_id
    }

    /// Takes what the cache has kept, which is older than what it has not.
    pub(super) fn restore(&mut self, kept: &[KeptUpdate]) {
        let mut list = Vec::with_capacity(kept.len() + self.list.len());
        for change in kept {
            self.last_id += 1;
            list.push(ProfileEdit { id: self.last_id, change: change.clone(), keep: true, is_running: false });
        }
        list.append(&mut self.list);
        self.list = list;
        self.changed();
    }

    /// After a catch-up, returns every change that waits, with its number, and whether a call is to be made for it.
    ///
    /// Only now it is known what a change rests on that was made before all else.
    pub(super) fn resume(&mut self, confirmed: Option<u64>) -> Vec<(u64, KeptUpdate, bool)> {
        let mut all = Vec::new();
        for edit in self.list.iter_mut().filter(|edit| edit.keep) {
            edit.change.version = edit.change.version.or(confirmed);
            all.push((edit.id, edit.change.clone(), !std::mem::replace(&mut edit.is_running, true)));
        }
        self.changed();
        all
    }

    /// Takes what became of the calls that carried changes, and the versions that the others rest on by now.
    pub(super) fn settle(&mut self, ended: &[(u64, EditEnd)], bases: impl Iterator<Item = (u64, Option<u64>)>) {
        if ended.is_empty() {
            return;
        }
        for (id, end) in ended {
            match end {
                EditEnd::Over => self.list.retain(|edit| edit.id != *id),
                EditEnd::Waits => {
                    self.list.iter_mut().filter(|edit| edit.id == *id).for_each(|edit| edit.is_running = false);
                }
            }
        }
        for (id, version) in bases {
            self.list.iter_mut().filter(|edit| edit.id == id).for_each(|edit| edit.change.version = version);
        }
        self.changed();
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.changed();
    }

    /// Returns the fields that show and are not confirmed.
    pub(super) fn pending(&self) -> Option<Arc<v1::UpdateMyInfo>> {
        self.pending.clone()
    }

    /// Returns what the cache is to keep.
    pub(super) fn kept(&self) -> &Arc<Vec<KeptUpdate>> {
        &self.kept
    }

    /// Returns the own profile as it shows: with what is pending. The same one until something changes.
    pub(super) fn shown(&mut self, confirmed: Option<&Arc<v1::User>>) -> Option<Arc<v1::User>> {
        let (confirmed, pending) = (confirmed?, self.pending.as_deref());
        let Some(pending) = pending else { return Some(confirmed.clone()) };
        if let Some((_, shown)) = self.shown.as_ref().filter(|(of, _)| Arc::ptr_eq(of, confirmed)) {
            return Some(shown.clone());
        }
        let mut user = confirmed.as_ref().clone();
        effects::put_over(&mut user, pending);
        let shown = Arc::new(user);
        self.shown = Some((confirmed.clone(), shown.clone()));
        Some(shown)
    }

    fn changed(&mut self) {
        let mut all = self.list.iter().map(|edit| &edit.change.update);
        let pending = all.next().map(|first| all.fold(first.clone(), effects::put_after));
        if pending.as_ref() != self.pending.as_deref() {
            self.pending = pending.map(Arc::new);
            self.shown = None;
        }
        self.kept = Arc::new(self.list.iter().filter(|edit| edit.keep).map(|edit| edit.change.clone()).collect());
    }
}

/// The fields alone: what a change rests on is beside them.
fn plain(update: v1::UpdateMyInfo) -> v1::UpdateMyInfo {
    v1::UpdateMyInfo { if_version: None, ..update }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nick(nick: &str) -> v1::UpdateMyInfo {
        v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() }
    }

    fn sign(sign: &str) -> v1::UpdateMyInfo {
        v1::UpdateMyInfo { sign: Some(sign.to_owned()), ..Default::default() }
    }

    fn level(level: Option<i64>) -> v1::UpdateMyInfo {
        let value = v1::FieldValue { integer: level, ..Default::default() };
        v1::UpdateMyInfo { fields: [("level".to_owned(), value)].into(), ..Default::default() }
    }

    fn me() -> Arc<v1::User> {
        Arc::new(v1::User { account: "alice".to_owned(), nick: "Alice".to_owned(), version: 5, ..Default::default() })
    }

    #[test]
    fn what_is_pending_shows_over_the_profile_until_it_is_over() {
        let (mut edits, me) = (ProfileEdits::default(), me());
        assert!(Arc::ptr_eq(&edits.shown(Some(&me)).unwrap(), &me));
        let (first, second) = (edits.add(nick("one"), Some(5), false), edits.add(sign("two"), Some(5), true));
        let shown = edits.shown(Some(&me)).unwrap();
        assert_eq!((shown.nick.as_str(), shown.sign.as_str(), shown.version), ("one", "two", 5));
        assert!(Arc::ptr_eq(&shown, &edits.shown(Some(&me)).unwrap()), "the same one until something changes");
        edits.settle(&[(first, EditEnd::Over)], [(second, Some(6))].into_iter());
        assert_eq!(edits.shown(Some(&me)).unwrap().nick, "Alice");
        assert_eq!(edits.kept().as_slice(), [KeptUpdate { version: Some(6), update: sign("two") }]);
        edits.settle(&[(second, EditEnd::Over)], std::iter::empty());
        assert!(edits.pending().is_none() && edits.kept().is_empty());
        assert!(edits.shown(None).is_none());
    }

    #[test]
    fn own_fields_are_put_over_one_by_one() {
        let (mut edits, me) = (ProfileEdits::default(), me());
        edits.add(level(Some(3)), None, false);
        assert_eq!(edits.shown(Some(&me)).unwrap().fields["level"].integer, Some(3));
        edits.add(level(None), None, false);
        assert!(edits.shown(Some(&me)).unwrap().fields.is_empty(), "a value with nothing in it clears a field");
    }

    #[test]
    fn what_was_kept_is_older_and_is_sent_once() {
        let mut edits = ProfileEdits::default();
        let newer = edits.add(nick("newer"), None, true);
        edits.restore(&[KeptUpdate { version: None, update: nick("older") }]);
        assert_eq!(edits.pending().unwrap().nick.as_deref(), Some("newer"));
        let all = edits.resume(Some(7));
        let older = all[0].0;
        assert_eq!(all[0], (older, KeptUpdate { version: Some(7), update: nick("older") }, true));
        assert_eq!(all[1], (newer, KeptUpdate { version: Some(7), update: nick("newer") }, false), "a call carries it");
        edits.settle(&[(older, EditEnd::Waits)], std::iter::empty());
        assert_eq!(
            edits.resume(Some(9)).iter().map(|(id, _, is_idle)| (*id, *is_idle)).collect::<Vec<_>>(),
            [(older, true), (newer, false)]
        );
        edits.clear();
        assert!(edits.kept().is_empty() && edits.pending().is_none());
    }
}
