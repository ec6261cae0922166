//! Between the generated types and the model.

use super::v1;
use crate::model::{Edge, Fields, Gender, Profile, Reason, RequestError};

impl From<&Profile> for v1::User {
    fn from(profile: &Profile) -> Self {
        Self {
            account: profile.account.to_string(),
            nick: profile.nick.to_string(),
            avatar: profile.avatar.to_string(),
            sign: profile.sign.to_string(),
            gender: v1::Gender::from(profile.gender) as i32,
            email: profile.email.to_string(),
            birth: profile.birth.to_string(),
            tel: profile.tel.to_string(),
            custom: profile.custom.to_string(),
            create_time: profile.create_time,
            update_time: profile.update_time,
            version: profile.version,
        }
    }
}

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

impl From<Gender> for v1::Gender {
    fn from(gender: Gender) -> Self {
        match gender {
            Gender::Unknown => Self::Unknown,
            Gender::Male => Self::Male,
            Gender::Female => Self::Female,
        }
    }
}

/// The fields of an `updateMyInfo`.
///
/// # Errors
/// 414 for a gender that is none.
pub fn fields(update: v1::UpdateMyInfo) -> Result<Fields, RequestError> {
    Ok(Fields {
        nick: update.nick,
        avatar: update.avatar,
        sign: update.sign,
        gender: update.gender.map(gender).transpose()?,
        email: update.email,
        birth: update.birth,
        tel: update.tel,
        custom: update.custom,
    })
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

/// An error as it goes on the wire.
#[must_use]
pub fn error(error: &RequestError) -> v1::Error {
    v1::Error {
        code: error.reason.code(),
        reason: error.reason.word().to_owned(),
        message: error.message.clone(),
        field: error.field.as_deref().map(str::to_owned),
        retry_after_ms: error.retry_after_ms,
    }
}
