//! Converts between bytes and the model: the generated schema, its JSON form, and records that are encoded once.
//!
//! One schema (`proto/rosterd/v1`) gives both encodings. There are no sockets here: the gateway puts these payloads into
//! WebSocket messages.

mod archive;
mod change_log;
mod changes;
mod convert;
mod decode;
mod delivery_events;
mod encoded_profile;
mod encoding;
mod events;
mod field_schema;
mod hooks;
mod import;
mod import_records;
mod own_values;
mod presence_event;
mod profile_views;
mod snapshot;
mod strict;
pub mod words;

pub use archive::{ArchiveLine, RecordCounts, RecordKey, RecordKind, archive_line};
pub use change_log::{MalformedChange, decode_changes, encode_changes, encode_logged};
pub use changes::Changes;
pub use convert::{error, fields, sessions};
pub use decode::{ClientCommand, Inbound, body, decode};
pub use delivery_events::{GapReason, gap_json, test_json};
pub use encoded_profile::EncodedProfile;
pub use encoding::{Encoding, Malformed};
pub use events::{EventFields, EventTypes, PRESENCE_CHANGED, event_json};
pub use field_schema::{own_schema, own_schema_from_bytes, own_schema_to_bytes, schema, schema_hash, write_rights};
pub use hooks::{HookAnswer, HookQuestion, HookSubject};
pub use import::{batch, import_line};
pub use own_values::{further_fields_from_bytes, further_fields_to_bytes};
pub use presence_event::presence_json;
pub use profile_views::ProfileViews;
pub use rosterd_engine::model::nearest;
pub use snapshot::{SnapshotRow, snapshot_json};

use serde::{Deserialize, Deserializer};

/// The generated types of `proto/rosterd/v1`.
#[allow(missing_docs, clippy::pedantic, reason = "generated; documented in the schema")]
#[rustfmt::skip]
pub mod v1;

/// The generated types of `proto/rosterd/feed/v1`.
#[allow(missing_docs, clippy::pedantic, reason = "generated; documented in the schema")]
#[rustfmt::skip]
pub mod feed_v1;

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
