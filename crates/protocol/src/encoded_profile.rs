//! A profile with its encoded forms, each made at first use and shared by every delivery.

use std::sync::{Arc, OnceLock};

use super::{Encoding, v1};
use rosterd_engine::model::{LastChange, Profile};

/// An immutable profile that is encoded at most once per encoding, however many sessions it goes to.
#[derive(Debug)]
pub struct EncodedProfile {
    profile: Arc<Profile>,
    json: OnceLock<Box<[u8]>>,
    protobuf: OnceLock<Box<[u8]>>,
}

impl EncodedProfile {
    /// Wraps a profile. Nothing is encoded yet.
    #[must_use]
    pub fn new(profile: Arc<Profile>) -> Self {
        Self { profile, json: OnceLock::new(), protobuf: OnceLock::new() }
    }

    /// Returns the same fields with another last change.
    #[must_use]
    pub fn with_last_change(&self, LastChange { version, time }: LastChange) -> Self {
        Self::new(Arc::new(Profile { version, update_time: time, ..Profile::clone(&self.profile) }))
    }

    /// Returns the profile.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Returns the record's bytes, without key or tag.
    #[must_use]
    pub fn bytes(&self, encoding: Encoding) -> &[u8] {
        let form = match encoding {
            Encoding::Json => &self.json,
            Encoding::Protobuf => &self.protobuf,
        };
        form.get_or_init(|| {
            let mut bytes = Vec::new();
            encoding.encode(&v1::User::from(&*self.profile), &mut bytes);
            bytes.into_boxed_slice()
        })
    }
}
