//! Which addresses the gateway may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The addresses at which clouds give a machine its credentials, apart from those that are link-local.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Decides which addresses may be connected to.
///
/// Private networks are allowed, since receivers of one's own are there; `networks` narrows that down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressRules {
    /// If there are any: no other addresses than of these.
    pub networks: Vec<IpNet>,
    /// Whether the URL says that the host is this machine: no other address then, and this one otherwise not.
    pub this_machine: bool,
}

impl AddressRules {
    /// Checks an address.
    ///
    /// # Errors
    /// Why nothing connects to it.
    pub fn check(&self, address: IpAddr) -> Result<(), String> {
        let plain = embedded(address);
        if let Some(what) = refused(plain) {
            return Err(format!("{address} is {what}, which is never called"));
        }
        match (self.this_machine, plain.is_loopback()) {
            (true, false) => return Err(format!("{address} is not this machine, which the URL names")),
            (false, true) => {
                return Err(format!("{address} is this machine; write localhost into the URL if it shall be called"));
            }
            _ => {}
        }
        if !self.networks.is_empty() && !self.networks.iter().any(|network| network.contains(&plain)) {
            return Err(format!("{address} is in none of the networks that the settings name"));
        }
        Ok(())
    }
}

/// Returns the IPv4 address that an IPv6 address stands for, if it does: mapped, NAT64, or 6to4.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let last = |v6: Ipv6Addr| {
        let [.., a, b, c, d] = v6.octets();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => last(v6),
        [0x2002, high, low, ..] => IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => address,
    }
}

/// Says what an address is, if nothing ever connects to it.
fn refused(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("the metadata service of a cloud");
    }
    match address {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => Some("no address of a host"),
            [169, 254, ..] => Some("link-local"),
            [224..=239, ..] => Some("multicast"),
            [240..=255, ..] => Some("reserved"),
            _ => None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => None,
            [0, 0, 0, 0, 0, 0, ..] => Some("no address of a host"),
            [0x2001, 0, ..] => Some("a Teredo tunnel"),
            [0xfe80..=0xfebf, ..] => Some("link-local"),
            [0xff00..=0xffff, ..] => Some("multicast"),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_addresses_are_called_or_not() {
        let rules = AddressRules::default();
        let allowed = [
            "1.1.1.1",
            "8.8.8.8",
            "10.0.0.1",
            "10.255.255.255",
            "172.16.3.4",
            "192.168.1.10",
            "100.64.0.1",
            "168.254.169.254",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:db8::1",
            "fd00::1",
            "fd12:3456::7",
            "fec0::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::808:808",
            "2002:0808:0808::1",
        ];
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
            "2001:0:1::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
        ];
        assert!(allowed.len() + refused.len() >= 40);
        for address in allowed {
            assert_eq!(rules.check(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in refused {
            assert!(rules.check(address.parse().unwrap()).is_err(), "{address}");
        }
    }

    #[test]
    fn this_machine_is_called_only_if_the_url_says_so_and_then_nothing_else_is() {
        let rules = AddressRules { this_machine: true, ..AddressRules::default() };
        for address in ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(rules.check(address.parse().unwrap()), Ok(()), "{address}");
        }
        for address in ["10.0.0.1", "1.1.1.1", "169.254.169.254", "0.0.0.0", "::", "fd00::1"] {
            assert!(rules.check(address.parse().unwrap()).is_err(), "{address}");
        }
    }

    #[test]
    fn networks_narrow_it_down_and_open_nothing() {
        let networks = ["10.0.0.0/8", "fd00::/8", "169.254.0.0/16"].map(|network| network.parse().unwrap()).to_vec();
        let rules = AddressRules { networks, this_machine: false };
        for (address, may) in [
            ("10.2.3.4", true),
            ("::ffff:10.2.3.4", true),
            ("fd12::1", true),
            ("11.0.0.1", false),
            ("2606:4700::1111", false),
            ("169.254.169.254", false),
            ("fd00:ec2::254", false),
        ] {
            assert_eq!(rules.check(address.parse().unwrap()).is_ok(), may, "{address}");
        }
    }
}
