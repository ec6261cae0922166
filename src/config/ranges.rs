//! The least and the most that each duration, size, count and secret may be.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use super::form::Secret;
use super::settings::Config;
use rosterd_engine::model::limits::SESSIONS_PER_ACCOUNT;

const MILLI_100: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A setting that is not valid.
pub(super) struct Problem {
    /// `section.key`.
    pub(super) key: Cow<'static, str>,
    /// What would be right. It never contains a secret.
    pub(super) message: String,
}

/// Finds the values that are out of their range.
pub(super) fn ranges(config: &Config, list: &mut Vec<Problem>) {
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
    duration("store.write_timeout", config.store.write_timeout, SECOND, 5 * MINUTE);
    duration("store.tombstone_retention", config.store.tombstone_retention, HOUR, 36500 * DAY);
    duration("cluster.beat", config.cluster.beat, MILLI_100, MINUTE);
    duration("cluster.dead_after", config.cluster.dead_after, 3 * MILLI_100, 10 * MINUTE);
    duration("cluster.poll", config.cluster.poll, MILLI_100 / 10, 10 * SECOND);
    duration("cluster.unready_after", config.cluster.unready_after, SECOND, HOUR);
    duration("cluster.cut_off", config.cluster.cut_off, 10 * SECOND, DAY);
    duration("ops.audit_retention", config.ops.audit_retention, HOUR, 36500 * DAY);
    duration("feed.retention", config.feed.retention, Duration::ZERO, 365 * DAY);
    duration("friends.request_expiry", config.friends.request_expiry, SECOND, 36500 * DAY);
    duration("presence.linger", config.presence.linger, Duration::ZERO, HOUR);
    duration("auth.jwks_refresh", config.auth.jwks_refresh, 10 * SECOND, DAY);
    duration("auth.leeway", config.auth.leeway, Duration::ZERO, 5 * MINUTE);
    duration("auth.expiry_grace", config.auth.expiry_grace, Duration::ZERO, 5 * MINUTE);
    between(list, "shutdown.rate", (config.shutdown.rate, 1, 1_000_000), |rate| rate);
    between(list, "store.readers", (config.store.readers, 1, 100), |readers| readers);
    between(list, "sessions.max", (config.sessions.max, 1, SESSIONS_PER_ACCOUNT), |max| max);
    limits(config, list);
}

fn limits(config: &Config, list: &mut Vec<Problem>) {
    let limits = &config.limits;
    for (key, bytes, least, most) in [
        ("feed.max_bytes", config.feed.max_bytes, 1 << 20, 1 << 40),
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
        list.push(Problem { key: key.into(), message });
    }
}

/// Checks the length of a secret, and that it is nothing but the secret.
pub(super) fn secret(key: impl Into<Cow<'static, str>>, secret: &Secret, least: usize, list: &mut Vec<Problem>) {
    let (key, text) = (key.into(), secret.expose());
    if !text.is_empty() && text.len() < least {
        let message =
            format!("has {} bytes, must have {least} or more; `openssl rand -hex {least}` makes one", text.len());
        list.push(Problem { key: key.clone(), message });
    }
    // Left over from reading it out of a file. No client sends it.
    if text.trim() != text {
        list.push(Problem { key, message: "begins or ends with white space (a line break?); remove it".to_owned() });
    }
}

/// Formats a duration as an operator would write it. `humantime` would turn many days into months and years.
pub(super) fn written(duration: Duration) -> String {
    let days = duration.as_secs() / DAY.as_secs();
    if days > 0 && duration == DAY * u32::try_from(days).unwrap_or(0) {
        return format!("{days}d");
    }
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::check::problems;
    use super::*;

    /// Returns the keys of all problems after `change`.
    fn wrong(change: impl FnOnce(&mut Config)) -> Vec<Cow<'static, str>> {
        let mut config = Config::default();
        change(&mut config);
        problems(&config).into_iter().map(|p| p.key).collect()
    }

    const NONE: [&str; 0] = [];

    /// A key, its field, and its least and greatest valid value.
    type Range = (&'static str, fn(&mut Config) -> &mut Duration, Duration, Duration);

    type Count = (&'static str, fn(&mut Config) -> &mut usize, usize, usize);

    #[test]
    fn ranges_include_their_ends() {
        // Without a log, which must not be kept for longer.
        let tombstones: fn(&mut Config) -> &mut Duration = |c| {
            c.feed.retention = Duration::ZERO;
            &mut c.store.tombstone_retention
        };
        let cases: [Range; 8] = [
            ("ops.audit_retention", |c| &mut c.ops.audit_retention, HOUR, 36500 * DAY),
            ("limits.handshake_timeout", |c| &mut c.limits.handshake_timeout, MILLI_100, 5 * MINUTE),
            ("clients.heartbeat", |c| &mut c.clients.heartbeat, SECOND, 10 * MINUTE),
            ("clients.stall_timeout", |c| &mut c.clients.stall_timeout, SECOND, HOUR),
            ("limits.login_timeout", |c| &mut c.limits.login_timeout, MILLI_100, 5 * MINUTE),
            ("shutdown.deadline", |c| &mut c.shutdown.deadline, MILLI_100, 10 * MINUTE),
            ("store.tombstone_retention", tombstones, HOUR, 36500 * DAY),
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
        for (age, expected) in [(Duration::ZERO, none), (365 * DAY, none), (366 * DAY, &["feed.retention"])] {
            assert_eq!(wrong(|c| (c.feed.retention, c.store.tombstone_retention) = (age, 400 * DAY)), expected);
        }
        for (readers, expected) in [(0, &["store.readers"][..]), (1, &[]), (100, &[]), (101, &["store.readers"])] {
            assert_eq!(wrong(|c| c.store.readers = readers), expected);
        }
        for (wait, expected) in [(SECOND, none), (5 * MINUTE, none), (5 * MINUTE + step, &["store.write_timeout"])] {
            assert_eq!(wrong(|c| c.store.write_timeout = wait), expected);
        }
        for (max, expected) in [(0, &["sessions.max"][..]), (1, &[]), (1000, &[]), (1001, &["sessions.max"])] {
            assert_eq!(wrong(|c| c.sessions.max = max), expected);
        }
        let counts: [Count; 11] = [
            ("feed.max_bytes", |c| &mut c.feed.max_bytes, 1 << 20, 1 << 40),
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
    fn a_range_is_shown_as_an_operator_would_write_it() {
        let mut config = Config::default();
        (config.store.tombstone_retention, config.feed.retention) = (Duration::from_mins(30), Duration::ZERO);
        config.limits.login_timeout = Duration::from_hours(36);
        let error = config.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "limits.login_timeout: is 1day 12h, must be 100ms to 5m\n\
             store.tombstone_retention: is 30m, must be 1h to 36500d"
        );
    }
}
