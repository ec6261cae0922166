//! Who may see which fields of a profile.
//!
//! A profile has three views. Each has its own version and time of change, which move only when a field that the view
//! shows does. So a hidden change does not show in a version either, sends nothing, and digests still agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::{Audience, OWN_PREFIX, OwnField, OwnSchema, Profile, Revision};
use crate::for_each_profile_field;

/// Defines the rules out of the table of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// The audience of every field; the same for all profiles of a deployment.
        ///
        /// `account`, the times and the version have no audience: whoever sees a profile sees those of its view.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of the profile")]
        pub struct Visibility {
            $(pub $name: Audience,)+
            /// The own fields, with what else there is to know of them.
            pub own: Arc<OwnSchema>,
            /// The rules that were in force before, until every stored view is brought in line with these.
            pub change: Option<Arc<RulesChange>>,
        }

        impl Default for Visibility {
            fn default() -> Self {
                Self { $($name: Audience::$audience,)+ own: Arc::default(), change: None }
            }
        }

        impl Visibility {
            /// Returns every field's name and audience, own fields aside.
            #[must_use]
            pub fn fields(&self) -> [(&'static str, Audience); Profile::FIELDS.len()] {
                [$((stringify!($name), self.$name)),+]
            }

            /// Returns whether two states of a profile look the same to `audience`.
            #[must_use]
            pub fn same(&self, a: &Profile, b: &Profile, audience: Audience) -> bool {
                $((self.$name < audience || a.$name == b.$name))&&+ && self.own.same(&a.own, &b.own, audience)
                    && (audience > Audience::Own || a.muted == b.muted)
            }

            /// Returns whether a state looks to `audience` under these rules as another one does under other rules.
            fn looks_like(&self, a: &Profile, other: &Self, b: &Profile, audience: Audience) -> bool {
                $(is_alike(self.$name >= audience, &a.$name, other.$name >= audience, &b.$name))&&+
                    && self.own.visible(&a.own, audience) == other.own.visible(&b.own, audience)
                    && (audience > Audience::Own || a.muted == b.muted)
            }

            /// Shows each field to the larger of two audiences.
            fn widen(&mut self, other: &Self) {
                $(self.$name = self.$name.max(other.$name);)+
                let mut own: BTreeMap<Box<str>, OwnField> =
                    self.own.iter().map(|(name, field)| (name.into(), field.clone())).collect();
                for (name, field) in other.own.iter() {
                    let held = own.entry(name.into()).or_insert_with(|| field.clone());
                    held.audience = held.audience.max(field.audience);
                }
                self.own = Arc::new(own.into_iter().collect());
            }

            fn audience_mut(&mut self, field: &str) -> Option<&mut Audience> {
                match field {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            fn clear(&self, view: &mut Profile, audience: Audience) {
                $(clear_unless(self.$name >= audience, &mut view.$name);)+
                view.own = self.own.visible(&view.own, audience);
                clear_unless(audience == Audience::Own, &mut view.muted);
            }
        }
    };
}

for_each_profile_field!(define);

/// A change of the rules that is not complete.
///
/// A view that looks other than before has to get a new version, or clients that hold it never learn that it changed. Until
/// all have, the version of a profile does not say by which rules a client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesChange {
    /// The rules by which clients may have seen a profile. They know audiences, and nothing else of own fields.
    pub before: Vec<Visibility>,
    /// The last revision under the rules before: a profile of a later one has views of the new rules alone. `None` while
    /// something may still be shown by the rules before.
    pub since: Option<Revision>,
}

impl Visibility {
    /// Returns whether a change of a profile cannot be seen by `audience`: neither by itself, nor because the rules change.
    #[must_use]
    pub fn looks_same(&self, before: &Profile, next: &Profile, audience: Audience) -> bool {
        let same = self.same(before, next, audience);
        let Some(change) = &self.change else { return same };
        if change.since.is_some_and(|since| before.version > since) {
            return same;
        }
        let is_shown_by_both = change.since.is_none();
        let none_differs = |old: &Self| {
            let now = old.looks_like(before, self, next, audience);
            let late = || old.same(before, next, audience) && self.looks_like(before, old, next, audience);
            now && (!is_shown_by_both || late())
        };
        same && change.before.iter().all(none_differs)
    }

