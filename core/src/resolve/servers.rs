//! Which DNS servers are asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

/// Where the system names its servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Servers taken of one file. The C library takes three.
const SERVERS_MAX: usize = 8;
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const PORT: u16 = 53;

/// The system's servers. Read anew for each look-up, on a side thread: the file is small, and on
/// a machine with DHCP it changes.
pub(super) fn system() -> Vec<SocketAddr> {
    use std::io::Read as _;
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "on a side thread that may block")]
    let file = std::fs::File::open(RESOLV_CONF);
    // Without a readable file the C library asks this host, too.
    let _ = file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    parse(&text)
}

/// The servers that a resolv.conf names; this host if it names none. resolv.conf(5).
pub(super) fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == "nameserver").then(|| server(words.next()?))?
        })
        .take(SERVERS_MAX)
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    servers
}

/// An address, a link-local one with its interface's number (`fe80::1%2`). Names of interfaces
/// are left out: only the C library knows their numbers.
fn server(word: &str) -> Option<SocketAddr> {
    if let Some((address, scope)) = word.split_once('%') {
        let (address, scope) = (address.parse().ok()?, scope.parse().ok()?);
        return Some(SocketAddrV6::new(address, PORT, 0, scope).into());
    }
    Some((word.parse::<IpAddr>().ok()?, PORT).into())
}
