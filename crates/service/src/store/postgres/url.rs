//! The URL of a database server, whose password is shown nowhere.

use std::fmt;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where the database is, and as whom to use it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Box<Config>);

impl PostgresUrl {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE`.
    ///
    /// # Errors
    /// Says what is wrong, and shows nothing of the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config = Config::from_str(text).map_err(|_| {
            "cannot be read as a PostgreSQL URL; write postgres://USER:PASSWORD@HOST/DATABASE, with special \
             characters of the password in percent encoding, and options such as ?sslmode=require"
                .to_owned()
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(
                "names no host; write postgres://USER:PASSWORD@HOST/DATABASE, or for a Unix socket postgres:///DATABASE?host=/run/postgresql&user=USER".into()
            );
        }
        if config.get_user().is_none() {
            return Err("names no user; write postgres://USER:PASSWORD@HOST/DATABASE".into());
        }
        Ok(Self(Box::new(config)))
    }

    /// Returns what connects.
    pub(super) fn config(&self) -> Config {
        (*self.0).clone()
    }
}

/// Shows user, hosts and database.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.0.get_user().unwrap_or_default();
        write!(f, "postgres://{user}@")?;
        let ports = self.0.get_ports();
        for (at, host) in self.0.get_hosts().iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "{comma}[{name}]")?,
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = ports.get(at).or(ports.last()).filter(|port| **port != 5432) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.0.get_dbname().unwrap_or(user))
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://rosterd:hunter2@db/friends", "postgres://rosterd@db/friends"),
            ("postgresql://a:hunter2@db:5433/x?sslmode=require&connect_timeout=3", "postgres://a@db:5433/x"),
            ("postgres://a:hunter2@one,two:6000/x", "postgres://a@one,two:6000/x"),
            ("postgres:///x?host=/run/postgresql&user=a&password=hunter2", "postgres://a@/run/postgresql/x"),
            ("postgres://a:hunter2@[::1]:5432/x", "postgres://a@[::1]/x"),
        ] {
            let url = PostgresUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?} {url:#?}").contains("hunter2"));
        }
        for bad in
            ["postgres://", "postgres://a:hunter2@/x", "postgres://a:hunter2@db:port/x", "postgres://db/x?hunter2=1"]
        {
            let error = PostgresUrl::parse(bad).unwrap_err();
            assert!(error.contains("postgres://") && !error.contains("hunter2"), "{error}");
        }
    }
}
