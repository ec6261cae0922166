//! The schema of profiles, as it crosses the boundary.

use std::collections::HashMap;

use rosterd_protocol::v1;

use crate::records::ForeignFieldValue;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "FieldType")]
#[allow(missing_docs, reason = "the names say it")]
pub enum ForeignFieldType {
    Text,
    Integer,
    Number,
    Boolean,
    /// Texts.
    List,
    /// A type that there was not yet when this client was made.
    Unknown,
}

/// Who sees a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "FieldVisibility")]
pub enum ForeignFieldVisibility {
    /// Everyone.
    Everyone,
    /// The account and its friends.
    Friends,
    /// The account alone.
    Own,
    /// A word that there was not yet when this client was made.
    Unknown,
}

/// Who writes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "FieldWriter")]
pub enum ForeignFieldWriter {
    /// An account's own clients, and the backend.
    Own,
    /// The backend alone.
    Backend,
    /// A word that there was not yet when this client was made.
    Unknown,
}

/// A field that the deployment has added.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[uniffi(name = "FieldSchema")]
pub struct ForeignFieldSchema {
    /// What it may hold.
    pub kind: ForeignFieldType,
    /// Who sees it.
    pub visibility: ForeignFieldVisibility,
    /// Who writes it.
    pub write: ForeignFieldWriter,
    /// The least that a number may be.
    pub min: Option<f64>,
    /// The greatest that a number may be.
    pub max: Option<f64>,
    /// The most characters of a text, and of each text of a list.
    pub max_length: Option<u32>,
    /// The most texts of a list.
    pub max_items: Option<u32>,
    /// The texts that there are; none: any.
    pub values: Vec<String>,
    /// What a new profile has, and one whose field was cleared.
    pub default_value: Option<ForeignFieldValue>,
}

/// The fields of a deployment's profiles.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[uniffi(name = "Schema")]
pub struct ForeignSchema {
    /// Another one after every change to it.
    pub hash: String,
    /// The fields that the deployment has added, by their names.
    pub fields: HashMap<String, ForeignFieldSchema>,
    /// The other fields that only the backend may write.
    pub backend_only: Vec<String>,
}

impl From<v1::GetSchemaReply> for ForeignSchema {
    fn from(schema: v1::GetSchemaReply) -> Self {
        let v1::GetSchemaReply { hash, fields, backend_only } = schema;
        let fields = fields.into_iter().map(|(name, field)| (name, field.into())).collect();
        Self { hash, fields, backend_only }
    }
}

impl From<v1::FieldSchema> for ForeignFieldSchema {
    fn from(field: v1::FieldSchema) -> Self {
        let v1::FieldSchema { r#type, visibility, write, min, max, max_length, max_items, values, default } = field;
        let kind = match r#type.as_str() {
            "text" => ForeignFieldType::Text,
            "integer" => ForeignFieldType::Integer,
            "number" => ForeignFieldType::Number,
            "boolean" => ForeignFieldType::Boolean,
            "list" => ForeignFieldType::List,
            _ => ForeignFieldType::Unknown,
        };
        let visibility = match visibility.as_str() {
            "everyone" => ForeignFieldVisibility::Everyone,
            "friends" => ForeignFieldVisibility::Friends,
            "self" => ForeignFieldVisibility::Own,
            _ => ForeignFieldVisibility::Unknown,
        };
        let write = match write.as_str() {
            "self" => ForeignFieldWriter::Own,
            "backend" => ForeignFieldWriter::Backend,
            _ => ForeignFieldWriter::Unknown,
        };
        let default_value = default.map(Into::into);
        Self { kind, visibility, write, min, max, max_length, max_items, values, default_value }
    }
}
