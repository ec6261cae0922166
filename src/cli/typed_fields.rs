//! Own fields in the terminal: reads typed values by their types, and shows the fields of a profile.

use std::collections::BTreeSet;

use super::schema::in_words;
use rosterd_engine::model::OwnKind;
use rosterd_protocol::v1;

/// Reads a change of one own field; no text clears it.
///
/// A text that is no value of the field's type stays a text, which is refused with what would be right.
pub(super) fn change(schema: &v1::GetSchemaReply, name: &str, text: &str) -> v1::UpdateMyInfo {
    let own = rosterd_protocol::own_schema(schema);
    let kind = own.iter().find(|(known, _)| *known == name).map(|(_, field)| &field.kind);
    v1::UpdateMyInfo { fields: [(name.to_owned(), value(kind, text))].into(), ..v1::UpdateMyInfo::default() }
}

fn value(kind: Option<&OwnKind>, text: &str) -> v1::FieldValue {
    let nothing = v1::FieldValue::default();
    let plain = || v1::FieldValue { text: Some(text.to_owned()), ..v1::FieldValue::default() };
    match kind {
        _ if text.is_empty() => nothing,
        Some(OwnKind::Text { .. }) => plain(),
        Some(OwnKind::List { .. }) if !text.starts_with('[') => {
            let texts = text.split(',').map(|text| text.trim().to_owned()).collect();
            v1::FieldValue { list: Some(v1::FieldTexts { texts }), ..nothing }
        }
        _ => serde_json::from_str(text).unwrap_or_else(|_| plain()),
    }
}

/// Shows the own fields of a profile, a line for each: its value, and what it may hold.
pub(super) fn shown(schema: &v1::GetSchemaReply, me: Option<&v1::User>) -> Vec<String> {
    let own = rosterd_protocol::own_schema(schema);
    let held = |name: &str| me.and_then(|me| me.fields.get(name));
    let mut names: BTreeSet<&str> = schema.fields.keys().map(String::as_str).collect();
    names.extend(me.into_iter().flat_map(|me| me.fields.keys().map(String::as_str)));
    let line = |name: &str| {
        let value = held(name).map_or_else(String::new, |value| {
            format!(" = {}", serde_json::to_string(value).expect("a value is plain data"))
        });
        let field = own.iter().find(|(known, _)| *known == name);
        format!(
            "{name}{value}  ({})",
            field.map_or_else(|| "of a type unknown here".to_owned(), |(_, field)| in_words(field))
        )
    };
    let mut lines: Vec<_> = names.into_iter().map(line).collect();
    if lines.is_empty() {
        lines.push("this deployment has no own fields".to_owned());
    }
    if !schema.backend_only.is_empty() {
        lines.push(format!("only the backend writes {}", schema.backend_only.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> v1::GetSchemaReply {
        let field = |kind: &str| json!({"type": kind, "visibility": "everyone", "write": "self"});
        let fields: serde_json::Map<_, _> = ["text", "integer", "number", "boolean", "list", "place"]
            .map(|kind| (kind.to_owned(), field(kind)))
            .into_iter()
            .collect();
        serde_json::from_value(json!({"hash": "0", "fields": fields, "backendOnly": ["nick"]})).unwrap()
    }

    #[test]
    fn a_typed_value_is_of_the_type_of_its_field() {
        for (name, text, value) in [
            ("text", "7", json!("7")),
            ("text", "two words, \"quoted\"", json!("two words, \"quoted\"")),
            ("text", "null", json!("null")),
            ("text", "", json!(null)),
            ("integer", "7", json!(7)),
            ("integer", "seven", json!("seven")),
            ("number", "0.5", json!(0.5)),
            ("boolean", "true", json!(true)),
            ("boolean", "yes", json!("yes")),
            ("list", "red, green", json!(["red", "green"])),
            ("list", "[\"a,b\"]", json!(["a,b"])),
            ("list", "", json!(null)),
            ("place", "{}", json!("{}")),
            ("unknown", "7", json!(7)),
        ] {
            let update = change(&schema(), name, text);
            assert_eq!(serde_json::to_value(&update.fields[name]).unwrap(), value, "{name} {text}");
        }
    }

    #[test]
    fn each_field_is_shown_with_its_value_and_what_it_may_hold() {
        let me = v1::User {
            fields: serde_json::from_value(json!({"boolean": true, "gone": 1})).unwrap(),
            ..v1::User::default()
        };
        let lines = shown(&schema(), Some(&me));
        assert_eq!(lines.len(), 8, "{lines:?}");
        for line in [
            "boolean = true  (True or false; everyone sees it)",
            "gone = 1  (of a type unknown here)",
            "place  (of a type unknown here)",
            "only the backend writes nick",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{line}: {lines:?}");
        }
        assert_eq!(shown(&v1::GetSchemaReply::default(), None), ["this deployment has no own fields"]);
    }
}
