//! Reads what a client sent: a heartbeat, a command, or a command that is answered with an error.
//!
//! A *malformed frame* cannot be read at all and ends the session; a *malformed command* is a readable frame
//! with something wrong in it, and gets an error that names the field.

use std::borrow::Cow;
use std::fmt;

use prost::Message;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

use super::strict::known_fields;
use super::{Encoding, Malformed, v1};
use rosterd_engine::model::{Reason, RequestError};

/// A readable frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Inbound {
    /// An empty frame.
    Heartbeat,
    /// A command that is to be carried out.
    Command {
        /// The client's number for it, at least 1.
        id: u64,
        /// The command.
        command: ClientCommand,
    },
    /// A command that is answered with an error.
    Refused {
        /// The client's number, if it is valid.
        id: Option<u64>,
        /// The error.
        error: RequestError,
    },
}

/// Defines the commands out of a table: the variant, its name in JSON, its field in the schema's `ClientFrame`.
macro_rules! commands {
    ($($variant:ident, $name:literal, $field:ident;)+) => {
        /// The commands of the protocol, by their schema types.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "documented in the schema")]
        pub enum ClientCommand { $($variant(v1::$variant)),+ }

        impl ClientCommand {
            /// Returns the command's name on the wire.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            /// Makes the frame that carries it.
            #[must_use]
            pub fn frame(self, id: u64) -> v1::ClientFrame {
                match self { $(Self::$variant(body) => v1::ClientFrame { id, $field: Some(body), ..Default::default() }),+ }
            }

            fn is_name(name: &str) -> bool {
                matches!(name, $($name)|+)
            }

            fn from_json(name: &str, body: &RawValue) -> Result<Self, RequestError> {
                match name {
                    $($name => Ok(Self::$variant(parse($name, body)?)),)+
                    _ => Err(unknown(name)),
                }
            }

            fn all_of(frame: v1::ClientFrame) -> Vec<Self> {
                [$(frame.$field.map(Self::$variant)),+].into_iter().flatten().collect()
            }
        }
    };
}

commands! {
    Login, "login", login;
    Refresh, "refresh", refresh;
    UpdateMyInfo, "updateMyInfo", update_my_info;
    GetUsers, "getUsers", get_users;
    Logout, "logout", logout;
    AddFriend, "addFriend", add_friend;
    RequestFriend, "requestFriend", request_friend;
    AcceptFriend, "acceptFriend", accept_friend;
    RejectFriend, "rejectFriend", reject_friend;
    CancelRequest, "cancelRequest", cancel_request;
    DeleteFriend, "deleteFriend", delete_friend;
    UpdateFriend, "updateFriend", update_friend;
    Block, "block", block;
    Unblock, "unblock", unblock;
    GetSessions, "getSessions", get_sessions;
    Kick, "kick", kick;
    Watch, "watch", watch;
    Signal, "signal", signal;
    SetPresence, "setPresence", set_presence;
    Repair, "repair", repair;
    SetMuted, "setMuted", set_muted;
    GetSchema, "getSchema", get_schema;
}

/// Reads one frame.
///
/// # Errors
/// The payload is not JSON, not an object, or not protobuf. The session ends then.
pub fn decode(encoding: Encoding, payload: &[u8]) -> Result<Inbound, Malformed> {
    match encoding {
        Encoding::Json => decode_json(payload),
        Encoding::Protobuf => decode_protobuf(payload),
    }
}

fn decode_protobuf(payload: &[u8]) -> Result<Inbound, Malformed> {
    if payload.is_empty() {
        return Ok(Inbound::Heartbeat);
    }
    let frame = v1::ClientFrame::decode(payload).map_err(|e| Malformed(e.to_string()))?;
    let id = frame.id;
    let mut commands = ClientCommand::all_of(frame);
    Ok(match (id, commands.pop(), commands.is_empty()) {
        (0, ..) => refused(None, bad_id()),
        (id, Some(command), true) => Inbound::Command { id, command },
        (id, None, _) => refused(Some(id), invalid("the frame holds no known command")),
        (id, Some(_), false) => refused(Some(id), several()),
    })
}

