//! Which own fields there are: the type of each, its limits, who may see it, and who may write it.
//!
//! This is the only place that checks values of own fields, whoever gives them.

use std::collections::BTreeMap;

use super::limits::{OWN_FIELD_BYTES, SAFE_INTEGER};
use super::own_fields::{OWN_PREFIX, OwnChanges, OwnFields, OwnValue};
use super::{Audience, FieldWriter, Reason, RequestError};

/// The least similarity (Jaro-Winkler, 0 to 1) of a name that is suggested.
const NEAR: f64 = 0.8;
/// The most characters of an unknown name that an error repeats.
const SHOWN: usize = 40;

/// Returns the known name that is most like `name`, if one is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    scored.filter(|(score, _)| *score >= NEAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// What an own field may hold.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are those of the settings")]
pub enum OwnKind {
    /// A text without U+0000, which not every store can keep. If there are `values`, it is one of them.
    Text { max_length: usize, values: Vec<Box<str>> },
    /// A whole number that JSON holds exactly.
    Integer { min: i64, max: i64 },
    /// A finite number.
    Number { min: f64, max: f64 },
    /// `true` or `false`.
    Boolean,
    /// Texts, each as a text would be.
    List { max_items: usize, max_length: usize, values: Vec<Box<str>> },
}

/// A bound that is finite equals itself.
impl Eq for OwnKind {}

/// An own field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnField {
    /// What it may hold.
    pub kind: OwnKind,
    /// The value in a new profile, and after the field was cleared.
    pub default: Option<OwnValue>,
    /// Who may see it.
    pub audience: Audience,
    /// Who may write it.
    pub writer: FieldWriter,
}

impl OwnField {
    /// Makes a field of which it is only known who sees it.
    #[must_use]
    pub(super) fn seen_by(audience: Audience) -> Self {
        Self { kind: OwnKind::Boolean, default: None, audience, writer: FieldWriter::Backend }
    }
}

/// The own fields of a deployment, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnSchema(BTreeMap<Box<str>, OwnField>);

impl FromIterator<(Box<str>, OwnField)> for OwnSchema {
    fn from_iter<T: IntoIterator<Item = (Box<str>, OwnField)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl OwnSchema {
    /// Returns the fields, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OwnField)> {
        self.0.iter().map(|(name, field)| (&**name, field))
    }

    /// Returns the audience of a field, unless there is no such field: then nobody sees what may be stored of it.
    #[must_use]
    pub fn audience(&self, name: &str) -> Option<Audience> {
        self.0.get(name).map(|field| field.audience)
    }

    /// Returns the fields that `audience` sees.
    #[must_use]
    pub fn visible(&self, fields: &OwnFields, audience: Audience) -> OwnFields {
        fields.filtered(|name| self.audience(name).is_some_and(|to| to >= audience))
    }

    /// Returns whether `audience` sees all fields.
    pub(super) fn shows_all(&self, fields: &OwnFields, audience: Audience) -> bool {
        fields.iter().all(|(name, _)| self.audience(name).is_some_and(|to| to >= audience))
    }

    /// Returns whether two states of the fields look the same to `audience`.
    pub(super) fn same(&self, a: &OwnFields, b: &OwnFields, audience: Audience) -> bool {
        a == b || self.visible(a, audience) == self.visible(b, audience)
    }

    /// Returns the fields of a new profile.
    #[must_use]
    pub fn defaults(&self) -> OwnFields {
        self.0.iter().filter_map(|(name, field)| Some((name.clone(), field.default.clone()?))).collect()
    }

