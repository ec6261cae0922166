//! `rosterd schema` prints the own fields of the settings, as JSON or as types for applications in TypeScript.

use std::fmt::Write as _;

use serde_json::json;

use crate::config::Config;
use rosterd_engine::model::{Audience, FieldWriter, OwnField, OwnKind};

/// Returns the schema as JSON, as `getSchema` answers it.
///
/// # Panics
/// Never: the value is plain data.
#[must_use]
pub fn json(config: &Config) -> String {
    let schema = rosterd_protocol::schema(&config.profile.rules().own, &config.profile.write);
    serde_json::to_string_pretty(&schema).expect("it is plain data")
}

/// Returns a declaration file that gives `user.fields` of the JavaScript client the types of the own fields.
#[must_use]
pub fn typescript(config: &Config) -> String {
    let mut text = String::from(
        "// Written by `rosterd schema --typescript`: the own fields of this deployment.\n\n\
         import 'rosterd';\n\ndeclare module 'rosterd' {\n  interface OwnFields {\n",
    );
    for (name, field) in config.profile.rules().own.iter() {
        let _ = writeln!(text, "    /** {}. */\n    {name}: {};", in_words(field), type_of(field));
    }
    text.push_str("  }\n}");
    text
}

/// Says what a field may hold, who sees it, and that only the backend writes it if that is so.
pub(super) fn in_words(field: &OwnField) -> String {
    let limit = match &field.kind {
        OwnKind::Integer { min, max } => format!("A whole number from {min} to {max}"),
        OwnKind::Number { min, max } => format!("A number from {min} to {max}"),
        OwnKind::Boolean => "True or false".to_owned(),
        OwnKind::List { max_items, max_length, .. } => format!("At most {max_items} texts of {max_length} characters"),
        OwnKind::Text { max_length, .. } => format!("At most {max_length} characters"),
    };
    let audience = match field.audience {
        Audience::Everyone => "everyone sees it",
        Audience::Friends => "friends see it",
        Audience::Own => "the account alone sees it",
    };
    let writer = match field.writer {
        FieldWriter::Account => "",
        FieldWriter::Backend => ", only the backend writes it",
    };
    format!("{limit}; {audience}{writer}")
}

fn type_of(field: &OwnField) -> String {
    let text = |values: &[Box<str>]| {
        let words: Vec<_> = values.iter().map(|value| json!(value).to_string()).collect();
        if words.is_empty() { "string".to_owned() } else { words.join(" | ") }
    };
    match &field.kind {
        OwnKind::Text { values, .. } => text(values),
        OwnKind::Integer { .. } | OwnKind::Number { .. } => "number".to_owned(),
        OwnKind::Boolean => "boolean".to_owned(),
        OwnKind::List { values, .. } => format!("readonly ({})[]", text(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FieldConfig, FieldType};
    use serde_json::Value;

    fn config() -> Config {
        let level = FieldConfig {
            kind: FieldType::Integer,
            min: 1.0,
            max: 99.0,
            default: "1".into(),
            write: FieldWriter::Backend,
            ..FieldConfig::default()
        };
        let tags = FieldConfig {
            kind: FieldType::List,
            values: vec!["red".into(), "\"".into()],
            visibility: Audience::Friends,
            ..FieldConfig::default()
        };
        let mut config = Config::default();
        config.profile.fields = [("level".to_owned(), level), ("tags".to_owned(), tags)].into();
        config
    }

    #[test]
    fn a_schema_is_printed_as_json_and_as_types() {
        let expected = json!({"fields": {
            "level": {"type": "integer", "min": 1.0, "max": 99.0, "default": 1, "visibility": "everyone", "write": "backend"},
            "tags": {"type": "list", "maxLength": 256, "maxItems": 16, "values": ["red", "\""], "visibility": "friends", "write": "self"},
        }});
        let printed: Value = serde_json::from_str(&json(&config())).unwrap();
        assert_eq!(printed["fields"], expected["fields"]);
        assert_eq!(printed["hash"].as_str().map(str::len), Some(16));
        let text = typescript(&config());
        assert!(text.contains("    /** A whole number from 1 to 99; everyone sees it, only the backend writes it. */\n    level: number;"), "{text}");
        assert!(text.contains("    tags: readonly (\"red\" | \"\\\"\")[];"), "{text}");
        assert!(typescript(&Config::default()).contains("interface OwnFields {\n  }"));
    }
}
