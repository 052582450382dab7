//! The setting that opens addresses of one's own network to webhooks.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Networks that webhooks may be sent to although they are not public: `10.0.0.0/8,192.168.1.7`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(Vec<IpNet>);

impl AllowList {
    /// This machine itself.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = Ipv4Net::new_assert([127, 0, 0, 0].into(), 8);
        let v6 = Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128);
        Self(vec![v4.into(), v6.into()])
    }

    /// Whether one of the networks has this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for AllowList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| format!("'{text}' is not a network such as 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses_are_read_and_nothing_else() {
        let list: AllowList = "10.0.0.0/8, 192.168.1.7,fd00::/8,".parse().expect("a list");
        for (address, is_in) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(list.contains(address.parse().expect("an address")), is_in, "{address}");
        }
        assert_eq!("".parse(), Ok(AllowList::default()));
        for bad in ["10.0.0.0/33", "localhost", "10.0.0", "10.0.0.0/8;fd00::/8", "*"] {
            let refusal = bad.parse::<AllowList>().expect_err(bad);
            assert!(refusal.contains("is not a network such as 10.0.0.0/8"), "{refusal}");
        }
    }

    #[test]
    fn loopback_is_this_machine_in_both_families() {
        for address in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert!(AllowList::loopback().contains(address.parse().expect("an address")), "{address}");
        }
        assert!(!AllowList::loopback().contains("10.0.0.1".parse().expect("an address")));
    }
}
