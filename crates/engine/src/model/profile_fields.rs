//! The one declaration of every profile field.
//!
//! Everything that lists profile fields comes from [`for_each_profile_field!`](crate::for_each_profile_field): the
//! profile and its partial changes, their checks, the visibility rules, the wire's conversions, the store's columns
//! and the keys of `[profile.visibility]`.

use email_address::EmailAddress;

/// Calls a macro with the table of profile fields, a row for each: `name: kind(limits), audience;`.
///
/// - The kind is `text` (no U+0000, which not every store can keep), `raw_text` (kept byte for byte, U+0000 included)
///   or `gender`.
/// - The limits of a text are the most characters (Unicode scalar values; those of NIM's user cards, so that an
///   application that worked there works here) and, where it must have a form, a `TextForm`. Only this crate reads
///   them; another callback takes them as `$limits:tt`.
/// - The audience is who may see the field unless the settings say otherwise. Once released it stays: a store that
///   was written before the field existed was written under this rule.
///
/// A new field goes last, so that the table is in the order of the documentation.
///
/// ```
/// macro_rules! names {
///     ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => { [$(stringify!($name)),+] };
/// }
/// let names = rosterd_engine::for_each_profile_field!(names);
/// assert_eq!((names[0], names.len()), ("nick", rosterd_engine::model::Profile::FIELDS.len()));
/// ```
#[macro_export]
macro_rules! for_each_profile_field {
    ($callback:ident) => {
        $callback! {
            nick: text(64), Everyone;
            avatar: text(1024), Everyone;
            sign: text(256), Everyone;
            gender: gender(), Everyone;
            email: text(64, EMAIL), Everyone;
            birth: text(16, DATE), Everyone;
            tel: text(32), Everyone;
            custom: raw_text(1024), Everyone;
        }
    };
}

/// The Rust type of a field, by its kind.
macro_rules! field_type {
    (text) => { Box<str> };
    (raw_text) => { Box<str> };
    (gender) => { $crate::model::Gender };
}

/// The Rust type of a field in a partial change, by its kind.
macro_rules! change_type {
    (text) => { Option<String> };
    (raw_text) => { Option<String> };
    (gender) => { Option<$crate::model::Gender> };
}

pub(super) use {change_type, field_type};

/// What a text must look like if it is not empty.
pub(super) struct TextForm {
    /// Whether a text that is not empty has the form.
    pub(super) accepts: fn(&str) -> bool,
    /// The form in words, for the error.
    pub(super) name: &'static str,
}

pub(super) const EMAIL: TextForm = TextForm { accepts: EmailAddress::is_valid, name: "an e-mail address" };
pub(super) const DATE: TextForm = TextForm { accepts: is_date, name: "a date as yyyy-mm-dd" };
pub(super) const WITHOUT_NUL: TextForm = TextForm { accepts: has_no_nul, name: "text without U+0000" };

fn has_no_nul(text: &str) -> bool {
    !text.contains('\0')
}

/// Returns whether `text` is a day of the Gregorian calendar written yyyy-mm-dd.
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
