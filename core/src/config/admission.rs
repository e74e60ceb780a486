//! `[admission]`: how much one address, one network and all together may ask for. The limits hold for
//! the whole box, whatever the number of shards.

use ipnet::IpNet;

use super::listener::networks;
use super::walk::Section;

/// Limits of one group of clients; 0 = none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Connections at a time.
    pub connections_max: u32,
    /// New connections.
    pub connections_per_minute: u32,
    /// Mails (MAIL commands).
    pub mails_per_minute: u32,
    /// Recipients (RCPT commands).
    pub recipients_per_minute: u32,
}

/// `[admission]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// `[admission.address]`: one client address.
    pub address: Allowance,
    /// `[admission.network]`: one /24 (IPv4) or /64 (IPv6).
    pub network: Allowance,
    /// `[admission.total]`: all clients together.
    pub total: Allowance,
    /// Clients without limits but those of `total`.
    pub exempt: Vec<IpNet>,
    /// More sessions at work than this on a shard that is busy all the time are an overload: from then on new
    /// connections are turned away. 0 = never. Clients that sent good mail today are counted by themselves, and so are all
    /// others: each may have so many.
    pub sessions_working_max: u32,
    /// In an overload so many sessions may work as end within this time, and 32 in any case.
    pub overload_delay_ms: u64,
}

impl Default for Admission {
    fn default() -> Self {
        let allowance = |connections_max, per_minute| Allowance {
            connections_max,
            connections_per_minute: per_minute,
            mails_per_minute: per_minute * 5,
            recipients_per_minute: per_minute * 50,
        };
        Self {
            address: allowance(50, 300),
            network: allowance(200, 1_200),
            total: Allowance {
                connections_max: 20_000,
                connections_per_minute: 0,
                mails_per_minute: 0,
                recipients_per_minute: 0,
            },
            exempt: [[127, 0, 0, 0]]
                .into_iter()
                .filter_map(|octets| IpNet::new(octets.into(), 8).ok())
                .chain(IpNet::new(std::net::Ipv6Addr::LOCALHOST.into(), 128).ok())
                .collect(),
            sessions_working_max: 200,
            overload_delay_ms: 5,
        }
    }
}

impl Admission {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut admission = Self::default();
        section.table("address", |section| admission.address.read(section));
        section.table("network", |section| admission.network.read(section));
        section.table("total", |section| admission.total.read(section));
        section.number("sessions_working_max", 0..=1_000_000, &mut admission.sessions_working_max);
        section.number("overload_delay_ms", 5..=60_000, &mut admission.overload_delay_ms);
        if section.has("exempt") {
            admission.exempt = networks(section, "exempt");
        } else {
            // So that the key counts as known and is offered for a misspelt one.
            let _ = networks(section, "exempt");
        }
        admission
    }
}

impl Allowance {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        section.number("connections_max", 0..=1_000_000, &mut self.connections_max);
        section.number("connections_per_minute", 0..=10_000_000, &mut self.connections_per_minute);
        section.number("mails_per_minute", 0..=10_000_000, &mut self.mails_per_minute);
        section.number("recipients_per_minute", 0..=100_000_000, &mut self.recipients_per_minute);
    }
}