    /// Returns the fields after a change.
    ///
    /// # Errors
    /// 414 with `fields.NAME`: there is no such field, or it may not hold this, or all fields together are too large.
    pub(super) fn apply(&self, held: &OwnFields, changes: &OwnChanges) -> Result<OwnFields, RequestError> {
        if changes.is_empty() {
            return Ok(held.clone());
        }
        let kept = if changes.clears_others { self.defaults() } else { held.clone() };
        let mut next: BTreeMap<Box<str>, OwnValue> =
            kept.iter().map(|(name, value)| (name.into(), value.clone())).collect();
        for (name, value) in &changes.set {
            let field = self.0.get(name);
            match (value, field) {
                (Some(value), Some(field)) => drop(next.insert(name.clone(), field.kind.accept(name, value)?)),
                (None, Some(OwnField { default: Some(default), .. })) => {
                    drop(next.insert(name.clone(), default.clone()));
                }
                (None, Some(_)) => drop(next.remove(name)),
                // What is left of a field that there is no more can be cleared.
                (None, None) if held.get(name).is_some() => drop(next.remove(name)),
                (_, None) => return Err(self.unknown(name)),
            }
        }
        let next: OwnFields = next.into_iter().collect();
        if next.size() > OWN_FIELD_BYTES && next.size() > held.size() {
            let message = format!("the own fields of a profile would have more than {OWN_FIELD_BYTES} bytes as JSON");
            let name = changes.set.keys().next().map_or("", |name| &**name);
            return Err(RequestError::new(Reason::InvalidArgument, message).field(format!("{OWN_PREFIX}{name}")));
        }
        Ok(next)
    }

