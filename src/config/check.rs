//! What settings must satisfy together, before any port is bound.
//!
//! Pure: no file is opened and no address is bound here.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::auth::is_set;
use super::{Config, Error, Mode, Secret};
use crate::admission::{Origins, Proxies};
use crate::auth::Url;
use rosterd_engine::model::limits::SESSIONS_PER_ACCOUNT;

/// The shortest API key, in bytes: 128 bits if they are random.
const API_KEY_BYTES: usize = 16;
/// The shortest secret for HS256, in bytes: as long as its hash (RFC 7518, section 3.2).
const HS256_BYTES: usize = 32;

const MILLI_100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A setting that is not right.
pub(super) struct Problem {
    /// `section.key`.
    pub(super) key: &'static str,
    /// What would be right. Never a secret.
    pub(super) message: String,
}

impl Config {
    /// Checks what the single values do not show: ranges, and what goes together.
    ///
    /// # Errors
    /// All that is wrong; each line names its key and says what would be right.
    pub fn check(&self) -> Result<(), Error> {
        let problems: Vec<_> = problems(self).into_iter().map(|p| format!("{}: {}", p.key, p.message)).collect();
        if problems.is_empty() { Ok(()) } else { Err(Error(problems)) }
    }
}

/// All that is wrong with these settings.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut list = Vec::new();
    ranges(config, &mut list);
    listeners(config, &mut list);
    certificates(config, &mut list);
    tokens(config, &mut list);
    if let Err(message) = Origins::parse(&config.clients.origins) {
        list.push(Problem { key: "clients.origins", message });
    }
    if let Err(message) = Proxies::parse(&config.clients.trusted_proxies) {
        list.push(Problem { key: "clients.trusted_proxies", message });
    }
    if let Err(message) = filter(&config.log.level) {
        list.push(Problem { key: "log.level", message });
    }
    list
}

fn ranges(config: &Config, list: &mut Vec<Problem>) {
    let mut duration = |key, value: Duration, least: Duration, most: Duration| {
        between(list, key, (value, least, most), written);
    };
    duration("clients.heartbeat", config.clients.heartbeat, SECOND, 10 * MINUTE);
    duration("clients.stall_timeout", config.clients.stall_timeout, SECOND, HOUR);
    duration("limits.handshake_timeout", config.limits.handshake_timeout, MILLI_100, 5 * MINUTE);
    duration("limits.login_timeout", config.limits.login_timeout, MILLI_100, 5 * MINUTE);
    duration("shutdown.lame_duck", config.shutdown.lame_duck, Duration::ZERO, 10 * MINUTE);
    duration("shutdown.away", config.shutdown.away, Duration::ZERO, 10 * MINUTE);
    duration("shutdown.deadline", config.shutdown.deadline, MILLI_100, 10 * MINUTE);
    duration("store.tombstone_retention", config.store.tombstone_retention, HOUR, 36500 * DAY);
    duration("friends.request_expiry", config.friends.request_expiry, SECOND, 36500 * DAY);
    duration("presence.linger", config.presence.linger, Duration::ZERO, HOUR);
    duration("auth.jwks_refresh", config.auth.jwks_refresh, 10 * SECOND, DAY);
    duration("auth.leeway", config.auth.leeway, Duration::ZERO, 5 * MINUTE);
    duration("auth.expiry_grace", config.auth.expiry_grace, Duration::ZERO, 5 * MINUTE);
    between(list, "shutdown.rate", (config.shutdown.rate, 1, 1_000_000), |rate| rate);
    between(list, "sessions.max", (config.sessions.max, 1, SESSIONS_PER_ACCOUNT), |max| max);
    limits(config, list);
}

fn limits(config: &Config, list: &mut Vec<Problem>) {
    let limits = &config.limits;
    for (key, bytes, least, most) in [
        ("limits.header_bytes", limits.header_bytes, 1024, 1 << 20),
        ("limits.frame_bytes", limits.frame_bytes, 1024, 1 << 20),
        ("limits.outbound_bytes", limits.outbound_bytes, 1 << 20, 1 << 40),
    ] {
        between(list, key, (bytes, least, most), |b| format!("{b} bytes"));
    }
    for (key, count, most) in [
        ("limits.connections", limits.connections, 1_000_000),
        ("limits.connections_per_address", limits.connections_per_address, 1_000_000),
        ("limits.logins_per_second", limits.logins_per_second, 1_000_000),
        ("limits.logins_burst", limits.logins_burst, 1_000_000),
        ("limits.commands_per_second", limits.commands_per_second, 1_000_000),
        ("limits.commands_burst", limits.commands_burst, 1_000_000),
        ("limits.fragments", limits.fragments, 65_536),
    ] {
        between(list, key, (count, 1, most), |count| count);
    }
}

