//! Where attackers come from: /24s of loopback that are not the paying load's.
//!
//! A server limits clients by address and by network. An attack from the paying load's own network would measure
//! that limit and nothing else, so the two are kept apart here, and not by the operator's care.

use std::net::{IpAddr, Ipv4Addr};

use super::profile::Profile;

/// Networks in all: those of a /8.
const NETWORKS_MAX: usize = 65_536;
/// Hosts of a network that each profile may have, of those from .1 to .254.
pub const HOSTS_MAX: u8 = 36;
const _: () = assert!(HOSTS_MAX as usize * Profile::ALL.len() <= 254);

/// Where attackers may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// From 127.0.0.0/8 only.
    Loopback,
    /// From any address that this machine has: the operator said that the host is his.
    Own,
}

/// The /24s that attackers come from, and how many addresses of each every profile has. A server may know clients
/// again (the engine does: who has waited for a greeting need not wait the next time), so profiles share none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    /// First address of each.
    networks: Vec<u32>,
    hosts: u8,
}

/// The /24 of an address.
fn network_of(address: Ipv4Addr) -> u32 {
    address.to_bits() & 0xffff_ff00
}

impl Networks {
    /// Reads networks such as `127.1.0.0/16` (256 of them) or `127.9.7.0/24`, at least as large as a /24, and takes
    /// `hosts` addresses of each /24 for every profile.
    ///
    /// # Errors
    /// The operator's argument: not a network, too many of them, out of `scope`, or the /24 of one of `paying`.
    pub fn parse(
        texts: &[String],
        hosts: u8,
        paying: &[IpAddr],
        scope: Scope,
    ) -> Result<Self, String> {
        if !(1..=HOSTS_MAX).contains(&hosts) {
            return Err(format!("{hosts} hosts of a network: from 1 to {HOSTS_MAX}"));
        }
        let mut networks = Vec::new();
        for text in texts {
            let (first, count) = range(text)
                .ok_or_else(|| format!("network {text}: not an IPv4 network of /8 to /24"))?;
            if scope == Scope::Loopback && !Ipv4Addr::from(first).is_loopback() {
                return Err(format!("network {text}: not a part of 127.0.0.0/8"));
            }
            networks.extend((0..count).map(|index| first + index * 256));
            if networks.len() > NETWORKS_MAX {
                return Err(format!("network {text}: more than {NETWORKS_MAX} networks of /24"));
            }
        }
        if networks.is_empty() {
            return Err("attackers need a network".to_owned());
        }
        for address in paying {
            let IpAddr::V4(own) = address else {
                return Err(format!("source {address}: attackers have IPv4 only"));
            };
            if networks.contains(&network_of(*own)) {
                return Err(format!(
                    "network {}/24: has the paying load's source {own}; attackers need others",
                    Ipv4Addr::from(network_of(*own))
                ));
            }
        }
        Ok(Self { networks, hosts })
    }

    /// How many /24s there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.networks.len()
    }

    /// Addresses of each /24 that one profile has.
    #[must_use]
    pub fn hosts(&self) -> u8 {
        self.hosts
    }

    /// The address of attacker `number` of a profile: neighbours come from different networks.
    #[must_use]
    pub fn address(&self, profile: Profile, number: u64) -> Ipv4Addr {
        let (count, hosts) = (self.networks.len().max(1) as u64, u64::from(self.hosts.max(1)));
        let own = profile.index() as u64;
        let index = usize::try_from((number + own) % count).unwrap_or(0);
        let network = self.networks.get(index).copied().unwrap_or(0);
        // Below 255, so that it fits.
        let host = u32::try_from(own * hosts + number / count % hosts).unwrap_or(0);
        (network + 1 + host).into()
    }
}

/// First address and number of /24s of `a.b.c.d/prefix`.
fn range(text: &str) -> Option<(u32, u32)> {
    let (address, prefix) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix: u32 = prefix.parse().ok().filter(|prefix| (8..=24).contains(prefix))?;
    let first = address.to_bits();
    let is_first = first & (u32::MAX >> prefix) == 0;
    is_first.then_some((first, 1 << (24 - prefix)))
}

#[cfg(test)]
mod tests {
    use super::{Networks, Profile, Scope};
    use std::net::IpAddr;

    fn parse(texts: &[&str], hosts: u8, paying: &[&str]) -> Result<Networks, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let paying: Vec<IpAddr> = paying.iter().map(|text| text.parse().unwrap()).collect();
        Networks::parse(&texts, hosts, &paying, Scope::Loopback)
    }

    #[test]
    fn neighbours_come_from_different_networks_and_profiles_share_no_address() {
        let networks = parse(&["127.1.0.0/23", "127.9.9.0/24"], 2, &["127.0.0.1"]).unwrap();
        assert_eq!((networks.count(), networks.hosts()), (3, 2));
        let words = |profile| -> Vec<String> {
            (0..7).map(|number| networks.address(profile, number).to_string()).collect()
        };
        let first = [
            "127.1.0.1",
            "127.1.1.1",
            "127.9.9.1",
            "127.1.0.2",
            "127.1.1.2",
            "127.9.9.2",
            "127.1.0.1",
        ];
        assert_eq!(words(Profile::EarlyTalkers), first);
        assert_eq!(
            words(Profile::SlowLoris)[..4],
            ["127.1.1.3", "127.9.9.3", "127.1.0.3", "127.1.1.4"]
        );
        let most = parse(&["127.1.0.0/24"], 36, &[]).unwrap();
        assert_eq!(most.address(Profile::Flood, 35).to_string(), "127.1.0.252");
    }

    #[test]
    fn attackers_never_share_a_network_with_the_paying_load_nor_leave_loopback() {
        for (texts, hosts, paying, error) in [
            (
                &["127.0.0.0/16"][..],
                9,
                &["127.9.0.1", "127.0.7.3"][..],
                "network 127.0.7.0/24: has the paying load's source 127.0.7.3; attackers need others",
            ),
            (&["127.1.0.0/16"], 9, &["::1"], "source ::1: attackers have IPv4 only"),
            (&["192.0.2.0/24"], 9, &[], "network 192.0.2.0/24: not a part of 127.0.0.0/8"),
            (&["127.1.0.0/25"], 9, &[], "network 127.1.0.0/25: not an IPv4 network of /8 to /24"),
            (&["127.1.0.1/24"], 9, &[], "network 127.1.0.1/24: not an IPv4 network of /8 to /24"),
            (&["there"], 9, &[], "network there: not an IPv4 network of /8 to /24"),
            (&["127.1.0.0/24"], 0, &[], "0 hosts of a network: from 1 to 36"),
            (&["127.1.0.0/24"], 37, &[], "37 hosts of a network: from 1 to 36"),
            (
                &["127.0.0.0/8", "127.1.0.0/24"],
                1,
                &[],
                "network 127.1.0.0/24: more than 65536 networks of /24",
            ),
            (&[], 1, &[], "attackers need a network"),
        ] {
            assert_eq!(parse(texts, hosts, paying).unwrap_err(), error);
        }
        let texts = ["192.0.2.0/24".to_owned()];
        assert_eq!(Networks::parse(&texts, 1, &[], Scope::Own).unwrap().count(), 1);
    }
}
