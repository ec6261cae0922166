//! The server API's route for the nodes that serve this store, the one that answers first.

use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Reply, ok};
use super::request::Shared;
use crate::lifecycle::Phase;
use crate::service::OtherNode;
use rosterd_engine::model::{Millis, Revision};

/// A gateway.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Node)]
pub(super) struct NodeBody {
    /// `cluster.node`, or the name of its machine.
    name: String,
    version: String,
    /// When it started, in milliseconds since 1970.
    started_at: Millis,
    /// Its clock; of another gateway, when it was heard of last.
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
    let shared = api.service.shared();
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node = NodeBody {
        name: shared.map_or_else(machine, |shared| shared.name().to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
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
    let others = shared.map(|shared| shared.others()).unwrap_or_default();
    ok(NodeList { nodes: std::iter::once(node).chain(others.into_iter().map(of_other)).collect() })
}

/// Another gateway, as it said with its last beat.
fn of_other(other: OtherNode) -> NodeBody {
    let OtherNode { name, version, started, heard, serves, applied, status } = other;
    NodeBody {
        name,
        version,
        started_at: started,
        time: heard,
        phase: if serves { Phase::Ready } else { Phase::Draining }.to_string(),
        connections: status.connections,
        sessions: status.sessions,
        watched_accounts: status.watched_accounts,
        committed: status.committed,
        applied,
        watermark: status.watermark,
    }
}
