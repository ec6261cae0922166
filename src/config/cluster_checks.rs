//! Checks that several gateways on one database keep every promise that the settings make.

use std::borrow::Cow;

use super::auth::is_set;
use super::form::StoreUrl;
use super::ranges::Problem;
use super::settings::{ClusterConfig, Config};

/// The most characters in the name of a gateway.
const NAME_CHARS: usize = 64;

/// Finds what does not go together with other gateways.
pub(super) fn problems(config: &Config, list: &mut Vec<Problem>) {
    let ClusterConfig { enabled, ref node, beat, dead_after, ref nats, unready_after, cut_off, .. } = config.cluster;
    let mut wrong = |key: &'static str, message: &str| {
        list.push(Problem { key: Cow::Borrowed(key), message: message.to_owned() });
    };
    let is_postgres = matches!(config.store.url, StoreUrl::Postgres(_));
    if config.store.read_url.is_some() && !is_postgres {
        wrong(
            "store.read_url",
            "only a PostgreSQL database has a replica: set store.url to postgres://…, or leave it empty",
        );
    }
    if nats.is_some() && !cfg!(feature = "nats") {
        let feature =
            "this rosterd was built without NATS: take one that was packaged, or build it with --features nats";
        wrong("cluster.nats", feature);
    }
    if is_set(&config.cluster.nats_credentials_file) {
        let message = match nats {
            None => Some("says who logs in to NATS: set cluster.nats, or remove it"),
            Some(servers) => servers.has_login().then_some(
                "is set beside a user or a token in cluster.nats; only one of them can be right, remove the other",
            ),
        };
        if let Some(message) = message {
            wrong("cluster.nats_credentials_file", message);
        }
    }
    if nats.is_some() && !enabled {
        wrong(
            "cluster.nats",
            "is for several gateways on one database: set cluster.enabled for all of them, or remove it",
        );
    }
    if !enabled {
        return;
    }
    if !is_postgres {
        wrong("cluster.enabled", "several gateways share a PostgreSQL database: set store.url to postgres://…");
    }
    if node.chars().count() > NAME_CHARS || node.chars().any(char::is_control) {
        wrong("cluster.node", "is longer than 64 characters, or has some that cannot be shown");
    }
    if dead_after < beat * 3 {
        wrong("cluster.dead_after", "must be three times cluster.beat or more: one late beat is no death");
    }
    if cut_off <= unready_after {
        wrong("cluster.cut_off", "must be longer than cluster.unready_after");
    }
}

impl Config {
    /// Returns the settings that all gateways of a database must have alike, each as `key=value`.
    #[must_use]
    pub fn shared_rules(&self) -> Vec<String> {
        let (sessions, presence) = (&self.sessions, &self.presence);
        vec![
            format!("sessions.policy={:?}", sessions.policy),
            format!("sessions.max={}", sessions.max),
            format!("presence.enabled={}", presence.enabled),
            format!("presence.devices={}", presence.devices),
            format!("presence.linger={}ms", presence.linger.as_millis()),
            format!("friends.policy={:?}", self.friends.policy),
            format!("cluster.cut_off={}ms", self.cluster.cut_off.as_millis()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::postgres::NatsServers;

    fn wrong(change: impl FnOnce(&mut Config)) -> Vec<Cow<'static, str>> {
        let mut config = Config::default();
        config.cluster.enabled = true;
        config.store.url = StoreUrl::try_from("postgres://a@db/x".to_owned()).unwrap();
        change(&mut config);
        let mut list = Vec::new();
        problems(&config, &mut list);
        list.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn what_several_gateways_do_not_keep_is_refused() {
        assert_eq!(wrong(|_| {}), [""; 0]);
        assert_eq!(wrong(|config| config.store.url = Config::default().store.url), ["cluster.enabled"]);
        assert_eq!(wrong(|config| config.cluster.node = "x".repeat(65)), ["cluster.node"]);
        assert_eq!(wrong(|config| config.cluster.dead_after = Duration::from_secs(8)), ["cluster.dead_after"]);
        assert_eq!(wrong(|config| config.cluster.cut_off = Duration::from_secs(15)), ["cluster.cut_off"]);
        let nats = NatsServers::parse("nats://nats").unwrap();
        let built_without: &[&str] = if cfg!(feature = "nats") { &[] } else { &["cluster.nats"] };
        assert_eq!(wrong(|config| config.cluster.nats = Some(nats.clone())), built_without);
        let alone = |config: &mut Config| (config.cluster.nats, config.cluster.enabled) = (Some(nats), false);
        assert_eq!(wrong(alone).last().unwrap(), "cluster.nats");
        let with_file = |url: &str| {
            wrong(|config| {
                config.cluster.nats = NatsServers::parse(url).ok();
                config.cluster.nats_credentials_file = "gateway.creds".into();
            })
        };
        assert_eq!(with_file("nats://nats"), built_without);
        for url in ["nats://user:password@nats", "nats://token@nats", ""] {
            assert_eq!(with_file(url).last().unwrap(), "cluster.nats_credentials_file", "{url}");
        }
        assert_eq!(
            wrong(|config| {
                config.cluster.enabled = false;
                config.cluster.cut_off = Duration::from_secs(15);
            }),
            [""; 0]
        );
    }
}
