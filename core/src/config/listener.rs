//! `[[listener]]`: where mail comes in, and whom we believe about the client.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::Network;
use super::walk::Section;

/// How a listener is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenerTls {
    /// STARTTLS is not offered.
    None,
    /// STARTTLS is offered.
    #[default]
    Starttls,
    /// TLS from the first octet (RFC 8314).
    Implicit,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// How it is encrypted.
    pub tls: ListenerTls,
    /// Peers that start with a PROXY protocol version 2 header; for all others it is refused.
    pub proxy_from: Vec<IpNet>,
    /// Peers that may use XCLIENT.
    pub xclient_from: Vec<IpNet>,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 2525)),
            tls: ListenerTls::Starttls,
            proxy_from: Vec::new(),
            xclient_from: Vec::new(),
        }
    }
}

impl Listener {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut listener = Self::default();
        if !section.has("address") {
            section.wrong("address", section.start(), "is missing");
        }
        section.parsed("address", &mut listener.address);
        let choices = [
            ("none", ListenerTls::None),
            ("starttls", ListenerTls::Starttls),
            ("implicit", ListenerTls::Implicit),
        ];
        section.choice("tls", &choices, &mut listener.tls);
        listener.proxy_from = networks(section, "proxy_from");
        listener.xclient_from = networks(section, "xclient_from");
        listener
    }
}

/// A list of networks or single addresses.
pub(super) fn networks(section: &mut Section<'_, '_>, key: &'static str) -> Vec<IpNet> {
    let mut networks: Vec<Network> = Vec::new();
    section.all_parsed(key, &mut networks);
    networks.into_iter().map(|network| network.0).collect()
}
