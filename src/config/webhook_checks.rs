//! Checks the endpoints that are sent events: each by itself, and all together.

use std::collections::BTreeMap;

use super::called_server::Wrong;
use super::ranges::{Problem, written};
use super::settings::Config;
use rosterd_protocol::EventTypes;

/// Checks all endpoints.
pub(super) fn problems(config: &Config, list: &mut Vec<Problem>) {
    let mut wrong = |name: &str, (key, message): Wrong| {
        list.push(Problem { key: format!("webhooks.{name}.{key}").into(), message });
    };
    let mut secrets: BTreeMap<&str, String> = BTreeMap::new();
    // One server may be both hooks, but events must not pass for questions.
    for (name, hook) in config.hooks.each() {
        for secret in [&hook.secret, &hook.previous_secret].into_iter().filter(|secret| !secret.is_empty()) {
            secrets.insert(secret.expose(), format!("hooks.{name}"));
        }
    }
    for (name, webhook) in &config.webhooks {
        webhook.problems().into_iter().for_each(|problem| wrong(name, problem));
        for (key, secret) in [("secret", &webhook.secret), ("previous_secret", &webhook.previous_secret)] {
            if secret.is_empty() {
                continue;
            }
            let path = format!("webhooks.{name}");
            if let Some(other) = secrets.insert(secret.expose(), path.clone()).filter(|other| *other != path) {
                let message = format!("is that of {other}, too; each endpoint needs one of its own");
                wrong(name, (key, message));
            }
        }
    }
    if !config.webhooks.is_empty() && config.feed.retention.is_zero() {
        let message = "is \"0s\", so no log is kept, which webhooks are sent from; set \"7d\", or remove [webhooks]";
        list.push(Problem { key: "feed.retention".into(), message: message.to_owned() });
    }
}

