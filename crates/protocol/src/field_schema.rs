//! The schema of profiles on the wire: which own fields there are, what each may hold, and who may write the others.

use prost::Message;

use crate::{own_values, v1};
use rosterd_engine::model::limits::SAFE_INTEGER;
use rosterd_engine::model::{Audience, FieldWriter, OwnField, OwnKind, OwnSchema, WriteRights};

/// Describes the own fields, in order of their names, and the other fields that only the backend may write, with the hash by
/// which a client knows them again.
#[must_use]
pub fn schema(own: &OwnSchema, rights: &WriteRights) -> v1::GetSchemaReply {
    let fields = own.iter().map(|(name, field)| (name.to_owned(), v1::FieldSchema::from(field))).collect();
    let backend_only = rights.backend_only().map(str::to_owned).collect();
    let mut reply = v1::GetSchemaReply { hash: String::new(), fields, backend_only };
    reply.hash = format!("{:016x}", fnv1a(&reply.encode_to_vec()));
    reply
}

/// Returns the hash for clients that log in; `None` if there is no field that it would be about.
#[must_use]
pub fn schema_hash(schema: &v1::GetSchemaReply) -> Option<&str> {
    (!schema.fields.is_empty() || !schema.backend_only.is_empty()).then_some(&*schema.hash)
}

/// Reads which fields besides the own ones only the backend may write.
#[must_use]
pub fn write_rights(reply: &v1::GetSchemaReply) -> WriteRights {
    reply.backend_only.iter().map(String::as_str).collect()
}

/// Reads the fields that a gateway described. One of a type or an audience that is not known here is left out.
#[must_use]
pub fn own_schema(reply: &v1::GetSchemaReply) -> OwnSchema {
    let known = |(name, field): (&String, &v1::FieldSchema)| Some((name.as_str().into(), own_field(field)?));
    reply.fields.iter().filter_map(known).collect()
}

/// Encodes the own fields for a store that several gateways share.
#[must_use]
pub fn own_schema_to_bytes(own: &OwnSchema) -> Vec<u8> {
    v1::GetSchemaReply { hash: String::new(), ..schema(own, &WriteRights::default()) }.encode_to_vec()
}

/// Reads what [`own_schema_to_bytes`] encoded; `None` if it is damaged, or has a field of a type that is not known here.
#[must_use]
pub fn own_schema_from_bytes(bytes: &[u8]) -> Option<OwnSchema> {
    let reply = v1::GetSchemaReply::decode(bytes).ok()?;
    let own = own_schema(&reply);
    (own.iter().count() == reply.fields.len()).then_some(own)
}

fn own_field(field: &v1::FieldSchema) -> Option<OwnField> {
    let values = || field.values.iter().map(|value| value.as_str().into()).collect();
    let max_length = field.max_length.map_or(usize::MAX, |most| most as usize);
    let max_items = field.max_items.map_or(usize::MAX, |most| most as usize);
    let safe = float(SAFE_INTEGER);
    // A parser of JSON may round an integer of so many digits.
    let exact = |bound: f64| if bound.abs() > safe - 2.0 { safe.copysign(bound) } else { bound };
    let (min, max) = (field.min.unwrap_or(-safe), field.max.unwrap_or(safe));
    let kind = match field.r#type.as_str() {
        "text" => OwnKind::Text { max_length, values: values() },
        "integer" => OwnKind::Integer { min: exact(min) as i64, max: exact(max) as i64 },
        "number" => OwnKind::Number { min, max },
        "boolean" => OwnKind::Boolean,
        "list" => OwnKind::List { max_items, max_length, values: values() },
        _ => return None,
    };
    let default = field.default.clone().and_then(own_values::value);
    let audience = Audience::ALL.into_iter().find(|audience| audience.word() == field.visibility)?;
    let writer = FieldWriter::ALL.into_iter().find(|writer| writer.word() == field.write)?;
    Some(OwnField { kind, default, audience, writer })
}

