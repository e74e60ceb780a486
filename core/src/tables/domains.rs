//! Domains: settings, next hops, tenant, domain aliases.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Stand-in until `policy` has its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DomainSettings {}

/// TLS towards a next hop, per route.
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

/// One next hop of a domain, SM-05, SM-10.
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

/// A domain that mail is accepted for. Cheap to clone; a transaction may keep it.
#[derive(Clone, Debug)]
pub struct DomainRef {
    /// Its name, A-labels in lower case.
    pub name: Arc<str>,
    /// The contract it belongs to.
    pub tenant: Option<Arc<str>>,
    /// Its settings; domains with equal settings share them.
    pub settings: Arc<DomainSettings>,
    /// Next hops by preference; empty = nothing to deliver to, 451 (SM-05).
    pub routes: Arc<[Route]>,
}
