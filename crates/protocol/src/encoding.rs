//! The two encodings of frames.

use prost::Message;

use crate::v1;

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

/// Why a frame cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);
