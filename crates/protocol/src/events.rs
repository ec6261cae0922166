//! Events as JSON, in the form of `CloudEvents` 1.0, and which of their fields a reader is given.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::own_values::OwnRecord;
use super::v1;
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::{
    Account, Block, Edge, LogHistory, LoggedChange, Millis, OWN_PREFIX, Profile, Reason, Request, RequestError,
    WriteOrigin,
};
use rosterd_engine::sync::decide::StoredPresence;
use rosterd_engine::sync::delivery::EventKey;
use rosterd_engine::sync::events::{ChangeEvent, how};

/// What a reader may be given besides the fields of profiles: all own fields, whom an account mutes, a request's message, a friend's alias and note (`custom`),
/// whether an account hides its presence, its status, and the kinds of its devices.
const OTHER_FIELDS: [&str; 8] =
    [Profile::OWN, Profile::MUTED, "message", "alias", "note", "invisible", "status", "devices"];
/// The type of the events about presence, which are not in the change log.
pub const PRESENCE_CHANGED: &str = "presence.changed";
/// What only a snapshot has, and no event: when friends saw a user last, and the profile that a blocked account sees.
const SNAPSHOT_FIELDS: [&str; 2] = ["lastSeen", "frozen"];
/// The fields that a reader is given unless it asks for others. The rest is personal.
const DEFAULT_FIELDS: [&str; 5] = ["nick", "avatar", "sign", "gender", "custom"];

/// The fields that a reader is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFields(Vec<&'static str>);

impl Default for EventFields {
    fn default() -> Self {
        Self(DEFAULT_FIELDS.to_vec())
    }
}

impl EventFields {
    /// Returns all fields.
    #[must_use]
    pub fn all() -> Self {
        Self(Self::known().collect())
    }

    /// Returns the names of all fields.
    pub fn known() -> impl Iterator<Item = &'static str> {
        Profile::FIELDS.iter().copied().chain(OTHER_FIELDS).chain(SNAPSHOT_FIELDS)
    }

    /// Reads a list of names with commas between; an empty one gives keys and versions only.
    ///
    /// # Errors
    /// 414 for a name that no field has.
    pub fn parse(list: &str) -> Result<Self, RequestError> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let fields = names.map(|name| Self::known().find(|known| *known == name).ok_or(name));
        fields.collect::<Result<Vec<_>, _>>().map(Self).map_err(|name| unknown("fields", "field", name, Self::known()))
    }

    /// Returns a field in the list that is private, if there is one: those that nobody is given without asking.
    #[must_use]
    pub fn private(&self) -> Option<&'static str> {
        self.0.iter().copied().find(|name| !DEFAULT_FIELDS.contains(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(&if name.starts_with(OWN_PREFIX) { Profile::OWN } else { name })
    }
}

/// The types of events that a reader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypes(Option<Vec<&'static str>>);

impl EventTypes {
    /// Every type, those of later releases too.
    pub const ALL: Self = Self(None);

    /// Returns the names of all types.
    pub fn known() -> impl Iterator<Item = &'static str> {
        ChangeEvent::TYPES.into_iter().chain([PRESENCE_CHANGED])
    }

    /// Reads a list of types with commas between, each a name or the beginning of some with `*`: `user.*,friend.added`.
    ///
    /// # Errors
    /// 414 for one that no type matches, because a slip of the pen would be silence.
    pub fn parse(list: &str) -> Result<Self, RequestError> {
        let mut types = Vec::new();
        for pattern in list.split(',').map(str::trim) {
            let matches = |name: &&str| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => **name == *pattern,
            };
            let before = types.len();
            types.extend(Self::known().filter(matches));
            if types.len() == before {
                return Err(unknown("types", "type of event", pattern, Self::known()));
            }
        }
        Ok(Self(Some(types)))
    }

    /// Whether the reader asks for events like this.
    #[must_use]
    pub fn has(&self, event: &ChangeEvent) -> bool {
        self.has_type(event.event_type())
    }

    /// Whether the reader asks for events about presence.
    #[must_use]
    pub fn has_presence(&self) -> bool {
        self.has_type(PRESENCE_CHANGED)
    }

    /// Whether the reader asks for nothing but presence.
    #[must_use]
    pub fn is_presence_alone(&self) -> bool {
        self.0.as_ref().is_some_and(|types| types.iter().all(|name| *name == PRESENCE_CHANGED))
    }

    fn has_type(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|types| types.contains(&name))
    }
}

fn unknown(field: &'static str, what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> RequestError {
    let hint = super::nearest(name, known).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    RequestError::new(Reason::InvalidArgument, format!("there is no {what} \"{name}\"{hint}")).field(field)
}

/// Encodes an event of a change. `index` is its number among the events of the change.
///
/// # Panics
/// Never: an event is plain data.
#[must_use]
pub fn event_json(
    history: LogHistory,
    logged: &LoggedChange,
    (index, event): (usize, &ChangeEvent),
    fields: &EventFields,
) -> String {
    let change = &logged.change;
    let envelope = Envelope {
        specversion: "1.0",
        id: EventKey::Change { revision: change.revision, index: u32::try_from(index).unwrap_or(u32::MAX) }.id(history),
        source: format!("/rosterd/{history}"),
        kind: event.event_type(),
        time: rfc3339(change.time),
        subject: event.subject().as_str(),
        revision: change.revision,
        erased: logged.erased,
        data: EventData { event, origin: &change.origin, fields },
    };
    serde_json::to_string(&envelope).expect("an event is plain data")
}

