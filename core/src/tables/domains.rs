//! Domains: settings, next hops, tenant, domain aliases.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Route;
use crate::policy::DomainSettings;

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

/// The table `policies`: settings as JSON, each once (self-describing, so that a newer engine reads
/// what an older one wrote), and the domains that use them.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(super) struct PoliciesTable {
    pub settings: Vec<String>,
    pub domains: Vec<DomainRow>,
}

/// One domain.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(super) struct DomainRow {
    pub name: String,
    pub tenant: Option<String>,
    pub settings: u32,
    pub aliases: Vec<String>,
}

/// The table `routes`.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(super) struct RoutesTable {
    pub domains: Vec<RoutesRow>,
}

/// Next hops of one domain.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(super) struct RoutesRow {
    pub name: String,
    /// JSON of each route: a few hundred octets, read once.
    pub routes: Vec<String>,
}

/// All domains, ready for use. Some hundred octets for each of at most some 100,000.
#[derive(Debug, Default)]
pub(super) struct Domains {
    by_name: HashMap<Arc<str>, DomainRef>,
    aliases: HashMap<Box<str>, Arc<str>>,
    first: Option<Arc<str>>,
}

impl Domains {
    /// Makes them of the two tables.
    ///
    /// # Errors
    /// What cannot be understood, in words.
    pub(super) fn read(policies: &PoliciesTable, routes: &RoutesTable) -> Result<Self, String> {
        let mut settings = Vec::with_capacity(policies.settings.len());
        for text in &policies.settings {
            let value: DomainSettings = serde_json::from_str(text)
                .map_err(|error| format!("settings that cannot be read: {error}"))?;
            settings.push(Arc::new(value));
        }
        let mut hops: HashMap<&str, Arc<[Route]>> = HashMap::with_capacity(routes.domains.len());
        for row in &routes.domains {
            let mut list = Vec::with_capacity(row.routes.len());
            for text in &row.routes {
                list.push(serde_json::from_str::<Route>(text).map_err(|error| {
                    format!("{}: a route that cannot be read: {error}", row.name)
                })?);
            }
            list.sort_by_key(|route| route.preference);
            hops.insert(&row.name, list.into());
        }
        let mut domains = Self::default();
        let mut tenants: HashMap<&str, Arc<str>> = HashMap::new();
        for row in &policies.domains {
            let settings = settings
                .get(row.settings as usize)
                .ok_or_else(|| format!("{}: settings {} are missing", row.name, row.settings))?;
            let name: Arc<str> = row.name.as_str().into();
            for alias in &row.aliases {
                domains.aliases.insert(alias.as_str().into(), Arc::clone(&name));
            }
            let tenant = row
                .tenant
                .as_deref()
                .map(|tenant| Arc::clone(tenants.entry(tenant).or_insert_with(|| tenant.into())));
            let routes = hops.remove(row.name.as_str()).unwrap_or_default();
            let settings = Arc::clone(settings);
            let domain = DomainRef { name: Arc::clone(&name), tenant, settings, routes };
            domains.by_name.insert(name, domain);
        }
        domains.first = domains.by_name.keys().min().cloned();
        Ok(domains)
    }

    /// The first by name: the same after each start, unlike the order of the map.
    pub(super) fn first(&self) -> Option<&Arc<str>> {
        self.first.as_ref()
    }

    /// A domain by its own name or by that of an alias, and whether it was an alias.
    pub(super) fn find(&self, name: &str) -> Option<(&DomainRef, bool)> {
        if let Some(domain) = self.by_name.get(name) {
            return Some((domain, false));
        }
        let target = self.aliases.get(name)?;
        self.by_name.get(target).map(|domain| (domain, true))
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &DomainRef> {
        self.by_name.values()
    }
}
