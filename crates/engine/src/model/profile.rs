//! A user's card: its fields, their limits, and partial changes to it.
//!
//! The limits are those of NIM's user cards, counted in characters (Unicode scalar values), so that
//! an application that worked there works here.

use email_address::EmailAddress;

use super::{Account, Audience, Millis, Reason, RequestError};

/// A user's gender, as far as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gender {
    /// Not told.
    #[default]
    Unknown,
    /// Male.
    Male,
    /// Female.
    Female,
}

/// A user's card as it stands at one version. Never changed in place: a change makes a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the reference's user object")]
pub struct Profile {
    pub account: Account,
    pub nick: Box<str>,
    pub avatar: Box<str>,
    pub sign: Box<str>,
    pub gender: Gender,
    pub email: Box<str>,
    pub birth: Box<str>,
    pub tel: Box<str>,
    pub custom: Box<str>,
    pub create_time: Millis,
    pub update_time: Millis,
    /// Greater at every change, and greater than any this account had before it was deleted and made again.
    pub version: u64,
    /// The last change to what friends see.
    pub friends: LastChange,
    /// The last change to what everyone sees.
    pub everyone: LastChange,
}

/// The last change of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same as a profile's")]
pub struct LastChange {
    pub version: u64,
    pub time: Millis,
}

impl Profile {
    /// An empty card.
    #[must_use]
    pub fn new(account: Account, version: u64, now: Millis) -> Self {
        Self {
            account,
            nick: Box::default(),
            avatar: Box::default(),
            sign: Box::default(),
            gender: Gender::Unknown,
            email: Box::default(),
            birth: Box::default(),
            tel: Box::default(),
            custom: Box::default(),
            create_time: now,
            update_time: now,
            version,
            friends: LastChange { version, time: now },
            everyone: LastChange { version, time: now },
        }
    }

    /// The last change to what `audience` sees.
    #[must_use]
    pub fn last_change(&self, audience: Audience) -> LastChange {
        match audience {
            Audience::Own => LastChange { version: self.version, time: self.update_time },
            Audience::Friends => self.friends,
            Audience::Everyone => self.everyone,
        }
    }
}

/// The fields of a partial change as they came in; `None` leaves a field as it is, an empty text clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the profile")]
pub struct Fields {
    pub nick: Option<String>,
    pub avatar: Option<String>,
    pub sign: Option<String>,
    pub gender: Option<Gender>,
    pub email: Option<String>,
    pub birth: Option<String>,
    pub tel: Option<String>,
    pub custom: Option<String>,
}

impl Fields {
    /// Checks every given field against its limit.
    ///
    /// # Errors
    /// 414 with the first offending field.
    pub fn check(self) -> Result<Patch, RequestError> {
        text("nick", self.nick.as_deref(), 64)?;
        text("avatar", self.avatar.as_deref(), 1024)?;
        text("sign", self.sign.as_deref(), 256)?;
        text("email", self.email.as_deref(), 64)?;
        text("birth", self.birth.as_deref(), 16)?;
        text("tel", self.tel.as_deref(), 32)?;
        length("custom", self.custom.as_deref(), 1024)?;
        form("email", self.email.as_deref(), EmailAddress::is_valid, "an e-mail address")?;
        form("birth", self.birth.as_deref(), is_date, "a date as yyyy-mm-dd")?;
        Ok(Patch(self))
    }

    /// The same change, but a field that is not given is cleared.
    #[must_use]
    pub fn or_cleared(self) -> Self {
        Self {
            nick: Some(self.nick.unwrap_or_default()),
            avatar: Some(self.avatar.unwrap_or_default()),
            sign: Some(self.sign.unwrap_or_default()),
            gender: Some(self.gender.unwrap_or_default()),
            email: Some(self.email.unwrap_or_default()),
            birth: Some(self.birth.unwrap_or_default()),
            tel: Some(self.tel.unwrap_or_default()),
            custom: Some(self.custom.unwrap_or_default()),
        }
    }
}

/// A partial change whose fields are within their limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch(Fields);

impl Patch {
    /// The profile after the change, or `None` if nothing would differ. Version and times are the caller's.
    #[must_use]
    pub fn apply(&self, profile: &Profile) -> Option<Profile> {
        let mut next = profile.clone();
        let fields = &self.0;
        set(&mut next.nick, fields.nick.as_deref());
        set(&mut next.avatar, fields.avatar.as_deref());
        set(&mut next.sign, fields.sign.as_deref());
        set(&mut next.email, fields.email.as_deref());
        set(&mut next.birth, fields.birth.as_deref());
        set(&mut next.tel, fields.tel.as_deref());
        set(&mut next.custom, fields.custom.as_deref());
        next.gender = fields.gender.unwrap_or(next.gender);
        (next != *profile).then_some(next)
    }
}

