//! Finds the client behind a proxy.
//!
//! Anyone can write these headers, so they are read only from proxies that the settings name, and from the right: each
//! proxy adds the address it saw, so one of ours saw the first address that is none of ours.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;
use ipnet::IpNet;

/// The proxies that are trusted, and the header that they write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Their addresses and networks.
    pub networks: Vec<IpNet>,
    /// Their header. A client may have written the other one.
    pub header: ForwardedHeader,
}

/// The header in which a proxy names its client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Returns its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => FORWARDED.as_str(),
        }
    }
}

impl Proxies {
    /// Parses a list of addresses, and of networks such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// An entry is neither; the text says what would be right.
    pub fn parse(list: &[String]) -> Result<Vec<IpNet>, String> {
        let one = |text: &String| {
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| format!("{text:?} is not an address; write one, or a network such as \"10.0.0.0/8\""))
        };
        list.iter().map(one).collect()
    }

    /// Reports whether this address is a trusted proxy's.
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Returns the client's address by the proxy's header; `None` if the header is missing or cannot be read.
    pub(super) fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines: Vec<_> = headers.get_all(self.header.name()).iter().collect();
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
        for hop in hops {
            let hop = str::from_utf8(hop).ok()?.trim();
            let address = match self.header {
                ForwardedHeader::XForwardedFor => address(hop)?,
                ForwardedHeader::Forwarded => address(forwarded_for(hop)?)?,
            };
            if !self.trust(address) {
                return Some(address);
            }
        }
        None
    }
}

/// Returns the value of `for` in one element of `Forwarded`, without its quotes.
fn forwarded_for(element: &str) -> Option<&str> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// Parses an address with or without a port; one of version 6 may have brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn client(header: ForwardedHeader, lines: &[(&'static str, &str)]) -> Option<String> {
        let networks = Proxies::parse(&["10.0.0.0/8".to_owned(), "2001:db8::7".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Proxies { networks, header }.client(&headers).map(|address| address.to_string())
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_is_the_client() {
        let by = |value: &str| client(ForwardedHeader::XForwardedFor, &[("x-forwarded-for", value)]);
        let is = |value: &str, client: &str| assert_eq!(by(value).as_deref(), Some(client), "{value}");
        is("203.0.113.7", "203.0.113.7");
        is("1.1.1.1, 203.0.113.7", "203.0.113.7");
        is("1.1.1.1,203.0.113.7 ,10.1.2.3, 10.9.9.9", "203.0.113.7");
        is("203.0.113.7:4711", "203.0.113.7");
        is("::ffff:203.0.113.7", "203.0.113.7");
        is("[2001:db8::1]:4711, 2001:db8::7", "2001:db8::1");
        is("[2001:db8::1]", "2001:db8::1");
        is("nonsense, 203.0.113.7", "203.0.113.7");
        for none in ["", "unknown", "203.0.113.7, unknown", "10.0.0.1", "203.0.113.7,", "203.0.113.999", "ü"] {
            assert_eq!(by(none), None, "{none}");
        }
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.7, 10.0.0.1")];
        assert_eq!(client(ForwardedHeader::XForwardedFor, &lines).as_deref(), Some("203.0.113.7"));
    }

    #[test]
    fn the_header_that_the_proxy_does_not_write_is_not_read() {
        let both = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=203.0.113.7;proto=https, For=\"10.0.0.1\"")];
        assert_eq!(client(ForwardedHeader::Forwarded, &both).as_deref(), Some("203.0.113.7"));
        assert_eq!(client(ForwardedHeader::XForwardedFor, &both).as_deref(), Some("1.1.1.1"));
        let by = |value: &str| client(ForwardedHeader::Forwarded, &[("forwarded", value)]);
        assert_eq!(by("for=\"[2001:db8::1]:4711\"").as_deref(), Some("2001:db8::1"));
        for none in ["for=_hidden", "for=unknown", "by=203.0.113.7", "203.0.113.7", "for=1.1.1.1, proto=https"] {
            assert_eq!(by(none), None, "{none}");
        }
    }

    #[test]
    fn proxies_are_addresses_and_networks() {
        let proxies = Proxies { networks: Proxies::parse(&["10.0.0.0/8".to_owned()]).unwrap(), ..Proxies::default() };
        assert!(proxies.trust("10.1.2.3".parse().unwrap()) && proxies.trust("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!proxies.trust("11.0.0.1".parse().unwrap()) && !Proxies::default().trust("127.0.0.1".parse().unwrap()));
        for bad in ["", "proxy.example.com", "10.0.0.0/33", "10.0.0.1:80", "*"] {
            assert!(Proxies::parse(&[bad.to_owned()]).unwrap_err().contains("10.0.0.0/8"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(bytes: Vec<u8>, text in "[0-9a-f.:,;=\" \\[\\]for]{0,60}") {
            for value in [bytes, text.into_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(&value) else { continue };
                for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                    let mut headers = HeaderMap::new();
                    headers.append("x-forwarded-for", value.clone());
                    headers.append("forwarded", value.clone());
                    let _ = Proxies { header, ..Proxies::default() }.client(&headers);
                }
            }
        }
    }
}
