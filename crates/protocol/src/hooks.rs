//! What a hook is asked, and how its answer is read: strictly, because an answer that is half understood could let
//! through what it was to stop.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::events::{EventFields, UserRecord, rfc3339};
use super::{convert, v1};
use rosterd_engine::for_each_profile_field;
use rosterd_engine::model::{
    Account, Fields, Gender, GivenStatus, Millis, OWN_PREFIX, OwnChanges, Patch, Profile, Reason, Request,
    RequestError, SessionId,
};

/// The most characters of the word of a refusal, and of its sentence.
const CHARS: [usize; 2] = [64, 200];
/// The sentence of a refusal that has none.
const SILENT: &str = "the operator of this service does not allow this";

/// What a client wants to do.
#[derive(Debug, Clone)]
pub enum HookSubject {
    /// It changes its profile.
    Profile {
        /// The profile as it is.
        before: Arc<Profile>,
        /// The fields that it gives, checked.
        set: Fields,
    },
    /// It asks for a friendship, or adds a friend.
    Friend {
        /// The name of the command.
        command: &'static str,
        /// The other account.
        peer: Account,
        /// The message that goes with it.
        message: Box<str>,
        /// The profiles of both.
        users: Vec<Arc<Profile>>,
    },
    /// It sets its status.
    Status {
        /// The status, checked.
        status: GivenStatus,
        /// Its profile.
        user: Arc<Profile>,
    },
}

/// What a hook is asked.
#[derive(Debug, Clone)]
pub struct HookQuestion {
    /// The account that asks.
    pub account: Account,
    /// Its session.
    pub session: SessionId,
    /// Its device, as far as the client described it.
    pub device: Option<v1::Device>,
    /// What it wants to do.
    pub subject: HookSubject,
}

/// What a hook wants to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// Do it.
    Allow,
    /// Do it with these fields of the profile.
    SetFields(Patch),
    /// Do it with this message.
    SetMessage(Box<str>),
    /// Do it with this text.
    SetStatus(Box<str>),
    /// Do not do it, and answer this.
    Deny(RequestError),
}

impl HookSubject {
    /// Returns the name of the hook that is asked.
    #[must_use]
    pub fn hook(&self) -> &'static str {
        match self {
            Self::Profile { .. } => "profile",
            Self::Friend { .. } => "friend",
            Self::Status { .. } => "status",
        }
    }

    /// Returns the fields that the hook is shown and may change.
    fn given(&self, fields: &EventFields) -> Vec<&'static str> {
        match self {
            Self::Profile { set, .. } => set.given().into_iter().filter(|name| fields.has(name)).collect(),
            Self::Friend { .. } => ["message"].into_iter().filter(|name| fields.has(name)).collect(),
            // Without it there would be nothing to decide.
            Self::Status { .. } => vec!["status"],
        }
    }
}

