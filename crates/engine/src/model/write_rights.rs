//! Who may write which field of a profile.

use super::own_fields::OWN_PREFIX;
use super::own_schema::OwnSchema;
use super::{FieldWriter, Fields, Reason, RequestError};
use crate::for_each_profile_field;

/// Defines the rights out of the table of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// The writer of every field that is not an own field; the same for all profiles of a deployment.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are those of the profile")]
        pub struct WriteRights {
            $(pub $name: FieldWriter,)+
        }

        impl<'a> FromIterator<&'a str> for WriteRights {
            /// Makes the rights of a deployment where only the backend may write these fields. A name of no field is passed
            /// over.
            fn from_iter<T: IntoIterator<Item = &'a str>>(backend_only: T) -> Self {
                let mut rights = Self::default();
                for name in backend_only {
                    $(if name == stringify!($name) {
                        rights.$name = FieldWriter::Backend;
                    })+
                }
                rights
            }
        }

        impl WriteRights {
            /// Returns the names of the fields that only the backend may write.
            pub fn backend_only(&self) -> impl Iterator<Item = &'static str> {
                let writers = [$((stringify!($name), self.$name),)+];
                writers.into_iter().filter(|(_, writer)| *writer == FieldWriter::Backend).map(|(name, _)| name)
            }

            /// Writes the rights as a text: `nick=backend avatar=self …`.
            #[must_use]
            pub fn to_text(&self) -> String {
                [$((stringify!($name), self.$name)),+].map(|(name, writer)| format!("{name}={}", writer.word())).join(" ")
            }

            /// Reads a text; `None` if a field has a writer that does not exist. A field that the text lacks has the default,
            /// and one that does not exist any more is ignored.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                let mut rights = Self::default();
                for right in text.split_whitespace() {
                    let (field, word) = right.split_once('=')?;
                    let writer = || FieldWriter::ALL.into_iter().find(|writer| writer.word() == word);
                    match field {
                        $(stringify!($name) => rights.$name = writer()?,)+
                        _ => {}
                    }
                }
                Some(rights)
            }

            fn refused(&self, fields: &Fields) -> Option<&'static str> {
                $(if self.$name == FieldWriter::Backend && fields.$name.is_some() {
                    return Some(stringify!($name));
                })+
                None
            }
        }
    };
}

for_each_profile_field!(define);

impl WriteRights {
    /// Checks that a client may write all fields that it gives.
    ///
    /// # Errors
    /// 403 with the first field that only the backend may write, whether or not the value would change.
    pub fn permit(&self, own: &OwnSchema, fields: &Fields) -> Result<(), RequestError> {
        let is_refused = |name: &&str| fields.own.set.contains_key(*name);
        let of_backend = own.iter().filter(|(_, field)| field.writer == FieldWriter::Backend).map(|(name, _)| name);
        let field = match self.refused(fields) {
            Some(name) => name.to_owned(),
            None => match of_backend.into_iter().find(is_refused) {
                Some(name) => format!("{OWN_PREFIX}{name}"),
                None => return Ok(()),
            },
        };
        let message = format!("only the backend may write {field}");
        Err(RequestError::new(Reason::PermissionDenied, message).field(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Audience, OwnField, OwnKind};

    #[test]
    fn a_text_has_the_writer_of_every_field() {
        let rights = WriteRights { nick: FieldWriter::Backend, ..WriteRights::default() };
        let text = rights.to_text();
        assert!(text.starts_with("nick=backend avatar=self "), "{text}");
        assert_eq!(WriteRights::from_text(&text), Some(rights.clone()));
        assert_eq!(WriteRights::from_text("nick=backend shoe_size=whoever"), Some(rights));
        assert_eq!(WriteRights::from_text("nick=whoever"), None);
    }

    #[test]
    fn a_client_writes_no_field_of_the_backend() {
        let level = OwnField {
            kind: OwnKind::Boolean,
            default: None,
            audience: Audience::Everyone,
            writer: FieldWriter::Backend,
        };
        let about = OwnField { writer: FieldWriter::Account, ..level.clone() };
        let own: OwnSchema = [("level".into(), level), ("about".into(), about)].into_iter().collect();
        let rights = WriteRights { nick: FieldWriter::Backend, ..WriteRights::default() };
        let refused = |fields: &Fields| {
            let error = rights.permit(&own, fields).err()?;
            assert_eq!(error.reason, Reason::PermissionDenied);
            error.field.map(std::borrow::Cow::into_owned)
        };
        let mut fields = Fields { sign: Some("x".into()), ..Fields::default() };
        fields.own.set.insert("about".into(), None);
        assert_eq!(refused(&fields), None);
        fields.own.set.insert("level".into(), None);
        assert_eq!(refused(&fields).as_deref(), Some("fields.level"));
        assert_eq!(refused(&Fields { nick: Some(String::new()), ..fields }).as_deref(), Some("nick"));
    }

    #[test]
    fn rights_are_made_of_the_names_that_they_give() {
        let rights: WriteRights = ["nick", "unknown", "custom"].into_iter().collect();
        let expected =
            WriteRights { nick: FieldWriter::Backend, custom: FieldWriter::Backend, ..WriteRights::default() };
        assert_eq!(rights, expected);
        assert_eq!(rights.backend_only().collect::<Vec<_>>(), ["nick", "custom"]);
    }
}
