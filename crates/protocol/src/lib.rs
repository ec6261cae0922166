//! Converts between bytes and the model: the generated schema, its JSON form, and records that are encoded once.
//!
//! One schema (`proto/rosterd/v1`) gives both encodings. There are no sockets here: the gateway puts these payloads into
//! WebSocket messages.

mod changes;
mod convert;
mod decode;
mod encoded_profile;
mod import;
mod profile_views;
pub mod words;

pub use changes::Changes;
pub use convert::{error, fields, sessions};
pub use decode::{ClientCommand, Inbound, Malformed, body, decode};
pub use encoded_profile::EncodedProfile;
pub use import::{batch, import_line};
pub use profile_views::ProfileViews;

use prost::Message;
use serde::{Deserialize, Deserializer};

/// The generated types of `proto/rosterd/v1`.
#[allow(missing_docs, clippy::pedantic, reason = "generated; documented in the schema")]
#[rustfmt::skip]
pub mod v1;

/// The encoding of the frames on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Text messages, subprotocol `rosterd.v1.json`.
    Json,
    /// Binary messages, subprotocol `rosterd.v1.protobuf`.
    Protobuf,
}

impl Encoding {
    /// Both encodings.
    pub const ALL: [Self; 2] = [Self::Json, Self::Protobuf];

    /// Returns the WebSocket subprotocol that stands for it.
    #[must_use]
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "rosterd.v1.json",
            Self::Protobuf => "rosterd.v1.protobuf",
        }
    }

    /// Returns the heartbeat, which is an empty frame.
    #[must_use]
    pub fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::Json => b"{}",
            Self::Protobuf => b"",
        }
    }

    /// Appends a frame of either direction to `out`.
    ///
    /// # Panics
    /// Never: the generated types have only text keys, and a `Vec` takes everything that is written.
    pub fn encode<F: Message + serde::Serialize>(self, frame: &F, out: &mut Vec<u8>) {
        match self {
            Self::Json => serde_json::to_writer(out, frame).expect("generated types are JSON objects"),
            Self::Protobuf => frame.encode(out).expect("a Vec grows"),
        }
    }

    /// Reads a frame that a client receives.
    ///
    /// # Errors
    /// The payload is not a frame of this encoding.
    pub fn decode_server(self, payload: &[u8]) -> Result<v1::ServerFrame, Malformed> {
        match self {
            Self::Json => serde_json::from_slice(payload).map_err(|e| Malformed(e.to_string())),
            Self::Protobuf => v1::ServerFrame::decode(payload).map_err(|e| Malformed(e.to_string())),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn is_zero(id: &u64) -> bool {
    *id == 0
}

/// Reads `null` as an absent field.
///
/// # Errors
/// Those of the type itself.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
