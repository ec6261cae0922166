//! `[webhooks.NAME]`: the endpoints that are sent events.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::called_server::{CalledServer, Wrong};
use super::choice::{self, WebhookFormat, WebhookStart};
use super::form::{self, Secret};
use crate::outbound::{OutboundSettings, SigningSecrets};
use rosterd_protocol::{EventFields, EventTypes};

/// The least and the most that a request may take.
const TIMEOUT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// The most events of a request.
const BATCH: usize = 1000;
/// The least and the most bytes of a request.
const BATCH_BYTES: [usize; 2] = [1024, 4 * 1024 * 1024];

/// `[webhooks.NAME]`: an endpoint, and what it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// `https://HOST/PATH`; `http` to this machine, or to any with `plain`.
    pub url: String,
    /// Whether `http` may be used to other machines.
    pub plain: bool,
    /// What requests are signed with: `whsec_` and base64.
    pub secret: Secret,
    /// The secret before, with which requests are signed as well until `previous_until`.
    pub previous_secret: Secret,
    /// The end of `previous_secret`.
    #[serde(with = "form::moment")]
    pub previous_until: Option<SystemTime>,
    /// The types of events, each a name or the beginning of some with `*`.
    pub events: Vec<String>,
    /// The fields in events.
    pub fields: Vec<String>,
    /// Where an endpoint of a new name begins.
    #[serde(with = "choice")]
    pub from: WebhookStart,
    /// The most events of a request.
    pub batch: usize,
    /// The most bytes of a request, unless one event has more.
    pub batch_bytes: usize,
    /// How long a request may take, from the connection to the last byte of the answer.
    #[serde(with = "form::duration")]
    pub timeout: Duration,
    /// The content type.
    #[serde(with = "choice")]
    pub format: WebhookFormat,
    /// The value of `Authorization`; empty = none.
    pub authorization: Secret,
    /// A PEM file with the authorities that are trusted; empty = those of this machine.
    pub ca: PathBuf,
    /// A PEM file with the gateway's certificate; empty = none.
    pub client_certificate: PathBuf,
    /// A PEM file with its key.
    pub client_key: PathBuf,
    /// The networks that the endpoint's address must be in; none = any.
    pub networks: Vec<String>,
    /// Whether events are sent. Without, the position is kept.
    pub enabled: bool,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            url: String::new(),
            plain: false,
            secret: Secret::default(),
            previous_secret: Secret::default(),
            previous_until: None,
            events: list(&["user.*", "friend.*", "request.*", "block.*"]),
            fields: list(&["nick", "avatar", "sign", "gender", "custom"]),
            from: WebhookStart::Now,
            batch: 100,
            batch_bytes: 262_144,
            timeout: Duration::from_secs(15),
            format: WebhookFormat::Json,
            authorization: Secret::default(),
            ca: PathBuf::new(),
            client_certificate: PathBuf::new(),
            client_key: PathBuf::new(),
            networks: Vec::new(),
            enabled: true,
        }
    }
}

impl WebhookConfig {
    /// Returns the server that is called.
    pub(super) fn server(&self) -> CalledServer<'_> {
        CalledServer {
            url: &self.url,
            plain: self.plain,
            networks: &self.networks,
            ca: &self.ca,
            client_certificate: &self.client_certificate,
            client_key: &self.client_key,
            timeout: self.timeout,
            connections: 1,
            secret: &self.secret,
            previous_secret: &self.previous_secret,
            previous_until: self.previous_until,
        }
    }

    /// Returns how the endpoint is called.
    ///
    /// # Errors
    /// The first key that is wrong, and what would be right.
    pub fn outbound(&self) -> Result<OutboundSettings, Wrong> {
        self.server().outbound()
    }

    /// Returns what requests are signed with.
    ///
    /// # Errors
    /// The first key that is wrong, and what would be right.
    pub fn secrets(&self) -> Result<SigningSecrets, Wrong> {
        self.server().secrets()
    }

    /// Returns the types of events that the endpoint gets.
    ///
    /// # Errors
    /// One that no type matches.
    pub fn types(&self) -> Result<EventTypes, Wrong> {
        EventTypes::parse(&self.events.join(",")).map_err(|error| ("events", error.message))
    }

    /// Returns the fields in its events.
    ///
    /// # Errors
    /// One that there is not.
    pub fn fields(&self) -> Result<EventFields, Wrong> {
        EventFields::parse(&self.fields.join(",")).map_err(|error| ("fields", error.message))
    }

    /// Returns the value of `Authorization`.
    ///
    /// # Errors
    /// It has a sign that a header cannot have.
    pub fn authorization(&self) -> Result<Option<HeaderValue>, Wrong> {
        if self.authorization.is_empty() {
            return Ok(None);
        }
        let mut value = HeaderValue::from_str(self.authorization.expose())
            .map_err(|_| ("authorization", "must have visible ASCII characters alone".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Finds what is wrong with the section.
    pub(super) fn problems(&self) -> Vec<Wrong> {
        let mut wrong: Vec<_> = [
            self.outbound().err(),
            self.secrets().err(),
            self.types().err(),
            self.fields().err(),
            self.authorization().err(),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !(1..=BATCH).contains(&self.batch) {
            wrong.push(("batch", format!("is {}, must be 1 to {BATCH}", self.batch)));
        }
        let [least, most] = BATCH_BYTES;
        if !(least..=most).contains(&self.batch_bytes) {
            wrong.push(("batch_bytes", format!("is {} bytes, must be {least} to {most}", self.batch_bytes)));
        }
        if !(TIMEOUT[0]..=TIMEOUT[1]).contains(&self.timeout) {
            let timeout = humantime::format_duration(self.timeout);
            wrong.push(("timeout", format!("is {timeout}, must be 1s to 30s")));
        }
        wrong
    }
}