impl HookQuestion {
    /// Encodes the question.
    ///
    /// # Panics
    /// Never: a question is plain data.
    #[must_use]
    pub fn json(&self, id: &str, now: Millis, fields: &EventFields) -> String {
        serde_json::to_string(&Asked { question: self, id, now, fields }).expect("a question is plain data")
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn answer(&self, body: &[u8], fields: &EventFields) -> Result<HookAnswer, String> {
        let given = self.subject.given(fields);
        match serde_json::from_slice(body).map_err(|error| format!("the answer cannot be read: {error}"))? {
            Answered::Allow { set } if set.is_empty() => Ok(HookAnswer::Allow),
            Answered::Allow { set } => self.changed(set, &given),
            Answered::Deny { detail, message, field } => {
                let own = self.own_given().map(|name| format!("{OWN_PREFIX}{name}"));
                let own = own.filter(|_| given.contains(&Profile::OWN));
                deny(detail, message, field, given.iter().map(|name| (*name).to_owned()).chain(own).collect())
            }
        }
    }

    /// Returns the names of the own fields that the client gives.
    fn own_given(&self) -> impl Iterator<Item = &str> {
        let set = match &self.subject {
            HookSubject::Profile { set, .. } => Some(set.own.set.keys().map(|name| &**name)),
            HookSubject::Friend { .. } | HookSubject::Status { .. } => None,
        };
        set.into_iter().flatten()
    }

    /// Checks that an answer sets no other own fields than the client. Their values are checked by the write.
    fn own_are_given(&self, value: &Value) -> Result<(), String> {
        let fields =
            value.as_object().ok_or_else(|| format!("the answer sets {} to what is no object", Profile::OWN))?;
        match fields.keys().find(|name| self.own_given().all(|given| given != name.as_str())) {
            Some(name) => Err(format!("the answer sets {OWN_PREFIX}{:?}, which was not asked about", shown(name))),
            None => Ok(()),
        }
    }

    fn changed(&self, set: BTreeMap<String, Value>, given: &[&str]) -> Result<HookAnswer, String> {
        for (name, value) in &set {
            if !given.contains(&name.as_str()) {
                return Err(format!("the answer sets {:?}, which was not asked about", shown(name)));
            }
            if *name == Profile::OWN {
                self.own_are_given(value)?;
            } else if !value.is_string() {
                return Err(format!("the answer sets {name} to what is no text"));
            }
        }
        match &self.subject {
            HookSubject::Profile { set: before, .. } => {
                let update = serde_json::from_value(Value::Object(set.into_iter().collect()));
                let update: v1::UpdateMyInfo = update.map_err(|error| format!("the answer sets {error}"))?;
                let fields = convert::fields(update).map_err(|error| error.message)?.or(before.clone());
                Ok(HookAnswer::SetFields(fields.check().map_err(|error| format!("the answer sets {}", error.message))?))
            }
            HookSubject::Friend { .. } => {
                let message = set.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
                let message = Request::check(message).map_err(|error| format!("the answer sets {}", error.message))?;
                Ok(HookAnswer::SetMessage(message))
            }
            HookSubject::Status { .. } => {
                let text = set.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
                let status = GivenStatus::check(Some(text), None);
                let status = status.map_err(|error| format!("the answer sets {}", error.message))?;
                Ok(HookAnswer::SetStatus(status.map_or_else(Box::default, |status| status.text)))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase", deny_unknown_fields)]
enum Answered {
    Allow {
        #[serde(default)]
        set: BTreeMap<String, Value>,
    },
    Deny {
        detail: Option<String>,
        message: Option<String>,
        field: Option<String>,
    },
}

fn deny(
    detail: Option<String>,
    message: Option<String>,
    field: Option<String>,
    given: Vec<String>,
) -> Result<HookAnswer, String> {
    let is_sign = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if detail.as_ref().is_some_and(|word| !(1..=CHARS[0]).contains(&word.len()) || !word.chars().all(is_sign)) {
        return Err(format!("the answer's detail is not 1 to {} signs of A-Z, 0-9 and _", CHARS[0]));
    }
    if message.as_ref().is_some_and(|text| text.chars().count() > CHARS[1]) {
        return Err(format!("the answer's message is longer than {} characters", CHARS[1]));
    }
    let mut error = RequestError::new(Reason::Rejected, message.unwrap_or_else(|| SILENT.to_owned()));
    if let Some(name) = field {
        let known = given.into_iter().find(|given| *given == name);
        error = error
            .field(known.ok_or_else(|| format!("the answer names {:?}, which was not asked about", shown(&name)))?);
    }
    error.detail = detail.map(Into::into);
    Ok(HookAnswer::Deny(error))
}

/// The beginning of a name that a server made up.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

struct Asked<'a> {
    question: &'a HookQuestion,
    id: &'a str,
    now: Millis,
    fields: &'a EventFields,
}

impl Serialize for Asked<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { question, fields, .. } = self;
        let mut asked = to.serialize_map(None)?;
        asked.serialize_entry("id", self.id)?;
        asked.serialize_entry("hook", question.subject.hook())?;
        asked.serialize_entry("time", &rfc3339(self.now))?;
        asked.serialize_entry("account", question.account.as_str())?;
        asked.serialize_entry("session", &question.session.to_string())?;
        if let Some(device) = &question.device {
            asked.serialize_entry("device", device)?;
        }
        match &question.subject {
            HookSubject::Profile { before, set } => {
                asked.serialize_entry("before", &UserRecord { profile: before, presence: None, fields })?;
                asked.serialize_entry("set", &GivenFields { set, fields })?;
            }
            HookSubject::Friend { command, peer, message, users } => {
                asked.serialize_entry("command", command)?;
                asked.serialize_entry("peer", peer.as_str())?;
                if fields.has("message") {
                    asked.serialize_entry("message", &**message)?;
                }
                let of = |account: &Account| users.iter().find(|profile| profile.account == *account);
                for (name, account) in [("user", &question.account), ("peerUser", peer)] {
                    if let Some(profile) = of(account) {
                        asked.serialize_entry(name, &UserRecord { profile, presence: None, fields })?;
                    }
                }
            }
            HookSubject::Status { status: GivenStatus { text, until }, user } => {
                asked.serialize_entry("user", &UserRecord { profile: user, presence: None, fields })?;
                asked.serialize_entry("set", &GivenStatusRecord { status: text, until: *until })?;
            }
        }
        asked.end()
    }
}

/// The status that a client gives.
#[derive(Serialize)]
struct GivenStatusRecord<'a> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Millis>,
}

/// The fields that a client gives, as far as the hook is shown them.
struct GivenFields<'a> {
    set: &'a Fields,
    fields: &'a EventFields,
}