fn between<T: PartialOrd + Copy, S: Display>(
    list: &mut Vec<Problem>,
    key: &'static str,
    (value, least, most): (T, T, T),
    show: impl Fn(T) -> S,
) {
    if value < least || value > most {
        let message = format!("is {}, must be {} to {}", show(value), show(least), show(most));
        list.push(Problem { key, message });
    }
}

/// A duration as one would write it: `humantime` makes months and years, which nobody means, of many days.
fn written(duration: Duration) -> String {
    let days = duration.as_secs() / DAY.as_secs();
    if days > 0 && duration == DAY * u32::try_from(days).unwrap_or(0) {
        return format!("{days}d");
    }
    humantime::format_duration(duration).to_string()
}

fn listeners(config: &Config, list: &mut Vec<Problem>) {
    let (clients, ops) = (config.clients.listen, config.ops.listen);
    if clients == ops && ops.port() != 0 {
        let message = format!("is {ops}, the same as clients.listen; give it another port");
        list.push(Problem { key: "ops.listen", message });
    }
    if config.auth.mode == Mode::Development && !is_loopback(clients) {
        let message = format!(
            "is {clients}, where others can connect, but in development mode anyone may be any account; \
             set auth.mode = \"jwt\", or listen at a loopback address such as 127.0.0.1:{}",
            clients.port()
        );
        list.push(Problem { key: "clients.listen", message });
    }
    secret("ops.api_key", &config.ops.api_key, API_KEY_BYTES, list);
    if config.ops.api_key.is_empty() && !is_loopback(ops) {
        let message = format!(
            "is needed because ops.listen is {ops}, where others can connect; \
             set {API_KEY_BYTES} bytes or more, or listen at a loopback address such as 127.0.0.1:{}",
            ops.port()
        );
        list.push(Problem { key: "ops.api_key", message });
    }
}

