//! Parses and formats single settings: durations, addresses, sizes, the store's URL, and secrets.
//!
//! Each error says what would be right. `choice` reads words out of a list, `ranges` checks ranges.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::Value;

use super::choice;
use crate::store::postgres::{NatsServers, PostgresUrl};
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::{Audience, OwnSchema, RulesChange, Visibility};

/// A text that neither `Debug` output nor an error nor serialization shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Creates a secret from the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text itself. The caller is responsible for what becomes of it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reports whether the setting has no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret(not set)" } else { "Secret(set)" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "set" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own error would show the value.
        String::deserialize(deserializer).map(Self).map_err(|_| de::Error::custom("must be a text in quotes"))
    }
}

/// Defines the keys of `[profile.visibility]` out of the table of profile fields.
macro_rules! define_audiences {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        /// Who may see each field of a profile.
        #[derive(Serialize, Deserialize)]
        #[serde(remote = "Visibility", default = "Visibility::default", deny_unknown_fields)]
        pub(super) struct Audiences {
            $(#[serde(with = "choice")] $name: Audience,)+
            /// `[profile.fields.NAME]`, which `ProfileConfig` reads.
            #[serde(skip)]
            own: Arc<OwnSchema>,
            /// No setting: what a store knows of the rules before.
            #[serde(skip)]
            change: Option<Arc<RulesChange>>,
        }
    };
}

for_each_profile_field!(define_audiences);

/// The store and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreUrl {
    /// `sqlite:PATH`: a database file; a relative path starts at the working directory.
    Sqlite(PathBuf),
    /// `postgres://USER:PASSWORD@HOST/DATABASE`. It is shown without the password.
    Postgres(PostgresUrl),
}

impl TryFrom<String> for StoreUrl {
    type Error = String;

    /// Parses a URL. An error shows the scheme only: the URL of a database server may hold a password.
    fn try_from(text: String) -> Result<Self, String> {
        const RIGHT: &str = "write sqlite:PATH, such as sqlite:data/rosterd.db or sqlite:/var/lib/rosterd/rosterd.db, \
                             or postgres://USER:PASSWORD@HOST/DATABASE";
        let parts = text.split_once(':');
        // The scheme of a URL has no case (RFC 3986, section 3.1).
        match parts.map(|(scheme, path)| (if scheme.eq_ignore_ascii_case("sqlite") { "sqlite" } else { scheme }, path))
        {
            Some(("sqlite", "")) => Err(format!("names no file; {RIGHT}")),
            Some(("sqlite", ":memory:")) => Err(format!("a store in memory would lose every write; {RIGHT}")),
            // Other programs read sqlite://data/x.db as a relative path, the file system as /data/x.db.
            Some(("sqlite", path)) if path.starts_with("//") => Err(format!("takes a path without \"//\"; {RIGHT}")),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some((scheme, rest)) if is_postgres(scheme) => {
                PostgresUrl::parse(&format!("postgres:{rest}")).map(Self::Postgres)
            }
            Some((scheme, _)) if scheme.len() <= 16 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                Err(format!("there is no store \"{scheme}\"; {RIGHT}"))
            }
            _ => Err(format!("is not the URL of a store; {RIGHT}")),
        }
    }
}

fn is_postgres(scheme: &str) -> bool {
    ["postgres", "postgresql"].iter().any(|name| scheme.eq_ignore_ascii_case(name))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => write!(f, "{url}"),
        }
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

/// Takes out of a URL who calls, and the query, where some servers want a key.
pub(super) fn without_credentials(value: Value) -> Value {
    let Some((scheme, rest)) = value.as_str().and_then(|text| text.split_once("://")) else { return value };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority.to_owned(), |(_, host)| format!("…@{host}"));
    let path = path.split_once('?').map_or(path.to_owned(), |(path, _)| format!("{path}?…"));
    Value::String(format!("{scheme}://{host}{path}"))
}

/// The URLs of NATS servers, or nothing. Shown without credentials, and an error shows nothing of them.
pub(super) mod nats_servers {
    use super::{Deserialize, Deserializer, NatsServers, Serializer, de};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(in crate::config) fn serialize<S: Serializer>(servers: &Option<NatsServers>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&servers.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NatsServers>, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| de::Error::custom("must be a text in quotes"))?;
        if text.is_empty() { Ok(None) } else { NatsServers::parse(&text).map(Some).map_err(de::Error::custom) }
    }
}

