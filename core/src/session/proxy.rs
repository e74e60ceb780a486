//! PROXY protocol version 2 (haproxy's `proxy-protocol.txt`), binary only, before the first octet of SMTP
//! or TLS, from named addresses only: the driver asks the configuration first.

use std::net::{IpAddr, SocketAddr};

use ppp::v2::{Addresses, Command, Header, ParseError, Protocol};

use super::error::ProxyError;

/// Longest header that is read: 16 octets, IPv6 addresses, and room for TLVs, which are skipped.
pub const HEADER_BYTES_MAX: usize = 4096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// The proxy talks for itself (a health check): keep the peer's own address.
    Local,
    /// A client behind the proxy.
    Client {
        /// The client.
        source: SocketAddr,
        /// What it reached.
        destination: SocketAddr,
    },
}

/// Reads a header at the start of `input`: what it says and its length in octets; `None` if more octets
/// are needed. The caller bounds the wait.
///
/// # Errors
/// The proxy is at fault; close without a reply.
pub fn parse(input: &[u8]) -> Result<Option<(Proxied, usize)>, ProxyError> {
    // The length is known after 16 octets; a huge one is refused before it is waited for.
    if let (Some(high), Some(low)) = (input.get(14), input.get(15))
        && input.starts_with(ppp::v2::PROTOCOL_PREFIX)
    {
        let bytes = 16 + usize::from(u16::from_be_bytes([*high, *low]));
        if bytes > HEADER_BYTES_MAX {
            return Err(ProxyError::TooLong(bytes));
        }
    }
    let header = match Header::try_from(input) {
        Ok(header) => header,
        Err(ParseError::Incomplete(_) | ParseError::Partial(_, _)) => return Ok(None),
        Err(_) => return Err(ProxyError::NotProxy),
    };
    let proxied = match (header.command, header.protocol, header.addresses) {
        (Command::Local, _, _) => Proxied::Local,
        (Command::Proxy, Protocol::Stream, Addresses::IPv4(pair)) => Proxied::Client {
            source: SocketAddr::from((pair.source_address, pair.source_port)),
            destination: SocketAddr::from((pair.destination_address, pair.destination_port)),
        },
        (Command::Proxy, Protocol::Stream, Addresses::IPv6(pair)) => Proxied::Client {
            source: v6(pair.source_address.into(), pair.source_port),
            destination: v6(pair.destination_address.into(), pair.destination_port),
        },
        (Command::Proxy, _, _) => return Err(ProxyError::Family),
    };
    Ok(Some((proxied, header.len())))
}

/// A proxy with a socket for both families says `::ffff:192.0.2.1` of a client with IPv4: lists and
/// limits know it as 192.0.2.1.
fn v6(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// Fuzz entry: any octets; a prefix never gives another answer than the whole.
pub fn fuzz_proxy(data: &[u8]) {
    let whole = parse(data);
    if let Ok(Some((_, bytes))) = whole {
        assert!((16..=data.len().min(HEADER_BYTES_MAX)).contains(&bytes));
        assert_eq!(parse(data.get(..bytes).unwrap_or_default()), whole);
        assert_eq!(parse(data.get(..bytes - 1).unwrap_or_default()), Ok(None));
    }
}
