//! The hooks of the operator, as the use cases and the server API see them.

use futures::future::BoxFuture;

use rosterd_engine::model::Millis;
use rosterd_engine::sync::breaker::BreakerState;
use rosterd_protocol::{HookAnswer, HookQuestion};

/// Which hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// The one for changes of profiles.
    Profile,
    /// The one for friends and requests.
    Friend,
    /// The one for statuses.
    Status,
}

impl HookKind {
    /// Returns its name in the settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Friend => "friend",
            Self::Status => "status",
        }
    }
}

/// The last call of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastHookCall {
    /// When it ended.
    pub time: Millis,
    /// The word in the metrics.
    pub result: &'static str,
    /// What was wrong; empty if nothing was.
    pub text: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// How a hook is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStatus {
    /// Which it is.
    pub kind: HookKind,
    /// Its URL without the query.
    pub url: String,
    /// Whether writes pass while it gives no decision.
    pub allows_on_failure: bool,
    /// Whether it is called.
    pub state: BreakerState,
    /// In how many milliseconds it is called again, if it is not.
    pub opens_in: Option<u64>,
    /// The calls that are out.
    pub in_flight: usize,
    /// The calls that wait for one of them to end.
    pub waiting: usize,
    /// The number of calls by result, since the start or the last change of its settings.
    pub calls: Vec<(&'static str, u64)>,
    /// The last call.
    pub last: Option<LastHookCall>,
}

/// Decides about clients' writes, by asking the servers of the settings.
pub trait HookDecisions: Send + Sync + 'static {
    /// Returns whether there is a server to ask.
    fn wants(&self, kind: HookKind) -> bool;

    /// Returns whether it wants to be asked about a change of these fields of a profile.
    fn wants_fields(&self, fields: &[&str]) -> bool;

    /// Asks; `None` if there is nobody to ask any more. The answer comes in bounded time, even if the server gives none.
    /// Whoever stops waiting may drop it.
    fn ask(&self, kind: HookKind, question: HookQuestion) -> Option<BoxFuture<'static, HookAnswer>>;

    /// Returns how each hook of the settings is doing.
    fn hooks(&self) -> Vec<HookStatus>;
}
