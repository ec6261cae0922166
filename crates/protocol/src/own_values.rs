//! The values of own fields on the wire, in JSON, and as a store keeps them.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::v1;
use rosterd_engine::model::{Account, Muted, OWN_PREFIX, OwnChanges, OwnFields, OwnValue, Reason, RequestError};

type OwnValues = BTreeMap<String, v1::FieldValue>;

/// Returns the fields as the schema's `User` holds them.
pub(crate) fn to_wire(fields: &OwnFields) -> OwnValues {
    fields.iter().map(|(name, value)| (name.to_owned(), v1::FieldValue::from(value))).collect()
}

/// Takes the own fields out of an `updateMyInfo`.
///
/// # Errors
/// 414 for a field with several values.
pub(crate) fn changes(fields: OwnValues) -> Result<OwnChanges, RequestError> {
    let change = |(name, value): (String, v1::FieldValue)| {
        let mut values = values(value);
        let value = values.pop();
        if values.is_empty() {
            return Ok((name.into(), value));
        }
        let field = format!("{OWN_PREFIX}{name}");
        Err(RequestError::new(Reason::InvalidArgument, format!("{field} has more than one value")).field(field))
    };
    let set = fields.into_iter().map(change).collect::<Result<_, _>>()?;
    Ok(OwnChanges { set, clears_others: false })
}

/// Returns the fields that were stored like this; `None` if they never were.
pub(crate) fn from_stored(fields: OwnValues) -> Option<OwnFields> {
    fields.into_iter().map(|(name, value)| Some((name.into(), values(value).pop()?))).collect()
}

/// Encodes the own fields of a profile, and whom it mutes, for a store; where there are none, as nothing.
#[must_use]
pub fn further_fields_to_bytes(fields: &OwnFields, muted: &Muted) -> Vec<u8> {
    let muted = muted.iter().map(ToString::to_string).collect();
    v1::User { fields: to_wire(fields), muted, ..v1::User::default() }.encode_to_vec()
}

/// Reads what [`further_fields_to_bytes`] encoded; `None` if it is damaged.
#[must_use]
pub fn further_fields_from_bytes(bytes: &[u8]) -> Option<(OwnFields, Muted)> {
    if bytes.is_empty() {
        return Some(Default::default());
    }
    let v1::User { fields, muted, .. } = v1::User::decode(bytes).ok()?;
    let muted = muted.iter().map(|name| Account::stored(name)).collect::<Option<_>>()?;
    Some((from_stored(fields)?, muted))
}

/// Returns the value of a field, if it has one.
pub(crate) fn value(value: v1::FieldValue) -> Option<OwnValue> {
    values(value).pop()
}

/// Returns the values that are set in a field of the schema.
fn values(value: v1::FieldValue) -> Vec<OwnValue> {
    let v1::FieldValue { text, integer, number, boolean, list } = value;
    let list = list.map(|list| OwnValue::List(list.texts.into_iter().map(Into::into).collect()));
    let values = [
        text.map(|text| OwnValue::Text(text.into())),
        integer.map(OwnValue::Integer),
        number.map(OwnValue::Number),
        boolean.map(OwnValue::Boolean),
        list,
    ];
    values.into_iter().flatten().collect()
}

impl From<&OwnValue> for v1::FieldValue {
    fn from(value: &OwnValue) -> Self {
        let none = Self::default();
        match value {
            OwnValue::Text(text) => Self { text: Some(text.to_string()), ..none },
            OwnValue::Integer(integer) => Self { integer: Some(*integer), ..none },
            OwnValue::Number(number) => Self { number: Some(*number), ..none },
            OwnValue::Boolean(boolean) => Self { boolean: Some(*boolean), ..none },
            OwnValue::List(texts) => {
                let texts = texts.iter().map(ToString::to_string).collect();
                Self { list: Some(v1::FieldTexts { texts }), ..none }
            }
        }
    }
}

/// The own fields of a profile in JSON.
pub(crate) struct OwnRecord<'a>(pub(crate) &'a OwnFields);

impl Serialize for OwnRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, v1::FieldValue::from(value))))
    }
}