    /// Returns whether a profile that stays as it is looks other than under the rules before to anybody.
    #[must_use]
    pub fn must_move(&self, profile: &Profile) -> bool {
        Audience::ALL.into_iter().any(|audience| !self.looks_same(profile, profile, audience))
    }

    /// Returns these rules as they begin to apply to a store that keeps this text and whose last revision is `head`; `None` if
    /// the rules before cannot be read.
    #[must_use]
    pub fn opening(self, stored: &str, head: Revision) -> Option<Self> {
        let mut rules = stored.lines().map(Self::from_line);
        let current = rules.next().unwrap_or_else(|| Some(Self::default()))?;
        let before = rules.collect::<Option<Vec<_>>>()?;
        let differs = self.differs_from(stored);
        // Nobody has seen anything of an empty store, and nothing is shown by other rules before it is open.
        let opened = self.changing(before, (differs && head > 0).then_some(current));
        Some(opened.shown_since(head))
    }

    /// Returns these rules as they begin to apply after others, which may not apply everywhere yet.
    #[must_use]
    pub fn after(self, held: &Self) -> Self {
        let before = held.change.as_ref().map_or_else(Vec::new, |change| change.before.clone());
        let differs = self.audiences() != held.audiences();
        let held = Self { change: None, ..held.clone() };
        self.changing(before, differs.then_some(held))
    }

    fn changing(self, mut before: Vec<Self>, last: Option<Self>) -> Self {
        before.extend(last.filter(|last| !before.iter().any(|known| known.audiences() == last.audiences())));
        let change = (!before.is_empty()).then(|| Arc::new(RulesChange { before, since: None }));
        Self { change, ..self }
    }

    /// Returns these rules once nothing is shown by the rules before any more, and `head` is the last revision.
    #[must_use]
    pub fn shown_since(&self, head: Revision) -> Self {
        let change = self.change.as_ref();
        let change = change.map(|change| Arc::new(RulesChange { since: Some(head), ..(**change).clone() }));
        Self { change, ..self.clone() }
    }

    /// Returns the audience of every field, own fields included.
    fn audiences(&self) -> BTreeMap<&str, Audience> {
        let own = self.own.iter().map(|(name, field)| (name, field.audience));
        self.fields().into_iter().chain(own).collect()
    }

    /// Returns the profile as `audience` sees it, or `None` if that is all of it.
    #[must_use]
    pub fn view(&self, profile: &Profile, audience: Audience) -> Option<Profile> {
        let all = self.fields().into_iter().all(|(_, to)| to >= audience);
        let all = all && (audience == Audience::Own || profile.muted.is_empty());
        (!all || !self.own.shows_all(&profile.own, audience)).then(|| {
            let moved = profile.last_change(audience);
            let mut view = Profile { version: moved.version, update_time: moved.time, ..profile.clone() };
            self.clear(&mut view, audience);
            view
        })
    }

    /// Returns the profile without what only friends may see, whoever looks at it. During a change of the rules everything
    /// stays that strangers may have seen: what a copy lacks cannot look other than before.
    #[must_use]
    pub fn for_everyone(&self, profile: &Arc<Profile>) -> Arc<Profile> {
        let seen = profile.last_change(Audience::Everyone);
        let view = match &self.change {
            None => self.view(profile, Audience::Everyone),
            Some(change) => {
                let mut rules = self.clone();
                change.before.iter().for_each(|before| rules.widen(before));
                rules.view(profile, Audience::Everyone)
            }
        };
        view.map_or_else(|| profile.clone(), |view| Arc::new(Profile { friends: seen, everyone: seen, ..view }))
    }

