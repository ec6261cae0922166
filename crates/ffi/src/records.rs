//! The records of the protocol, as they cross the boundary.

use std::collections::HashMap;

use rosterd_protocol::v1;

/// The gender of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "Gender")]
pub enum ForeignGender {
    /// Not given.
    Unknown,
    /// Male.
    Male,
    /// Female.
    Female,
}

/// The value of a field that the deployment has added.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
#[uniffi(name = "FieldValue")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ForeignFieldValue {
    Text {
        text: String,
    },
    Integer {
        integer: i64,
    },
    Number {
        number: f64,
    },
    Boolean {
        boolean: bool,
    },
    List {
        texts: Vec<String>,
    },
    /// Nothing: it clears a field.
    Cleared,
}

/// A user's profile. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[uniffi(name = "User")]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct ForeignUser {
    pub account: String,
    pub nick: String,
    pub avatar: String,
    pub sign: String,
    pub gender: ForeignGender,
    pub email: String,
    pub birth: String,
    pub tel: String,
    pub custom: String,
    pub create_time: u64,
    pub update_time: u64,
    pub version: u64,
    /// The fields that the deployment has added and that have a value.
    pub fields: HashMap<String, ForeignFieldValue>,
    /// Of the own profile: the accounts that this one mutes.
    pub muted: Vec<String>,
}

/// A friendship as this account sees it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "Friend")]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct ForeignFriend {
    pub account: String,
    pub alias: String,
    pub custom: String,
    pub create_time: u64,
    pub update_time: u64,
    pub version: u64,
}

/// Whether a request came from the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "Direction")]
pub enum ForeignDirection {
    /// The other side asks.
    Incoming,
    /// This account asks.
    Outgoing,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "RequestState")]
pub enum ForeignRequestState {
    /// Nobody has answered it.
    Open,
    /// The two are friends.
    Accepted,
    /// The other side does not want to.
    Rejected,
    /// Whoever asked has withdrawn it.
    Cancelled,
    /// Nobody answered in time.
    Expired,
}

/// A request for friendship.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "FriendRequest")]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct ForeignRequest {
    pub account: String,
    pub direction: ForeignDirection,
    pub state: ForeignRequestState,
    pub message: String,
    pub create_time: u64,
    pub update_time: u64,
    pub version: u64,
}

/// A block in force.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "Block")]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct ForeignBlock {
    pub account: String,
    pub create_time: u64,
    pub version: u64,
}

/// Whether an account is online.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "Presence")]
pub struct ForeignPresence {
    /// Whose presence it is.
    pub account: String,
    /// Whether it is online.
    pub online: bool,
    /// When it was last online, in milliseconds since 1970; when it came online, if it is; 0 if unknown.
    pub last_seen: u64,
    /// Only of this account: whether it hides that it is online.
    pub invisible: Option<bool>,
    /// The text that the account shows beside it.
    pub status: Option<String>,
    /// When that ends, in milliseconds since 1970, if it has an end of its own.
    pub until: Option<u64>,
    /// Of a friend, the kinds of devices on which it is online, such as `ios`, if the deployment shows them.
    pub devices: Vec<String>,
}

/// The description of a session that the account's other sessions see.
#[derive(Debug, Clone, Default, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "Device")]
pub struct ForeignDevice {
    /// The application's own name for the installation.
    #[uniffi(default = "")]
    pub id: String,
    /// The kind of device, such as `ios`.
    #[uniffi(default = "")]
    pub kind: String,
    /// A label to show.
    #[uniffi(default = "")]
    pub tag: String,
}

/// A session of this account.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi(name = "Session")]
pub struct ForeignSession {
    /// The gateway's name for it.
    pub session: String,
    /// How it describes itself.
    pub device: ForeignDevice,
    /// When it logged in, in milliseconds since 1970.
    pub connected_at: u64,
    /// Whether it is this one.
    pub current: bool,
}

/// A change of the own profile: a field that is not given stays, an empty one is cleared.
#[derive(Debug, Clone, Default, PartialEq, uniffi::Record)]
#[uniffi(name = "ProfileUpdate")]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct ForeignUpdate {
    #[uniffi(default = None)]
    pub nick: Option<String>,
    #[uniffi(default = None)]
    pub avatar: Option<String>,
    #[uniffi(default = None)]
    pub sign: Option<String>,
    #[uniffi(default = None)]
    pub gender: Option<ForeignGender>,
    #[uniffi(default = None)]
    pub email: Option<String>,
    #[uniffi(default = None)]
    pub birth: Option<String>,
    #[uniffi(default = None)]
    pub tel: Option<String>,
    #[uniffi(default = None)]
    pub custom: Option<String>,
    /// The fields that the deployment has added.
    #[uniffi(default)]
    pub fields: HashMap<String, ForeignFieldValue>,
    /// Changes nothing unless the profile still has this version.
    #[uniffi(default = None)]
    pub if_version: Option<u64>,
}

impl From<i32> for ForeignGender {
    fn from(gender: i32) -> Self {
        match v1::Gender::try_from(gender) {
            Ok(v1::Gender::Male) => Self::Male,
            Ok(v1::Gender::Female) => Self::Female,
            _ => Self::Unknown,
        }
    }
}

