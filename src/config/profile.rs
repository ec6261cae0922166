//! `[profile]`: who may see and write the fields of a profile, and the fields that the operator adds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::called_server::Wrong;
use super::choice::{self, FieldType};
use super::form;
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::limits::{OWN_FIELD_BYTES, OWN_FIELDS, SAFE_INTEGER};
use rosterd_engine::model::{
    Audience, FieldWriter, OwnField, OwnKind, OwnSchema, OwnValue, Profile, Visibility, WriteRights,
};

/// What users and records have besides fields, in any spelling.
const TAKEN: [&str; 9] =
    ["account", "createtime", "updatetime", "version", "fields", "presence", "invisible", "lastseen", "ifversion"];
/// The greatest whole number that a field may hold, as settings have it.
#[expect(clippy::cast_precision_loss, reason = "it is the greatest that is exact")]
const SAFE: f64 = SAFE_INTEGER as f64;

/// `[profile]`: what the fields of a profile are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileConfig {
    /// `[profile.visibility]`: who may see each field.
    #[serde(with = "form::Audiences")]
    pub visibility: Visibility,
    /// `[profile.write]`: who may write each field.
    #[serde(with = "WriterKeys")]
    pub write: WriteRights,
    /// `[profile.fields.NAME]`: further fields.
    pub fields: BTreeMap<String, FieldConfig>,
}

/// Defines the keys of `[profile.write]` out of the table of profile fields.
macro_rules! define_writers {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// Who may write each field of a profile.
        #[derive(Serialize, Deserialize)]
        #[serde(remote = "WriteRights", default = "WriteRights::default", deny_unknown_fields)]
        struct WriterKeys {
            $(#[serde(with = "choice")] $name: FieldWriter,)+
        }
    };
}

for_each_profile_field!(define_writers);

/// `[profile.fields.NAME]`: a field that the operator adds to all profiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldConfig {
    /// What it holds.
    #[serde(rename = "type", with = "choice")]
    pub kind: FieldType,
    /// The most characters of a text, and of each text of a list.
    #[serde(with = "form::count")]
    pub max_length: usize,
    /// The most texts of a list.
    #[serde(with = "form::count")]
    pub max_items: usize,
    /// The least number.
    pub min: f64,
    /// The greatest number.
    pub max: f64,
    /// The texts that there are; none = any.
    pub values: Vec<String>,
    /// What a new profile has; empty = nothing.
    pub default: String,
    /// Who may see it.
    #[serde(with = "choice")]
    pub visibility: Audience,
    /// Who may write it.
    #[serde(with = "choice")]
    pub write: FieldWriter,
}

/// A bound that is finite equals itself.
impl Eq for FieldConfig {}

impl Default for FieldConfig {
    fn default() -> Self {
        Self {
            kind: FieldType::Undecided,
            max_length: 256,
            max_items: 16,
            min: -SAFE,
            max: SAFE,
            values: Vec::new(),
            default: String::new(),
            visibility: Audience::Everyone,
            write: FieldWriter::Account,
        }
    }
}

impl ProfileConfig {
    /// Returns who may see which field, own fields included.
    #[must_use]
    pub fn rules(&self) -> Visibility {
        let own: OwnSchema = self.fields.iter().map(|(name, field)| (name.as_str().into(), field.own())).collect();
        Visibility { own: Arc::new(own), ..self.visibility.clone() }
    }

    /// Finds what is wrong with the fields that the operator adds.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        if self.fields.len() > OWN_FIELDS {
            let message = format!("are {}, at most {OWN_FIELDS} are possible", self.fields.len());
            list.push(("profile.fields".to_owned(), message));
        }
        for (name, field) in &self.fields {
            let path = format!("profile.fields.{name}");
            let bare = name.replace('_', "");
            if Profile::FIELDS.contains(&name.as_str()) || TAKEN.contains(&bare.as_str()) {
                let message = "has the name of something that every profile has; choose another".to_owned();
                list.push((path.clone(), message));
            }
            let wrong = field.problems();
            list.extend(wrong.into_iter().map(|(key, message)| (format!("{path}.{key}"), message)));
        }
        list
    }
}