/// Formats a time as `CloudEvents` wants it.
pub(super) fn rfc3339(time: Millis) -> String {
    // The last moment of the year 9999, which is the last one that the format has.
    const LAST: Millis = 253_402_300_799_999;
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(time.min(LAST));
    humantime::format_rfc3339_millis(time).to_string()
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    time: String,
    subject: &'a str,
    #[serde(rename = "stamp")]
    revision: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    data: EventData<'a>,
}

struct EventData<'a> {
    event: &'a ChangeEvent,
    origin: &'a WriteOrigin,
    fields: &'a EventFields,
}

impl Serialize for EventData<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields;
        let mut data = to.serialize_map(None)?;
        match self.event {
            ChangeEvent::UserCreated(profile) => {
                data.serialize_entry("user", &UserRecord { profile, presence: None, fields })?;
            }
            ChangeEvent::UserUpdated(profile, changed) => {
                data.serialize_entry("user", &UserRecord { profile, presence: None, fields })?;
                data.serialize_entry("changed", &given(changed, fields, |name| name))?;
            }
            ChangeEvent::UserDeleted { account, version } => {
                data.serialize_entry("account", account.as_str())?;
                data.serialize_entry("version", version)?;
            }
            ChangeEvent::FriendAdded(edges, added) => {
                data.serialize_entry("accounts", &[edges[0].owner.as_str(), edges[0].peer.as_str()])?;
                data.serialize_entry("edges", &Edges(edges, Some(fields)))?;
                data.serialize_entry("how", how(*added, self.origin))?;
            }
            ChangeEvent::FriendRemoved(edges) => {
                data.serialize_entry("accounts", &[edges[0].owner.as_str(), edges[0].peer.as_str()])?;
                data.serialize_entry("edges", &Edges(edges, None))?;
            }
            ChangeEvent::FriendUpdated(edge, changed) => {
                data.serialize_entry("edge", &EdgeRecord { edge, fields: Some(fields) })?;
                let note = |name| if name == "custom" { "note" } else { name };
                data.serialize_entry("changed", &given(changed, fields, note))?;
            }
            ChangeEvent::Request { request, hidden } => {
                data.serialize_entry("request", &RequestRecord { request, hidden: *hidden, fields })?;
            }
            ChangeEvent::Block(block) => data.serialize_entry("block", &BlockRecord { block, seen: None })?,
            ChangeEvent::TokensRevoked(account, before) => {
                data.serialize_entry("account", account.as_str())?;
                data.serialize_entry("before", before)?;
            }
            ChangeEvent::TokenSet(account) | ChangeEvent::TokenRemoved(account) => {
                data.serialize_entry("account", account.as_str())?;
            }
        }
        data.serialize_entry("by", &By(self.origin))?;
        data.end()
    }
}

/// The changed fields that the reader is given. `named` is the name of a field in the reader's list.
fn given<'a>(
    changed: &'a [Cow<'static, str>],
    fields: &EventFields,
    named: impl Fn(&'a str) -> &'a str,
) -> Vec<&'a str> {
    changed.iter().map(|name| &**name).filter(|name| fields.has(named(name))).collect()
}

struct By<'a>(&'a WriteOrigin);

impl Serialize for By<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut by = to.serialize_map(None)?;
        match self.0 {
            WriteOrigin::Client(session) => {
                by.serialize_entry("kind", "client")?;
                by.serialize_entry("session", &session.to_string())?;
            }
            WriteOrigin::Login => by.serialize_entry("kind", "login")?,
            WriteOrigin::Key(name) | WriteOrigin::KeyImport(name) => {
                by.serialize_entry("kind", "key")?;
                by.serialize_entry("key", &**name)?;
            }
            WriteOrigin::Import => by.serialize_entry("kind", "import")?,
            WriteOrigin::Expiry => by.serialize_entry("kind", "expiry")?,
            WriteOrigin::Settings => by.serialize_entry("kind", "settings")?,
        }
        by.end()
    }
}

/// A profile with the fields that the reader is given, and in a snapshot how friends see the account.
pub(super) struct UserRecord<'a> {
    pub(super) profile: &'a Profile,
    pub(super) presence: Option<&'a StoredPresence>,
    pub(super) fields: &'a EventFields,
}

/// The fields of a frozen profile that the reader is given.
struct FrozenRecord<'a> {
    profile: &'a Profile,
    fields: &'a EventFields,
}