impl Serialize for v1::FieldValue {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self { text: Some(text), .. } => to.serialize_str(text),
            Self { integer: Some(integer), .. } => to.serialize_i64(*integer),
            Self { number: Some(number), .. } => to.serialize_f64(*number),
            Self { boolean: Some(boolean), .. } => to.serialize_bool(*boolean),
            Self { list: Some(list), .. } => to.collect_seq(&list.texts),
            _ => to.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for v1::FieldValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = v1::FieldValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number, true, false, a list of strings or null")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Self::Value::default())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Self::Value { text: Some(text.to_owned()), ..Self::Value::default() })
            }

            fn visit_i64<E: de::Error>(self, integer: i64) -> Result<Self::Value, E> {
                Ok(Self::Value { integer: Some(integer), ..Self::Value::default() })
            }

            /// One beyond `i64` is beyond every limit as well.
            fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Self::Value, E> {
                self.visit_i64(i64::try_from(integer).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Self::Value { number: Some(number), ..Self::Value::default() })
            }

            fn visit_bool<E: de::Error>(self, boolean: bool) -> Result<Self::Value, E> {
                Ok(Self::Value { boolean: Some(boolean), ..Self::Value::default() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = entries.next_element()? {
                    texts.push(text);
                }
                Ok(Self::Value { list: Some(v1::FieldTexts { texts }), ..Self::Value::default() })
            }
        }
        from.deserialize_any(AnyValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;
    use rosterd_engine::model::Profile;

    fn all() -> OwnFields {
        let list = ["a", ""].map(Box::from).to_vec().into();
        let fields = [
            ("about", OwnValue::Text("\u{1f600}\"".into())),
            ("empty", OwnValue::Text("".into())),
            ("level", OwnValue::Integer(-9_007_199_254_740_991)),
            ("none", OwnValue::List([].into())),
            ("score", OwnValue::Number(0.1 + 0.2)),
            ("tags", OwnValue::List(list)),
            ("vip", OwnValue::Boolean(false)),
            ("zero", OwnValue::Integer(0)),
        ];
        fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
    }

    #[test]
    fn values_come_back_from_a_store_and_from_both_encodings() {
        let muted: Muted = ["bob", "eve"].map(|name| Account::stored(name).unwrap()).into_iter().collect();
        for (fields, muted) in [(all(), muted.clone()), (OwnFields::default(), muted), (all(), Muted::default())] {
            let bytes = further_fields_to_bytes(&fields, &muted);
            assert_eq!(further_fields_from_bytes(&bytes), Some((fields, muted)));
        }
        assert_eq!(further_fields_to_bytes(&OwnFields::default(), &Muted::default()), b"");
        assert_eq!(further_fields_from_bytes(b""), Some(Default::default()));
        assert_eq!(further_fields_from_bytes(&[0xff]), None);
        let profile = Profile { own: all(), ..Profile::new(Account::parse("ann", "account").unwrap(), 1, 1) };
        let user = v1::User::from(&profile);
        let json = serde_json::to_string(&user).unwrap();
        let fields = r#""fields":{"about":"\u{1f600}\"","empty":"","level":-9007199254740991,"none":[],"score":0.30000000000000004,"tags":["a",""],"vip":false,"zero":0}"#;
        assert!(json.contains(&fields.replace("\\u{1f600}", "\u{1f600}")), "{json}");
        assert_eq!(serde_json::from_str::<v1::User>(&json).unwrap(), user);
        let mut bytes = Vec::new();
        Encoding::Protobuf.encode(&user, &mut bytes);
        assert_eq!(v1::User::decode(&*bytes).unwrap(), user);
        let bare = v1::User::from(&Profile { own: OwnFields::default(), ..profile });
        assert!(!serde_json::to_string(&bare).unwrap().contains("fields"));
    }

    #[test]
    fn a_change_clears_by_null_and_names_what_cannot_be_read() {
        let read = |json: &str| crate::body::<v1::UpdateMyInfo>(json.as_bytes()).and_then(crate::fields);
        let fields =
            read(r#"{"fields": {"level": 3, "about": null, "score": 1.5, "big": 18446744073709551615}}"#).unwrap();
        let set: Vec<_> = fields.own.set.iter().map(|(name, value)| (&**name, value.clone())).collect();
        assert_eq!(
            set,
            [
                ("about", None),
                ("big", Some(OwnValue::Integer(i64::MAX))),
                ("level", Some(OwnValue::Integer(3))),
                ("score", Some(OwnValue::Number(1.5))),
            ]
        );
        assert!(read("{\"fields\": null}").unwrap().own.is_empty() && read("{}").unwrap().own.is_empty());
        for (json, field) in [
            (r#"{"fields": {"level": {"a": 1}}}"#, "fields.level"),
            (r#"{"fields": {"tags": ["a", 1]}}"#, "fields.tags[1]"),
            (r#"{"fields": {"tags": [["a"]]}}"#, "fields.tags[0]"),
            (r#"{"fields": []}"#, "fields"),
            (r#"{"fields": "level"}"#, "fields"),
        ] {
            let error = read(json).unwrap_err();
            assert_eq!((error.reason, error.field.as_deref()), (Reason::InvalidArgument, Some(field)), "{json}");
        }
        let two = v1::FieldValue { text: Some("a".into()), integer: Some(1), ..v1::FieldValue::default() };
        let update = v1::UpdateMyInfo { fields: [("level".to_owned(), two)].into(), ..v1::UpdateMyInfo::default() };
        assert_eq!(crate::fields(update).unwrap_err().field.as_deref(), Some("fields.level"));
    }
}
