//! `[dns]`: where names of other people's domains are looked up.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::walk::Section;

/// Servers of one list.
const SERVERS_MAX: usize = 8;

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Recursive servers in the order of asking; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// For one answer of one server.
    pub timeout_ms: u64,
    /// How often each server is asked.
    pub attempts: u8,
    /// A zone file that we answer from ourselves, relative to the configuration.
    pub zone: Option<PathBuf>,
    /// Names that are not in the zone do not exist.
    pub zone_only: bool,
    /// Where the zone is served.
    pub zone_address: SocketAddr,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout_ms: 2_000,
            attempts: 2,
            zone: None,
            zone_only: false,
            zone_address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

impl Dns {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut dns = Self::default();
        let texts = section.texts("servers").unwrap_or_default();
        if let Some(text) = texts.get(SERVERS_MAX) {
            section.wrong("servers", text.start, format_args!("more than {SERVERS_MAX}"));
        }
        for text in texts.iter().take(SERVERS_MAX) {
            match server(text.value) {
                Some(server) => dns.servers.push(server),
                None => section.wrong("servers", text.start, "is not an address"),
            }
        }
        section.number("timeout_ms", 100..=10_000, &mut dns.timeout_ms);
        section.number("attempts", 1..=5, &mut dns.attempts);
        if let Some(zone) = section.text("zone")
            && !zone.value.is_empty()
        {
            dns.zone = Some(zone.value.into());
        }
        section.flag("zone_only", &mut dns.zone_only);
        if let Some(text) = section.text("zone_address") {
            match text.value.parse::<SocketAddr>() {
                Ok(address) if address.ip().is_loopback() => dns.zone_address = address,
                Ok(_) => section.wrong("zone_address", text.start, "is not on loopback"),
                Err(_) => section.wrong("zone_address", text.start, "expected address:port"),
            }
        }
        dns
    }
}

/// `192.0.2.53` or `192.0.2.53:5353`.
fn server(text: &str) -> Option<SocketAddr> {
    let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    alone.ok().or_else(|| text.parse().ok())
}
