//! Which addresses webhooks may be sent to.
//!
//! Anybody who may make a webhook chooses where this process connects to, so it must not reach what only this network
//! reaches. What counts is the address that is connected to: names are resolved here, and only what passed is handed on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::AllowList;

/// Blocks of IPv4 that are not public (IANA's special-purpose registry), and one of a cloud's own.
const NOT_PUBLIC_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Metadata services of clouds are in here.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    // Azure's platform services, which have a public address.
    ([168, 63, 129, 16], 32),
];

/// Blocks within the global unicast addresses of IPv6 that are not public.
const NOT_PUBLIC_V6: &[([u16; 2], u32)] = &[
    // Protocol assignments, Teredo among them.
    ([0x2001, 0], 23),
    ([0x2001, 0xdb8], 32),
    // 6to4: an IPv4 address of any kind is inside.
    ([0x2002, 0], 16),
    ([0x3fff, 0], 20),
];

/// The address is not one that webhooks may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiver's address is not a public one; operators can allow it by TESTRUN_WEBHOOK_ALLOW_CIDRS")]
pub(crate) struct NotAllowed;

/// Decides about addresses, and resolves names to those that may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    allowed: Arc<AllowList>,
}

impl Addresses {
    pub(crate) fn new(allowed: AllowList) -> Self {
        Self { allowed: Arc::new(allowed) }
    }

    /// Whether this address may be connected to.
    pub(crate) fn may_connect(&self, address: IpAddr) -> bool {
        let inner = embedded(address).map(IpAddr::V4);
        is_public(address) || self.allowed.contains(address) || inner.is_some_and(|inner| self.allowed.contains(inner))
    }

    /// Refuses a URL whose host is an address that may not be connected to. Names are left to the resolver, which is not
    /// asked about addresses.
    pub(crate) fn check_host(&self, url: &Url) -> Result<(), NotAllowed> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(NotAllowed),
        };
        if self.may_connect(address) { Ok(()) } else { Err(NotAllowed) }
    }
}

impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| addresses.may_connect(address.ip())).collect();
            if allowed.is_empty() {
                tracing::warn!(host = name.as_str(), "a webhook's host has no address that it may be sent to");
                return Err(NotAllowed.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|(block, bits)| (address.to_bits() ^ u32::from_be_bytes(*block)) >> (32 - bits) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    if is_nat64(address) {
        return embedded(IpAddr::V6(address)).is_some_and(is_public_v4);
    }
    // Global unicast is 2000::/3; all else is loopback, mapped, local, multicast or of no use.
    let is_global = segments[0] >> 13 == 1;
    let start = u32::from(segments[0]) << 16 | u32::from(segments[1]);
    is_global
        && !NOT_PUBLIC_V6
            .iter()
            .any(|([first, second], bits)| (start ^ (u32::from(*first) << 16 | u32::from(*second))) >> (32 - bits) == 0)
}

/// The IPv4 address that a translator or the system itself would connect to instead.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    if is_nat64(address) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

/// `64:ff9b::/96`, behind which a network's translator has all of IPv4.
fn is_nat64(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(list: &str) -> Addresses {
        Addresses::new(list.parse().expect("a list"))
    }

    #[test]
    fn only_public_addresses_may_be_connected_to() {
        let addresses = allowing("");
        for refused in "0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 \
             127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 \
             192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 \
             239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 \
             ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 \
             64:ff9b::169.254.169.254 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:1:2::3 2001:2::1 2001:10::1 \
             2001:1ff::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 3fff:fff::1 5f00::1 fc00::1 \
             fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1"
            .split_whitespace()
        {
            assert!(!addresses.may_connect(refused.parse().expect(refused)), "{refused} was let through");
        }
        for public in "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
             169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 \
             198.20.0.0 223.255.255.255 168.63.129.15 168.63.129.17 2001:200::1 2001:4860:4860::8888 \
             2001:db9::1 2606:4700::1111 2a00::1 3ffe::1 64:ff9b::8.8.8.8"
            .split_whitespace()
        {
            assert!(addresses.may_connect(public.parse().expect(public)), "{public} was refused");
        }
    }

    #[test]
    fn what_is_listed_is_allowed_in_each_of_its_shapes_and_nothing_beside_it() {
        let addresses = allowing("10.1.0.0/16,127.0.0.1,fd00::/8");
        for allowed in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "127.0.0.1", "fd12::1", "8.8.8.8"] {
            assert!(addresses.may_connect(allowed.parse().expect(allowed)), "{allowed} was refused");
        }
        for refused in ["10.2.0.1", "::ffff:10.2.0.1", "64:ff9b::10.2.0.1", "127.0.0.2", "::1", "fc00::1"] {
            assert!(!addresses.may_connect(refused.parse().expect(refused)), "{refused} was let through");
        }
    }

    #[test]
    fn addresses_in_urls_are_seen_through_every_spelling() {
        let addresses = allowing("");
        for refused in "http://127.0.0.1/ http://127.1/ http://127.0.0.1./ http://2130706433/ http://0x7f000001/ \
             http://0177.0.0.1/ http://①②⑦.0.0.1/ http://[::1]/ http://[::ffff:7f00:1]/ http://0/ \
             http://169.254.169.254/latest/meta-data/ http://[fe80::1]/"
            .split_whitespace()
        {
            let url = Url::parse(refused).expect(refused);
            assert_eq!(addresses.check_host(&url), Err(NotAllowed), "{refused}");
        }
        for left in ["http://example.com/", "http://localhost/", "http://8.8.8.8/"] {
            assert_eq!(addresses.check_host(&Url::parse(left).expect(left)), Ok(()), "{left}");
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_to_what_may_be_connected_to() {
        let name = || "localhost".parse::<Name>().expect("a name");
        let refusal = allowing("").resolve(name()).await.err().expect("a refusal");
        assert!(refusal.is::<NotAllowed>(), "{refusal}");
        let found: Vec<SocketAddr> =
            Addresses::new(AllowList::loopback()).resolve(name()).await.expect("addresses").collect();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
    }
}
