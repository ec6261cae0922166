//! The NATS servers that carry batches between gateways, whose credentials are shown nowhere.

use std::fmt;

use percent_encoding::percent_decode_str;

/// What is right.
const RIGHT: &str = "write nats://USER:PASSWORD@HOST:PORT, or tls:// for TLS, and several with commas between; special characters \
                     of the password in percent encoding";
/// The port of a NATS server unless another is given.
const PORT: u16 = 4222;

/// NATS servers of one system, of which any may be used.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsServers {
    servers: Vec<NatsServer>,
    login: Option<NatsLogin>,
}

#[derive(Clone, PartialEq, Eq)]
struct NatsServer {
    scheme: &'static str,
    /// With its port.
    address: String,
}

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum NatsLogin {
    /// With a user and a password.
    User(String, String),
    /// With a token, which is written in the place of a user.
    Token(String),
}

impl NatsServers {
    /// Parses `nats://USER:PASSWORD@HOST:PORT`, or several of them with commas between.
    ///
    /// # Errors
    /// Says what is wrong, and shows nothing of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut servers, mut logins) = (Vec::new(), Vec::new());
        for url in text.split(',').map(str::trim) {
            let (server, login) =
                parse_url(url).ok_or_else(|| format!("cannot be read as the URL of a NATS server; {RIGHT}"))?;
            servers.push(server);
            logins.push(login);
        }
        let login = logins.iter().flatten().next().cloned();
        if logins.into_iter().any(|other| other.is_some() && other != login) {
            return Err(format!("has another user or password for another server; {RIGHT}"));
        }
        Ok(Self { servers, login })
    }

    /// Returns the URLs without credentials.
    #[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "only what connects needs it"))]
    pub(super) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("{}://{}", server.scheme, server.address)).collect()
    }

    /// Returns whether the URLs say how to log in.
    #[must_use]
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Returns how to log in.
    #[cfg_attr(not(feature = "nats"), allow(dead_code, reason = "only what connects needs it"))]
    pub(super) fn login(&self) -> Option<&NatsLogin> {
        self.login.as_ref()
    }
}

fn parse_url(url: &str) -> Option<(NatsServer, Option<NatsLogin>)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = ["nats", "tls"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(parse_login(login)?), address),
        None => (None, rest),
    };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        _ => (address, PORT),
    };
    let is_literal = host.starts_with('[') && host.ends_with(']');
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c) || is_literal && "[]:".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return None;
    }
    Some((NatsServer { scheme, address: format!("{host}:{port}") }, login))
}

fn parse_login(text: &str) -> Option<NatsLogin> {
    let decoded =
        |text| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned()).filter(|text| !text.is_empty());
    Some(match text.split_once(':') {
        Some((user, password)) => NatsLogin::User(decoded(user)?, decoded(password)?),
        None => NatsLogin::Token(decoded(text)?),
    })
}

/// Shows the servers, and not who logs in.
impl fmt::Display for NatsServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = if self.login.is_some() { "…@" } else { "" };
        for (at, NatsServer { scheme, address }) in self.servers.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{scheme}://{hidden}{address}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NatsServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsServers({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_shown_without_who_logs_in() {
        for (text, shown) in [
            ("nats://nats", "nats://nats:4222"),
            ("nats://a:hunter2@one:4000/", "nats://…@one:4000"),
            ("TLS://hunter2@one, tls://two", "tls://…@one:4222,tls://…@two:4222"),
            ("nats://a:hunter2%2C%40@[::1]:4223", "nats://…@[::1]:4223"),
            ("nats://[::1]", "nats://[::1]:4222"),
        ] {
            let servers = NatsServers::parse(text).unwrap();
            assert_eq!(servers.to_string(), shown);
            assert!(!format!("{servers:?}").contains("hunter2"));
        }
        let login = |text| NatsServers::parse(text).unwrap().login;
        assert!(login("nats://a:h%2C%40@b") == Some(NatsLogin::User("a".into(), "h,@".into())));
        assert!(login("nats://b,nats://t@c") == Some(NatsLogin::Token("t".into())));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_being_shown() {
        for text in [
            "hunter2",
            "",
            "http://hunter2@b",
            "nats://",
            "nats://:hunter2@b",
            "nats://a:@hunter2",
            "nats://a:hunter2@b:port",
            "nats://a:hunter2@b:0",
            "nats://a:hunter2@b/x",
            "nats://a:hunter2@b?x",
            "nats://a:hunter2@b,",
            "nats://a:hunter2@b,nats://a:hunter3@c",
            "nats://a:%ff@hunter2",
        ] {
            let error = NatsServers::parse(text).unwrap_err();
            assert!(error.contains("nats://USER") && !error.contains("hunter"), "{text}: {error}");
        }
    }
}
