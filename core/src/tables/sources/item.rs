//! Addresses, domains, patterns and owners as text, into the form that tables are keyed by.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::limits::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_TOLERATED};
use crate::tables::senders::{MatchOn, Owner, Pattern, Polarity, Side};

/// A domain in lower case and A-labels.
///
/// # Errors
/// What is wrong, with the value.
pub fn domain(text: &str) -> Result<String, String> {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let name = if text.bytes().all(plain) && !text.contains("xn--") {
        text.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(text).map_err(|_| format!("`{text}` is not a domain"))?
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| plain(octet) && octet != b'.')
    };
    if name.len() > DOMAIN_BYTES_MAX || !name.split('.').all(label) {
        return Err(format!("`{text}` is not a domain"));
    }
    Ok(name)
}

/// An address in the form of `Mailbox::key`: lower case, unquoted, A-labels.
///
/// # Errors
/// What is wrong, with the value.
pub fn address(text: &str) -> Result<String, String> {
    let Some((local_part, name)) = text.rsplit_once('@') else {
        return Err(format!("`{text}` has no @"));
    };
    let local_part = match local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => unquote(quoted),
        None if local_part.contains(['@', '"', '\\', ' ']) => {
            return Err(format!("`{text}`: the part before @ needs quotes"));
        }
        None => local_part.to_owned(),
    };
    if local_part.is_empty() || local_part.len() > LOCAL_PART_BYTES_TOLERATED {
        return Err(format!(
            "`{text}`: the part before @ has {} octets, 1 to {LOCAL_PART_BYTES_TOLERATED} are taken",
            local_part.len()
        ));
    }
    if local_part.chars().any(char::is_control) {
        return Err(format!("`{}`: control character before @", text.escape_debug()));
    }
    Ok(format!("{}@{}", local_part.to_lowercase(), domain(name)?))
}

fn unquote(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.extend(rest.next()),
            other => out.push(other),
        }
    }
    out
}

/// A pattern of an allow or block list: `user@d`, `d`, `*@d`, `*@*.d`, an IP address or a prefix.
///
/// # Errors
/// What is wrong, with the value.
pub fn pattern(text: &str) -> Result<Pattern, String> {
    if let Some(name) = text.strip_prefix("*@*.") {
        return domain(name).map(|name| Pattern::Subdomains(name.into()));
    }
    if let Some(name) = text.strip_prefix("*@") {
        return domain(name).map(|name| Pattern::AnyAtDomain(name.into()));
    }
    if text.contains('*') {
        let text = format!("`{text}`: a `*` is only understood in `*@domain` and `*@*.domain`");
        return Err(text);
    }
    if text.contains('@') {
        return address(text).map(|address| Pattern::Address(address.into()));
    }
    if text.contains(['/', ':']) || text.parse::<IpAddr>().is_ok() {
        return network(text).map(Pattern::Network);
    }
    domain(text).map(|name| Pattern::Domain(name.into()))
}

/// Longest address of a page in a list.
const PAGE_BYTES_MAX: usize = 1000;

/// A host, or a page on one (`host/path`, with or without a scheme): the key of the hosts table. All that begins with
/// the path, up to a `/` or `?`, is meant.
///
/// # Errors
/// What is wrong, with the value.
pub(crate) fn host_or_page(text: &str) -> Result<String, String> {
    let plain = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if plain.is_none() && !text.contains('/') {
        return domain(text);
    }
    let plain = plain.unwrap_or(text);
    let wrong = || format!("`{text}` is not the address of a page");
    let parsed = url::Url::parse(&format!("http://{plain}")).map_err(|_| wrong())?;
    let host = parsed.host_str().ok_or_else(wrong)?.trim_matches(['[', ']', '.']);
    let mut key = format!("{host}{}", parsed.path().trim_end_matches('/'));
    if let Some(query) = parsed.query() {
        key.push('?');
        key.push_str(query);
    }
    if key.len() > PAGE_BYTES_MAX {
        return Err(format!("`{text}` is longer than {PAGE_BYTES_MAX} octets"));
    }
    Ok(key)
}

/// An IP address or a prefix without host bits.
///
/// # Errors
/// What is wrong, with the value.
pub fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let net: IpNet =
        text.parse().map_err(|_| format!("`{text}` is not an IP address or prefix"))?;
    if net.trunc() != net {
        return Err(format!("`{text}` has host bits set, the prefix is {}", net.trunc()));
    }
    Ok(net)
}

/// `gateway`, `tenant:NAME`, `domain:NAME` or `account:ADDRESS`.
///
/// # Errors
/// What is wrong, with the value.
pub fn owner(text: &str) -> Result<Owner, String> {
    match text.split_once(':') {
        None if text == "gateway" => Ok(Owner::Gateway),
        Some(("tenant", name)) if !name.is_empty() && !name.contains(char::is_control) => {
            Ok(Owner::Tenant(name.into()))
        }
        Some(("domain", name)) => domain(name).map(|name| Owner::Domain(name.into())),
        Some(("account", name)) => address(name).map(|name| Owner::Account(name.into())),
        _ => Err(format!(
            "owner `{text}` is none of gateway, tenant:NAME, domain:NAME, account:ADDRESS"
        )),
    }
}

/// `sender` or `recipient`.
///
/// # Errors
/// What is wrong, with the value.
pub fn side(text: &str) -> Result<Side, String> {
    match text {
        "sender" => Ok(Side::Sender),
        "recipient" => Ok(Side::Recipient),
        _ => Err(format!("side `{text}` is neither sender nor recipient")),
    }
}

/// `allow` or `block`.
///
/// # Errors
/// What is wrong, with the value.
pub fn polarity(text: &str) -> Result<Polarity, String> {
    match text {
        "allow" => Ok(Polarity::Allow),
        "block" => Ok(Polarity::Block),
        _ => Err(format!("`{text}` is neither allow nor block")),
    }
}

/// `envelope`, `header` or `both`; empty is as the recipient's domain says (C26).
///
/// # Errors
/// What is wrong, with the value.
pub fn match_on(text: &str) -> Result<MatchOn, String> {
    match text {
        "envelope" => Ok(MatchOn::Envelope),
        "header" => Ok(MatchOn::Header),
        "both" => Ok(MatchOn::Both),
        "" => Ok(MatchOn::Setting),
        _ => Err(format!("`{text}` is none of envelope, header, both")),
    }
}