/// Durations such as `25s`, `1h 30m`, `90d`.
pub(super) mod duration {
    use super::{Deserialize, Deserializer, Serializer, de};
    use std::time::Duration;

    pub(in crate::config) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|_| {
            de::Error::custom(format!(
                "{text:?} is not a duration; write a number and a unit, such as 500ms, 25s, 5m, 1h, 90d"
            ))
        })
    }
}

/// Moments such as `2026-12-01T00:00:00Z`; an empty text is none.
pub(super) mod moment {
    use super::{Deserialize, Deserializer, Serializer, de};
    use std::time::SystemTime;

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(in crate::config) fn serialize<S: Serializer>(moment: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        match moment {
            Some(moment) => to.collect_str(&humantime::format_rfc3339(*moment)),
            None => to.serialize_str(""),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        humantime::parse_rfc3339(&text).map(Some).map_err(|_| {
            de::Error::custom(format!("{text:?} is not a moment; write one in UTC, such as 2026-12-01T00:00:00Z"))
        })
    }
}

/// The URL of a replica; an empty text is none.
pub(super) mod replica {
    use super::{Deserialize, Deserializer, PostgresUrl, Serializer, StoreUrl, de};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(in crate::config) fn serialize<S: Serializer>(url: &Option<PostgresUrl>, to: S) -> Result<S::Ok, S::Error> {
        match url {
            Some(url) => to.collect_str(url),
            None => to.serialize_str(""),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PostgresUrl>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(None);
        }
        match StoreUrl::try_from(text).map_err(de::Error::custom)? {
            StoreUrl::Postgres(url) => Ok(Some(url)),
            StoreUrl::Sqlite(_) => Err(de::Error::custom("is no replica: only a PostgreSQL database has one")),
        }
    }
}

/// Addresses to listen at, IP and port. Names are not looked up, so that the address that is bound is the written one.
pub(super) mod address {
    use super::{Deserialize, Deserializer, Serializer, de};
    use std::net::SocketAddr;

    pub(in crate::config) fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            de::Error::custom(format!("{text:?} is not an address; write IP:PORT, such as 127.0.0.1:7678 or [::]:7678"))
        })
    }
}

/// Sizes in bytes.
pub(super) mod bytes {
    use super::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(in crate::config) fn serialize<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let number = i64::deserialize(deserializer)?;
        usize::try_from(number).map_err(|_| de::Error::custom(format!("{number} is not a number of bytes")))
    }
}

/// Counts.
pub(super) mod count {
    use super::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(in crate::config) fn serialize<S: Serializer>(count: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        count.serialize(serializer)
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let number = i64::deserialize(deserializer)?;
        usize::try_from(number).map_err(|_| de::Error::custom(format!("{number} is not a number of things")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_its_scheme_and_path() {
        let parse = |text: &str| StoreUrl::try_from(text.to_owned());
        assert_eq!(parse("sqlite:data/rosterd.db"), Ok(StoreUrl::Sqlite("data/rosterd.db".into())));
        assert_eq!(parse("sqlite:/var/lib/r.db"), Ok(StoreUrl::Sqlite("/var/lib/r.db".into())));
        assert_eq!(parse("SQLite:Data/R.db"), Ok(StoreUrl::Sqlite("Data/R.db".into())));
        for bad in ["", "rosterd.db", "sqlite:", "sqlite::memory:", "sqlite://data/r.db", "C:\\r.db", "a b:c"] {
            assert!(parse(bad).unwrap_err().contains("sqlite:PATH"), "{bad}");
        }
        for good in ["postgres://rosterd:hunter2@db/x", "PostgreSQL://rosterd:hunter2@db/x"] {
            let url = parse(good).unwrap();
            assert_eq!(String::from(url.clone()), "postgres://rosterd@db/x");
            assert!(!format!("{url:?}").contains("hunter2"));
        }
        for bad in ["postgres:rosterd:hunter2@db/x", "postgres://:hunter2@/x", "mysql://rosterd:hunter2@db/x"] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains("postgres://USER:PASSWORD@HOST") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {:?}", Secret::default()), "Secret(set) Secret(not set)");
        assert_eq!(toml::Value::try_from(&secret).unwrap().as_str(), Some("set"));
        let error = toml::Value::Integer(12345).try_into::<Secret>().unwrap_err().to_string();
        assert!(!error.contains("12345"), "{error}");
    }
}