/// Checks the feed.
pub(super) fn feed_problems(config: &Config, list: &mut Vec<Problem>) {
    let mut wrong = |key: &str, message: String| list.push(Problem { key: key.to_owned().into(), message });
    let (retention, tombstones) = (config.feed.retention, config.store.tombstone_retention);
    if retention > tombstones {
        let [retention, tombstones] = [retention, tombstones].map(written);
        wrong(
            "feed.retention",
            format!(
                "is {retention}, longer than store.tombstone_retention, which is {tombstones}: changes would outlive the \
                 deletions that they tell of; set {tombstones} or less, or raise store.tombstone_retention"
            ),
        );
    }
    if config.feed.presence && retention.is_zero() {
        wrong("feed.presence", "is true, but feed.retention is \"0s\", so there is no feed; set \"7d\"".to_owned());
    }
    if config.feed.presence && !config.presence.enabled {
        wrong("feed.presence", "is true, but presence.enabled is false; set both to the same".to_owned());
    }
    for (name, webhook) in config.webhooks.iter().filter(|_| !config.feed.presence) {
        let is_presence = |pattern: &&String| EventTypes::parse(pattern).is_ok_and(|types| types.is_presence_alone());
        if let Some(pattern) = webhook.events.iter().find(is_presence) {
            let message = format!("names {pattern}, of which there are none: set feed.presence = true, or remove it");
            wrong(&format!("webhooks.{name}.events"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, WebhookConfig};
    use std::time::{Duration, UNIX_EPOCH};

    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

    fn good() -> WebhookConfig {
        WebhookConfig {
            url: "https://crm.example.com/rosterd".to_owned(),
            secret: Secret::new(SECRET),
            ..WebhookConfig::default()
        }
    }

    fn wrong(change: impl FnOnce(&mut WebhookConfig)) -> Vec<String> {
        let mut webhook = good();
        change(&mut webhook);
        let mut config = Config { webhooks: [("crm".to_owned(), webhook)].into(), ..Config::default() };
        config.webhooks.insert(
            "other".to_owned(),
            WebhookConfig { secret: Secret::new("whsec_ZGlmZmVyZW50IGRpZmZlcmVudCBkaWZmZXJlbnQ="), ..good() },
        );
        let mut list = Vec::new();
        problems(&config, &mut list);
        feed_problems(&config, &mut list);
        written(list)
    }

    fn written(list: Vec<Problem>) -> Vec<String> {
        list.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        type Break = fn(&mut WebhookConfig);
        assert_eq!(wrong(|_| {}), [""; 0]);
        let cases: [(Break, &str); 22] = [
            (|w| w.url = String::new(), "webhooks.crm.url: is not a URL"),
            (|w| w.url = "http://crm.example.com/".into(), "webhooks.crm.url: needs TLS"),
            (|w| w.url = "https://u:p@crm.example.com/".into(), "webhooks.crm.url: takes no user and password"),
            (|w| w.secret = Secret::new("hunter2hunter2hunter2hunter2"), "webhooks.crm.secret: must begin with whsec_"),
            (|w| w.secret = Secret::new("whsec_c2hvcnQ="), "webhooks.crm.secret: has 5 bytes, must have 24 to 64"),
            (|w| w.secret = Secret::default(), "webhooks.crm.secret: must begin with whsec_"),
            (|w| w.previous_secret = Secret::new(SECRET), "webhooks.crm.previous_until: is needed"),
            (|w| w.previous_until = Some(UNIX_EPOCH), "webhooks.crm.previous_until: is set, but"),
            (|w| w.events = vec!["usr.*".into()], "webhooks.crm.events: there is no type of event \"usr.*\""),
            (|w| w.events = vec!["user.craeted".into()], "did you mean user.created?"),
            (
                |w| w.events = vec!["user.*".into(), "presence.*".into()],
                "webhooks.crm.events: names presence.*, of which",
            ),
            (|w| w.events = vec![], "webhooks.crm.events: there is no type"),
            (|w| w.fields = vec!["nik".into()], "did you mean nick?"),
            (|w| w.batch = 0, "webhooks.crm.batch: is 0, must be 1 to 1000"),
            (|w| w.batch = 1001, "webhooks.crm.batch: is 1001, must be 1 to 1000"),
            (|w| w.batch_bytes = 5, "webhooks.crm.batch_bytes: is 5 bytes"),
            (|w| w.timeout = Duration::from_millis(900), "webhooks.crm.timeout: is 900ms, must be 1s to 30s"),
            (|w| w.timeout = Duration::from_mins(1), "webhooks.crm.timeout: is 1m, must be 1s to 30s"),
            (|w| w.networks = vec!["10.0.0.1".into()], "webhooks.crm.networks: \"10.0.0.1\" is not a network"),
            (|w| w.client_key = "key.pem".into(), "webhooks.crm.client_certificate: is needed"),
            (|w| w.client_certificate = "cert.pem".into(), "webhooks.crm.client_key: is needed"),
            (|w| w.authorization = Secret::new("Bearer \n"), "webhooks.crm.authorization: must have visible"),
        ];
        for (change, message) in cases {
            let found = wrong(change);
            assert!(found.len() == 1 && found[0].contains(message), "{message}: {found:?}");
            assert!(!found[0].contains("hunter2"));
        }
        assert_eq!(wrong(|w| (w.url, w.plain) = ("http://crm.example.com/".into(), true)), [""; 0]);
    }

    #[test]
    fn each_endpoint_has_a_secret_of_its_own_and_a_log_to_be_sent_from() {
        let same = wrong(|w| w.secret = Secret::new("whsec_ZGlmZmVyZW50IGRpZmZlcmVudCBkaWZmZXJlbnQ="));
        assert!(same.len() == 1 && same[0].starts_with("webhooks.other.secret: is that of webhooks.crm"), "{same:?}");
        let mut config = Config { webhooks: [("crm".to_owned(), good())].into(), ..Config::default() };
        config.hooks.friend.secret = Secret::new(SECRET);
        let mut list = Vec::new();
        problems(&config, &mut list);
        assert!(list.len() == 1 && list[0].message.starts_with("is that of hooks.friend, too"));
        config.hooks.friend.secret = Secret::default();
        config.feed.retention = Duration::ZERO;
        let mut list = Vec::new();
        problems(&config, &mut list);
        assert_eq!(list.iter().map(|problem| &*problem.key).collect::<Vec<_>>(), ["feed.retention"]);
    }

    #[test]
    fn changes_are_not_kept_longer_than_deletions_and_presence_needs_what_it_comes_from() {
        const DAY: Duration = Duration::from_hours(24);
        let wrong = |change: fn(&mut Config)| {
            let mut config = Config { webhooks: [("crm".to_owned(), good())].into(), ..Config::default() };
            change(&mut config);
            let mut list = Vec::new();
            feed_problems(&config, &mut list);
            written(list)
        };
        assert_eq!(wrong(|_| {}), [""; 0]);
        assert_eq!(wrong(|c| c.feed.retention = c.store.tombstone_retention), [""; 0]);
        let longer = wrong(|c| (c.feed.retention, c.store.tombstone_retention) = (8 * DAY, 7 * DAY));
        assert_eq!(
            longer,
            ["feed.retention: is 8d, longer than store.tombstone_retention, which is 7d: changes would outlive the \
                 deletions that they tell of; set 7d or less, or raise store.tombstone_retention"]
        );
        let none = wrong(|c| (c.feed.presence, c.feed.retention) = (true, Duration::ZERO));
        assert!(none.len() == 1 && none[0].starts_with("feed.presence: is true, but feed.retention"), "{none:?}");
        let off = wrong(|c| (c.feed.presence, c.presence.enabled) = (true, false));
        assert!(off.len() == 1 && off[0].starts_with("feed.presence: is true, but presence.enabled"), "{off:?}");
        let events = |c: &mut Config| {
            c.feed.presence = true;
            c.webhooks.values_mut().for_each(|webhook| webhook.events = vec!["presence.changed".into()]);
        };
        assert_eq!(wrong(events), [""; 0]);
        // All of them are no slip of the pen.
        assert_eq!(wrong(|c| c.webhooks.values_mut().for_each(|webhook| webhook.events = vec!["*".into()])), [""; 0]);
    }
}
