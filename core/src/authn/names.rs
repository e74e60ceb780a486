//! What the checks ask of the DNS: an interface for tests, and hickory's resolver behind it.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use crate::resolve::DnsSettings;

/// Answers that a thread keeps, for their time to live.
const CACHE_ENTRIES: u64 = 65_536;
/// Longest time that an answer is kept, and a "no".
const GOOD_FOR_MAX: Duration = Duration::from_secs(86_400);
const NO_FOR_MAX: Duration = Duration::from_secs(3_600);
/// Questions under way to one server.
const REQUESTS_MAX: usize = 1_024;

/// What the DNS has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// At least one.
    Found(Vec<T>),
    /// No such name, or nothing of the kind: RFC 7208 calls it void.
    Nothing,
    /// No usable answer.
    Failed,
}

/// Look-ups of the checks.
pub trait Names {
    /// TXT records, each with its strings joined.
    fn texts(&self, name: &str) -> impl Future<Output = Answer<Vec<u8>>>;
    /// A records, or AAAA.
    fn addresses(&self, name: &str, v4: bool) -> impl Future<Output = Answer<IpAddr>>;
    /// Hosts of MX records, most preferred first.
    fn mail_hosts(&self, name: &str) -> impl Future<Output = Answer<String>>;
    /// PTR records of an address.
    fn names_of(&self, address: IpAddr) -> impl Future<Output = Answer<String>>;
}

/// The resolver of one thread.
///
/// # Errors
/// It cannot be set up.
pub(super) fn resolver(settings: &DnsSettings) -> Result<TokioResolver, NetError> {
    let servers = settings.servers_now();
    let servers: Vec<NameServerConfig> = servers.into_iter().map(server).collect();
    let mut options = ResolverOpts::default();
    options.timeout = settings.timeout;
    // hickory counts what it does again.
    options.attempts = usize::from(settings.attempts.max(1)) - 1;
    options.cache_size = CACHE_ENTRIES;
    options.positive_max_ttl = Some(GOOD_FOR_MAX);
    options.negative_max_ttl = Some(NO_FOR_MAX);
    // A stranger's zone must not reach what only our hosts file knows.
    options.use_hosts_file = ResolveHosts::Never;
    options.ndots = 0;
    options.max_active_requests = REQUESTS_MAX;
    let config = ResolverConfig::from_name_servers(servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

impl Names for TokioResolver {
    async fn texts(&self, name: &str) -> Answer<Vec<u8>> {
        records(self, name, RecordType::TXT, |data| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        })
        .await
    }

    async fn addresses(&self, name: &str, v4: bool) -> Answer<IpAddr> {
        let kind = if v4 { RecordType::A } else { RecordType::AAAA };
        records(self, name, kind, RData::ip_addr).await
    }

    async fn mail_hosts(&self, name: &str) -> Answer<String> {
        let found = records(self, name, RecordType::MX, |data| match data {
            RData::MX(mx) => Some((mx.preference, plain(&mx.exchange))),
            _ => None,
        });
        match found.await {
            Answer::Found(mut hosts) => {
                hosts.sort_by_key(|(preference, _)| *preference);
                Answer::Found(hosts.into_iter().map(|(_, host)| host).collect())
            }
            Answer::Nothing => Answer::Nothing,
            Answer::Failed => Answer::Failed,
        }
    }

    async fn names_of(&self, address: IpAddr) -> Answer<String> {
        let name = plain(&Name::from(address));
        records(self, &name, RecordType::PTR, |data| match data {
            RData::PTR(name) => Some(plain(&name.0)),
            _ => None,
        })
        .await
    }
}

/// A name without the dot at its end and without escapes: its labels as they are.
fn plain(name: &Name) -> String {
    let labels: Vec<_> = name.iter().map(String::from_utf8_lossy).collect();
    labels.join(".").to_ascii_lowercase()
}

async fn records<T>(
    resolver: &TokioResolver,
    name: &str,
    kind: RecordType,
    read: impl Fn(&RData) -> Option<T>,
) -> Answer<T> {
    // What cannot be a name has no records. Labels are octets: a record may ask for `a:b` (RFC 7208 section 7.1).
    let Ok(mut name) = Name::from_labels(name.split('.').map(str::as_bytes)) else {
        return Answer::Nothing;
    };
    name.set_fqdn(true);
    let found: Result<Lookup, NetError> = resolver.lookup(name, kind).await;
    match found {
        Ok(lookup) => {
            let all: Vec<T> =
                lookup.answers().iter().filter_map(|record| read(&record.data)).collect();
            if all.is_empty() { Answer::Nothing } else { Answer::Found(all) }
        }
        Err(error) if error.is_no_records_found() => Answer::Nothing,
        Err(_) => Answer::Failed,
    }
}
