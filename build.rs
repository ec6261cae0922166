//! Generates the wire types from `proto/`, without a protoc on the machine.
//!
//! The JSON encoding is the same schema through serde. Its rules are read off the descriptors, so a new field
//! needs no line here: names in camelCase, what is absent is left out, `null` is absent, enums are lower-case words.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

/// The messages that the server API speaks, too; the document that describes it has them as schemas.
const DOCUMENTED: [&str; 9] =
    ["User", "Friend", "Request", "BlockRecord", "Presence", "Device", "Session", "Error", "UpdateMyInfo"];
/// The enums in them.
const DOCUMENTED_ENUMS: [&str; 3] = ["Gender", "Direction", "RequestState"];
/// What makes most of a frame's size, which every frame has and moves around whatever is in it.
const LARGE: [&str; 3] = ["changes", "login_reply", "update_my_info_reply"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/rosterd/v1/gateway.proto"], ["proto"])?;
    let mut config = prost_build::Config::new();
    for file in &files.file {
        for message in &file.message_type {
            json_rules(&mut config, &format!(".{}", file.package()), message);
            if DOCUMENTED.contains(&message.name()) {
                schema_rules(&mut config, &format!(".{}", file.package()), message);
            }
        }
    }
    for name in DOCUMENTED_ENUMS {
        let words = "#[derive(utoipa::ToSchema)] #[schema(rename_all = \"lowercase\")]";
        config.type_attribute(format!(".rosterd.v1.{name}"), words);
    }
    for field in LARGE {
        config.boxed(format!(".rosterd.v1.ServerFrame.{field}"));
    }
    config.compile_fds(files)?;
    Ok(())
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
            config.field_attribute(&field_path, "#[serde(deserialize_with = \"crate::wire::or_default\")]");
        }
        if field.r#type() == Type::Enum {
            let optional = if field.proto3_optional() { "::optional" } else { "" };
            let module = field.type_name().rsplit('.').next().expect("a type has a name").to_lowercase();
            config.field_attribute(&field_path, format!("#[serde(with = \"crate::wire::words::{module}{optional}\")]"));
        }
    }
}

/// The schema of a record in the server API's document: what is not optional is always there.
fn schema_rules(config: &mut prost_build::Config, package: &str, message: &DescriptorProto) {
    let path = format!("{package}.{}", message.name());
    config.type_attribute(&path, "#[derive(utoipa::ToSchema)]");
    for field in &message.field {
        let mut rules = Vec::new();
        if !field.proto3_optional() {
            rules.push("required = true".to_owned());
        }
        if matches!(field.r#type(), Type::Enum | Type::Message) {
            let name = field.type_name().rsplit('.').next().expect("a type has a name");
            let value = if field.proto3_optional() { format!("Option<{name}>") } else { name.to_owned() };
            rules.push(format!("value_type = {value}"));
        }
        if !rules.is_empty() {
            config.field_attribute(format!("{path}.{}", field.name()), format!("#[schema({})]", rules.join(", ")));
        }
    }
}

fn presence_rule(message: &DescriptorProto, field: &FieldDescriptorProto) -> Option<&'static str> {
    let repeated = field.label() == Label::Repeated;
    match message.name() {
        // A push has no id, and says nothing of what did not change. Everywhere else a list that is empty is an answer.
        "ServerFrame" | "ClientFrame" if field.name() == "id" => {
            Some("#[serde(skip_serializing_if = \"crate::wire::is_zero\")]")
        }
        "Changes" if repeated => Some("#[serde(skip_serializing_if = \"Vec::is_empty\")]"),
        _ if !repeated && (field.proto3_optional() || field.r#type() == Type::Message) => {
            Some("#[serde(skip_serializing_if = \"Option::is_none\")]")
        }
        _ => None,
    }
}
