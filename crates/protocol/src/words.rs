//! Writes and reads enums in JSON as the schema's names in lower case.

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::v1;

/// Makes the serde module of a schema enum. The words are for errors.
macro_rules! words {
    ($module:ident, $type:ty, $words:expr) => {
        pub(crate) mod $module {
            use super::*;

            fn word(value: i32) -> String {
                <$type>::try_from(value).unwrap_or_default().as_str_name().to_ascii_lowercase()
            }

            fn value<E: de::Error>(word: &str) -> Result<i32, E> {
                if !$words.contains(&word) {
                    return Err(E::unknown_variant(word, $words));
                }
                let value = <$type>::from_str_name(&word.to_ascii_uppercase());
                Ok(value.expect("the words are the schema's") as i32)
            }

            #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
            pub(crate) fn serialize<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&word(*value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
                value(&String::deserialize(from)?)
            }

            #[allow(
                dead_code,
                clippy::ref_option,
                reason = "which of these a field needs is up to the schema, the shape up to serde"
            )]
            pub(crate) mod optional {
                use super::*;

                pub(crate) fn serialize<S: Serializer>(value: &Option<i32>, to: S) -> Result<S::Ok, S::Error> {
                    match value {
                        Some(value) => to.serialize_some(&word(*value)),
                        None => to.serialize_none(),
                    }
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
                    Option::<String>::deserialize(from)?.map(|word| value(&word)).transpose()
                }
            }
        }
    };
}

words!(gender, v1::Gender, &["unknown", "male", "female"]);
words!(syncmode, v1::SyncMode, &["full", "delta", "current"]);
words!(direction, v1::Direction, &["in", "out"]);
words!(requeststate, v1::RequestState, &["open", "accepted", "rejected", "cancelled", "expired"]);