impl From<ForeignGender> for i32 {
    fn from(gender: ForeignGender) -> Self {
        match gender {
            ForeignGender::Unknown => v1::Gender::Unknown as i32,
            ForeignGender::Male => v1::Gender::Male as i32,
            ForeignGender::Female => v1::Gender::Female as i32,
        }
    }
}

impl From<&v1::User> for ForeignUser {
    fn from(user: &v1::User) -> Self {
        let user = user.clone();
        Self {
            account: user.account,
            nick: user.nick,
            avatar: user.avatar,
            sign: user.sign,
            gender: user.gender.into(),
            email: user.email,
            birth: user.birth,
            tel: user.tel,
            custom: user.custom,
            create_time: user.create_time,
            update_time: user.update_time,
            version: user.version,
            fields: user.fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
            muted: user.muted,
        }
    }
}

impl From<v1::FieldValue> for ForeignFieldValue {
    fn from(value: v1::FieldValue) -> Self {
        match value {
            v1::FieldValue { text: Some(text), .. } => Self::Text { text },
            v1::FieldValue { integer: Some(integer), .. } => Self::Integer { integer },
            v1::FieldValue { number: Some(number), .. } => Self::Number { number },
            v1::FieldValue { boolean: Some(boolean), .. } => Self::Boolean { boolean },
            v1::FieldValue { list: Some(list), .. } => Self::List { texts: list.texts },
            _ => Self::Cleared,
        }
    }
}

impl From<ForeignFieldValue> for v1::FieldValue {
    fn from(value: ForeignFieldValue) -> Self {
        let nothing = Self::default();
        match value {
            ForeignFieldValue::Text { text } => Self { text: Some(text), ..nothing },
            ForeignFieldValue::Integer { integer } => Self { integer: Some(integer), ..nothing },
            ForeignFieldValue::Number { number } => Self { number: Some(number), ..nothing },
            ForeignFieldValue::Boolean { boolean } => Self { boolean: Some(boolean), ..nothing },
            ForeignFieldValue::List { texts } => Self { list: Some(v1::FieldTexts { texts }), ..nothing },
            ForeignFieldValue::Cleared => nothing,
        }
    }
}

impl From<&v1::Friend> for ForeignFriend {
    fn from(friend: &v1::Friend) -> Self {
        let v1::Friend { account, alias, custom, create_time, update_time, version, .. } = friend.clone();
        Self { account, alias, custom, create_time, update_time, version }
    }
}

impl From<&v1::Request> for ForeignRequest {
    fn from(request: &v1::Request) -> Self {
        let v1::Request { account, direction, message, state, create_time, update_time, version, .. } = request.clone();
        let state = match v1::RequestState::try_from(state) {
            Ok(v1::RequestState::Open) => ForeignRequestState::Open,
            Ok(v1::RequestState::Accepted) => ForeignRequestState::Accepted,
            Ok(v1::RequestState::Rejected) => ForeignRequestState::Rejected,
            Ok(v1::RequestState::Cancelled) => ForeignRequestState::Cancelled,
            // Whatever a newer gateway says, it is over.
            Ok(v1::RequestState::Expired) | Err(_) => ForeignRequestState::Expired,
        };
        let incoming = direction == v1::Direction::In as i32;
        let direction = if incoming { ForeignDirection::Incoming } else { ForeignDirection::Outgoing };
        Self { account, direction, state, message, create_time, update_time, version }
    }
}

impl From<&v1::BlockRecord> for ForeignBlock {
    fn from(block: &v1::BlockRecord) -> Self {
        Self { account: block.account.clone(), create_time: block.create_time, version: block.version }
    }
}

impl From<&v1::Presence> for ForeignPresence {
    fn from(presence: &v1::Presence) -> Self {
        let v1::Presence { account, online, last_seen, invisible, status, until, devices, .. } = presence.clone();
        Self { account, online, last_seen, invisible, status, until, devices }
    }
}

impl From<&v1::Session> for ForeignSession {
    fn from(session: &v1::Session) -> Self {
        let v1::Session { session, device, connected_at, current, .. } = session.clone();
        let v1::Device { id, r#type: kind, tag, .. } = device.unwrap_or_default();
        Self { session, device: ForeignDevice { id, kind, tag }, connected_at, current }
    }
}

impl From<ForeignDevice> for v1::Device {
    fn from(device: ForeignDevice) -> Self {
        Self { id: device.id, r#type: device.kind, tag: device.tag }
    }
}

#[allow(clippy::needless_update, reason = "the schema may have more")]
impl From<ForeignUpdate> for v1::UpdateMyInfo {
    fn from(update: ForeignUpdate) -> Self {
        let ForeignUpdate { nick, avatar, sign, gender, email, birth, tel, custom, fields, if_version } = update;
        Self {
            nick,
            avatar,
            sign,
            gender: gender.map(Into::into),
            email,
            birth,
            tel,
            custom,
            fields: fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
            if_version,
            ..Self::default()
        }
    }
}

impl From<&v1::UpdateMyInfo> for ForeignUpdate {
    fn from(update: &v1::UpdateMyInfo) -> Self {
        let update = update.clone();
        Self {
            nick: update.nick,
            avatar: update.avatar,
            sign: update.sign,
            gender: update.gender.map(Into::into),
            email: update.email,
            birth: update.birth,
            tel: update.tel,
            custom: update.custom,
            fields: update.fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
            if_version: update.if_version,
        }
    }
}
