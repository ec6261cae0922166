//! Settings that are one of a few words: the words of each, and the error for any other.

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::admission::ForwardedHeader;
use crate::store::postgres::Failover;
use rosterd_engine::model::{Audience, FieldWriter, FriendsPolicy, SessionsPolicy};

/// The form of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// The account itself: no protection at all, so on loopback only.
    #[default]
    Development,
    /// A JSON Web Token signed by the operator's backend, or the static token of an account that has one.
    Jwt,
    /// A static token only.
    Static,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object on a line, for machines.
    Json,
}

/// Where an endpoint that is new begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WebhookStart {
    /// After all changes so far.
    #[default]
    Now,
    /// At the oldest change that is kept.
    Start,
}

/// The content type of requests to an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WebhookFormat {
    /// That of JSON.
    #[default]
    Json,
    /// That of a batch of `CloudEvents`.
    CloudEvents,
}

impl FieldType {
    /// Returns the word in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.word()
    }
}

/// What happens to a write about which a hook gives no decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HookFailure {
    /// It passes.
    Allow,
    /// It is refused.
    Deny,
    /// The operator has not decided, which is right only without a hook.
    #[default]
    Undecided,
}

/// The type of a field that the operator adds to profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FieldType {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list of texts.
    List,
    /// The operator has not decided, which is never right.
    #[default]
    Undecided,
}

/// A setting that is one of a few words.
pub(super) trait Choice: Copy + 'static {
    /// Every choice, in the order in which an error names them.
    const ALL: &'static [Self];

    /// The rest of the error for any other word: `"foo" is …`.
    const OTHERWISE: &'static str;

    /// Returns the word in the file.
    fn word(self) -> &'static str;

    /// Returns whether `text` stands for this choice.
    fn is(self, text: &str) -> bool {
        self.word() == text
    }
}

impl Choice for Failover {
    const ALL: &'static [Self] = &[Self::MayLose, Self::Lossless];
    const OTHERWISE: &'static str = "not a kind of failover";

    fn word(self) -> &'static str {
        match self {
            Self::MayLose => "may_lose",
            Self::Lossless => "lossless",
        }
    }
}

impl Choice for Mode {
    const ALL: &'static [Self] = &[Self::Development, Self::Jwt, Self::Static];
    const OTHERWISE: &'static str = "not a mode";

    fn word(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Jwt => "jwt",
            Self::Static => "static",
        }
    }
}

impl Choice for LogFormat {
    const ALL: &'static [Self] = &[Self::Text, Self::Json];
    const OTHERWISE: &'static str = "not a format";

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl Choice for WebhookStart {
    const ALL: &'static [Self] = &[Self::Now, Self::Start];
    const OTHERWISE: &'static str = "not a place to begin";

    fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Start => "start",
        }
    }
}

impl Choice for WebhookFormat {
    const ALL: &'static [Self] = &[Self::Json, Self::CloudEvents];
    const OTHERWISE: &'static str = "not a format";

    fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::CloudEvents => "cloudevents",
        }
    }
}

impl Choice for HookFailure {
    const ALL: &'static [Self] = &[Self::Allow, Self::Deny, Self::Undecided];
    const OTHERWISE: &'static str = "no answer to a failure";

    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Undecided => "",
        }
    }
}

impl Choice for FieldType {
    const ALL: &'static [Self] = &[Self::Text, Self::Integer, Self::Number, Self::Boolean, Self::List, Self::Undecided];
    const OTHERWISE: &'static str = "no type of a field";

    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Undecided => "",
        }
    }
}

impl Choice for FieldWriter {
    const ALL: &'static [Self] = &FieldWriter::ALL;
    const OTHERWISE: &'static str = "nobody who writes";

    fn word(self) -> &'static str {
        self.word()
    }
}

impl Choice for ForwardedHeader {
    const ALL: &'static [Self] = &[Self::XForwardedFor, Self::Forwarded];
    const OTHERWISE: &'static str = "not a header";

    fn word(self) -> &'static str {
        self.name()
    }

    // As everywhere in HTTP.
    fn is(self, text: &str) -> bool {
        self.name().eq_ignore_ascii_case(text)
    }
}

impl Choice for SessionsPolicy {
    const ALL: &'static [Self] = &[Self::All, Self::OnePerDeviceType, Self::OnePerDeviceId, Self::One];
    const OTHERWISE: &'static str = "not a policy";

    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::OnePerDeviceType => "one_per_device_type",
            Self::OnePerDeviceId => "one_per_device_id",
            Self::One => "one",
        }
    }
}

impl Choice for FriendsPolicy {
    const ALL: &'static [Self] = &[Self::Request, Self::Direct, Self::Both];
    const OTHERWISE: &'static str = "not a policy";

    fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Direct => "direct",
            Self::Both => "both",
        }
    }
}

impl Choice for Audience {
    const ALL: &'static [Self] = &Audience::ALL;
    const OTHERWISE: &'static str = "nobody";

    fn word(self) -> &'static str {
        self.word()
    }
}

pub(super) fn serialize<T: Choice, S: Serializer>(choice: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(choice.word())
}

pub(super) fn deserialize<'de, T: Choice, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    T::ALL.iter().copied().find(|choice| choice.is(&text)).ok_or_else(|| {
        let words: Vec<_> = T::ALL.iter().map(|choice| format!("{:?}", choice.word())).collect();
        let (last, others) = words.split_last().expect("a choice has words");
        de::Error::custom(format!("{text:?} is {}; write {} or {last}", T::OTHERWISE, others.join(", ")))
    })
}