impl FieldConfig {
    fn own(&self) -> OwnField {
        let kind = self.own_kind();
        let default = Some(&self.default).filter(|text| !text.is_empty());
        let default = default.and_then(|text| kind.accept("", &self.read(text)).ok());
        OwnField { kind, default, audience: self.visibility, writer: self.write }
    }

    fn own_kind(&self) -> OwnKind {
        let values = || self.values.iter().map(|value| value.as_str().into()).collect();
        let (max_length, max_items) = (self.max_length, self.max_items);
        match self.kind {
            FieldType::Text | FieldType::Undecided => OwnKind::Text { max_length, values: values() },
            FieldType::Integer => OwnKind::Integer { min: self.min as i64, max: self.max as i64 },
            FieldType::Number => OwnKind::Number { min: self.min, max: self.max },
            FieldType::Boolean => OwnKind::Boolean,
            FieldType::List => OwnKind::List { max_items, max_length, values: values() },
        }
    }

    /// Reads a value out of a text, as one of the field's type as far as possible.
    fn read(&self, text: &str) -> OwnValue {
        let parsed = match self.kind {
            FieldType::Integer => text.parse().ok().map(OwnValue::Integer),
            FieldType::Number => text.parse().ok().map(OwnValue::Number),
            FieldType::Boolean => text.parse().ok().map(OwnValue::Boolean),
            FieldType::List => Some(OwnValue::List(text.split(',').map(|text| text.trim().into()).collect())),
            FieldType::Text | FieldType::Undecided => None,
        };
        parsed.unwrap_or_else(|| OwnValue::Text(text.into()))
    }

    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.kind == FieldType::Undecided {
            let why = "is needed: \"text\", \"integer\", \"number\", \"boolean\" or \"list\"";
            wrong.push(("type", why.to_owned()));
            return wrong;
        }
        for (key, value, usual) in [("min", self.min, -SAFE), ("max", self.max, SAFE)] {
            if !(-SAFE..=SAFE).contains(&value) {
                wrong.push((key, format!("must be from -{SAFE_INTEGER} to {SAFE_INTEGER}")));
            } else if self.kind == FieldType::Integer && value.fract() != 0.0 {
                wrong.push((key, "must be a whole number, as the field is one".to_owned()));
            } else if !matches!(self.kind, FieldType::Integer | FieldType::Number) && (value - usual).abs() > 0.0 {
                wrong.push((key, "is for numbers, and the field is none; remove it".to_owned()));
            }
        }
        if self.min > self.max {
            wrong.push(("max", format!("is {}, less than min, which is {}", self.max, self.min)));
        }
        let of_texts = matches!(self.kind, FieldType::Text | FieldType::List);
        if !(1..=OWN_FIELD_BYTES).contains(&self.max_length) {
            wrong.push(("max_length", format!("is {}, must be 1 to {OWN_FIELD_BYTES}", self.max_length)));
        }
        if !(1..=OWN_FIELD_BYTES).contains(&self.max_items) {
            wrong.push(("max_items", format!("is {}, must be 1 to {OWN_FIELD_BYTES}", self.max_items)));
        }
        if !of_texts && !self.values.is_empty() {
            wrong.push(("values", "is for texts, and the field has none; remove it".to_owned()));
        }
        if let Some(long) = self.values.iter().find(|value| value.chars().count() > self.max_length) {
            wrong.push(("values", format!("has {long:?}, which is longer than max_length, {}", self.max_length)));
        }
        if wrong.is_empty()
            && !self.default.is_empty()
            && let Err(error) = self.own_kind().accept("", &self.read(&self.default))
        {
            let why = error.message.trim_start_matches("fields. ").to_owned();
            wrong.push(("default", why));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: FieldType) -> FieldConfig {
        FieldConfig { kind, ..FieldConfig::default() }
    }

    fn wrong(name: &str, field: FieldConfig) -> Vec<String> {
        let profile = ProfileConfig { fields: [(name.to_owned(), field)].into(), ..ProfileConfig::default() };
        profile.problems().into_iter().map(|(key, message)| format!("{key}: {message}")).collect()
    }

