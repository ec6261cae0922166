//! Who may see which fields of a profile.
//!
//! A profile has three views. Each has its own version and time of change, which move only when a field that the view
//! shows does. So a hidden change does not show in a version either, sends nothing, and digests still agree.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Profile;
use crate::for_each_profile_field;

/// The clients that may see a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Audience {
    /// Only the account's own clients.
    Own,
    /// The account's own clients and those of its friends.
    Friends,
    /// Every client.
    #[default]
    Everyone,
}

impl Audience {
    /// Every audience, the largest first.
    pub const ALL: [Self; 3] = [Self::Everyone, Self::Friends, Self::Own];

    /// Returns the word in settings and in stores.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Friends => "friends",
            Self::Everyone => "everyone",
        }
    }
}

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
        }

        impl Default for Visibility {
            fn default() -> Self {
                Self { $($name: Audience::$audience,)+ }
            }
        }

        impl Visibility {
            /// Returns every field's name and audience.
            #[must_use]
            pub fn fields(&self) -> [(&'static str, Audience); Profile::FIELDS.len()] {
                [$((stringify!($name), self.$name)),+]
            }

            /// Returns whether two states of a profile look the same to `audience`.
            #[must_use]
            pub fn same(&self, a: &Profile, b: &Profile, audience: Audience) -> bool {
                $((self.$name < audience || a.$name == b.$name))&&+
            }

            fn audience_mut(&mut self, field: &str) -> Option<&mut Audience> {
                match field {
                    $(stringify!($name) => Some(&mut self.$name),)+
                    _ => None,
                }
            }

            fn clear(&self, view: &mut Profile, audience: Audience) {
                $(clear_unless(self.$name >= audience, &mut view.$name);)+
            }
        }
    };
}

for_each_profile_field!(define);

impl Visibility {
    /// Returns the profile as `audience` sees it, or `None` if that is all of it.
    #[must_use]
    pub fn view(&self, profile: &Profile, audience: Audience) -> Option<Profile> {
        let all = self.fields().into_iter().all(|(_, to)| to >= audience);
        (!all).then(|| {
            let moved = profile.last_change(audience);
            let mut view = Profile { version: moved.version, update_time: moved.time, ..profile.clone() };
            self.clear(&mut view, audience);
            view
        })
    }

    /// Returns the profile without what only friends may see, whoever looks at it.
    #[must_use]
    pub fn for_everyone(&self, profile: &Arc<Profile>) -> Arc<Profile> {
        let seen = profile.last_change(Audience::Everyone);
        let view = self.view(profile, Audience::Everyone);
        view.map_or_else(|| profile.clone(), |view| Arc::new(Profile { friends: seen, everyone: seen, ..view }))
    }

    /// Writes the rules as a line, `nick=everyone tel=friends …`, which a store keeps to see whether they change.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        for (field, to) in self.fields() {
            let _ = write!(line, "{field}={} ", to.word());
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Reads the rules under which a store was written; `None` if a field has an audience that does not exist.
    ///
    /// A field that the line lacks did not exist then, and has its default audience, so that a new field changes
    /// nothing. A field that does not exist any more is ignored.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut rules = Self::default();
        for rule in line.split_whitespace() {
            let (field, word) = rule.split_once('=')?;
            if let Some(audience) = rules.audience_mut(field) {
                *audience = Audience::ALL.into_iter().find(|audience| audience.word() == word)?;
            }
        }
        Some(rules)
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
    use crate::model::{Account, LastChange};

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
        let line = visibility.to_line();
        assert!(line.starts_with(&format!("{others} tel=friends custom=self")), "{line}");
        assert_eq!(line.split(' ').count(), Profile::FIELDS.len());
        assert_eq!(Visibility::from_line(&visibility.to_line()), Some(visibility));
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

    /// Stores that were written before there were rules have an empty line.
    #[test]
    fn the_default_rules_of_released_fields_stay() {
        let released = ["nick", "avatar", "sign", "gender", "email", "birth", "tel", "custom"];
        assert_eq!(Visibility::default().fields()[..released.len()], released.map(|field| (field, Audience::Everyone)));
    }
}