/// The own fields that a client gives; `null` where it clears one.
struct GivenOwn<'a>(&'a OwnChanges);

impl Serialize for GivenOwn<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.set.iter().map(|(name, value)| (name, value.as_ref().map(v1::FieldValue::from))))
    }
}

/// Defines the given fields out of the table of profile fields.
macro_rules! define {
    ($($name:ident: $kind:ident $limits:tt, $audience:ident;)+) => {
        impl Serialize for GivenFields<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut given = to.serialize_map(None)?;
                $(if let Some(value) = self.set.$name.as_ref().filter(|_| self.fields.has(stringify!($name))) {
                    given.serialize_entry(stringify!($name), &text!($kind, value))?;
                })+
                if !self.set.own.set.is_empty() && self.fields.has(Profile::OWN) {
                    given.serialize_entry(Profile::OWN, &GivenOwn(&self.set.own))?;
                }
                given.end()
            }
        }
    };
}

/// A field's value, by its kind.
macro_rules! text {
    (gender, $value:expr) => {
        gender_word(*$value)
    };
    ($text:ident, $value:expr) => {
        $value
    };
}

fn gender_word(gender: Gender) -> String {
    v1::Gender::from(gender).as_str_name().to_ascii_lowercase()
}

for_each_profile_field!(define);

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::OwnSchema;
    use serde_json::json;

    fn account(name: &str) -> Account {
        Account::parse(name, "account").unwrap()
    }

    fn profile(name: &str) -> Arc<Profile> {
        Arc::new(Profile { nick: "Ann".into(), email: "a@b.example".into(), ..Profile::new(account(name), 7, 5) })
    }

    fn asks(subject: HookSubject) -> HookQuestion {
        let device = Some(v1::Device { r#type: "web".into(), ..v1::Device::default() });
        HookQuestion { account: account("ann"), session: "00c0ffee00c0ffee".parse().unwrap(), device, subject }
    }

    fn profile_question() -> HookQuestion {
        let set = Fields {
            nick: Some("N4zi".into()),
            gender: Some(Gender::Female),
            email: Some("x@y.example".into()),
            ..Fields::default()
        };
        asks(HookSubject::Profile { before: profile("ann"), set })
    }

    fn friend_question() -> HookQuestion {
        let users = vec![profile("ann"), profile("bob")];
        asks(HookSubject::Friend { command: "requestFriend", peer: account("bob"), message: "hi".into(), users })
    }

    fn status_question(until: Option<Millis>) -> HookQuestion {
        asks(HookSubject::Status { status: GivenStatus { text: "lunch".into(), until }, user: profile("ann") })
    }

    #[test]
    fn a_status_is_shown_whole_and_may_be_replaced() {
        let json = status_question(Some(9)).json("1", 1_772_356_364_120, &fields("nick"));
        let asked: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&asked["hook"], &asked["set"]), (&json!("status"), &json!({"status": "lunch", "until": 9})));
        assert_eq!(asked["user"]["nick"], "Ann");
        let read = |answer: Value| status_question(None).answer(answer.to_string().as_bytes(), &fields(""));
        let set = |text: &str| json!({"decision": "allow", "set": {"status": text}});
        assert_eq!(read(set("***")), Ok(HookAnswer::SetStatus("***".into())));
        assert_eq!(read(set("")), Ok(HookAnswer::SetStatus("".into())), "it shows none");
        assert_eq!(read(json!({"decision": "allow"})), Ok(HookAnswer::Allow));
        assert!(read(set(&"x".repeat(257))).unwrap_err().contains("longer than 256"));
        assert!(read(json!({"decision": "allow", "set": {"until": 9}})).unwrap_err().contains("not asked about"));
        let denied = read(json!({"decision": "deny", "field": "status"}));
        assert!(matches!(denied, Ok(HookAnswer::Deny(error)) if error.field.as_deref() == Some("status")));
    }

    fn fields(list: &str) -> EventFields {
        EventFields::parse(list).unwrap()
    }

    #[test]
    fn a_question_shows_the_fields_that_the_settings_name() {
        let asked = |question: &HookQuestion, list: &str| -> Value {
            serde_json::from_str(&question.json("1", 1_772_356_364_120, &fields(list))).unwrap()
        };
        assert_eq!(
            asked(&profile_question(), "nick,gender"),
            json!({
                "id": "1", "hook": "profile", "time": "2026-03-01T09:12:44.120Z", "account": "ann",
                "session": "00c0ffee00c0ffee", "device": {"type": "web", "id": "", "tag": ""},
                "before": {"account": "ann", "nick": "Ann", "gender": "unknown", "createTime": 5, "updateTime": 5, "version": 7},
                "set": {"nick": "N4zi", "gender": "female"},
            })
        );
        let bare = |name: &str| json!({"account": name, "createTime": 5, "updateTime": 5, "version": 7});
        assert_eq!(
            asked(&friend_question(), "message"),
            json!({
                "id": "1", "hook": "friend", "time": "2026-03-01T09:12:44.120Z", "account": "ann",
                "session": "00c0ffee00c0ffee", "device": {"type": "web", "id": "", "tag": ""},
                "command": "requestFriend", "peer": "bob", "message": "hi", "user": bare("ann"), "peerUser": bare("bob"),
            })
        );
        assert_eq!(asked(&friend_question(), "nick").get("message"), None);
    }

    #[test]
    fn an_answer_allows_changes_or_denies() {
        let read = |question: HookQuestion, answer: Value| {
            question.answer(answer.to_string().as_bytes(), &fields("nick,gender,message")).unwrap()
        };
        assert_eq!(read(profile_question(), json!({"decision": "allow"})), HookAnswer::Allow);
        assert_eq!(read(profile_question(), json!({"decision": "allow", "set": {}})), HookAnswer::Allow);
        let HookAnswer::SetFields(patch) =
            read(profile_question(), json!({"decision": "allow", "set": {"nick": "****", "gender": "male"}}))
        else {
            panic!("it sets fields")
        };
        let next = patch.apply(&profile("ann"), &OwnSchema::default()).unwrap().unwrap();
        assert_eq!((&*next.nick, next.gender, &*next.email), ("****", Gender::Male, "x@y.example"), "the rest stays");
        let set = json!({"decision": "allow", "set": {"message": "**"}});
        assert_eq!(read(friend_question(), set), HookAnswer::SetMessage("**".into()));
        let said = json!({"decision": "deny", "detail": "NICK_NOT_ALLOWED", "message": "Please choose another name", "field": "nick"});
        let HookAnswer::Deny(error) = read(profile_question(), said) else { panic!("it denies") };
        assert_eq!((error.reason, error.detail.as_deref()), (Reason::Rejected, Some("NICK_NOT_ALLOWED")));
        assert_eq!((error.field.as_deref(), &*error.message), (Some("nick"), "Please choose another name"));
        let HookAnswer::Deny(error) = read(profile_question(), json!({"decision": "deny"})) else {
            panic!("it denies")
        };
        assert_eq!((error.detail, error.field, &*error.message), (None, None, SILENT));
    }

    #[test]
    fn an_answer_that_is_not_wholly_understood_is_none() {
        let shown = fields("nick,gender,message");
        let profiles: [(&str, &str); 17] = [
            ("", "cannot be read"),
            ("ok", "cannot be read"),
            ("{}", "decision"),
            (r#"{"decision":"maybe"}"#, "maybe"),
            (r#"{"decision":"allow","sets":{"nick":"x"}}"#, "sets"),
            (r#"{"decision":"allow","set":{"sign":"x"}}"#, "\"sign\", which was not asked about"),
            (r#"{"decision":"allow","set":{"email":"x@y.example"}}"#, "\"email\", which was not asked about"),
            (r#"{"decision":"allow","set":{"nick":7}}"#, "nick to what is no text"),
            (r#"{"decision":"allow","set":{"nick":null}}"#, "nick to what is no text"),
            (r#"{"decision":"allow","set":{"gender":"none"}}"#, "none"),
            (r#"{"decision":"deny","set":{"nick":"x"}}"#, "set"),
            (r#"{"decision":"deny","detail":""}"#, "detail"),
            (r#"{"decision":"deny","detail":"not_allowed"}"#, "detail"),
            (r#"{"decision":"deny","detail":7}"#, "7"),
            (r#"{"decision":"deny","field":"sign"}"#, "\"sign\", which was not asked about"),
            (r#"{"decision":"allow"} {"decision":"deny"}"#, "trailing"),
            (r#"{"decision":"allow","decision":"deny"}"#, "duplicate"),
        ];
        for (answer, why) in profiles {
            let error = profile_question().answer(answer.as_bytes(), &shown).unwrap_err();
            assert!(error.contains(why), "{answer}: {error}");
        }
        let long = |signs: usize| json!({"decision": "allow", "set": {"nick": "x".repeat(signs)}}).to_string();
        assert!(profile_question().answer(long(64).as_bytes(), &shown).is_ok());
        assert!(profile_question().answer(long(65).as_bytes(), &shown).unwrap_err().contains("longer than 64"));
        let word = |signs: usize| json!({"decision": "deny", "detail": "X".repeat(signs)}).to_string();
        assert!(profile_question().answer(word(64).as_bytes(), &shown).is_ok());
        assert!(profile_question().answer(word(65).as_bytes(), &shown).is_err());
        let says = |signs: usize| json!({"decision": "deny", "message": "ü".repeat(signs)}).to_string();
        assert!(profile_question().answer(says(200).as_bytes(), &shown).is_ok());
        assert!(profile_question().answer(says(201).as_bytes(), &shown).is_err());
        let message = json!({"decision": "allow", "set": {"message": "x".repeat(257)}}).to_string();
        assert!(friend_question().answer(message.as_bytes(), &shown).unwrap_err().contains("longer than 256"));
        let set = br#"{"decision":"allow","set":{"message":"x"}}"#;
        assert!(friend_question().answer(set, &fields("nick")).is_err(), "it was not shown");
        assert!(friend_question().answer(br#"{"decision":"allow","set":{"nick":"x"}}"#, &shown).is_err());
    }
}