/// Defines the record of a profile out of the table of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        impl Serialize for UserRecord<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let profile = self.profile;
                let mut user = to.serialize_map(None)?;
                user.serialize_entry("account", profile.account.as_str())?;
                $(if self.fields.has(stringify!($name)) {
                    user.serialize_entry(stringify!($name), field!($kind, profile.$name))?;
                })+
                if self.fields.has(Profile::OWN) && !profile.own.is_empty() {
                    user.serialize_entry(Profile::OWN, &OwnRecord(&profile.own))?;
                }
                if self.fields.has(Profile::MUTED) && !profile.muted.is_empty() {
                    user.serialize_entry(Profile::MUTED, &profile.muted.iter().map(Account::as_str).collect::<Vec<_>>())?;
                }
                user.serialize_entry("createTime", &profile.create_time)?;
                user.serialize_entry("updateTime", &profile.update_time)?;
                user.serialize_entry("version", &profile.version)?;
                if let Some(presence) = self.presence {
                    if self.fields.has("invisible") {
                        user.serialize_entry("invisible", &presence.chosen.hides)?;
                    }
                    if self.fields.has("lastSeen") {
                        user.serialize_entry("lastSeen", &presence.seen.last_seen)?;
                    }
                }
                user.end()
            }
        }

        impl Serialize for FrozenRecord<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let profile = self.profile;
                let mut frozen = to.serialize_map(None)?;
                $(if self.fields.has(stringify!($name)) {
                    frozen.serialize_entry(stringify!($name), field!($kind, profile.$name))?;
                })+
                if self.fields.has(Profile::OWN) && !profile.own.is_empty() {
                    frozen.serialize_entry(Profile::OWN, &OwnRecord(&profile.own))?;
                }
                frozen.end()
            }
        }
    };
}

/// A field's value, by its kind.
macro_rules! field {
    (gender, $field:expr) => {
        &word(v1::Gender::from($field).as_str_name())
    };
    ($text:ident, $field:expr) => {
        &*$field
    };
}

/// Returns a name of the schema as it is in JSON.
fn word(name: &str) -> String {
    name.to_ascii_lowercase()
}

for_each_profile_field!(define);

/// One direction of a friendship, with the owner's notes only if there are fields.
pub(super) struct EdgeRecord<'a> {
    pub(super) edge: &'a Edge,
    pub(super) fields: Option<&'a EventFields>,
}

impl Serialize for EdgeRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { edge, fields } = self;
        let mut record = to.serialize_map(None)?;
        record.serialize_entry("owner", edge.owner.as_str())?;
        record.serialize_entry("peer", edge.peer.as_str())?;
        if fields.is_some_and(|fields| fields.has("alias")) {
            record.serialize_entry("alias", &*edge.alias)?;
        }
        if fields.is_some_and(|fields| fields.has("note")) {
            record.serialize_entry("custom", &*edge.custom)?;
        }
        record.serialize_entry("createTime", &edge.create_time)?;
        record.serialize_entry("version", &edge.version)?;
        record.end()
    }
}

/// The directions of a friendship, with the owners' notes only if there are fields, and notes.
struct Edges<'a>(&'a [Edge], Option<&'a EventFields>);

impl Serialize for Edges<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut edges = to.serialize_seq(Some(self.0.len()))?;
        for edge in self.0 {
            let fields = self.1.filter(|_| !edge.alias.is_empty() || !edge.custom.is_empty());
            edges.serialize_element(&EdgeRecord { edge, fields })?;
        }
        edges.end()
    }
}

/// A request.
pub(super) struct RequestRecord<'a> {
    pub(super) request: &'a Request,
    pub(super) hidden: bool,
    pub(super) fields: &'a EventFields,
}

impl Serialize for RequestRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let request = self.request;
        let mut record = to.serialize_map(None)?;
        record.serialize_entry("sender", request.sender.as_str())?;
        record.serialize_entry("receiver", request.receiver.as_str())?;
        if self.fields.has("message") {
            record.serialize_entry("message", &*request.message)?;
        }
        record.serialize_entry("state", &word(v1::RequestState::from(request.state).as_str_name()))?;
        record.serialize_entry("hidden", &self.hidden)?;
        record.serialize_entry("createTime", &request.create_time)?;
        record.serialize_entry("updateTime", &request.update_time)?;
        record.serialize_entry("version", &request.version)?;
        record.end()
    }
}

/// A block, and in a snapshot what the peer sees of the owner.
pub(super) struct BlockRecord<'a> {
    pub(super) block: &'a Block,
    pub(super) seen: Option<(Option<&'a Profile>, &'a EventFields)>,
}

impl Serialize for BlockRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { block, seen } = self;
        let mut record = to.serialize_map(None)?;
        record.serialize_entry("owner", block.owner.as_str())?;
        record.serialize_entry("peer", block.peer.as_str())?;
        record.serialize_entry("createTime", &block.create_time)?;
        record.serialize_entry("version", &block.version)?;
        if let Some((frozen, fields)) = seen {
            if let Some(presence) = block.presence.filter(|_| fields.has("lastSeen")) {
                record.serialize_entry("lastSeen", &presence.last_seen)?;
            }
            if let Some(profile) = frozen.filter(|_| fields.has("frozen")) {
                record.serialize_entry("frozen", &FrozenRecord { profile, fields })?;
            }
        }
        record.end()
    }
}
