//! A user's profile, and partial changes to it. Its fields are declared in [`super::profile_fields`].

use super::profile_fields::{DATE, EMAIL, TextForm, WITHOUT_NUL, change_type, field_type};
use super::{Account, Audience, ChangedFields, Millis, Muted, OwnChanges, OwnFields, OwnSchema, Reason, RequestError};
use crate::for_each_profile_field;

/// The last change of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the same as a profile's")]
pub struct LastChange {
    pub version: u64,
    pub time: Millis,
}

/// What a field that is a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextLimits {
    /// The most characters.
    pub chars: usize,
    /// Whether U+0000 may be among them.
    pub nul: bool,
}

/// Defines what consists of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// A user's profile as it stands at one version. Never changed in place: a change makes a new one.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of the reference's user object")]
        pub struct Profile {
            pub account: Account,
            $(pub $name: field_type!($kind),)+
            /// The fields that the operator added.
            pub own: OwnFields,
            /// The accounts that it mutes, which nobody else learns.
            pub muted: Muted,
            pub create_time: Millis,
            pub update_time: Millis,
            /// Greater at every change, and greater than any this account had before it was deleted and made again.
            pub version: u64,
            /// The last change to what friends see.
            pub friends: LastChange,
            /// The last change to what everyone sees.
            pub everyone: LastChange,
        }

        impl Profile {
            /// The names of the fields that a user can set, as on the wire.
            pub const FIELDS: [&str; [$(stringify!($name)),+].len()] = [$(stringify!($name)),+];

            /// Returns the limits of a field that is a text; `None` for other fields and other names.
            #[must_use]
            pub fn text_limits(field: &str) -> Option<TextLimits> {
                match field {
                    $(stringify!($name) => text_limits!($kind $limits),)+
                    _ => None,
                }
            }

            /// Makes an empty profile.
            #[must_use]
            pub fn new(account: Account, version: u64, now: Millis) -> Self {
                let last_change = LastChange { version, time: now };
                Self {
                    account,
                    $($name: <field_type!($kind)>::default(),)+
                    own: OwnFields::default(),
                    muted: Muted::default(),
                    create_time: now,
                    update_time: now,
                    version,
                    friends: last_change,
                    everyone: last_change,
                }
            }
        }

        /// The fields of a partial change as they came in; `None` leaves a field as it is, an empty text clears it.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of the profile")]
        pub struct Fields {
            $(pub $name: change_type!($kind),)+
            /// Checked when it is applied, because what is right depends on the deployment.
            pub own: OwnChanges,
            /// The accounts that it mutes instead of those before. Only an import gives them all.
            pub muted: Option<Muted>,
        }

        impl Fields {
            /// Checks every given field against its limit, except own fields.
            ///
            /// # Errors
            /// 414 with the first offending field. Lengths are checked before forms.
            pub fn check(self) -> Result<Patch, RequestError> {
                $(check_length!($kind $limits, stringify!($name), self.$name);)+
                $(check_form!($kind $limits, stringify!($name), self.$name);)+
                Ok(Patch(self))
            }

            /// Returns the names of the fields that it gives; [`Profile::OWN`] stands for all own fields.
            #[must_use]
            pub fn given(&self) -> Vec<&'static str> {
                let mut given = Vec::new();
                $(if self.$name.is_some() {
                    given.push(stringify!($name));
                })+
                if !self.own.set.is_empty() {
                    given.push(Profile::OWN);
                }
                given
            }

            /// Takes the fields that it does not give from another change.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)+ own: self.own.or(other.own), muted: self.muted.or(other.muted) }
            }

            /// Makes the change clear the fields that it does not give.
            #[must_use]
            pub fn or_cleared(self) -> Self {
                let own = OwnChanges { clears_others: true, ..self.own };
                Self { $($name: Some(self.$name.unwrap_or_default()),)+ own, muted: self.muted }
            }
        }

        impl Profile {
            /// Returns the names of the fields that differ.
            #[must_use]
            pub fn changed_fields(&self, other: &Self) -> ChangedFields {
                let mut changed = ChangedFields::new();
                $(if self.$name != other.$name {
                    changed.push(stringify!($name).into());
                })+
                changed.extend(self.own.changed(&other.own).map(Into::into));
                if self.muted != other.muted {
                    changed.push(Profile::MUTED.into());
                }
                changed
            }
        }

        impl Patch {
            /// Returns the profile after the change, or `None` if nothing would differ.
            ///
            /// Version and times are the caller's.
            ///
            /// # Errors
            /// 414 with the own field that may not be so.
            pub fn apply(&self, profile: &Profile, own: &OwnSchema) -> Result<Option<Profile>, RequestError> {
                let mut next = profile.clone();
                $(set!($kind, next.$name, self.0.$name);)+
                next.own = own.apply(&profile.own, &self.0.own)?;
                if let Some(muted) = &self.0.muted {
                    next.muted = muted.clone();
                }
                Ok((next != *profile).then_some(next))
            }
        }
    };
}

