//! Where a letter goes: the routes of our own domains, smart hosts, or the mail hosts of a stranger's
//! domain, by RFC 5321 section 5.1.
//!
//! What a stranger's zone says is believed for that stranger's mail only: such hosts are looked up by DNS
//! alone, have a back-off of their own, and never an address of a refused network.

use std::net::IpAddr;

use super::attempt::Outlet;
use super::copy::HopAnswer;
use super::route::{Hop, TlsRule, in_order};
use super::transport::World;
use crate::reply::{Enhanced, Reply};
use crate::resolve::{MailHost, MailHosts, ResolveError};

/// Mail hosts of a stranger's domain that are tried. RFC 5321 section 5.1 wants at least two.
const STRANGERS_MAX: usize = 8;

/// Who told us of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The operator: a route or a smart host.
    Operator,
    /// The DNS of a domain that is not ours.
    Stranger,
}

/// Where a letter goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To these, in order of trying. None: there is no route now.
    Hops(Vec<Hop>, Origin),
    /// Nowhere now; the answer says why.
    Later(HopAnswer),
    /// Nowhere ever.
    Never(HopAnswer),
}

impl Way {
    fn later(text: String) -> Self {
        Self::Later(HopAnswer::ours(Reply::new(450, Enhanced(4, 4, 3), text)))
    }

    fn never(code: u16, enhanced: Enhanced, text: String) -> Self {
        Self::Never(HopAnswer::ours(Reply::new(code, enhanced, text)))
    }
}

impl<W: World> Outlet<W> {
    /// The next hops of a domain of ours in order of trying.
    pub(super) fn hops(&self, domain: &str) -> Vec<Hop> {
        let hops = (self.routes)(domain).unwrap_or_default();
        in_order(&hops, || self.world.random())
    }

    /// Where mail for `domain` goes. Only reports go to other people's domains.
    pub(super) async fn way(&self, domain: &str, is_report: bool) -> Way {
        if !is_report || (self.routes)(domain).is_some() {
            return Way::Hops(self.hops(domain), Origin::Operator);
        }
        if !self.settings.report_route.is_empty() {
            let hops = in_order(&self.settings.report_route, || self.world.random());
            return Way::Hops(hops, Origin::Operator);
        }
        match self.world.mail_hosts(domain).await {
            Ok(MailHosts::Hosts(hosts)) => self.to_strangers(domain, hosts),
            // RFC 7505 section 4.2.
            Ok(MailHosts::TakesNoMail) => {
                let text = format!("domain {domain} takes no mail (null MX)");
                Way::never(556, Enhanced(5, 1, 10), text)
            }
            // RFC 5321 section 5.1: a name that does not exist must be reported as an error.
            Ok(MailHosts::NoSuchDomain) => {
                let text = format!("domain {domain} does not exist");
                Way::never(550, Enhanced(5, 1, 2), text)
            }
            Err(error) => Way::later(format!("mail hosts of {domain}: {error}")),
        }
    }

    /// RFC 5321 section 5.1: where we are one of the hosts ourselves, those that are not better than we are
    /// would only send the mail back.
    fn to_strangers(&self, domain: &str, hosts: Vec<MailHost>) -> Way {
        let own = |one: &MailHost| one.host.eq_ignore_ascii_case(&self.settings.host_name);
        let ours = hosts.iter().filter(|one| own(one)).map(|one| one.preference).min();
        let better = |one: &MailHost| ours.is_none_or(|ours| one.preference < ours);
        let hops: Vec<Hop> = hosts
            .into_iter()
            .filter(better)
            .map(|one| Hop {
                host: one.host,
                port: self.settings.report_port,
                preference: one.preference,
                tls: TlsRule::Opportunistic,
            })
            .collect();
        if hops.is_empty() {
            let text = format!("mail for {domain} loops back to this host");
            return Way::never(550, Enhanced(5, 4, 6), text);
        }
        let mut hops = in_order(&hops, || self.world.random());
        hops.truncate(STRANGERS_MAX);
        Way::Hops(hops, Origin::Stranger)
    }

    /// The addresses of a hop that may be connected to.
    pub(super) async fn addresses(
        &self,
        hop: &Hop,
        origin: Origin,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        match origin {
            Origin::Operator => self.world.addresses(&hop.host).await,
            Origin::Stranger => {
                let mut addresses = self.world.mail_host_addresses(&hop.host).await?;
                let refused = |address: &IpAddr| {
                    self.settings.report_refused_networks.iter().any(|one| one.contains(address))
                };
                addresses.retain(|address| !refused(address));
                if addresses.is_empty() { Err(ResolveError::NoAddress) } else { Ok(addresses) }
            }
        }
    }
}

/// Under which name the box remembers that a hop does not answer. A stranger may name our customer's
/// hop as his mail host; that its name cannot be looked up by DNS must not stop the customer's mail.
pub(super) fn destination(hop: &Hop, origin: Origin) -> std::borrow::Cow<'_, str> {
    match origin {
        Origin::Operator => (&*hop.host).into(),
        Origin::Stranger => format!("mx {}", hop.host).into(),
    }
}
