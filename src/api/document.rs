//! Completes the `OpenAPI` document with what many operations share: forms, lengths, and the errors that each answers.
//!
//! The handlers' attributes take no constants, and one rule for every place where an account stands needs no list of
//! those places.

use serde_json::{Value, json};

use super::private::SCHEMAS;
use rosterd_engine::model::Profile;
use rosterd_engine::model::limits::{ACCOUNT_CHARS, SIGNAL_PAYLOAD_BYTES};
use rosterd_protocol::{EventFields, EventTypes};

/// An account: one of its characters is no dot.
const ACCOUNT: &str = r"^\.{0,31}[A-Za-z0-9_@-][A-Za-z0-9_@.-]{0,31}$";
const SESSION: &str = "^[0-9a-f]{16}$";
const SECRET: &str = "^[!-~]{16,128}$";
const WITHOUT_NUL: &str = r"^[^\u0000]*$";
/// Nothing, or a day of the Gregorian calendar.
const BIRTH: &str = concat!(
    r"^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))",
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)?$",
);
/// An error that some operations answer.
struct Documented {
    status: &'static str,
    name: &'static str,
    why: &'static str,
    applies: fn(&Traits<'_>) -> bool,
}

const fn documented(
    status: &'static str,
    name: &'static str,
    why: &'static str,
    applies: fn(&Traits<'_>) -> bool,
) -> Documented {
    Documented { status, name, why, applies }
}

const ERRORS: [Documented; 10] = [
    documented("400", "BadRequest", "something in the path, the query or the body is wrong; `field` names it", |_| {
        true
    }),
    documented(
        "401",
        "Unauthorized",
        "the header `Authorization: Bearer KEY` is missing, or holds no key that is valid now",
        |_| true,
    ),
    documented(
        "403",
        "Forbidden",
        "the key lacks the scope of this operation, which the message names; or the server API is off, or a web page asks",
        |_| true,
    ),
    documented(
        "404",
        "NotFound",
        "an account does not exist, or there is no such friend, open request, session or webhook",
        |op| {
            // These take an account that does not exist yet.
            let makes = matches!(op.id, "replaceUser" | "revokeTokens");
            let of_webhook =
                op.id.ends_with("Webhook") || op.id.ends_with("DeadEvents") || op.id.ends_with("DeadEvent");
            of_webhook || (op.of_account && !makes) || matches!(op.id, "updateUsers" | "importLines" | "getSession")
        },
    ),
    documented("409", "Conflict", "the two are friends already", |op| {
        matches!(op.id, "requestFriend" | "acceptFriend" | "rejectFriend")
    }),
    documented("412", "PreconditionFailed", "`ifVersion` is not the version of the profile", |op| {
        matches!(op.id, "replaceUser" | "updateUser" | "updateUsers")
    }),
    documented("422", "TooLarge", "the body, a list or a number of records is larger than it may be", |op| {
        op.has_body || matches!(op.id, "addFriend" | "acceptFriend" | "blockUser" | "muteUser")
    }),
    documented(
        "429",
        "TooManyRequests",
        "sessions have yet to read what was sent; `Retry-After` says when to go on",
        |op| op.id == "sendHint",
    ),
    documented("503", "ServiceUnavailable", "the store cannot do it now; `Retry-After` says when to go on", |_| true),
    documented("504", "OutcomeUnknown", "whether it was done is not known; read before you try again", |op| op.writes),
];

/// What decides which errors an operation may answer.
struct Traits<'a> {
    id: &'a str,
    of_account: bool,
    has_body: bool,
    writes: bool,
}

/// Completes the document.
pub(super) fn complete(document: &mut Value) {
    for (path, operations) in entries(document, "paths") {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation);
        }
    }
    let failure = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}});
    for Documented { name, why, .. } in ERRORS {
        document["components"]["responses"][name] = json!({"description": why, "content": failure});
    }
    for (name, schema) in entries(&mut document["components"], "schemas") {
        complete_schema(name, schema);
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        // A parameter is there or not: there is no way to write `null` in a query.
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let of_session = matches!(name.as_str(), "session") || (path == "/v1/sessions" && name == "after");
        let schema = &mut parameter["schema"];
        if let Some(kinds) = schema["type"].as_array() {
            schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        }
        match name.as_str() {
            _ if schema.get("pattern").is_some() => {}
            _ if of_session => schema["pattern"] = SESSION.into(),
            "account" | "peer" | "after" | "viewer" | "subject" => name_form(schema),
            "types" => schema["pattern"] = format!("^{}$", list_of(&types())).into(),
            "fields" => {
                let fields: Vec<_> = EventFields::known().collect();
                schema["pattern"] = format!("^({})?$", list_of(&fields)).into();
            }
            _ => {}
        }
    }
    if operation["operationId"] == "importLines" {
        // No lines are no error. Generators that do not know the one type of content know the other.
        operation["requestBody"]["required"] = false.into();
        operation["requestBody"]["content"]["application/octet-stream"]["schema"] =
            json!({"type": "string", "format": "binary"});
    }
    // Operations that need no key never refuse.
    if operation.get("security").is_some() {
        return;
    }
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let has_body = operation.get("requestBody").is_some();
    let writes = method != "get";
    let traits = Traits { id: &id, of_account: path.contains("{account}"), has_body, writes };
    for Documented { status, name, applies, .. } in ERRORS {
        if applies(&traits) {
            operation["responses"][status] = json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    let failure = json!({"schema": {"$ref": "#/components/schemas/Failure"}});
    operation["responses"]["default"] =
        json!({"description": "any other error", "content": {"application/json": failure}});
}

fn complete_schema(name: &str, schema: &mut Value) {
    for (_, private) in SCHEMAS.iter().filter(|(of, _)| *of == name) {
        let required = schema.get_mut("required").and_then(Value::as_array_mut);
        if let Some(required) = required {
            required.retain(|field| !private.iter().any(|name| field == name));
        }
        for field in *private {
            schema["properties"][field]["description"] = "Absent without the scope `private`.".into();
        }
    }
    let is_body = BODIES.contains(&name);
    if is_body {
        merge(schema);
        schema["additionalProperties"] = false.into();
    }
    for (field, property) in entries(schema, "properties") {
        // Those of the Rust types, which say nothing: in an answer nothing is left out, in a body nothing stands for it.
        property.as_object_mut().map(|property| property.remove("default"));
        match field {
            "account" | "to" => name_form(property),
            "accounts" => name_form(&mut property["items"]),
            _ => {}
        }
        if is_body {
            complete_field(name, field, property);
        }
    }
}

/// The schemas of request bodies: what is not in them is an error.
const BODIES: [&str; 11] = [
    "Accounts",
    "Ask",
    "Batch",
    "BatchUser",
    "FriendUpdate",
    "NewToken",
    "PresenceUpdate",
    "Revocation",
    "Signal",
    "UpdateMyInfo",
    "WebhookReplay",
];

fn complete_field(schema: &str, field: &str, property: &mut Value) {
    match (schema, field) {
        ("UpdateMyInfo" | "BatchUser", "birth") => property["pattern"] = BIRTH.into(),
        // An address has a form that no pattern says; nothing at all clears it.
        ("UpdateMyInfo" | "BatchUser", "email") => {
            let most = Profile::text_limits(field).map_or(0, |limits| limits.chars);
            *property = json!({"anyOf": [
                {"type": "string", "maxLength": 0},
                {"type": "string", "format": "email", "maxLength": most},
                {"type": "null"},
            ]});
        }
        ("UpdateMyInfo" | "BatchUser", _) => {
            if let Some(limits) = Profile::text_limits(field) {
                property["maxLength"] = limits.chars.into();
                if !limits.nul {
                    property["pattern"] = WITHOUT_NUL.into();
                }
            }
        }
        ("FriendUpdate", "alias") => property["pattern"] = WITHOUT_NUL.into(),
        ("Ask", "message") => {
            (property["pattern"], property["type"]) = (WITHOUT_NUL.into(), json!(["string", "null"]));
        }
        ("NewToken", "secret") => property["pattern"] = SECRET.into(),
        // Absent or `null`, as everywhere.
        ("Accounts", "accounts") => property["type"] = json!(["array", "null"]),
        // In bytes, which a schema cannot count.
        ("Signal", "payload") => property["maxLength"] = SIGNAL_PAYLOAD_BYTES.into(),
        _ => {}
    }
    if property["format"] == "int64" {
        (property["format"], property["maximum"]) = ("uint64".into(), u64::MAX.into());
    }
}

/// Makes one object of a schema that consists of several: a validator would refuse the fields of each in the others.
fn merge(schema: &mut Value) {
    let Some(Value::Array(parts)) = schema.as_object_mut().and_then(|schema| schema.remove("allOf")) else { return };
    schema["type"] = "object".into();
    for part in parts {
        for (field, property) in part["properties"].as_object().into_iter().flatten() {
            schema["properties"][field] = property.clone();
        }
        let required = part["required"].as_array().into_iter().flatten().cloned();
        let mut all: Vec<_> = schema["required"].as_array().into_iter().flatten().cloned().collect();
        all.extend(required);
        schema["required"] = all.into();
    }
}

fn name_form(schema: &mut Value) {
    schema["minLength"] = 1.into();
    schema["maxLength"] = ACCOUNT_CHARS.into();
    schema["pattern"] = ACCOUNT.into();
}

/// Returns the types of events, and the beginnings of their names, as a pattern has them.
fn types() -> Vec<String> {
    let mut types: Vec<_> = EventTypes::known().map(|name| name.replace('.', r"\.")).collect();
    let mut groups: Vec<_> = EventTypes::known().filter_map(|name| name.split('.').next()).collect();
    groups.dedup();
    types.extend(groups.iter().map(|group| format!(r"{group}\.\*")));
    types.push(r"\*".to_owned());
    types
}

/// Returns the pattern of some of these words with commas between.
fn list_of(words: &[impl AsRef<str>]) -> String {
    let words = words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("|");
    format!("({words})(,({words}))*")
}

/// Returns what stands under a name, if it does: an index would make it.
fn entries<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = (&'a str, &'a mut Value)> {
    let under = value.get_mut(name).and_then(Value::as_object_mut);
    under.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
