//! Checks settings that depend on each other, before any port is bound.
//!
//! It opens no file and binds no address.

use std::net::SocketAddr;
use std::path::Path;

use tracing_subscriber::filter::Targets;

use super::auth::is_set;
use super::choice::Mode;
use super::cluster_checks;
use super::error::Error;
use super::key_checks::{API_KEY_BYTES, keys};
use super::ranges::{Problem, ranges, secret};
use super::settings::Config;
use super::webhook_checks;
use crate::admission::{Origins, Proxies};
use crate::outbound::Url;

/// The length of the shortest secret for HS256, in bytes: that of the hash (RFC 7518, section 3.2).
const HS256_BYTES: usize = 32;

impl Config {
    /// Checks ranges, and settings that depend on each other.
    ///
    /// # Errors
    /// Every problem; each line names its key and says what would be right.
    pub fn check(&self) -> Result<(), Error> {
        let problems: Vec<_> = problems(self).into_iter().map(|p| format!("{}: {}", p.key, p.message)).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error(problems)) }
    }
}

/// Finds every problem with these settings.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut list = Vec::new();
    ranges(config, &mut list);
    listeners(config, &mut list);
    certificates(config, &mut list);
    tokens(config, &mut list);
    webhook_checks::problems(config, &mut list);
    webhook_checks::feed_problems(config, &mut list);
    cluster_checks::problems(config, &mut list);
    if config.presence.devices && !config.presence.enabled {
        let message = "is true, but presence.enabled is false; set both to the same".to_owned();
        list.push(Problem { key: "presence.devices".into(), message });
    }
    let wrong = config.profile.problems().into_iter().chain(config.hooks.problems());
    list.extend(wrong.map(|(key, message)| Problem { key: key.into(), message }));
    if let Err(message) = Origins::parse(&config.clients.origins) {
        list.push(Problem { key: "clients.origins".into(), message });
    }
    if let Err(message) = Proxies::parse(&config.clients.trusted_proxies) {
        list.push(Problem { key: "clients.trusted_proxies".into(), message });
    }
    if let Err(message) = filter(&config.log.level) {
        list.push(Problem { key: "log.level".into(), message });
    }
    list
}

fn listeners(config: &Config, list: &mut Vec<Problem>) {
    let (clients, ops) = (config.clients.listen, config.ops.listen);
    if clients == ops && ops.port() != 0 {
        let message = format!("is {ops}, the same as clients.listen; give it another port");
        list.push(Problem { key: "ops.listen".into(), message });
    }
    if config.auth.mode == Mode::Development && !is_loopback(clients) {
        let message = format!(
            "is {clients}, where others can connect, but in development mode anyone may be any account; \
             set auth.mode = \"jwt\", or listen at a loopback address such as 127.0.0.1:{}",
            clients.port()
        );
        list.push(Problem { key: "clients.listen".into(), message });
    }
    keys(&config.ops, list);
    if config.ops.key_ring().is_empty() && !is_loopback(ops) {
        let message = format!(
            "is needed because ops.listen is {ops}, where others can connect; \
             set {API_KEY_BYTES} bytes or more, or a key in [ops.keys.NAME], or listen at a loopback address such as 127.0.0.1:{}",
            ops.port()
        );
        list.push(Problem { key: "ops.api_key".into(), message });
    }
}

/// Checks that a certificate and its key are named together. Their contents are checked when they are read.
fn certificates(config: &Config, list: &mut Vec<Problem>) {
    let (clients, ops) = (&config.clients.tls, &config.ops.tls);
    let mut needs = |key: &'static str, path: &Path, other: &Path, because: &str| {
        if path.as_os_str().is_empty() && !other.as_os_str().is_empty() {
            list.push(Problem { key: key.into(), message: format!("is needed because {because} is set") });
        }
    };
    needs("clients.tls.certificate", &clients.certificate, &clients.key, "clients.tls.key");
    needs("clients.tls.key", &clients.key, &clients.certificate, "clients.tls.certificate");
    needs("ops.tls.certificate", &ops.certificate, &ops.key, "ops.tls.key");
    needs("ops.tls.key", &ops.key, &ops.certificate, "ops.tls.certificate");
    if ops.key.as_os_str().is_empty() {
        needs("ops.tls.certificate", &ops.certificate, &ops.client_ca, "ops.tls.client_ca");
    }
}

