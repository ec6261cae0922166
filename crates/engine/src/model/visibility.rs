//! Which fields of a profile whom may see.
//!
//! A profile has three views. Each moves only when a field it shows does, and has its own version and time of change:
//! so what is hidden does not show in a version either, sends nothing, and digests still agree.

use std::fmt::Write as _;

use super::Profile;

/// Who may see a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Audience {
    /// Only the account's own clients.
    Own,
    /// Those and its friends.
    Friends,
    /// Whoever asks.
    #[default]
    Everyone,
}

impl Audience {
    /// The word in settings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Own => "self",
            Self::Friends => "friends",
            Self::Everyone => "everyone",
        }
    }
}

/// The audience of every field; the same for all profiles of a deployment. `account`, the times and the version have
/// no audience: whoever sees a profile sees those of its view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields are those of the profile")]
pub struct Visibility {
    pub nick: Audience,
    pub avatar: Audience,
    pub sign: Audience,
    pub gender: Audience,
    pub email: Audience,
    pub birth: Audience,
    pub tel: Audience,
    pub custom: Audience,
}

impl Visibility {
    /// The profile as `audience` sees it, or `None` if that is all of it.
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

    /// Whether two states of a profile look the same to `audience`.
    #[must_use]
    pub fn same(&self, a: &Profile, b: &Profile, audience: Audience) -> bool {
        let text = |to: Audience, a: &str, b: &str| to < audience || a == b;
        text(self.nick, &a.nick, &b.nick)
            && text(self.avatar, &a.avatar, &b.avatar)
            && text(self.sign, &a.sign, &b.sign)
            && (self.gender < audience || a.gender == b.gender)
            && text(self.email, &a.email, &b.email)
            && text(self.birth, &a.birth, &b.birth)
            && text(self.tel, &a.tel, &b.tel)
            && text(self.custom, &a.custom, &b.custom)
    }

    /// The whole of it in one line, by which a store sees that it changed.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (field, to) in self.fields() {
            let _ = write!(line, "{field}={} ", to.word());
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Every field, by name, and who may see it.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Audience); 8] {
        [
            ("nick", self.nick),
            ("avatar", self.avatar),
            ("sign", self.sign),
            ("gender", self.gender),
            ("email", self.email),
            ("birth", self.birth),
            ("tel", self.tel),
            ("custom", self.custom),
        ]
    }

    fn clear(&self, view: &mut Profile, audience: Audience) {
        let texts = [
            (self.nick, &mut view.nick),
            (self.avatar, &mut view.avatar),
            (self.sign, &mut view.sign),
            (self.email, &mut view.email),
            (self.birth, &mut view.birth),
            (self.tel, &mut view.tel),
            (self.custom, &mut view.custom),
        ];
        for (_, text) in texts.into_iter().filter(|(to, _)| *to < audience) {
            *text = Box::default();
        }
        if self.gender < audience {
            view.gender = super::Gender::Unknown;
        }
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
        assert_eq!(visibility.line(), format!("{others} tel=friends custom=self"));
    }
}
