//! The server API's route for the hooks that are asked before a client's write. The settings say which there are.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Reply, ok};
use super::request::Shared;
use crate::service::{HookStatus, LastHookCall};
use rosterd_engine::model::Millis;
use rosterd_engine::sync::breaker::BreakerState;

/// How a hook is doing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hook {
    /// `profile`, `friend` or `status`.
    name: &'static str,
    /// Without its query.
    url: String,
    /// `allow` or `deny`: what happens to writes about which it gives no decision.
    on_failure: &'static str,
    /// `closed`: it is called; `open`: it mostly failed, and is not; `probing`: one call is out to see whether it answers.
    state: &'static str,
    /// In how many milliseconds it is called again, while it is `open`.
    opens_in_ms: Option<u64>,
    /// The calls that are out.
    in_flight: usize,
    /// The calls that wait for one of them to end.
    waiting: usize,
    /// The number of calls by result, since the start or the last change of its settings.
    calls: BTreeMap<&'static str, u64>,
    last_call: Option<HookCall>,
}

/// The last call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookCall {
    time: Millis,
    /// `allow`, `changed`, `deny`, `timeout`, `error`, `open` or `full`.
    result: &'static str,
    /// What was wrong; empty if nothing was.
    text: String,
    took_ms: u64,
}

impl From<LastHookCall> for HookCall {
    fn from(call: LastHookCall) -> Self {
        Self { time: call.time, result: call.result, text: call.text, took_ms: call.took_ms }
    }
}

impl From<HookStatus> for Hook {
    fn from(status: HookStatus) -> Self {
        Self {
            name: status.kind.name(),
            url: status.url,
            on_failure: if status.allows_on_failure { "allow" } else { "deny" },
            state: match status.state {
                BreakerState::Closed => "closed",
                BreakerState::Open { .. } => "open",
                BreakerState::Probing => "probing",
            },
            opens_in_ms: status.opens_in,
            in_flight: status.in_flight,
            waiting: status.waiting,
            calls: status.calls.into_iter().collect(),
            last_call: status.last.map(HookCall::from),
        }
    }
}

/// All hooks.
#[derive(Serialize, ToSchema)]
pub(super) struct HookList {
    hooks: Vec<Hook>,
}

/// The hooks of the settings, and how each is doing.
#[utoipa::path(
    get, path = "/v1/hooks", tag = "webhooks", operation_id = "listHooks",
    responses((status = 200, description = "all hooks", body = HookList))
)]
pub(super) async fn list(api: Shared) -> Reply<HookList> {
    ok(HookList { hooks: api.service.hooks().into_iter().map(Hook::from).collect() })
}