fn decode_json(payload: &[u8]) -> Result<Inbound, Malformed> {
    // serde's own text may quote the payload, perhaps a token, and this text is logged.
    let malformed = |e: serde_json::Error| Malformed(format!("not one JSON object, at column {}", e.column()));
    let frame: JsonFrame<'_> = serde_json::from_slice(payload).map_err(malformed)?;
    if frame.ids.is_empty() && frame.others.is_empty() {
        return Ok(Inbound::Heartbeat);
    }
    let id = match frame.ids.as_slice() {
        [id] => serde_json::from_str::<u64>(id.get()).ok().filter(|id| *id > 0),
        _ => None,
    };
    let Some(id) = id else {
        return Ok(refused(None, bad_id()));
    };
    let known: Vec<_> = frame.others.iter().filter(|(name, _)| ClientCommand::is_name(name)).collect();
    let command = match (known.as_slice(), frame.others.first()) {
        ([(name, body)], _) => ClientCommand::from_json(name, body),
        ([], None) => Err(invalid("the frame holds no command")),
        ([], Some((name, _))) => Err(unknown(name)),
        _ => Err(several()),
    };
    Ok(match command {
        Ok(command) => Inbound::Command { id, command },
        Err(error) => refused(Some(id), error),
    })
}

/// Reads one object. The error names the field, and quotes nothing of the payload.
pub(super) fn parse<'a, T: Deserialize<'a>>(name: &'static str, body: &'a RawValue) -> Result<T, RequestError> {
    // serde would also take a list, by position.
    if !body.get().starts_with('{') {
        return Err(invalid(format!("{name}: expected an object")).field(name));
    }
    let mut json = serde_json::Deserializer::from_str(body.get());
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let text = error.inner().to_string();
        let path = Some(error.path().to_string()).filter(|path| path != ".");
        let (field, wrong) = match text.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`')) {
            Some((twice, _)) => (path.map_or(twice.to_owned(), |path| format!("{path}.{twice}")), "given twice"),
            None => (path.unwrap_or(name.to_owned()), expectation(&text)),
        };
        RequestError::new(Reason::InvalidArgument, format!("{field}: {wrong}")).field(field)
    })
}

/// Returns the part of serde's text that says what would be right.
///
/// The rest quotes what serde found, which may be a token or a profile field.
fn expectation(text: &str) -> &str {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    if text.starts_with("missing field") {
        return text;
    }
    text.rfind("expected ").map_or("not readable", |at| &text[at..])
}

fn refused(id: Option<u64>, error: RequestError) -> Inbound {
    Inbound::Refused { id, error }
}

fn invalid(message: impl Into<String>) -> RequestError {
    RequestError::new(Reason::InvalidArgument, message)
}

fn bad_id() -> RequestError {
    invalid("id must be one whole number of at least 1").field("id")
}

fn several() -> RequestError {
    invalid("the frame holds more than one command")
}

fn unknown(name: &str) -> RequestError {
    let shown: String = name.chars().take(40).collect();
    invalid(format!("unknown command \"{shown}\""))
}

/// Reads the body of an HTTP request as one object of the schema.
///
/// # Errors
/// 414, with the field if there is one; also for a field that the object does not have.
pub fn body<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, RequestError> {
    let body: &RawValue = serde_json::from_slice(bytes).map_err(|_| invalid("the body is not JSON"))?;
    known_fields::<T>(body, &[])?;
    parse("body", body)
}

/// A frame whose bodies are not read yet, so that an error in a body knows the id.
struct JsonFrame<'a> {
    ids: Vec<&'a RawValue>,
    others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'de> Deserialize<'de> for JsonFrame<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = JsonFrame<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut frame = JsonFrame { ids: Vec::new(), others: Vec::new() };
                while let Some(JsonKey(key)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    match &*key {
                        "id" => frame.ids.push(value),
                        _ => frame.others.push((key, value)),
                    }
                }
                Ok(frame)
            }
        }
        from.deserialize_map(Keys)
    }
}

/// A key that borrows if it has no escapes; serde's own `Cow` always copies.
struct JsonKey<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for JsonKey<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = JsonKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(JsonKey(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(JsonKey(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Result<Inbound, Malformed> {
        decode(Encoding::Json, text.as_bytes())
    }

    fn refusal(text: &str) -> (Option<u64>, Reason, Option<String>, String) {
        match json(text) {
            Ok(Inbound::Refused { id, error }) => (id, error.reason, error.field.map(Cow::into_owned), error.message),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn commands_read_the_same_in_both_encodings() {
        let update = v1::UpdateMyInfo {
            nick: Some("N".into()),
            gender: Some(v1::Gender::Male as i32),
            email: Some(String::new()),
            ..Default::default()
        };
        let expected = Inbound::Command { id: 7, command: ClientCommand::UpdateMyInfo(update.clone()) };
        assert_eq!(
            json(r#" {"id":7,"updateMyInfo":{"nick":"N","gender":"male","email":"","sign":null,"later":[1]}} "#),
            Ok(expected.clone())
        );
        let mut bytes = Vec::new();
        Encoding::Protobuf.encode(&ClientCommand::UpdateMyInfo(update).frame(7), &mut bytes);
        assert_eq!(decode(Encoding::Protobuf, &bytes), Ok(expected));
        assert_eq!(json("{}"), Ok(Inbound::Heartbeat));
        assert_eq!(decode(Encoding::Protobuf, b""), Ok(Inbound::Heartbeat));
    }

    #[test]
    fn a_malformed_command_names_the_field_and_keeps_its_id() {
        for (text, id, field, says) in [
            (r#"{"id":3,"updateMyInfo":{"nick":5}}"#, Some(3), Some("nick"), "expected a string"),
            (r#"{"id":3,"updateMyInfo":{"nick":"a","nick":"b"}}"#, Some(3), Some("nick"), "twice"),
            (r#"{"id":3,"updateMyInfo":{"gender":"other"}}"#, Some(3), Some("gender"), "expected one of"),
            (r#"{"id":3,"updateMyInfo":{"ifVersion":-1}}"#, Some(3), Some("ifVersion"), "expected u64"),
            (r#"{"id":3,"updateMyInfo":[]}"#, Some(3), Some("updateMyInfo"), "expected an object"),
            (r#"{"id":3,"logout":null}"#, Some(3), Some("logout"), "expected an object"),
            (r#"{"id":3,"getUsers":{"accounts":["a",1]}}"#, Some(3), Some("accounts[1]"), "expected a string"),
            (r#"{"id":3,"login":{"device":{"type":1}}}"#, Some(3), Some("device.type"), "expected a string"),
            (r#"{"id":3,"frobnicate":{}}"#, Some(3), None, "frobnicate"),
            (r#"{"id":3}"#, Some(3), None, "no command"),
            (r#"{"id":3,"logout":{},"getUsers":{}}"#, Some(3), None, "more than one"),
            (r#"{"id":0,"logout":{}}"#, None, Some("id"), "at least 1"),
            (r#"{"id":"7","logout":{}}"#, None, Some("id"), ""),
            (r#"{"id":1,"id":2,"logout":{}}"#, None, Some("id"), ""),
            (r#"{"logout":{}}"#, None, Some("id"), ""),
        ] {
            let (got_id, reason, got_field, message) = refusal(text);
            assert_eq!((got_id, reason, got_field.as_deref()), (id, Reason::InvalidArgument, field), "{text}");
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn an_error_does_not_quote_the_payload() {
        let (.., message) = refusal(r#"{"id":3,"updateMyInfo":{"gender":"secret"}}"#);
        assert!(!message.contains("secret"), "{message}");
        for text in [r#""secret""#, r#"["secret"]"#, r#"{"secret" x"#] {
            let Malformed(message) = json(text).unwrap_err();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_payload_that_is_no_frame_is_malformed() {
        for text in ["", "x", "[]", "5", "null", "{\"id\":1", "{\"id\":1}x", "\"{}\"", "{\"id\":1,\"logout\":}"] {
            assert!(json(text).is_err(), "{text}");
        }
        assert!(decode(Encoding::Json, b"{\"\xff\":1}").is_err());
        assert!(decode(Encoding::Protobuf, &[0x12, 0x05, 0x01]).is_err());
    }

    #[test]
    fn protobuf_frames_without_id_or_command_are_refused() {
        let bytes = |frame: &v1::ClientFrame| frame.encode_to_vec();
        let no_id = ClientCommand::Logout(v1::Logout {}).frame(0);
        let two = v1::ClientFrame {
            get_users: Some(v1::GetUsers::default()),
            ..ClientCommand::Logout(v1::Logout {}).frame(4)
        };
        for (payload, id) in
            [(bytes(&no_id), None), (bytes(&two), Some(4)), (vec![0x08, 0x05], Some(5)), (vec![0xa0, 0x06, 0x01], None)]
        {
            assert!(
                matches!(decode(Encoding::Protobuf, &payload), Ok(Inbound::Refused { id: got, .. }) if got == id),
                "{payload:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "\\{.*\\}") {
            let _ = decode(Encoding::Protobuf, &bytes);
            let _ = decode(Encoding::Json, &bytes);
            let _ = json(&text);
        }
    }
}
