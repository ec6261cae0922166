//! Puts the service together with other gateways on the same database.

use std::sync::Arc;

use super::start_error::StartError;
use crate::config::{ClusterConfig, Config};
use crate::service::{ClusterSettings, NodeEnvironment, Service, SharedNode};
use crate::store::nodes::{JoiningNode, NodeStore};
use crate::store::postgres::BatchNetwork;
#[cfg(feature = "nats")]
use crate::store::postgres::NatsNetwork;

/// Returns what carries changes between gateways over NATS, if the settings name servers.
#[cfg(feature = "nats")]
pub(super) fn network(config: &ClusterConfig) -> Result<Option<Arc<dyn BatchNetwork>>, StartError> {
    let Some(servers) = &config.nats else { return Ok(None) };
    let file = Some(&config.nats_credentials_file).filter(|file| !file.as_os_str().is_empty());
    match NatsNetwork::new(servers.clone(), file.cloned()) {
        Ok(network) => Ok(Some(Arc::new(network))),
        Err(why) => Err(StartError(format!("cluster.nats_credentials_file: {why}"))),
    }
}

/// None: settings that name servers were refused before this.
#[cfg(not(feature = "nats"))]
#[expect(clippy::unnecessary_wraps, reason = "as with NATS, where it may fail")]
pub(super) fn network(_: &ClusterConfig) -> Result<Option<Arc<dyn BatchNetwork>>, StartError> {
    Ok(None)
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
