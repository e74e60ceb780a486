//! Which hosts take the mail of a domain: RFC 5321 section 5.1, RFC 7505. The part of it that asks
//! the DNS; who of them is ourselves is for `deliver` to say.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};

use super::cache::Found;
use super::dns::DnsClient;
use super::{ADDRESSES_MAX, ResolveError};

/// Mail exchanges kept of one domain.
const HOSTS_MAX: usize = 16;

/// One mail exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailHost {
    /// Lower is tried first.
    pub preference: u16,
    /// Host name in lower case, without the dot at its end.
    pub host: Box<str>,
}

/// What the DNS says of a domain's mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailHosts {
    /// These take it, in order of preference; at least one.
    Hosts(Vec<MailHost>),
    /// Nobody: a null MX, RFC 7505.
    TakesNoMail,
    /// There is no such domain.
    NoSuchDomain,
}

/// The domain in the form of the DNS; `None` for what cannot be a name there.
pub(super) fn to_ascii(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii(domain.trim_end_matches('.')).ok()?;
    (!ascii.is_empty() && to_name(&ascii).is_some()).then_some(ascii)
}

fn to_name(ascii: &str) -> Option<Name> {
    let mut name = Name::from_ascii(ascii).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl DnsClient {
    /// The mail hosts of `domain`, as [`to_ascii`] made it.
    pub(super) fn mail_hosts(&self, domain: &str) -> Found<MailHosts> {
        let name = to_name(domain).ok_or(ResolveError::Failed)?;
        let records = self.records(&name, RecordType::MX, self.deadline())?;
        if records.no_such_name {
            return Ok((MailHosts::NoSuchDomain, records.ttl));
        }
        // RFC 5321 section 5.1: only without any MX the domain stands for itself.
        if records.data.is_empty() {
            let own = MailHost { preference: 0, host: domain.into() };
            return Ok((MailHosts::Hosts(vec![own]), records.ttl));
        }
        let mut hosts: Vec<MailHost> = records.data.iter().filter_map(mail_host).collect();
        hosts.sort_by_key(|one| one.preference);
        hosts.truncate(HOSTS_MAX);
        let null = |data: &RData| matches!(data, RData::MX(mx) if mx.exchange.is_root());
        match hosts.is_empty() {
            false => Ok((MailHosts::Hosts(hosts), records.ttl)),
            true if records.data.iter().all(null) => Ok((MailHosts::TakesNoMail, records.ttl)),
            // Somebody's slip in a zone, which may be mended tomorrow.
            true => Err(ResolveError::NoAddress),
        }
    }

    /// Addresses of a mail host by DNS alone: a stranger's zone must not reach what only our hosts
    /// file or search list knows. IPv4 first: more boxes can use it.
    pub(super) fn host_addresses(&self, host: &str) -> Found<Vec<IpAddr>> {
        let name = to_name(host).ok_or(ResolveError::Failed)?;
        let deadline = self.deadline();
        let mut addresses = Vec::new();
        let (mut ttl, mut failure) = (Duration::MAX, None);
        for kind in [RecordType::A, RecordType::AAAA] {
            match self.records(&name, kind, deadline) {
                Ok(records) => {
                    ttl = ttl.min(records.ttl);
                    addresses.extend(records.data.iter().filter_map(RData::ip_addr));
                    if records.no_such_name {
                        break;
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        match (addresses.is_empty(), failure) {
            (false, _) => Ok((addresses, ttl)),
            (true, Some(error)) => Err(error),
            (true, None) => Err(ResolveError::NoAddress),
        }
    }
}

/// An exchange that can be a host name. The root is none (RFC 7505); octets that would have
/// to be escaped are nobody's host.
fn mail_host(data: &RData) -> Option<MailHost> {
    let RData::MX(mx) = data else { return None };
    let text = mx.exchange.to_ascii().to_ascii_lowercase();
    let host = text.strip_suffix('.').unwrap_or(&text);
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let fits = !host.is_empty() && host.bytes().all(plain);
    fits.then(|| MailHost { preference: mx.preference, host: host.into() })
}