    /// Writes the rules as a text, which a store keeps to see whether they change: a line
    /// `nick=everyone tel=friends … fields.level=self`, and during a change one for each of the rules before.
    ///
    /// `stored` is the text before: an own field that it has and these rules lack may have values still, which nobody sees.
    #[must_use]
    pub fn to_text(&self, stored: &str) -> String {
        let before = self.change.iter().flat_map(|change| &change.before).map(|rules| rules.to_line(""));
        std::iter::once(self.to_line(stored)).chain(before).collect::<Vec<_>>().join("\n")
    }

    fn to_line(&self, stored: &str) -> String {
        let mut line = String::new();
        for (field, to) in self.fields() {
            let _ = write!(line, "{field}={} ", to.word());
        }
        let mut own = own_rules(stored);
        for word in own.values_mut() {
            *word = NOBODY;
        }
        own.extend(self.own.iter().map(|(name, field)| (name, field.audience.word())));
        for (name, word) in own {
            let _ = write!(line, "{OWN_PREFIX}{name}={word} ");
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Returns whether anybody may see something else of a profile than under the rules of a text that a store keeps.
    ///
    /// A field that the text lacks is new, so the store holds no value of it.
    #[must_use]
    pub fn differs_from(&self, stored: &str) -> bool {
        let now = |name: &str| self.own.audience(name).map_or(NOBODY, Audience::word);
        let known = Self::from_line(stored);
        known.is_none_or(|known| known.fields() != self.fields())
            || own_rules(stored).iter().any(|(name, word)| *word != now(name))
    }

    /// Returns whether these are the rules of a text that a store keeps, so that two gateways can use the store at a time.
    #[must_use]
    pub fn is_that_of(&self, stored: &str) -> bool {
        let known = own_rules(stored);
        !self.differs_from(stored) && self.own.iter().all(|(name, _)| known.contains_key(name))
    }

    /// Reads the rules of a line; `None` if a field has an audience that does not exist. Of own fields only the audiences
    /// are known.
    ///
    /// A field that the line lacks did not exist then, and has its default audience, so that a new field changes
    /// nothing. A field that does not exist any more is ignored.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut rules = Self::default();
        let mut own = Vec::new();
        for rule in line.lines().next().unwrap_or_default().split_whitespace() {
            let (field, word) = rule.split_once('=')?;
            let audience = || Audience::ALL.into_iter().find(|audience| audience.word() == word);
            if let Some(known) = rules.audience_mut(field) {
                *known = audience()?;
            } else if let Some(name) = field.strip_prefix(OWN_PREFIX).filter(|_| word != NOBODY) {
                own.push((name.into(), OwnField::seen_by(audience()?)));
            }
        }
        Some(Self { own: Arc::new(own.into_iter().collect()), ..rules })
    }
}

/// The word for those who see what is left of an own field that there is no more.
const NOBODY: &str = "nobody";

/// Returns the own fields in a line, and the word of each.
fn own_rules(line: &str) -> BTreeMap<&str, &str> {
    let line = line.lines().next().unwrap_or_default();
    let rules = line.split_whitespace().filter_map(|rule| rule.strip_prefix(OWN_PREFIX)?.split_once('='));
    rules.collect()
}

/// Whether two values, each of which may be hidden, look the same. One that is hidden looks as if it were never set.
fn is_alike<T: Default + PartialEq>(is_shown: bool, value: &T, other_is_shown: bool, other: &T) -> bool {
    match (is_shown, other_is_shown) {
        (true, true) => value == other,
        (true, false) => *value == T::default(),
        (false, true) => *other == T::default(),
        (false, false) => true,
    }
}

fn clear_unless<T: Default>(visible: bool, field: &mut T) {
    if !visible {
        *field = T::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Account, FieldWriter, LastChange, OwnKind, OwnValue};

    #[test]
    fn a_view_hides_fields_and_when_they_changed() {
        let visibility = Visibility { tel: Audience::Friends, email: Audience::Own, ..Visibility::default() };
        let account = Account::parse("ann", "account").unwrap();
        let profile = Profile {
            nick: "Ann".into(),
            tel: "1".into(),
            email: "a@b.example".into(),
            update_time: 9,
            friends: LastChange { version: 8, time: 8 },
            everyone: LastChange { version: 7, time: 7 },
            ..Profile::new(account, 9, 1)
        };
        assert_eq!(visibility.view(&profile, Audience::Own), None);
        let friends = visibility.view(&profile, Audience::Friends).unwrap();
        assert_eq!((&*friends.tel, &*friends.email, friends.version, friends.update_time), ("1", "", 8, 8));
        let everyone = visibility.view(&profile, Audience::Everyone).unwrap();
        assert_eq!((&*everyone.nick, &*everyone.tel, everyone.version), ("Ann", "", 7));
        assert_eq!(Visibility::default().view(&profile, Audience::Everyone), None);
    }

    #[test]
    fn each_field_is_hidden_from_those_it_is_not_for_and_from_no_one_else() {
        let account = Account::parse("ann", "account").unwrap();
        let bare = Profile::new(account, 9, 1);
        let man = Profile { gender: crate::model::Gender::Male, ..bare.clone() };
        for to in [Audience::Own, Audience::Friends, Audience::Everyone] {
            let visibility = Visibility { gender: to, sign: Audience::Own, ..Visibility::default() };
            for audience in [Audience::Own, Audience::Friends, Audience::Everyone] {
                let seen = visibility.view(&man, audience).unwrap_or_else(|| man.clone());
                assert_eq!(seen.gender == man.gender, to >= audience, "for {to:?}, seen by {audience:?}");
                assert_eq!(visibility.same(&bare, &man, audience), to < audience, "for {to:?}, seen by {audience:?}");
            }
        }
    }

    #[test]
    fn a_line_has_every_field_and_the_words_of_the_settings() {
        let visibility = Visibility { tel: Audience::Friends, custom: Audience::Own, ..Visibility::default() };
        let others = "nick=everyone avatar=everyone sign=everyone gender=everyone email=everyone birth=everyone";
        let line = visibility.to_text("");
        assert!(line.starts_with(&format!("{others} tel=friends custom=self")), "{line}");
        assert_eq!(line.split(' ').count(), Profile::FIELDS.len());
        assert_eq!(Visibility::from_line(&line), Some(visibility));
    }

    #[test]
    fn a_line_of_other_fields_stands_for_the_default_rules_of_those_it_lacks() {
        let everyone = Visibility::default();
        for line in ["", "nick=everyone", "tel=everyone shoe_size=self", "shoe_size=whoever"] {
            assert_eq!(Visibility::from_line(line).as_ref(), Some(&everyone), "{line}");
        }
        let tel = Visibility { tel: Audience::Friends, ..Visibility::default() };
        assert_eq!(Visibility::from_line("nick=everyone tel=friends shoe_size=self"), Some(tel));
        for line in ["tel", "tel=", "tel=nobody", "nick=everyone tel=Friends"] {
            assert_eq!(Visibility::from_line(line), None, "{line}");
        }
    }

    #[test]
    fn the_rules_of_own_fields_differ_only_where_something_may_be_stored() {
        let rules = |own: &[(&str, Audience)]| {
            let field =
                |audience| OwnField { kind: OwnKind::Boolean, default: None, audience, writer: FieldWriter::Backend };
            let own = own.iter().map(|(name, audience)| ((*name).into(), field(*audience))).collect();
            Visibility { own: Arc::new(own), ..Visibility::default() }
        };
        let none = Visibility::default();
        let level = rules(&[("level", Audience::Everyone)]);
        assert!(!none.differs_from("") && !level.differs_from(&none.to_text("")), "a new field has no values");
        let line = level.to_text(&none.to_text(""));
        assert!(line.ends_with("custom=everyone fields.level=everyone"), "{line}");
        assert!(!level.differs_from(&line));
        assert!(level.is_that_of(&line) && !none.is_that_of(&line) && !level.is_that_of(&none.to_text("")));
        assert!(rules(&[("level", Audience::Own)]).differs_from(&line));
        assert!(none.differs_from(&line), "values that were seen are not any more");
        let after = none.to_text(&line);
        assert!(after.ends_with("fields.level=nobody"), "{after}");
        assert!(!none.differs_from(&after));
        assert!(level.differs_from(&after), "values that nobody saw are seen again");
        assert_eq!(Visibility::from_line(&line).unwrap().audiences(), level.audiences());
        assert_eq!(Visibility::from_line(&after).unwrap().audiences(), none.audiences());
    }

    #[test]
    fn nobody_else_sees_whom_an_account_mutes() {
        let account = |name| Account::parse(name, "account").unwrap();
        let bare = Profile::new(account("ann"), 9, 1);
        let mutes = Profile { muted: [account("bob")].into_iter().collect(), ..bare.clone() };
        let rules = Visibility::default();
        assert_eq!(rules.view(&mutes, Audience::Own), None);
        assert!(!rules.same(&bare, &mutes, Audience::Own));
        for audience in [Audience::Friends, Audience::Everyone] {
            assert_eq!(rules.view(&mutes, audience).unwrap(), bare);
            assert!(rules.same(&bare, &mutes, audience));
        }
    }

    #[test]
    fn a_view_hides_own_fields() {
        let field =
            |audience| OwnField { kind: OwnKind::Boolean, default: None, audience, writer: FieldWriter::Account };
        let own = Audience::ALL.map(|to| (to.word().into(), field(to))).into_iter().collect();
        let visibility = Visibility { own: Arc::new(own), ..Visibility::default() };
        let names = ["everyone", "friends", "self", "gone"];
        let values = |yes: bool| names.iter().map(|name| ((*name).into(), OwnValue::Boolean(yes))).collect();
        let account = Account::parse("ann", "account").unwrap();
        let profile = Profile { own: values(true), ..Profile::new(account, 9, 1) };
        for (audience, sees) in [(Audience::Everyone, 1), (Audience::Friends, 2), (Audience::Own, 3)] {
            let view = visibility.view(&profile, audience).unwrap();
            assert_eq!(view.own.iter().map(|(name, _)| name).collect::<Vec<_>>(), {
                let mut seen = names[..sees].to_vec();
                seen.sort_unstable();
                seen
            });
            for (at, name) in names.into_iter().enumerate() {
                let changed = profile.own.iter().map(|(held, value)| {
                    (held.into(), if held == name { OwnValue::Boolean(false) } else { value.clone() })
                });
                let other = Profile { own: changed.collect(), ..profile.clone() };
                assert_eq!(visibility.same(&profile, &other, audience), at >= sees, "{name}, seen by {audience:?}");
            }
        }
    }

    /// What a stranger holds of the profile has to look other than under the new rules, or nobody tells it.
    #[test]
    fn a_copy_that_is_made_during_a_change_keeps_what_strangers_may_have_seen() {
        let account = Account::parse("ann", "account").unwrap();
        let profile = Arc::new(Profile { tel: "1".into(), email: "a@b".into(), ..Profile::new(account, 1, 1) });
        let before = Visibility { email: Audience::Friends, ..Visibility::default() };
        let rules = Visibility { tel: Audience::Own, email: Audience::Own, ..Visibility::default() };
        let changing = rules.clone().opening(&before.to_text(""), 5).unwrap();
        let copy = changing.for_everyone(&profile);
        assert_eq!((&*copy.tel, &*copy.email), ("1", ""));
        assert!(changing.must_move(&copy) && changing.must_move(&profile));
        let later = Arc::new(Profile { version: 6, ..Profile::clone(&profile) });
        assert!(!changing.must_move(&later), "it was decided by the new rules");
        let copy = rules.for_everyone(&profile);
        assert_eq!((&*copy.tel, &*copy.email, rules.must_move(&profile)), ("", "", false));
    }

    /// Stores that were written before there were rules have an empty line.
    #[test]
    fn the_default_rules_of_released_fields_stay() {
        let released = ["nick", "avatar", "sign", "gender", "email", "birth", "tel", "custom"];
        assert_eq!(Visibility::default().fields()[..released.len()], released.map(|field| (field, Audience::Everyone)));
    }
}
