//! A next hop as written: `[[domain.route]]` of the domains file and `[[delivery.report_route]]`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::engine::host_name;
use super::walk::Section;

/// TLS towards a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteTls {
    /// Never STARTTLS.
    Never,
    /// STARTTLS where offered, any certificate.
    #[default]
    Opportunistic,
    /// No TLS, no mail; any certificate.
    Required,
    /// No TLS or no valid certificate for the host name, no mail.
    Verify,
}

/// One next hop, SM-05, SM-10.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Host name, A-labels, or an address.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// Lower is tried first; equal ones share the load.
    pub preference: u16,
    /// TLS rule.
    pub tls: RouteTls,
}

impl Route {
    /// Reads one table. SM-10: an empty host, a port outside 1 to 65535 and a next hop for which
    /// `is_own` holds (host, port: the gateway itself) are refused.
    pub(crate) fn read(section: &mut Section<'_, '_>, is_own: impl Fn(&str, u16) -> bool) -> Self {
        let mut route =
            Self { host: "".into(), port: 25, preference: 10, tls: RouteTls::default() };
        section.number("port", 1..=u16::MAX, &mut route.port);
        section.number("preference", 0..=u16::MAX, &mut route.preference);
        let tls = [
            ("never", RouteTls::Never),
            ("opportunistic", RouteTls::Opportunistic),
            ("required", RouteTls::Required),
            ("verify", RouteTls::Verify),
        ];
        section.choice("tls", &tls, &mut route.tls);
        match section.text("host") {
            None if section.has("host") => {}
            None => section.wrong("host", section.start(), "is missing"),
            Some(text) if text.value.is_empty() => section.wrong("host", text.start, "is empty"),
            Some(text) => {
                let address = text.value.parse::<IpAddr>().map(|one| one.to_string().into());
                match address.ok().or_else(|| host_name(text.value)) {
                    None => section.wrong("host", text.start, "is not a host name or address"),
                    Some(host) if is_own(&host, route.port) => {
                        section.wrong("host", text.start, "is this gateway itself");
                    }
                    Some(host) => route.host = host,
                }
            }
        }
        route
    }
}