/// The limits of a field, by its kind.
macro_rules! text_limits {
    (text($most:expr $(, $form:expr)?)) => {
        Some(TextLimits { chars: $most, nul: false })
    };
    (raw_text($most:expr)) => {
        Some(TextLimits { chars: $most, nul: true })
    };
    (gender()) => {
        None
    };
}

/// Checks a field's length, by its kind, and that a `text` has no U+0000.
macro_rules! check_length {
    (text($most:expr $(, $form:expr)?), $name:expr, $value:expr) => {
        text($name, $value.as_deref(), $most)?
    };
    (raw_text($most:expr), $name:expr, $value:expr) => {
        length($name, $value.as_deref(), $most)?
    };
    (gender(), $name:expr, $value:expr) => {};
}

/// Checks a field's form, if it must have one.
macro_rules! check_form {
    (text($most:expr, $form:expr), $name:expr, $value:expr) => {
        form($name, $value.as_deref(), &$form)?
    };
    ($kind:ident $limits:tt, $name:expr, $value:expr) => {};
}

/// Gives a field its new value, if there is one.
macro_rules! set {
    (gender, $field:expr, $value:expr) => {
        $field = $value.unwrap_or($field)
    };
    ($text:ident, $field:expr, $value:expr) => {
        set_text(&mut $field, $value.as_deref())
    };
}

for_each_profile_field!(define);

/// A partial change whose fields are within their limits. Those of own fields are checked by [`Patch::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch(Fields);

impl Patch {
    /// Returns the fields that it gives.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.0
    }
}

impl Profile {
    /// The name that stands for all own fields, on the wire and in lists of fields.
    pub const OWN: &'static str = "fields";
    /// The name of the muted accounts there.
    pub const MUTED: &'static str = "muted";

    /// Returns the last change to what `audience` sees.
    #[must_use]
    pub fn last_change(&self, audience: Audience) -> LastChange {
        match audience {
            Audience::Own => LastChange { version: self.version, time: self.update_time },
            Audience::Friends => self.friends,
            Audience::Everyone => self.everyone,
        }
    }
}

fn set_text(field: &mut Box<str>, value: Option<&str>) {
    if let Some(value) = value
        && **field != *value
    {
        *field = value.into();
    }
}

/// Checks a text that excludes U+0000, which not every store can keep.
pub(super) fn text(field: &'static str, value: Option<&str>, most: usize) -> Result<(), RequestError> {
    length(field, value, most)?;
    form(field, value, &WITHOUT_NUL)
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

fn form(field: &'static str, value: Option<&str>, form: &TextForm) -> Result<(), RequestError> {
    match value {
        Some(v) if !v.is_empty() && !(form.accepts)(v) => {
            let message = format!("{field} must be empty or {}", form.name);
            Err(RequestError::new(Reason::InvalidArgument, message).field(field))
        }
        _ => Ok(()),
    }
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
    fn a_patch_changes_only_the_fields_it_gives_and_notices_when_nothing_differs() {
        let account = Account::parse("a", "account").unwrap();
        let before = Profile { nick: "Ann".into(), sign: "hi".into(), ..Profile::new(account, 1, 5) };
        let patch = Fields { nick: Some("Bea".into()), sign: Some(String::new()), ..Fields::default() };
        let own = OwnSchema::default();
        let after = patch.clone().check().unwrap().apply(&before, &own).unwrap().unwrap();
        assert_eq!((&*after.nick, &*after.sign, after.version), ("Bea", "", 1));
        assert_eq!(patch.check().unwrap().apply(&after, &own), Ok(None));
        assert_eq!(Patch::default().apply(&before, &own), Ok(None));
        let replaced = Fields::default().or_cleared().check().unwrap().apply(&before, &own).unwrap().unwrap();
        assert_eq!((&*replaced.nick, &*replaced.sign), ("", ""));
    }
}