impl From<&OwnField> for v1::FieldSchema {
    fn from(field: &OwnField) -> Self {
        let general = Self {
            r#type: field.kind.word().to_owned(),
            visibility: field.audience.word().to_owned(),
            write: field.writer.word().to_owned(),
            default: field.default.as_ref().map(v1::FieldValue::from),
            ..Self::default()
        };
        let texts = |values: &[Box<str>]| values.iter().map(ToString::to_string).collect();
        let most = |most: usize| Some(u32::try_from(most).unwrap_or(u32::MAX));
        match &field.kind {
            OwnKind::Text { max_length, values } => {
                Self { max_length: most(*max_length), values: texts(values), ..general }
            }
            OwnKind::Integer { min, max } => Self { min: Some(float(*min)), max: Some(float(*max)), ..general },
            OwnKind::Number { min, max } => Self { min: Some(*min), max: Some(*max), ..general },
            OwnKind::Boolean => general,
            OwnKind::List { max_items, max_length, values } => {
                Self { max_items: most(*max_items), max_length: most(*max_length), values: texts(values), ..general }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an integer beyond 2^53 is no limit of a field")]
fn float(limit: i64) -> f64 {
    limit as f64
}

/// FNV-1a with 64 bits: two schemas that an operator writes do not collide by chance, and nobody gains by making them.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;
    use rosterd_engine::model::OwnValue;

    fn field(kind: OwnKind, default: Option<OwnValue>) -> OwnField {
        OwnField { kind, default, audience: Audience::Friends, writer: FieldWriter::Backend }
    }

    fn all() -> OwnSchema {
        let values = ["red", "green"].map(Box::from).to_vec();
        let text = |values| OwnKind::Text { max_length: 9, values };
        let fields = [
            ("about", field(text(Vec::new()), Some(OwnValue::Text("".into())))),
            ("colour", OwnField { audience: Audience::Everyone, ..field(text(values.clone()), None) }),
            ("level", field(OwnKind::Integer { min: -SAFE_INTEGER, max: 99 }, Some(OwnValue::Integer(1)))),
            ("score", OwnField { writer: FieldWriter::Account, ..field(OwnKind::Number { min: 0.5, max: 1.5 }, None) }),
            ("tags", field(OwnKind::List { max_items: 3, max_length: 4, values }, Some(OwnValue::List([].into())))),
            ("vip", OwnField { audience: Audience::Own, ..field(OwnKind::Boolean, Some(OwnValue::Boolean(false))) }),
        ];
        fields.into_iter().map(|(name, field)| (name.into(), field)).collect()
    }

    fn described(own: &OwnSchema) -> v1::GetSchemaReply {
        schema(own, &WriteRights::default())
    }

    #[test]
    fn a_schema_comes_back_from_both_encodings() {
        let rights = WriteRights { nick: FieldWriter::Backend, ..WriteRights::default() };
        let reply = schema(&all(), &rights);
        let read = |reply: &v1::GetSchemaReply| (own_schema(reply), write_rights(reply));
        assert_eq!(read(&reply), (all(), rights.clone()));
        let json = serde_json::to_string(&reply).unwrap();
        let vip =
            r#""vip":{"type":"boolean","visibility":"self","write":"backend","default":false}},"backendOnly":["nick"]"#;
        assert!(json.contains(vip), "{json}");
        assert_eq!(read(&serde_json::from_str(&json).unwrap()), (all(), rights));
        let mut bytes = Vec::new();
        Encoding::Protobuf.encode(&reply, &mut bytes);
        assert_eq!(v1::GetSchemaReply::decode(&*bytes).unwrap(), reply);
    }

    #[test]
    fn a_store_keeps_a_schema_and_one_of_a_later_version_is_not_read_in_part() {
        assert_eq!(own_schema_from_bytes(&own_schema_to_bytes(&all())), Some(all()));
        assert_eq!(own_schema_from_bytes(b""), Some(OwnSchema::default()));
        let mut later = schema(&all(), &WriteRights::default());
        later.fields.get_mut("vip").unwrap().r#type = "colour".to_owned();
        assert_eq!(own_schema_from_bytes(&later.encode_to_vec()), None);
        assert_eq!(own_schema_from_bytes(b"\xff"), None);
    }

    #[test]
    fn another_schema_has_another_hash_and_none_has_none() {
        let hash = |own: &OwnSchema, backend_only: &[&str]| {
            schema_hash(&schema(own, &backend_only.iter().copied().collect())).map(str::to_owned)
        };
        let (fewer, none): (OwnSchema, _) =
            (all().iter().skip(1).map(|(name, field)| (name.into(), field.clone())).collect(), OwnSchema::default());
        assert_eq!((hash(&all(), &[]).unwrap().len(), hash(&all(), &[])), (16, hash(&all(), &[])));
        let hashes = [hash(&all(), &[]), hash(&fewer, &[]), hash(&all(), &["nick"]), hash(&none, &["nick"])];
        assert_eq!(hashes.iter().flatten().collect::<std::collections::BTreeSet<_>>().len(), hashes.len());
        assert_eq!(hash(&none, &[]), None);
        assert_eq!(serde_json::to_value(described(&none)).unwrap().as_object().unwrap().len(), 1, "the hash alone");
    }

    #[test]
    fn a_field_of_a_later_version_is_left_out() {
        let mut reply = described(&all());
        reply.fields.get_mut("vip").unwrap().r#type = "colour".to_owned();
        reply.fields.get_mut("tags").unwrap().visibility = "groups".to_owned();
        let known = own_schema(&reply);
        let names: Vec<_> = known.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["about", "colour", "level", "score"]);
    }
}
