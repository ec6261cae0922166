//! The settings of a hook.

use crate::outbound::{OutboundSettings, SigningSecrets};
use rosterd_protocol::EventFields;

/// A server that is asked, and what it is asked about.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// Where it is, and how it is called.
    pub outbound: OutboundSettings,
    /// What requests are signed with.
    pub secrets: SigningSecrets,
    /// The fields that it is shown.
    pub fields: EventFields,
    /// The fields of a profile whose change it is asked about; none = any.
    pub profile_fields: Vec<&'static str>,
    /// Whether writes pass about which it gives no decision.
    pub allows_on_failure: bool,
    /// The most calls at the same time.
    pub in_flight: usize,
    /// The most calls that wait for one of them to end.
    pub waiting: usize,
}
