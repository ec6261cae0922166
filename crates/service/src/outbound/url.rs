//! A URL that the gateway may call.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;

/// What would be right.
const RIGHT: &str = "write https://HOST/PATH, such as https://id.example.com/path";

/// A URL that the gateway may call. Its `Debug` form leaves out the query, because it may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    uri: Box<Uri>,
    host: Box<str>,
}

impl Url {
    /// Parses `https://HOST[:PORT]/PATH`. `http` is accepted for this machine only: without TLS, anyone on the network
    /// path could read and replace what is sent.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Self::parse_plain(text)?;
        if url.has_tls() || url.names_this_machine() {
            return Ok(url);
        }
        Err(format!("needs TLS, since whoever is on the way could read and replace what is sent; {RIGHT}"))
    }

    /// Parses a URL that may be `http` to any host.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse_plain(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| format!("is not a URL; {RIGHT}"))?;
        let authority = uri.authority().ok_or_else(|| format!("names no host; {RIGHT}"))?;
        if authority.as_str().contains('@') {
            return Err(format!("takes no user and password; {RIGHT}"));
        }
        let host: Box<str> = authority.host().trim_start_matches('[').trim_end_matches(']').into();
        if host.is_empty() {
            return Err(format!("names no host; {RIGHT}"));
        }
        match uri.scheme_str() {
            Some("https" | "http") => Ok(Self { uri: Box::new(uri), host }),
            _ => Err(format!("is no URL that can be called; {RIGHT}")),
        }
    }

    /// Whether it is called over TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Whether it says that the host is this machine. A name that merely resolves to it does not say so.
    #[must_use]
    pub fn names_this_machine(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.address().is_some_and(|address| address.is_loopback())
    }

    /// Returns the address, if the host is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// The URL without its query, which may hold a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_can_be_trusted_are_taken() {
        let url = Url::parse("https://id.example.com/jwks.json?tenant=7").unwrap();
        assert_eq!(
            (&*url.host, url.uri.to_string().as_str()),
            ("id.example.com", "https://id.example.com/jwks.json?tenant=7")
        );
        assert_eq!(format!("{url:?}"), "https://id.example.com/jwks.json");
        for here in [
            "http://127.0.0.1:8080/jwks",
            "HTTP://LOCALHOST/jwks",
            "Https://id.example.com/",
            "http://localhost/jwks",
            "http://[::1]:81/x",
            "https://[::1]",
        ] {
            assert!(Url::parse(here).is_ok(), "{here}");
        }
        for (bad, why) in [
            ("http://id.example.com/jwks", "TLS"),
            ("http://10.0.0.1/jwks", "TLS"),
            ("http://2130706433/jwks", "TLS"),
            ("http://localhost.evil.example/jwks", "TLS"),
            ("ftp://id.example.com/jwks", "https://"),
            ("file:///etc/passwd", "https://"),
            ("/etc/keys.json", "https://"),
            ("id.example.com", "https://"),
            ("https://user:hunter2@id.example.com/", "password"),
            ("https://:443/", "https://"),
            ("", "https://"),
            ("https://", "https://"),
        ] {
            let error = Url::parse(bad).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{bad}: {error}");
        }
        assert!(Url::parse_plain("http://10.0.0.1/hook").is_ok());
        assert!(Url::parse_plain("http://user@10.0.0.1/hook").is_err());
    }
}