fn tokens(config: &Config, list: &mut Vec<Problem>) {
    let auth = &config.auth;
    secret("auth.hs256_secret", &auth.hs256_secret, HS256_BYTES, list);
    let keys = [
        ("auth.hs256_secret", !auth.hs256_secret.is_empty()),
        ("auth.public_key_file", is_set(&auth.public_key_file)),
        ("auth.jwks_file", is_set(&auth.jwks_file)),
        ("auth.jwks_url", !auth.jwks_url.is_empty()),
    ];
    let set: Vec<_> = keys.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
    let mut wrong = |key: &'static str, message: String| list.push(Problem { key: key.into(), message });
    match (auth.mode, set.as_slice()) {
        (Mode::Jwt, [first, second, ..]) => {
            wrong(second, format!("is set beside {first}; only one of them can be right, remove the other"));
        }
        (Mode::Jwt, []) => wrong(
            "auth.mode",
            "is \"jwt\", which needs a key: set auth.hs256_secret (shared with your backend), \
             auth.public_key_file (your backend's), or auth.jwks_url or auth.jwks_file (several)"
                .to_owned(),
        ),
        // An operator who sets a key expects tokens to be verified.
        (Mode::Development, [_, ..]) => wrong(
            "auth.mode",
            "is \"development\", which verifies nothing, but a key is set; set auth.mode = \"jwt\", or remove the key"
                .to_owned(),
        ),
        (Mode::Static, [key, ..]) => wrong(
            "auth.mode",
            format!("is \"static\", which needs no key, but {key} is set; set auth.mode = \"jwt\", which takes both"),
        ),
        (Mode::Jwt, [_]) | (Mode::Development | Mode::Static, []) => {}
    }
    if let Some(why) = Some(&auth.jwks_url).filter(|url| !url.is_empty()).and_then(|url| Url::parse(url).err()) {
        wrong("auth.jwks_url", why);
    }
    previous(config, list);
}

