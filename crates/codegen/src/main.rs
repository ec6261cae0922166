//! Writes the types of `proto/` into `crates/protocol/src`, from the wire's to `v1.rs`, those of the change log to
//! `feed_v1.rs`: `cargo run -p rosterd-codegen`, or `make proto`.
//!
//! The generated file is in the repository, so a build needs no code generator; a test here compares the two.
//! The JSON encoding is the same schema through serde. Its rules come from the descriptors, so a new field needs no line
//! here: names are camelCase, absent values are left out, `null` means absent, enums are lower-case words.

use std::fs;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Where the schema is, and what is written.
const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
const WIRE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/src/v1.rs");
const CHANGE_LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/src/feed_v1.rs");

/// The messages that the server API speaks, too; the document that describes it has them as schemas.
const DOCUMENTED: [&str; 11] = [
    "User",
    "Friend",
    "Request",
    "BlockRecord",
    "Presence",
    "Device",
    "Session",
    "Error",
    "UpdateMyInfo",
    "FieldSchema",
    "GetSchemaReply",
];
/// The message whose JSON form is written by hand.
const BY_HAND: &str = "FieldValue";
/// The enums in them.
const DOCUMENTED_ENUMS: [&str; 3] = ["Gender", "Direction", "RequestState"];
/// What makes most of a frame's size, which every frame has and moves around whatever is in it.
const LARGE: [&str; 4] = ["changes", "login_reply", "update_my_info_reply", "set_muted_reply"];

fn main() {
    for (path, source) in [(WIRE, wire()), (CHANGE_LOG, change_log())] {
        fs::write(path, source).expect("crates/protocol/src can be written to");
    }
}

/// Generates the types of the change log, which has no JSON form.
fn change_log() -> String {
    let files = protox::compile(["rosterd/feed/v1/change.proto"], [PROTO]).expect("the schema compiles");
    let mut config = prost_build::Config::new();
    config.btree_map(["."]);
    config.extern_path(".rosterd.v1", "crate::v1");
    written(&mut config, files, "rosterd.feed.v1.rs")
}

/// Generates the types of the wire.
fn wire() -> String {
    let files = protox::compile(["rosterd/v1/gateway.proto"], [PROTO]).expect("the schema compiles");
    let mut config = prost_build::Config::new();
    // Equal profiles have equal bytes.
    config.btree_map(["."]);
    for file in &files.file {
        for message in &file.message_type {
            if message.name() != BY_HAND {
                json_rules(&mut config, &format!(".{}", file.package()), message);
            }
            if DOCUMENTED.contains(&message.name()) {
                schema_rules(&mut config, &format!(".{}", file.package()), message);
            }
        }
    }
    for name in DOCUMENTED_ENUMS {
        let path = format!(".rosterd.v1.{name}");
        config.type_attribute(&path, "#[cfg_attr(feature = \"openapi\", derive(utoipa::ToSchema))]");
        config.type_attribute(&path, "#[cfg_attr(feature = \"openapi\", schema(rename_all = \"lowercase\"))]");
    }
    for field in LARGE {
        config.boxed(format!(".rosterd.v1.ServerFrame.{field}"));
    }
    written(&mut config, files, "rosterd.v1.rs")
}

/// Returns the source that is generated for a package.
fn written(config: &mut prost_build::Config, files: FileDescriptorSet, package: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    config.out_dir(folder.path()).compile_fds(files).expect("the schema generates");
    fs::read_to_string(folder.path().join(package)).expect("the package has types")
}

fn json_rules(config: &mut prost_build::Config, package: &str, message: &DescriptorProto) {
    let path = format!("{package}.{}", message.name());
    config.type_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]");
    config.type_attribute(&path, "#[serde(rename_all = \"camelCase\", default)]");
    for field in &message.field {
        let field_path = format!("{path}.{}", field.name());
        if let Some(rule) = presence_rule(message, field) {
            config.field_attribute(&field_path, rule);
        }
        let plain = field.label() == Label::Repeated || !matches!(field.r#type(), Type::Enum | Type::Message);
        if plain && !field.proto3_optional() {
            config.field_attribute(&field_path, "#[serde(deserialize_with = \"crate::or_default\")]");
        }
        if field.r#type() == Type::Enum {
            let optional = if field.proto3_optional() { "::optional" } else { "" };
            let module = field.type_name().rsplit('.').next().expect("a type has a name").to_lowercase();
            config.field_attribute(&field_path, format!("#[serde(with = \"crate::words::{module}{optional}\")]"));
        }
    }
}

/// The schema of a record in the server API's document: what is not optional is always there.
fn schema_rules(config: &mut prost_build::Config, package: &str, message: &DescriptorProto) {
    let path = format!("{package}.{}", message.name());
    config.type_attribute(&path, "#[cfg_attr(feature = \"openapi\", derive(utoipa::ToSchema))]");
    for field in &message.field {
        let mut rules = Vec::new();
        if !field.proto3_optional() {
            rules.push("required = true".to_owned());
        }
        if is_map(field) {
            let value = if message.name() == "GetSchemaReply" { "FieldSchema" } else { "serde_json::Value" };
            rules = vec![
                "required = false".to_owned(),
                format!("value_type = std::collections::BTreeMap<String, {value}>"),
            ];
        } else if field.type_name().ends_with(BY_HAND) {
            rules = vec!["required = false".to_owned(), "value_type = serde_json::Value".to_owned()];
        } else if matches!(message.name(), "FieldSchema" | "GetSchemaReply" | "Presence")
            && field.label() == Label::Repeated
        {
            rules = vec!["required = false".to_owned()];
        } else if matches!(field.r#type(), Type::Enum | Type::Message) {
            let name = field.type_name().rsplit('.').next().expect("a type has a name");
            let value = if field.proto3_optional() { format!("Option<{name}>") } else { name.to_owned() };
            rules.push(format!("value_type = {value}"));
        }
        if !rules.is_empty() {
            config.field_attribute(
                format!("{path}.{}", field.name()),
                format!("#[cfg_attr(feature = \"openapi\", schema({}))]", rules.join(", ")),
            );
        }
    }
}

/// Whether a field is a map, whose entries are messages without a name of their own.
fn is_map(field: &FieldDescriptorProto) -> bool {
    field.label() == Label::Repeated && field.type_name().ends_with("Entry")
}

fn presence_rule(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<&'static str> {
    let repeated = field.label() == Label::Repeated;
    match message.name() {
        // A push has no id, and says nothing of what did not change. Everywhere else a list that is empty is an answer.
        "ServerFrame" | "ClientFrame" if field.name() == "id" => {
            Some("#[serde(skip_serializing_if = \"crate::is_zero\")]")
        }
        // Who has no own fields receives nothing of them.
        _ if is_map(field) => Some("#[serde(skip_serializing_if = \"std::collections::BTreeMap::is_empty\")]"),
        "Changes" | "User" | "Presence" | "FieldSchema" | "GetSchemaReply" if repeated => {
            Some("#[serde(skip_serializing_if = \"Vec::is_empty\")]")
        }
        _ if !repeated && (field.proto3_optional() || field.r#type() == Type::Message) => {
            Some("#[serde(skip_serializing_if = \"Option::is_none\")]")
        }
        _ => None,
    }
}

#[test]
fn the_types_are_those_of_the_schema() {
    for (path, source) in [(WIRE, wire()), (CHANGE_LOG, change_log())] {
        assert!(fs::read_to_string(path).unwrap() == source, "{path} differs from what proto/ gives: run `make proto`");
    }
}
