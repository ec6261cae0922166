//! Decides which web pages may connect.
//!
//! A browser names the origin of the page that connects in `Origin`, and no page can change that. Other clients send no
//! `Origin` and are let through: they could write any origin, so a check would not stop them.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// The origins of pages that may connect besides the gateway's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    This(String),
    /// `https://*.example.com`, in two parts.
    Under(String, String),
}

impl Origins {
    /// Parses a list of `https://app.example.com`, `https://*.example.com` for names under a domain, `null` for pages
    /// without an origin, or `*` for all.
    ///
    /// # Errors
    /// An entry is no origin; the text says what would be right.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        list.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Reports whether the page that a request comes from may connect; a request from no page may.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(ORIGIN).iter();
        let origin = match (given.next(), given.next()) {
            (None, _) => return true,
            (Some(origin), None) => origin.to_str().map(str::to_ascii_lowercase),
            (Some(_), Some(_)) => return false,
        };
        let Ok(origin) = origin else {
            return false;
        };
        self.0.iter().any(|pattern| pattern.fits(&origin)) || is_own(&origin, headers)
    }
}

/// Reports whether the page has the gateway's own origin.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    own.is_some_and(|own| !own.is_empty() && host.is_some_and(|host| host.eq_ignore_ascii_case(own)))
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an origin; write one as browsers do, such as \"https://app.example.com\", or \"https://*.example.com\""
            )
        };
        let text = &text.to_ascii_lowercase();
        match text.as_str() {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::This(text.clone())),
            _ => {}
        }
        let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let (under, host) = host.strip_prefix("*.").map_or((false, host), |host| (true, host));
        if !is_scheme || !is_host(host) {
            return Err(wrong());
        }
        // Browsers leave these ports out.
        let port = [("http", ":80"), ("https", ":443")].into_iter().find(|(named, _)| *named == scheme);
        let host = port.and_then(|(_, port)| host.strip_suffix(port)).unwrap_or(host);
        let scheme = format!("{scheme}://");
        Ok(if under { Self::Under(scheme, format!(".{host}")) } else { Self::This(scheme + host) })
    }

    fn fits(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::This(this) => this == origin,
            Self::Under(scheme, name) => {
                let below = origin.strip_prefix(scheme.as_str()).and_then(|host| host.strip_suffix(name.as_str()));
                below.is_some_and(is_name)
            }
        }
    }
}

/// Reports whether this is a name or an address, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = v6.map_or_else(|| is_name(host), |v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn origins(list: &[&str]) -> Origins {
        Origins::parse(&list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn allowed(origins: &Origins, given: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("gate.example.com:7678"));
        for origin in given {
            headers.append(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).unwrap());
        }
        origins.allow(&headers)
    }

    #[test]
    fn a_page_from_elsewhere_may_connect_only_if_it_is_listed() {
        let none = origins(&[]);
        assert!(allowed(&none, &[]), "no browser");
        for own in ["https://gate.example.com:7678", "http://GATE.example.com:7678"] {
            assert!(allowed(&none, &[own]), "{own}");
        }
        for elsewhere in [
            "https://app.example.com",
            "https://gate.example.com",
            "https://gate.example.com:7678.evil.example",
            "http://localhost",
            "null",
            "",
            "https://",
            "gate.example.com:7678",
            "chrome-extension://abc",
            "https://gate.example.com:7678\u{fc}",
        ] {
            assert!(!allowed(&none, &[elsewhere]), "{elsewhere}");
        }
        let some = origins(&["https://app.example.com:443", "https://*.example.org:8443", "http://[::1]:3000", "null"]);
        for good in [
            "https://app.example.com",
            "https://APP.example.com",
            "https://a.b.example.org:8443",
            "http://[::1]:3000",
            "null",
        ] {
            assert!(allowed(&some, &[good]), "{good}");
        }
        for bad in [
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://evilapp.example.com",
            "https://example.org:8443",
            "https://.example.org:8443",
            "https://a.example.org",
            "https://evil.example/.example.org:8443",
            "https://evil.example#.example.org:8443",
            "https://user@.example.org:8443",
        ] {
            assert!(!allowed(&some, &[bad]), "{bad}");
        }
        let one = "https://app.example.com";
        assert!(!allowed(&some, &[one, one]) && !allowed(&origins(&["*"]), &[one, "https://evil.example"]));
        assert!(allowed(&origins(&["*"]), &["https://anything.example"]));
    }

    #[test]
    fn what_no_browser_would_say_is_not_taken_for_an_origin() {
        for bad in [
            "",
            "app.example.com",
            "https://",
            "https://*",
            "https://app.example.com/",
            "https://a b",
            "*.example.com",
            "https://app.example.com:port",
            "https://*.*.com",
            "https://[::1",
            "://x",
        ] {
            let error = Origins::parse(&[bad.to_owned()]).unwrap_err();
            assert!(error.contains("https://app.example.com"), "{bad}: {error}");
        }
    }
}
