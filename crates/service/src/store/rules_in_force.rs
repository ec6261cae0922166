//! The rules by which a store decides, shared by its writer and by what only rehearses.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::stored_rules::StoredRules;
use rosterd_engine::model::{Visibility, WriteRights};

/// Hears of rules that were changed for all gateways of a database.
pub type RulesObserver = Box<dyn Fn(&Visibility, &WriteRights) + Send + Sync>;

/// The rules about who sees what that writes are decided by. The writer replaces them, and whatever finds out that they were
/// changed for all gateways of a database.
#[derive(Clone)]
pub struct RulesInForce(Arc<HeldRules>);

struct HeldRules {
    rules: watch::Sender<Arc<Visibility>>,
    /// Which rules of a shared database they are; 0 where nobody else changes them.
    number: AtomicI64,
    /// Held while they are replaced.
    taking: Mutex<TakenRules>,
}

#[derive(Default)]
struct TakenRules {
    observer: Option<RulesObserver>,
    /// Who may write what, by rules that were taken before anybody observed.
    write: Option<WriteRights>,
}

impl RulesInForce {
    /// Makes them out of the rules of the settings.
    #[must_use]
    pub fn new(rules: Visibility) -> Self {
        Self::numbered(rules, 0)
    }

    /// Makes those of a database that several gateways share, which have this number there.
    #[must_use]
    pub fn numbered(rules: Visibility, number: i64) -> Self {
        let rules = watch::Sender::new(Arc::new(rules));
        Self(Arc::new(HeldRules { rules, number: AtomicI64::new(number), taking: Mutex::default() }))
    }

    /// Returns the rules that hold now.
    #[must_use]
    pub fn get(&self) -> Arc<Visibility> {
        self.0.rules.borrow().clone()
    }

    /// Tells of every change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Visibility>> {
        self.0.rules.subscribe()
    }

    /// Returns which rules of a shared database they are; 0 where nobody else changes them.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.0.number.load(Ordering::Acquire)
    }

    /// Returns whether these are still the rules that hold.
    #[must_use]
    pub fn are(&self, rules: &Arc<Visibility>) -> bool {
        Arc::ptr_eq(&self.0.rules.borrow(), rules)
    }

    /// Replaces the rules by those that the store keeps now, under this number. Newer ones stay.
    pub fn set(&self, rules: Visibility, number: i64) {
        let _taking = self.0.taking.lock();
        if number >= self.number() {
            self.0.rules.send_replace(Arc::new(rules));
            self.0.number.store(number, Ordering::Release);
        }
    }

    /// Takes rules over that were changed for all gateways, unless these or newer ones hold already. Once it returns, the
    /// observer has taken them over as well, so nobody who goes on from here is shown anything by those before. Returns
    /// whether they can be read.
    #[must_use]
    pub fn take(&self, stored: &StoredRules) -> bool {
        let mut taking = self.0.taking.lock();
        if stored.number <= self.number() {
            return true;
        }
        let Some((rules, write)) = stored.read() else { return false };
        match &taking.observer {
            Some(observer) => observer(&rules, &write),
            None => taking.write = Some(write),
        }
        self.0.rules.send_replace(Arc::new(rules));
        self.0.number.store(stored.number, Ordering::Release);
        true
    }

    /// Has somebody hear of rules that are taken over, and of those that were before.
    pub fn observe(&self, observer: RulesObserver) {
        let mut taking = self.0.taking.lock();
        if let Some(write) = taking.write.take() {
            observer(&self.get(), &write);
        }
        taking.observer = Some(observer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::{Audience, FieldWriter};

    fn tel(audience: Audience) -> Visibility {
        Visibility { tel: audience, ..Visibility::default() }
    }

    fn stored(audience: Audience, number: i64) -> StoredRules {
        let write = WriteRights { nick: FieldWriter::Backend, ..WriteRights::default() };
        StoredRules { number, ..StoredRules::of(&tel(audience), &write, 7, "") }
    }

    #[test]
    fn whoever_observes_has_taken_rules_over_before_anything_is_decided_by_them() {
        let rules = RulesInForce::numbered(tel(Audience::Everyone), 3);
        let (begun, heard) = (rules.get(), Arc::new(Mutex::new(Vec::new())));
        assert!(rules.take(&stored(Audience::Friends, 4)));
        let (observed, held) = (heard.clone(), rules.clone());
        rules.observe(Box::new(move |rules, write| {
            observed.lock().push((rules.tel, write.nick, held.number()));
        }));
        // What was taken before is heard of as well; what is older, or the same, changes nothing.
        assert!(rules.take(&stored(Audience::Own, 4)) && rules.take(&stored(Audience::Own, 2)));
        assert_eq!((rules.get().tel, rules.number()), (Audience::Friends, 4));
        assert!(rules.take(&stored(Audience::Own, 9)) && !rules.are(&begun));
        let backend = FieldWriter::Backend;
        assert_eq!(*heard.lock(), [(Audience::Friends, backend, 4), (Audience::Own, backend, 4)]);
        // The answer to an older change comes late.
        rules.set(tel(Audience::Everyone), 8);
        assert_eq!((rules.get().tel, rules.number()), (Audience::Own, 9));
        let unknown = StoredRules { write: "nick=whoever".into(), ..stored(Audience::Everyone, 10) };
        assert!(!rules.take(&unknown) && rules.number() == 9);
    }

    #[test]
    fn rules_of_a_change_that_is_not_complete_are_read_with_those_before_and_since_when() {
        let before = tel(Audience::Everyone).to_text("");
        let next = tel(Audience::Own).opening(&before, 12).unwrap();
        let stored = StoredRules::of(&next, &WriteRights::default(), 12, &before);
        let (read, write) = stored.read().unwrap();
        assert_eq!((read.tel, &write), (Audience::Own, &WriteRights::default()));
        let change = read.change.unwrap();
        assert_eq!((change.before[0].tel, change.since), (Audience::Everyone, Some(12)));
        let StoredRules { visibility, .. } = StoredRules::of(&tel(Audience::Own), &write, 12, &stored.visibility);
        assert_eq!(StoredRules { visibility, ..stored }.read().unwrap().0.change, None);
    }
}
