//! The settings of an endpoint.

use hyper::header::HeaderValue;

use crate::outbound::{OutboundSettings, SigningSecrets};
use rosterd_protocol::{EventFields, EventTypes};

/// An endpoint and what it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Its name.
    pub name: String,
    /// Where it is, and how it is called.
    pub outbound: OutboundSettings,
    /// What requests are signed with.
    pub secrets: SigningSecrets,
    /// The types of events that it gets.
    pub types: EventTypes,
    /// The fields in its events.
    pub fields: EventFields,
    /// Whether it begins at the oldest change that is kept, when it is seen for the first time.
    pub from_start: bool,
    /// The most events of a request.
    pub batch: usize,
    /// The most bytes of a request, unless one event has more.
    pub batch_bytes: usize,
    /// Whether the content type is that of `CloudEvents`.
    pub cloudevents: bool,
    /// The value of `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Whether it gets events.
    pub enabled: bool,
}
