//! The names and defaults of settings: what is built against them, and what the documentation says of them.

use super::*;

#[test]
fn the_names_and_defaults_are_a_contract() {
    let keys = keys();
    // Those of the hooks are below.
    let names: Vec<_> = keys.keys().map(String::as_str).filter(|key| !key.starts_with("hooks.")).collect();
    assert_eq!(
        names,
        [
            "auth.audience",
            "auth.create_accounts",
            "auth.expiry_grace",
            "auth.hs256_secret",
            "auth.issuer",
            "auth.jwks_file",
            "auth.jwks_refresh",
            "auth.jwks_url",
            "auth.leeway",
            "auth.mode",
            "auth.previous_hs256_secret",
            "auth.previous_public_key_file",
            "auth.previous_until",
            "auth.public_key_file",
            "clients.forwarded_header",
            "clients.heartbeat",
            "clients.listen",
            "clients.origins",
            "clients.stall_timeout",
            "clients.tls.certificate",
            "clients.tls.key",
            "clients.trusted_proxies",
            "cluster.beat",
            "cluster.cut_off",
            "cluster.dead_after",
            "cluster.enabled",
            "cluster.nats",
            "cluster.nats_credentials_file",
            "cluster.node",
            "cluster.poll",
            "cluster.unready_after",
            "demo.users",
            "feed.max_bytes",
            "feed.presence",
            "feed.retention",
            "friends.policy",
            "friends.request_expiry",
            "limits.commands_burst",
            "limits.commands_per_second",
            "limits.connections",
            "limits.connections_per_address",
            "limits.fragments",
            "limits.frame_bytes",
            "limits.handshake_timeout",
            "limits.header_bytes",
            "limits.login_timeout",
            "limits.logins_burst",
            "limits.logins_per_second",
            "limits.outbound_bytes",
            "log.format",
            "log.level",
            "ops.api_key",
            "ops.audit_retention",
            "ops.console.enabled",
            "ops.listen",
            "ops.tls.certificate",
            "ops.tls.client_ca",
            "ops.tls.key",
            "presence.devices",
            "presence.enabled",
            "presence.linger",
            "profile.visibility.avatar",
            "profile.visibility.birth",
            "profile.visibility.custom",
            "profile.visibility.email",
            "profile.visibility.gender",
            "profile.visibility.nick",
            "profile.visibility.sign",
            "profile.visibility.tel",
            "profile.write.avatar",
            "profile.write.birth",
            "profile.write.custom",
            "profile.write.email",
            "profile.write.gender",
            "profile.write.nick",
            "profile.write.sign",
            "profile.write.tel",
            "sessions.max",
            "sessions.policy",
            "shutdown.away",
            "shutdown.deadline",
            "shutdown.lame_duck",
            "shutdown.rate",
            "store.failover",
            "store.read_url",
            "store.readers",
            "store.tombstone_retention",
            "store.url",
            "store.write_timeout",
        ]
    );
    assert_eq!(variable_of("store.tombstone_retention"), "ROSTERD_STORE__TOMBSTONE_RETENTION");
    assert_eq!(variable_of("profile.visibility.tel"), "ROSTERD_PROFILE__VISIBILITY__TEL");
}

#[test]
fn the_names_of_hooks_are_a_contract() {
    let keys = keys();
    for hook in ["profile", "friend", "status"] {
        let section = format!("hooks.{hook}.");
        let names: Vec<_> = keys.keys().filter_map(|key| key.strip_prefix(section.as_str())).collect();
        assert_eq!(
            names,
            [
                "ca",
                "client_certificate",
                "client_key",
                "fields",
                "in_flight",
                "networks",
                "on_failure",
                "previous_secret",
                "previous_until",
                "profile_fields",
                "secret",
                "timeout",
                "url",
                "waiting",
            ]
        );
    }
    assert_eq!(keys.keys().filter(|key| key.starts_with("hooks.")).count(), 3 * 14);
    assert_eq!(variable_of("hooks.profile.on_failure"), "ROSTERD_HOOKS__PROFILE__ON_FAILURE");
}

#[test]
fn the_names_in_named_sections_are_a_contract() {
    let in_named = named_tables()
        .into_iter()
        .flat_map(|table| table.keys.into_keys().map(move |key| format!("{}.NAME.{key}", table.path)));
    assert_eq!(
        in_named.collect::<Vec<_>>(),
        [
            "ops.keys.NAME.key",
            "ops.keys.NAME.scopes",
            "ops.keys.NAME.sha256",
            "ops.keys.NAME.until",
            "profile.fields.NAME.default",
            "profile.fields.NAME.max",
            "profile.fields.NAME.max_items",
            "profile.fields.NAME.max_length",
            "profile.fields.NAME.min",
            "profile.fields.NAME.type",
            "profile.fields.NAME.values",
            "profile.fields.NAME.visibility",
            "profile.fields.NAME.write",
            "webhooks.NAME.authorization",
            "webhooks.NAME.batch",
            "webhooks.NAME.batch_bytes",
            "webhooks.NAME.ca",
            "webhooks.NAME.client_certificate",
            "webhooks.NAME.client_key",
            "webhooks.NAME.enabled",
            "webhooks.NAME.events",
            "webhooks.NAME.fields",
            "webhooks.NAME.format",
            "webhooks.NAME.from",
            "webhooks.NAME.networks",
            "webhooks.NAME.plain",
            "webhooks.NAME.previous_secret",
            "webhooks.NAME.previous_until",
            "webhooks.NAME.secret",
            "webhooks.NAME.timeout",
            "webhooks.NAME.url",
        ]
    );
}

#[test]
fn the_documentation_names_every_key_its_variable_and_its_default() {
    let text = include_str!("../../../../docs/configuration.md");
    let written: Table = default_text().parse().unwrap();
    let own = keys().into_keys().map(|key| (value(&written, &key).to_string(), key));
    let named = named_tables().into_iter().flat_map(|table| {
        table.keys.into_iter().map(move |(key, default)| (default.to_string(), format!("{}.NAME.{key}", table.path)))
    });
    for (default, key) in own.chain(named) {
        let heading = format!("### `{key}`");
        let part = text.split(&heading).nth(1).unwrap_or_else(|| panic!("{key} is not in docs/configuration.md"));
        let part = part.split("\n##").next().unwrap();
        for said in [variable_of(&key), default] {
            assert!(part.contains(&format!("`{said}`")), "docs/configuration.md does not say {said} of {key}");
        }
    }
}

#[test]
fn the_examples_in_the_documentation_are_good() {
    let text = include_str!("../../../../docs/configuration.md");
    let examples: Vec<_> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 3);
    assert_eq!(load_with(examples[0], &[], &[]).unwrap().config.profile.fields.len(), 2);
    assert!(load_with(examples[1], &[], &[]).is_ok());
    let api_key = ("ROSTERD_OPS__API_KEY", "0123456789abcdef");
    assert_eq!(load_with(examples[2], &[api_key], &[]).unwrap().config.auth.mode, Mode::Jwt);
    assert!(load_with(examples[2], &[], &[]).unwrap_err().starts_with("ops.api_key: is needed"));
}
