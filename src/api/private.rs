//! Records as a caller may see them: without their private fields, unless the caller has the scope for these.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::access::Caller;
use crate::keys::Scope;
use crate::service::Service;
use rosterd_engine::model::Profile;
use rosterd_protocol::v1;

/// A record with fields that only callers with the scope `private` see.
pub(super) trait PrivateFields: Serialize {
    /// The names of these fields in JSON.
    const PRIVATE: &'static [&'static str];
}

impl PrivateFields for v1::User {
    const PRIVATE: &'static [&'static str] = &["email", "birth", "tel", "muted"];
}

impl PrivateFields for v1::Friend {
    const PRIVATE: &'static [&'static str] = &["alias", "custom"];
}

impl PrivateFields for v1::Request {
    const PRIVATE: &'static [&'static str] = &["message"];
}

/// The schemas of these records in the document: what may be absent in each.
pub(super) const SCHEMAS: [(&str, &[&str]); 3] =
    [("User", v1::User::PRIVATE), ("Friend", v1::Friend::PRIVATE), ("Request", v1::Request::PRIVATE)];

/// A record as a caller may see it.
#[derive(Debug)]
pub(super) struct ForCaller<T> {
    record: T,
    private: bool,
}

impl Caller {
    /// Returns a record as this caller may see it.
    pub(super) fn sees<T: PrivateFields>(&self, record: T) -> ForCaller<T> {
        ForCaller { record, private: self.has(Scope::Private) }
    }

    /// Returns a profile as this caller may see it: an own field that is not for everyone is private.
    pub(super) fn sees_user(&self, service: &Service, profile: &Profile) -> ForCaller<v1::User> {
        if self.has(Scope::Private) || profile.own.is_empty() {
            return self.sees(v1::User::from(profile));
        }
        self.sees(v1::User::from(&service.without_private_fields(profile)))
    }
}

impl<T: PrivateFields> Serialize for ForCaller<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.private {
            return self.record.serialize(to);
        }
        let mut record = serde_json::to_value(&self.record).map_err(serde::ser::Error::custom)?;
        if let Value::Object(fields) = &mut record {
            fields.retain(|name, _| !T::PRIVATE.contains(&name.as_str()));
        }
        record.serialize(to)
    }
}