    /// Checks a change before it is known what it is made to: a client does.
    ///
    /// # Errors
    /// 414 with `fields.NAME`: there is no such field, or it may not hold this.
    pub fn check(&self, changes: &OwnChanges) -> Result<(), RequestError> {
        for (name, value) in &changes.set {
            match (value, self.0.get(name)) {
                (Some(value), Some(field)) => drop(field.kind.accept(name, value)?),
                (Some(_), None) => return Err(self.unknown(name)),
                // What is left of a field that there is no more can be cleared.
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> RequestError {
        let names = || self.0.keys().map(|name| &**name);
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean {OWN_PREFIX}{near}?"),
            None if self.0.is_empty() => "this deployment has no own fields".to_owned(),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        let name: String = name.chars().take(SHOWN).collect();
        let message = format!("there is no field \"{OWN_PREFIX}{name}\"; {hint}");
        RequestError::new(Reason::InvalidArgument, message).field(format!("{OWN_PREFIX}{name}"))
    }
}

impl OwnKind {
    /// Checks a value, and returns it as it is stored: a number as one of this kind.
    ///
    /// # Errors
    /// 414 with `fields.NAME`. The message says what would be right, and nothing of the value.
    pub fn accept(&self, name: &str, value: &OwnValue) -> Result<OwnValue, RequestError> {
        let accepted = match (self, value) {
            (Self::Text { max_length, values }, OwnValue::Text(text)) => {
                accept_text(text, *max_length, values).map(|()| value.clone())
            }
            (Self::Integer { min, max }, value) => whole(value)
                .filter(|number| (*min..=*max).contains(number))
                .map(OwnValue::Integer)
                .ok_or_else(|| format!("must be a whole number from {min} to {max}")),
            (Self::Number { min, max }, OwnValue::Integer(_) | OwnValue::Number(_)) => {
                // Negative zero is zero: the two are equal, so a change between them would be none.
                Some(number(value) + 0.0)
                    .filter(|number| number.is_finite() && (*min..=*max).contains(number))
                    .map(OwnValue::Number)
                    .ok_or_else(|| format!("must be a number from {min} to {max}"))
            }
            (Self::Boolean, OwnValue::Boolean(_)) => Ok(value.clone()),
            (Self::List { max_items, .. }, OwnValue::List(texts)) if texts.len() > *max_items => {
                Err(format!("has more than {max_items} texts"))
            }
            (Self::List { max_length, values, .. }, OwnValue::List(texts)) => {
                texts.iter().try_for_each(|text| accept_text(text, *max_length, values)).map(|()| value.clone())
            }
            (kind, _) => Err(format!("must be {}", kind.in_words())),
        };
        accepted.map_err(|why| {
            let field = format!("{OWN_PREFIX}{name}");
            RequestError::new(Reason::InvalidArgument, format!("{field} {why}")).field(field)
        })
    }

    /// Returns the word of the type in settings and on the wire.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Boolean => "boolean",
            Self::List { .. } => "list",
        }
    }

    fn in_words(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a text",
            Self::Integer { .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Boolean => "true or false",
            Self::List { .. } => "a list of texts",
        }
    }
}

fn accept_text(text: &str, most: usize, values: &[Box<str>]) -> Result<(), String> {
    if text.len() > most && text.chars().count() > most {
        return Err(format!("is longer than {most} characters"));
    }
    if text.contains('\0') {
        return Err("must be text without U+0000".to_owned());
    }
    if !values.is_empty() && values.iter().all(|value| **value != *text) {
        return Err(format!("must be one of {}", values.join(", ")));
    }
    Ok(())
}

/// Returns the whole number that a value is, if it is one that JSON holds exactly.
fn whole(value: &OwnValue) -> Option<i64> {
    let number = match value {
        OwnValue::Integer(number) => *number,
        // One beyond `i64` becomes the greatest, which is no value either.
        OwnValue::Number(number) if number.fract() == 0.0 => *number as i64,
        _ => return None,
    };
    (-SAFE_INTEGER..=SAFE_INTEGER).contains(&number).then_some(number)
}

#[expect(clippy::cast_precision_loss, reason = "an integer beyond 2^53 is no value of a field")]
fn number(value: &OwnValue) -> f64 {
    match value {
        OwnValue::Integer(number) => *number as f64,
        OwnValue::Number(number) => *number,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> OwnSchema {
        let field =
            |kind, default| OwnField { kind, default, audience: Audience::Everyone, writer: FieldWriter::Account };
        let colours = ["red", "green"].map(Box::from).to_vec();
        let tags = OwnKind::List { max_items: 2, max_length: 3, values: Vec::new() };
        let fields = [
            ("about", field(OwnKind::Text { max_length: 5, values: Vec::new() }, None)),
            ("colour", field(OwnKind::Text { max_length: 5, values: colours }, None)),
            ("level", field(OwnKind::Integer { min: 1, max: SAFE_INTEGER }, Some(OwnValue::Integer(1)))),
            ("score", field(OwnKind::Number { min: -1.5, max: 1e300 }, None)),
            ("adult", field(OwnKind::Boolean, None)),
            ("tags", OwnField { audience: Audience::Friends, ..field(tags, None) }),
        ];
        fields.into_iter().map(|(name, field)| (name.into(), field)).collect()
    }

    fn change(name: &str, value: Option<OwnValue>) -> OwnChanges {
        OwnChanges { set: [(name.into(), value)].into(), clears_others: false }
    }

    fn text(text: &str) -> OwnValue {
        OwnValue::Text(text.into())
    }

    fn list(texts: &[&str]) -> OwnValue {
        OwnValue::List(texts.iter().map(|text| (*text).into()).collect())
    }

    #[test]
    fn a_value_has_the_type_and_keeps_the_limits_of_its_field() {
        let schema = schema();
        let set = |name: &str, value| schema.apply(&OwnFields::default(), &change(name, Some(value)));
        for (name, value, stored) in [
            ("about", text("üüüüü"), text("üüüüü")),
            ("about", text(""), text("")),
            ("colour", text("red"), text("red")),
            ("level", OwnValue::Integer(SAFE_INTEGER), OwnValue::Integer(SAFE_INTEGER)),
            ("level", OwnValue::Number(3.0), OwnValue::Integer(3)),
            ("score", OwnValue::Integer(-1), OwnValue::Number(-1.0)),
            ("score", OwnValue::Number(-0.0), OwnValue::Number(0.0)),
            ("adult", OwnValue::Boolean(true), OwnValue::Boolean(true)),
            ("tags", list(&["a", "abc"]), list(&["a", "abc"])),
        ] {
            let next = set(name, value.clone()).unwrap();
            assert_eq!(next.get(name), Some(&stored), "{name}: {value:?}");
        }
        assert!(
            set("score", OwnValue::Number(-0.0)).unwrap().iter().all(|(_, value)| !format!("{value:?}").contains('-'))
        );
        for (name, value, why) in [
            ("about", text("abcdef"), "is longer than 5 characters"),
            ("about", text("a\0"), "must be text without U+0000"),
            ("about", OwnValue::Integer(1), "must be a text"),
            ("colour", text("blue"), "must be one of red, green"),
            ("level", OwnValue::Integer(0), "must be a whole number from 1"),
            ("level", OwnValue::Integer(SAFE_INTEGER + 1), "must be a whole number from 1"),
            ("level", OwnValue::Number(1.5), "must be a whole number from 1"),
            ("level", OwnValue::Number(1e300), "must be a whole number from 1"),
            ("level", OwnValue::Number(f64::NAN), "must be a whole number from 1"),
            ("level", text("3"), "must be a whole number from 1"),
            ("score", OwnValue::Number(-1.6), "must be a number from -1.5"),
            ("score", OwnValue::Number(f64::NAN), "must be a number from"),
            ("score", OwnValue::Number(f64::INFINITY), "must be a number from"),
            ("score", OwnValue::Boolean(true), "must be a number"),
            ("adult", text("true"), "must be true or false"),
            ("tags", list(&["a", "b", "c"]), "has more than 2 texts"),
            ("tags", list(&["abcd"]), "is longer than 3 characters"),
            ("tags", text("a"), "must be a list of texts"),
            ("levle", OwnValue::Integer(1), "there is no field \"fields.levle\"; did you mean fields.level?"),
            ("zzz", OwnValue::Integer(1), "there are about, adult, colour, level, score, tags"),
        ] {
            let error = set(name, value.clone()).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(format!("fields.{name}").as_str()), "{value:?}");
            assert!(error.message.contains(why), "{name}: {value:?}: {}", error.message);
        }
    }

    #[test]
    fn a_change_is_by_name_and_null_gives_the_default_back() {
        let schema = schema();
        let new = schema.defaults();
        assert_eq!(new.iter().collect::<Vec<_>>(), [("level", &OwnValue::Integer(1))]);
        let some = schema.apply(&new, &change("about", Some(text("me")))).unwrap();
        let some = schema.apply(&some, &change("level", Some(OwnValue::Integer(7)))).unwrap();
        assert_eq!(some.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["about", "level"]);
        assert_eq!(some.changed(&new).collect::<Vec<_>>(), ["fields.about", "fields.level"]);
        assert_eq!(schema.apply(&some, &change("level", None)).unwrap().get("level"), Some(&OwnValue::Integer(1)));
        assert_eq!(schema.apply(&some, &change("about", None)).unwrap().get("about"), None);
        let replaced = OwnChanges { clears_others: true, ..OwnChanges::default() };
        assert_eq!(schema.apply(&some, &replaced).unwrap(), new);
        assert!(schema.apply(&new, &change("zzz", None)).is_err());
    }

    #[test]
    fn what_is_left_of_a_field_that_is_gone_is_seen_by_nobody_and_can_be_cleared() {
        let schema = schema();
        let held: OwnFields = [("old".into(), text("x")), ("about".into(), text("y"))].into_iter().collect();
        for audience in Audience::ALL {
            assert_eq!(schema.visible(&held, audience).get("old"), None);
            assert!(!schema.shows_all(&held, audience));
        }
        assert!(schema.apply(&held, &change("old", Some(text("z")))).is_err());
        let next = schema.apply(&held, &change("old", None)).unwrap();
        assert_eq!(next.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["about"]);
        assert!(schema.same(&held, &next, Audience::Own), "nobody saw it");
    }

    #[test]
    fn all_fields_together_have_a_limit_and_what_is_over_it_may_shrink() {
        let kind = OwnKind::Text { max_length: 100_000, values: Vec::new() };
        let field = OwnField { kind, default: None, audience: Audience::Everyone, writer: FieldWriter::Account };
        let schema: OwnSchema =
            [("a", field.clone()), ("b", field)].map(|(name, field)| (name.into(), field)).into_iter().collect();
        let most = text(&"x".repeat(OWN_FIELD_BYTES - 7));
        let full = schema.apply(&OwnFields::default(), &change("a", Some(most))).unwrap();
        let error = schema.apply(&full, &change("b", Some(text("")))).unwrap_err();
        assert_eq!((error.reason, error.field.as_deref()), (Reason::InvalidArgument, Some("fields.b")));
        let over: OwnFields = [("a".into(), text(&"x".repeat(2 * OWN_FIELD_BYTES)))].into_iter().collect();
        assert!(schema.apply(&over, &change("a", Some(text(&"x".repeat(OWN_FIELD_BYTES + 9))))).is_ok());
    }
}