/// Whether files are named together that are needed together; what is in them is looked at when they are read.
fn certificates(config: &Config, list: &mut Vec<Problem>) {
    let (clients, ops) = (&config.clients.tls, &config.ops.tls);
    let mut needs = |key: &'static str, path: &Path, other: &Path, because: &str| {
        if path.as_os_str().is_empty() && !other.as_os_str().is_empty() {
            list.push(Problem { key, message: format!("is needed because {because} is set") });
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
    let mut wrong = |key, message: String| list.push(Problem { key, message });
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
        // Who sets a key expects tokens to be verified.
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

/// Keys of before have an end: one that is forgotten would be good for ever.
fn previous(config: &Config, list: &mut Vec<Problem>) {
    let auth = &config.auth;
    secret("auth.previous_hs256_secret", &auth.previous_hs256_secret, HS256_BYTES, list);
    let some = !auth.previous_hs256_secret.is_empty() || is_set(&auth.previous_public_key_file);
    let mut wrong = |key, message: &str| list.push(Problem { key, message: message.to_owned() });
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

fn secret(key: &'static str, secret: &Secret, least: usize, list: &mut Vec<Problem>) {
    let text = secret.expose();
    if !text.is_empty() && text.len() < least {
        let message =
            format!("has {} bytes, must have {least} or more; `openssl rand -hex {least}` makes one", text.len());
        list.push(Problem { key, message });
    }
    // Left over from reading it out of a file; nobody sends it.
    if text.trim() != text {
        list.push(Problem { key, message: "begins or ends with white space (a line break?); remove it".to_owned() });
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A filter takes any single word as the name of a module: a misspelt level would turn logging off without a word.
fn filter(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const RIGHT: &str =
        "write off, error, warn, info, debug or trace, or by module such as \"info,rosterd::gateway=debug\"";
    let is_level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
    let is_right = |part: &str| is_level(part) || part.contains(['=', '[']);
    if !text.split(',').all(is_right) {
        return Err(format!("{text:?} names no level; {RIGHT}"));
    }
    text.parse::<EnvFilter>().map(drop).map_err(|error| format!("{text:?} is not a log filter ({error}); {RIGHT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are wrong after `change`.
    fn wrong(change: impl FnOnce(&mut Config)) -> Vec<&'static str> {
        let mut config = Config::default();
        change(&mut config);
        problems(&config).iter().map(|p| p.key).collect()
    }

    /// Settings for tokens that are signed with a secret.
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

    /// A key, its field, and the least and the most that it may be.
    type Range = (&'static str, fn(&mut Config) -> &mut Duration, Duration, Duration);

    type Count = (&'static str, fn(&mut Config) -> &mut usize, usize, usize);

    #[test]
    fn ranges_include_their_ends() {
        let cases: [Range; 7] = [
            ("limits.handshake_timeout", |c| &mut c.limits.handshake_timeout, MILLI_100, 5 * MINUTE),
            ("clients.heartbeat", |c| &mut c.clients.heartbeat, SECOND, 10 * MINUTE),
            ("clients.stall_timeout", |c| &mut c.clients.stall_timeout, SECOND, HOUR),
            ("limits.login_timeout", |c| &mut c.limits.login_timeout, MILLI_100, 5 * MINUTE),
            ("shutdown.deadline", |c| &mut c.shutdown.deadline, MILLI_100, 10 * MINUTE),
            ("store.tombstone_retention", |c| &mut c.store.tombstone_retention, HOUR, 36500 * DAY),
            ("friends.request_expiry", |c| &mut c.friends.request_expiry, SECOND, 36500 * DAY),
        ];
        let step = Duration::from_millis(1);
        for (key, field, least, most) in cases {
            for good in [least, most] {
                assert_eq!(wrong(|c| *field(c) = good), NONE, "{key}");
            }
            for bad in [Duration::ZERO, least.saturating_sub(step), most + step] {
                assert_eq!(wrong(|c| *field(c) = bad), [key]);
            }
        }
        let none: &[&str] = &[];
        for (rate, expected) in [(0, &["shutdown.rate"][..]), (1, none), (1_000_001, &["shutdown.rate"])] {
            assert_eq!(wrong(|c| c.shutdown.rate = rate), expected);
        }
        for (wait, expected) in [(Duration::ZERO, none), (10 * MINUTE, none), (11 * MINUTE, &["shutdown.lame_duck"])] {
            assert_eq!(wrong(|c| c.shutdown.lame_duck = wait), expected);
        }
        assert_eq!(wrong(|c| c.shutdown.away = 11 * MINUTE), ["shutdown.away"]);
        for (linger, expected) in [(Duration::ZERO, &[][..]), (HOUR, &[]), (HOUR + step, &["presence.linger"])] {
            assert_eq!(wrong(|c| c.presence.linger = linger), expected);
        }
        for (max, expected) in [(0, &["sessions.max"][..]), (1, &[]), (1000, &[]), (1001, &["sessions.max"])] {
            assert_eq!(wrong(|c| c.sessions.max = max), expected);
        }
        let counts: [Count; 10] = [
            ("limits.frame_bytes", |c| &mut c.limits.frame_bytes, 1024, 1 << 20),
            ("limits.header_bytes", |c| &mut c.limits.header_bytes, 1024, 1 << 20),
            ("limits.outbound_bytes", |c| &mut c.limits.outbound_bytes, 1 << 20, 1 << 40),
            ("limits.connections", |c| &mut c.limits.connections, 1, 1_000_000),
            ("limits.connections_per_address", |c| &mut c.limits.connections_per_address, 1, 1_000_000),
            ("limits.logins_per_second", |c| &mut c.limits.logins_per_second, 1, 1_000_000),
            ("limits.logins_burst", |c| &mut c.limits.logins_burst, 1, 1_000_000),
            ("limits.commands_per_second", |c| &mut c.limits.commands_per_second, 1, 1_000_000),
            ("limits.commands_burst", |c| &mut c.limits.commands_burst, 1, 1_000_000),
            ("limits.fragments", |c| &mut c.limits.fragments, 1, 65_536),
        ];
        for (key, field, least, most) in counts {
            for good in [least, most] {
                assert_eq!(wrong(|c| *field(c) = good), NONE, "{key}");
            }
            for bad in [0, least - 1, most + 1] {
                assert_eq!(wrong(|c| *field(c) = bad), [key]);
            }
        }
    }

    #[test]
    fn a_range_is_told_as_one_would_write_it() {
        let mut config = Config::default();
        config.store.tombstone_retention = Duration::from_mins(30);
        config.limits.login_timeout = Duration::from_hours(36);
        let error = config.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "limits.login_timeout: is 1day 12h, must be 100ms to 5m\n\
             store.tombstone_retention: is 30m, must be 1h to 36500d"
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
