//! Checks the endpoints that are sent events: each by itself, and all together.

use std::collections::BTreeMap;

use super::ranges::Problem;
use super::settings::Config;
use super::webhooks::Wrong;

/// Checks all endpoints.
pub(super) fn problems(config: &Config, list: &mut Vec<Problem>) {
    let mut wrong = |name: &str, (key, message): Wrong| {
        list.push(Problem { key: format!("webhooks.{name}.{key}").into(), message });
    };
    let mut secrets: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, webhook) in &config.webhooks {
        webhook.problems().into_iter().for_each(|problem| wrong(name, problem));
        for (key, secret) in [("secret", &webhook.secret), ("previous_secret", &webhook.previous_secret)] {
            if secret.is_empty() {
                continue;
            }
            if let Some(other) = secrets.insert(secret.expose(), name).filter(|other| other != name) {
                let message = format!("is that of webhooks.{other}, too; each endpoint needs one of its own");
                wrong(name, (key, message));
            }
        }
    }
    if !config.webhooks.is_empty() && config.feed.retention.is_zero() {
        let message = "is \"0s\", so no log is kept, which webhooks are sent from; set \"7d\", or remove [webhooks]";
        list.push(Problem { key: "feed.retention".into(), message: message.to_owned() });
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
        list.into_iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        type Break = fn(&mut WebhookConfig);
        assert_eq!(wrong(|_| {}), [""; 0]);
        let cases: [(Break, &str); 21] = [
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
        config.feed.retention = Duration::ZERO;
        let mut list = Vec::new();
        problems(&config, &mut list);
        assert_eq!(list.iter().map(|problem| &*problem.key).collect::<Vec<_>>(), ["feed.retention"]);
    }
}
