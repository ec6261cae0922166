//! Puts the service together with other gateways on the same database.

use std::sync::Arc;

use crate::config::Config;
use crate::service::{ClusterSettings, NodeEnvironment, Service, SharedNode};
use crate::store::nodes::{JoiningNode, NodeStore};
#[cfg(feature = "nats")]
use crate::store::postgres::NatsNetwork;
use crate::store::postgres::{BatchNetwork, NatsServers};

/// Returns what carries changes between gateways over NATS, if the settings name servers.
#[cfg(feature = "nats")]
pub(super) fn network(servers: Option<&NatsServers>) -> Option<Arc<dyn BatchNetwork>> {
    servers.map(|servers| Arc::new(NatsNetwork::new(servers.clone())) as Arc<dyn BatchNetwork>)
}

/// None: settings that name servers were refused before this.
#[cfg(not(feature = "nats"))]
pub(super) fn network(_: Option<&NatsServers>) -> Option<Arc<dyn BatchNetwork>> {
    None
}

/// What the other gateways compare with theirs.
pub(super) fn joining(config: &Config) -> JoiningNode {
    let cluster = &config.cluster;
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    JoiningNode {
        name: if cluster.node.is_empty() { machine() } else { cluster.node.clone() },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules: config.shared_rules(),
        dead_after: u64::try_from(cluster.dead_after.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Lets the service share its accounts with others, if the store is shared. All of them go by the database's clock then.
pub(super) fn share(service: Service, nodes: Option<Arc<dyn NodeStore>>, config: &Config) -> Service {
    let Some(nodes) = nodes else { return service };
    let cluster = &config.cluster;
    let JoiningNode { name, version, rules, .. } = joining(config);
    let settings = ClusterSettings {
        name,
        version,
        rules,
        beat: cluster.beat,
        dead_after: cluster.dead_after,
        poll: cluster.poll,
        unready_after: cluster.unready_after,
        cut_off: cluster.cut_off,
    };
    let node = SharedNode::new(nodes, settings, service.metrics().cluster.clone());
    let environment = NodeEnvironment { clock: node.clock().clock(), ..NodeEnvironment::default() };
    service.on(environment).with_others(Arc::new(node))
}