/// Checks that earlier keys have an end, since a forgotten one would stay valid for ever.
fn previous(config: &Config, list: &mut Vec<Problem>) {
    let auth = &config.auth;
    secret("auth.previous_hs256_secret", &auth.previous_hs256_secret, HS256_BYTES, list);
    let some = !auth.previous_hs256_secret.is_empty() || is_set(&auth.previous_public_key_file);
    let mut wrong =
        |key: &'static str, message: &str| list.push(Problem { key: key.into(), message: message.to_owned() });
    if some && auth.mode != Mode::Jwt {
        wrong("auth.mode", "takes no keys, but one of before is set; remove it, or set auth.mode = \"jwt\"");
    }
    match (some, auth.previous_until) {
        (true, None) => wrong(
            "auth.previous_until",
            "is needed where a key of before is set: until when is it good? Such as \"2026-12-01T00:00:00Z\"",
        ),
        (false, Some(_)) => wrong("auth.previous_until", "is set, but no key of before is; remove it"),
        (true, Some(_)) | (false, None) => {}
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Checks a log filter. The library takes any single word for a module's name, so a misspelt level would silently turn
/// logging off.
fn filter(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const RIGHT: &str =
        "write off, error, warn, info, debug or trace, or by module such as \"info,rosterd::gateway=debug\"";
    let is_level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
    let is_right = |part: &str| is_level(part) || part.contains('=');
    if !text.split(',').all(is_right) {
        return Err(format!("{text:?} names no level; {RIGHT}"));
    }
    text.parse::<Targets>().map(drop).map_err(|error| format!("{text:?} is not a log filter ({error}); {RIGHT}"))
}

#[cfg(test)]
mod tests {
    use super::super::form::Secret;
    use super::*;
    use std::borrow::Cow;

    /// Returns the keys of all problems after `change`.
    fn wrong(change: impl FnOnce(&mut Config)) -> Vec<Cow<'static, str>> {
        let mut config = Config::default();
        change(&mut config);
        problems(&config).into_iter().map(|p| p.key).collect()
    }

    /// Sets JSON Web Tokens that are signed with a secret.
    fn jwt(config: &mut Config) {
        config.auth.mode = Mode::Jwt;
        config.auth.hs256_secret = Secret::new("0123456789abcdef0123456789abcdef");
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn the_defaults_are_good() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn development_mode_stays_on_this_machine() {
        let listen = |address: &'static str| move |c: &mut Config| c.clients.listen = address.parse().unwrap();
        for own in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:7678", "[::ffff:127.0.0.1]:7678"] {
            assert_eq!(wrong(listen(own)), NONE, "{own}");
        }
        for open in ["0.0.0.0:7678", "[::]:7678", "192.168.1.5:7678", "[::ffff:10.0.0.1]:7678"] {
            assert_eq!(wrong(listen(open)), ["clients.listen"], "{open}");
            assert_eq!(
                wrong(|c| {
                    jwt(c);
                    listen(open)(c);
                }),
                NONE,
                "{open}"
            );
        }
        let mut config = Config::default();
        config.clients.listen = "0.0.0.0:7678".parse().unwrap();
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("auth.mode = \"jwt\"") && error.contains("127.0.0.1:7678"), "{error}");
    }

    #[test]
    fn jwt_mode_needs_exactly_one_key_and_development_mode_none() {
        assert_eq!(wrong(jwt), NONE);
        assert_eq!(wrong(|c| c.auth.mode = Mode::Jwt), ["auth.mode"]);
        assert_eq!(
            wrong(|c| {
                c.auth.mode = Mode::Jwt;
                c.auth.public_key_file = "key.pem".into();
            }),
            NONE
        );
        assert_eq!(
            wrong(|c| {
                jwt(c);
                c.auth.public_key_file = "key.pem".into();
            }),
            ["auth.public_key_file"]
        );
        assert_eq!(
            wrong(|c| {
                jwt(c);
                c.auth.mode = Mode::Development;
            }),
            ["auth.mode"]
        );
        assert_eq!(wrong(|c| c.auth.public_key_file = "key.pem".into()), ["auth.mode"]);
    }

    #[test]
    fn one_source_of_keys_and_an_end_for_those_of_before() {
        let with = |change: fn(&mut Config)| {
            wrong(|c| {
                jwt(c);
                change(c);
            })
        };
        let secret = || Secret::new("abcdef0123456789abcdef0123456789");
        let file: fn(&mut Config) = |c| {
            c.auth.mode = Mode::Jwt;
            c.auth.jwks_file = "keys.json".into();
        };
        assert_eq!(wrong(file), NONE);
        assert_eq!(with(file), ["auth.jwks_file"]);
        let url = |url: &str| {
            let url = url.to_owned();
            wrong(|c| (c.auth.mode, c.auth.jwks_url) = (Mode::Jwt, url))
        };
        assert_eq!(url("https://id.example.com/jwks.json"), NONE);
        for bad in ["http://id.example.com/jwks.json", "file:///etc/passwd", "jwks.json", "https://u:p@h/"] {
            assert_eq!(url(bad), ["auth.jwks_url"], "{bad}");
        }
        assert_eq!(wrong(|c| c.auth.mode = Mode::Static), NONE);
        assert_eq!(with(|c| c.auth.mode = Mode::Static), ["auth.mode"]);
        let at = || Some(std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(wrong(|c| (c.auth.previous_hs256_secret, c.auth.previous_until) = (secret(), at())), ["auth.mode"]);
        assert_eq!(with(|c| c.auth.previous_public_key_file = "old.pem".into()), ["auth.previous_until"]);
        assert_eq!(with(|c| c.auth.previous_until = Some(std::time::SystemTime::UNIX_EPOCH)), ["auth.previous_until"]);
        assert_eq!(
            with(|c| {
                c.auth.previous_hs256_secret = Secret::new("short");
                c.auth.previous_until = Some(std::time::SystemTime::UNIX_EPOCH);
            }),
            ["auth.previous_hs256_secret"]
        );
        assert_eq!(
            wrong(|c| {
                jwt(c);
                (c.auth.previous_hs256_secret, c.auth.previous_until) = (secret(), at());
            }),
            NONE
        );
    }

    #[test]
    fn origins_and_proxies_are_what_they_are_called() {
        let one = |text: &str| vec![text.to_owned()];
        for good in ["https://app.example.com", "http://localhost:3000", "https://*.example.com", "null", "*"] {
            assert_eq!(wrong(|c| c.clients.origins = one(good)), NONE, "{good}");
        }
        for bad in ["app.example.com", "https://app.example.com/", ""] {
            assert_eq!(wrong(|c| c.clients.origins = one(bad)), ["clients.origins"], "{bad}");
        }
        for good in ["10.0.0.1", "10.0.0.0/8", "2001:db8::/32"] {
            assert_eq!(wrong(|c| c.clients.trusted_proxies = one(good)), NONE, "{good}");
        }
        for bad in ["proxy", "10.0.0.0/40", "*"] {
            assert_eq!(wrong(|c| c.clients.trusted_proxies = one(bad)), ["clients.trusted_proxies"], "{bad}");
        }
    }

    #[test]
    fn secrets_are_long_enough_and_are_not_shown() {
        let short = |c: &mut Config| {
            jwt(c);
            c.auth.hs256_secret = Secret::new("hunter2-0123456789abcdef0123456");
        };
        assert_eq!(wrong(short), ["auth.hs256_secret"]);
        let newline = |c: &mut Config| c.ops.api_key = Secret::new("hunter2-0123456789abcdef\n");
        assert_eq!(wrong(newline), ["ops.api_key"]);
        assert_eq!(wrong(|c| c.ops.api_key = Secret::new("0123456789abcde")), ["ops.api_key"]);
        assert_eq!(wrong(|c| c.ops.api_key = Secret::new("0123456789abcdef")), NONE);
        let mut config = Config::default();
        short(&mut config);
        newline(&mut config);
        let error = config.check().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }

    #[test]
    fn an_open_server_api_needs_a_key() {
        let open = |c: &mut Config| c.ops.listen = "0.0.0.0:7679".parse().unwrap();
        assert_eq!(wrong(open), ["ops.api_key"]);
        assert_eq!(
            wrong(|c| {
                open(c);
                c.ops.api_key = Secret::new("0123456789abcdef");
            }),
            NONE
        );
        assert_eq!(wrong(|c| c.ops.listen = c.clients.listen), ["ops.listen"]);
        assert_eq!(
            wrong(|c| {
                c.ops.listen.set_port(0);
                c.clients.listen.set_port(0);
            }),
            NONE
        );
    }

    #[test]
    fn a_certificate_and_its_key_are_named_together() {
        let set = |config: &mut Config, certificate: &str, key: &str, client_ca: &str| {
            (config.ops.tls.certificate, config.ops.tls.key) = (certificate.into(), key.into());
            config.ops.tls.client_ca = client_ca.into();
        };
        for (certificate, key, client_ca, expected) in [
            ("c", "k", "", &[][..]),
            ("c", "k", "a", &[]),
            ("c", "", "", &["ops.tls.key"]),
            ("", "k", "", &["ops.tls.certificate"]),
            ("", "k", "a", &["ops.tls.certificate"]),
            ("", "", "a", &["ops.tls.certificate"]),
        ] {
            assert_eq!(wrong(|c| set(c, certificate, key, client_ca)), expected, "{certificate} {key} {client_ca}");
        }
        assert_eq!(wrong(|c| c.clients.tls.key = "k".into()), ["clients.tls.certificate"]);
        assert_eq!(wrong(|c| c.clients.tls.certificate = "c".into()), ["clients.tls.key"]);
    }

    #[test]
    fn a_misspelt_level_is_seen() {
        for good in ["info", "OFF", "warn,rosterd=debug", "info,rosterd::gateway=trace", "[session]=debug"] {
            assert_eq!(filter(good), Ok(()), "{good}");
        }
        for bad in ["", "inof", "info,", "info, debug", "rosterd", "rosterd=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
