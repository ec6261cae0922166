//! Converts between the generated types and the model.

use crate::{own_values, v1};
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::limits::SESSIONS_PER_ACCOUNT;
use rosterd_engine::model::{
    Block, Edge, Fields, Gender, Profile, Reason, Request, RequestError, RequestSide, RequestState, SessionId,
};

/// Defines the conversions of profiles out of the table of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        impl From<&Profile> for v1::User {
            fn from(profile: &Profile) -> Self {
                Self {
                    account: profile.account.to_string(),
                    $($name: to_wire!($kind, profile.$name),)+
                    fields: own_values::to_wire(&profile.own),
                    muted: profile.muted.iter().map(ToString::to_string).collect(),
                    create_time: profile.create_time,
                    update_time: profile.update_time,
                    version: profile.version,
                }
            }
        }

        /// Takes the profile fields out of an `updateMyInfo`.
        ///
        /// # Errors
        /// 414 for an unknown gender, and for an own field with several values.
        pub fn fields(update: v1::UpdateMyInfo) -> Result<Fields, RequestError> {
            let own = own_values::changes(update.fields)?;
            Ok(Fields { $($name: from_wire!($kind, update.$name),)+ own, muted: None })
        }
    };
}

/// A field as the schema's `User` holds it, by its kind.
macro_rules! to_wire {
    (gender, $field:expr) => {
        v1::Gender::from($field) as i32
    };
    ($text:ident, $field:expr) => {
        $field.to_string()
    };
}

/// A field's change as the schema's `UpdateMyInfo` holds it, checked, by its kind.
macro_rules! from_wire {
    (gender, $change:expr) => {
        $change.map(gender).transpose()?
    };
    ($text:ident, $change:expr) => {
        $change
    };
}

for_each_profile_field!(define);

impl From<&Edge> for v1::Friend {
    fn from(edge: &Edge) -> Self {
        Self {
            account: edge.peer.to_string(),
            alias: edge.alias.to_string(),
            custom: edge.custom.to_string(),
            create_time: edge.create_time,
            update_time: edge.update_time,
            version: edge.version,
        }
    }
}

impl From<&Request> for v1::Request {
    fn from(request: &Request) -> Self {
        let direction = match request.side {
            RequestSide::Sender => v1::Direction::Out,
            RequestSide::Receiver => v1::Direction::In,
        };
        Self {
            account: request.peer().to_string(),
            direction: direction as i32,
            message: request.message.to_string(),
            state: v1::RequestState::from(request.state) as i32,
            create_time: request.create_time,
            update_time: request.update_time,
            version: request.version,
        }
    }
}

impl From<RequestState> for v1::RequestState {
    fn from(state: RequestState) -> Self {
        match state {
            RequestState::Open => Self::Open,
            RequestState::Accepted => Self::Accepted,
            RequestState::Rejected => Self::Rejected,
            RequestState::Cancelled => Self::Cancelled,
            RequestState::Expired => Self::Expired,
        }
    }
}

impl From<&Block> for v1::BlockRecord {
    fn from(block: &Block) -> Self {
        Self {
            account: block.peer.to_string(),
            create_time: block.create_time,
            version: block.version,
            removed: block.removed,
        }
    }
}

impl From<Gender> for v1::Gender {
    fn from(gender: Gender) -> Self {
        match gender {
            Gender::Unknown => Self::Unknown,
            Gender::Male => Self::Male,
            Gender::Female => Self::Female,
        }
    }
}

fn gender(value: i32) -> Result<Gender, RequestError> {
    match v1::Gender::try_from(value) {
        Ok(v1::Gender::Unknown) => Ok(Gender::Unknown),
        Ok(v1::Gender::Male) => Ok(Gender::Male),
        Ok(v1::Gender::Female) => Ok(Gender::Female),
        Err(_) => {
            Err(RequestError::new(Reason::InvalidArgument, "gender must be unknown, male or female").field("gender"))
        }
    }
}

/// Parses the ids of sessions.
///
/// # Errors
/// 414 for a text that cannot be an id, 419 for more than [`SESSIONS_PER_ACCOUNT`].
pub fn sessions(ids: &[String]) -> Result<Vec<SessionId>, RequestError> {
    if ids.len() > SESSIONS_PER_ACCOUNT {
        let message = format!("sessions names {}, at most {SESSIONS_PER_ACCOUNT} at a time", ids.len());
        return Err(RequestError::new(Reason::LimitExceeded, message).field("sessions"));
    }
    let session = |(at, id): (usize, &String)| {
        id.parse().map_err(|()| {
            let message = "a session is 16 hexadecimal digits in lower case";
            RequestError::new(Reason::InvalidArgument, message).field(format!("sessions[{at}]"))
        })
    };
    ids.iter().enumerate().map(session).collect()
}

/// Makes the record of an error.
#[must_use]
pub fn error(error: &RequestError) -> v1::Error {
    v1::Error {
        code: error.reason.code(),
        reason: error.reason.word().to_owned(),
        message: error.message.clone(),
        field: error.field.as_deref().map(str::to_owned),
        retry_after_ms: error.retry_after_ms,
        detail: error.detail.as_deref().map(str::to_owned),
    }
}
