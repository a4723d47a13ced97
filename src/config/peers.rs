//! Networks of peers, in CIDR notation.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// An address, or a network of addresses: `10.0.0.9`, `192.168.0.0/16`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerNet {
    network: Ipv6Addr,
    /// Bits that count, of the IPv6 form.
    bits: u32,
}

/// Not an address or network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address or network")]
pub struct NotAPeer;

impl PeerNet {
    /// Whether `address` is in it. An IPv4 address and its IPv6-mapped form are the same.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = 128 - self.bits;
        let cut = |address: Ipv6Addr| address.to_bits().checked_shr(shift).unwrap_or(0);
        cut(mapped(address)) == cut(self.network)
    }
}

impl FromStr for PeerNet {
    type Err = NotAPeer;

    fn from_str(text: &str) -> Result<Self, NotAPeer> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| NotAPeer)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotAPeer)?;
        let (width, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(NotAPeer);
        }
        Ok(Self { network: mapped(address), bits: before + bits })
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(net: &str, address: &str) -> bool {
        net.parse::<PeerNet>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn network_holds_its_addresses_and_no_others() {
        assert!(contains("10.0.0.9", "10.0.0.9"));
        assert!(!contains("10.0.0.9", "10.0.0.8"));
        assert!(contains("192.168.0.0/16", "192.168.255.1"));
        assert!(!contains("192.168.0.0/16", "192.169.0.1"));
        assert!(contains("192.168.0.0/16", "::ffff:192.168.3.4"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::1"));
    }

    #[test]
    fn zero_bits_hold_everything_of_the_family() {
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn nonsense_is_no_network() {
        for text in ["", "host", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "::/129"] {
            assert_eq!(text.parse::<PeerNet>(), Err(NotAPeer), "{text}");
        }
    }
}