fn set(field: &mut Box<str>, value: Option<&str>) {
    if let Some(value) = value
        && **field != *value
    {
        *field = value.into();
    }
}

/// `custom` is kept whatever it holds; every other text excludes U+0000, which not every store can keep.
pub(super) fn text(field: &'static str, value: Option<&str>, most: usize) -> Result<(), RequestError> {
    length(field, value, most)?;
    form(field, value, |v| !v.contains('\0'), "text without U+0000")
}

pub(super) fn length(field: &'static str, value: Option<&str>, most: usize) -> Result<(), RequestError> {
    // Bytes bound characters from above: the common case counts nothing.
    match value {
        Some(v) if v.len() > most && v.chars().count() > most => {
            let message = format!("{field} is longer than {most} characters");
            Err(RequestError::new(Reason::InvalidArgument, message).field(field))
        }
        _ => Ok(()),
    }
}

fn form(field: &'static str, value: Option<&str>, ok: fn(&str) -> bool, what: &str) -> Result<(), RequestError> {
    match value {
        Some(v) if !v.is_empty() && !ok(v) => {
            let message = format!("{field} must be empty or {what}");
            Err(RequestError::new(Reason::InvalidArgument, message).field(field))
        }
        _ => Ok(()),
    }
}

/// Whether `text` is a day of the Gregorian calendar written yyyy-mm-dd.
fn is_date(text: &str) -> bool {
    let part = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    };
    let dashes = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let (Some(year), Some(month), Some(day), true) = (part(0..4), part(5..7), part(8..10), dashes) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offending(fields: Fields) -> Option<String> {
        fields.check().err().map(|e| e.field.expect("a field is named").into_owned())
    }

    #[test]
    fn limits_count_characters_not_bytes() {
        let fits = Fields { nick: Some("ü".repeat(64)), custom: Some("漢".repeat(1024)), ..Fields::default() };
        assert!(fits.check().is_ok());
        for (fields, field) in [
            (Fields { nick: Some("x".repeat(65)), ..Fields::default() }, "nick"),
            (Fields { avatar: Some("x".repeat(1025)), ..Fields::default() }, "avatar"),
            (Fields { sign: Some("x".repeat(257)), ..Fields::default() }, "sign"),
            (Fields { email: Some(format!("{}@b.c", "x".repeat(62))), ..Fields::default() }, "email"),
            (Fields { birth: Some("1".repeat(17)), ..Fields::default() }, "birth"),
            (Fields { tel: Some("1".repeat(33)), ..Fields::default() }, "tel"),
            (Fields { custom: Some("漢".repeat(1025)), ..Fields::default() }, "custom"),
            (Fields { sign: Some("a\0b".into()), ..Fields::default() }, "sign"),
        ] {
            assert_eq!(offending(fields).as_deref(), Some(field));
        }
    }

    #[test]
    fn email_and_birth_have_a_form_and_may_be_cleared() {
        let with = |email: &str, birth: &str| Fields {
            email: Some(email.into()),
            birth: Some(birth.into()),
            ..Fields::default()
        };
        for (email, birth) in [("", ""), ("a@b.example", "2000-02-29"), ("ü@b.example", "1900-01-01")] {
            assert!(with(email, birth).check().is_ok(), "{email} {birth}");
        }
        for email in ["a", "a@", "@b", "a b@c.d", "a@b@c"] {
            assert_eq!(offending(with(email, "")).as_deref(), Some("email"), "{email}");
        }
        for birth in [
            "1900-02-29",
            "2000-04-31",
            "2000-06-31",
            "2000-09-31",
            "2000-11-31",
            "2000x01-01",
            "2000-01x01",
            "2000-01-011",
            "2000-13-01",
            "2000-00-10",
            "2000-01-32",
            "2000-1-1",
            "20000101",
            "+200-01-01",
            "漢漢-漢",
        ] {
            assert_eq!(offending(with("", birth)).as_deref(), Some("birth"), "{birth}");
        }
    }

    #[test]
    fn a_patch_changes_only_what_it_gives_and_sees_no_ops() {
        let account = Account::parse("a", "account").unwrap();
        let before = Profile { nick: "Ann".into(), sign: "hi".into(), ..Profile::new(account, 1, 5) };
        let patch = Fields { nick: Some("Bea".into()), sign: Some(String::new()), ..Fields::default() };
        let after = patch.clone().check().unwrap().apply(&before).unwrap();
        assert_eq!((&*after.nick, &*after.sign, after.version), ("Bea", "", 1));
        assert_eq!(patch.check().unwrap().apply(&after), None);
        assert_eq!(Patch::default().apply(&before), None);
        let replaced = Fields::default().or_cleared().check().unwrap().apply(&before).unwrap();
        assert_eq!((&*replaced.nick, &*replaced.sign), ("", ""));
    }
}
