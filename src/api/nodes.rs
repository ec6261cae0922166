//! The server API's route for the nodes that serve this store: the one that answers.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Reply, ok};
use super::request::Shared;
use rosterd_engine::model::{Millis, Revision};

/// A gateway.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Node)]
pub(super) struct NodeBody {
    /// The name of its machine.
    name: String,
    version: &'static str,
    /// When it started, in milliseconds since 1970.
    started_at: Millis,
    /// Its clock.
    time: Millis,
    /// `starting`, `ready`, `draining` or `failed`.
    phase: String,
    connections: u64,
    sessions: u64,
    /// The accounts that a session here is interested in.
    watched_accounts: u64,
    /// The stamp of the last change that is committed.
    committed: Revision,
    /// The stamp of the last change that is applied here.
    applied: Revision,
    /// The stamp up to which every change has been marked for its watchers here.
    #[serde(rename = "horizon")]
    watermark: Revision,
}

/// All nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeBody>,
}

/// The gateways that serve this store, and how each is doing.
#[utoipa::path(
    get, path = "/v1/nodes", tag = "operations", operation_id = "listNodes",
    responses((status = 200, description = "all of them", body = NodeList))
)]
pub(super) async fn list(api: Shared) -> Reply<NodeList> {
    let metrics = api.service.metrics();
    let gauge = |value: i64| value.max(0).unsigned_abs();
    let node = NodeBody {
        name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION"),
        started_at: api.started_at,
        time: api.service.now(),
        phase: api.lifecycle.phase().to_string(),
        connections: gauge(metrics.connections.get()),
        sessions: gauge(metrics.sessions.get()),
        watched_accounts: api.service.watched_accounts() as u64,
        committed: api.service.head(),
        applied: api.service.applied_revision(),
        watermark: api.service.watermark(),
    };
    ok(NodeList { nodes: vec![node] })
}