    #[test]
    fn a_field_that_contradicts_itself_is_named() {
        let level = FieldConfig { min: 1.0, max: 99.0, default: "1".into(), ..field(FieldType::Integer) };
        assert_eq!(wrong("level", level.clone()), [""; 0]);
        for kind in [FieldType::Text, FieldType::Integer, FieldType::Number, FieldType::Boolean, FieldType::List] {
            assert_eq!(wrong("one", field(kind)), [""; 0], "{kind:?}");
        }
        let red = || vec!["red".to_owned()];
        for (name, field, says) in [
            ("level", field(FieldType::Undecided), "profile.fields.level.type: is needed: \"text\""),
            ("nick", level.clone(), "profile.fields.nick: has the name of something"),
            ("create_time", level.clone(), "profile.fields.create_time: has the name of something"),
            ("a", FieldConfig { min: 0.5, ..level.clone() }, "profile.fields.a.min: must be a whole number"),
            (
                "a",
                FieldConfig { min: 100.0, ..level.clone() },
                "profile.fields.a.max: is 99, less than min, which is 100",
            ),
            ("a", FieldConfig { max: 1e300, ..level.clone() }, "profile.fields.a.max: must be from -9007199254740991"),
            ("a", FieldConfig { max: f64::NAN, ..level.clone() }, "profile.fields.a.max: must be from"),
            (
                "a",
                FieldConfig { default: "0".into(), ..level.clone() },
                "profile.fields.a.default: must be a whole number",
            ),
            (
                "a",
                FieldConfig { default: "one".into(), ..level.clone() },
                "profile.fields.a.default: must be a whole number",
            ),
            ("a", FieldConfig { values: red(), ..level }, "profile.fields.a.values: is for texts"),
            ("a", FieldConfig { min: 1.0, ..field(FieldType::Text) }, "profile.fields.a.min: is for numbers"),
            (
                "a",
                FieldConfig { max_length: 0, ..field(FieldType::Text) },
                "profile.fields.a.max_length: is 0, must be 1",
            ),
            (
                "a",
                FieldConfig { max_items: 9999, ..field(FieldType::List) },
                "profile.fields.a.max_items: is 9999, must be",
            ),
            (
                "a",
                FieldConfig { max_length: 2, values: red(), ..field(FieldType::List) },
                "profile.fields.a.values: has \"red\", which is longer than max_length, 2",
            ),
            (
                "a",
                FieldConfig { values: red(), default: "blue".into(), ..field(FieldType::Text) },
                "profile.fields.a.default: must be one of red",
            ),
            (
                "a",
                FieldConfig { default: "yes".into(), ..field(FieldType::Boolean) },
                "profile.fields.a.default: must be true or false",
            ),
        ] {
            let problems = wrong(name, field);
            assert!(problems.first().is_some_and(|problem| problem.starts_with(says)), "{says}: {problems:?}");
        }
        let many = (0..33).map(|n| (format!("a{n}"), field(FieldType::Text))).collect();
        let problems = ProfileConfig { fields: many, ..ProfileConfig::default() }.problems();
        assert_eq!((&*problems[0].0, problems.len()), ("profile.fields", 1));
    }

    #[test]
    fn defaults_are_read_as_their_type() {
        let own = |kind, default: &str| FieldConfig { default: default.to_owned(), ..field(kind) }.own().default;
        assert_eq!(own(FieldType::Text, "7"), Some(OwnValue::Text("7".into())));
        assert_eq!(own(FieldType::Integer, "7"), Some(OwnValue::Integer(7)));
        assert_eq!(own(FieldType::Number, "7"), Some(OwnValue::Number(7.0)));
        assert_eq!(own(FieldType::Boolean, "true"), Some(OwnValue::Boolean(true)));
        assert_eq!(own(FieldType::List, "a, b"), Some(OwnValue::List(["a".into(), "b".into()].into())));
        assert_eq!(own(FieldType::Integer, ""), None);
    }
}
