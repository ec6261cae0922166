//! Finds fields that nobody reads, in what backends and import files give.
//!
//! Clients are not held to it: a newer client may say more than this gateway knows. A backend that spells a field
//! wrongly would otherwise be answered as if it had left the field out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use rosterd_engine::model::{Reason, RequestError, nearest};

/// The most characters of an unknown name that an error repeats.
const SHOWN: usize = 40;

/// Checks that an object has no field that neither `T` nor `more` has. What is no object at all is for others to refuse.
///
/// # Errors
/// 414 with the first such field, and the nearest that there is.
pub(super) fn known_fields<'a, T: Deserialize<'a>>(body: &RawValue, more: &[&'static str]) -> Result<(), RequestError> {
    let Ok(given) = serde_json::from_str::<BTreeMap<String, &RawValue>>(body.get()) else { return Ok(()) };
    let known = || more.iter().chain(fields_of::<T>()).copied();
    match given.keys().find(|name| known().all(|known| known != name.as_str())) {
        None => Ok(()),
        Some(name) => Err(unknown_field(name, &known().collect::<Vec<_>>())),
    }
}

fn unknown_field(name: &str, known: &[&str]) -> RequestError {
    // Names differ in case, too: nobody else says `IFVERSION`.
    let like = |known: &&&str| known.eq_ignore_ascii_case(name);
    let near = known.iter().find(like).copied().or_else(|| nearest(name, known.iter().copied()));
    let hint = near.map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near}?"));
    let name: String = name.chars().take(SHOWN).collect();
    RequestError::new(Reason::InvalidArgument, format!("there is no field \"{name}\"; {hint}")).field(name)
}

/// Returns the names of the fields that a structure is read from.
fn fields_of<'a, T: Deserialize<'a>>() -> &'static [&'static str] {
    let mut names = &[][..];
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

/// Reads nothing: it only learns which fields are asked for.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only the names are wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("this is no structure"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn a_field_that_nobody_reads_is_named_with_the_nearest() {
        let check = |json: &str| {
            let body: Box<RawValue> = serde_json::from_str(json).unwrap();
            known_fields::<v1::UpdateMyInfo>(&body, &["account"])
        };
        for good in ["{}", r#"{"nick": "x", "gender": null, "ifVersion": 3, "account": "ann"}"#, "[]", "null", "7"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, name, says) in [
            (r#"{"nickname": "x"}"#, "nickname", "did you mean nick?"),
            (r#"{"nick": "x", "if_version": 3}"#, "if_version", "did you mean ifVersion?"),
            (r#"{"IFVERSION": 3}"#, "IFVERSION", "did you mean ifVersion?"),
            (r#"{"accoumt": "x"}"#, "accoumt", "did you mean account?"),
            (r#"{"zzz": {"nick": 1}}"#, "zzz", "there are account, nick, avatar, sign,"),
            (r#"{"": 1}"#, "", "there are account"),
        ] {
            let error = check(bad).unwrap_err();
            assert_eq!((error.reason, error.field.as_deref()), (Reason::InvalidArgument, Some(name)), "{bad}");
            assert!(error.message.contains(says), "{bad}: {}", error.message);
        }
        let long = check(&format!("{{\"{}\": 1}}", "ü".repeat(1000))).unwrap_err();
        assert_eq!(long.field.unwrap().chars().count(), SHOWN);
    }
}
