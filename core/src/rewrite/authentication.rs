//! The Authentication-Results field: RFC 8601. Every value is a stranger's choice, so each is a plain token or a quoted
//! string of printable ASCII, and no line is longer than a header may have.

use std::fmt::Write as _;
use std::io::Write as _;

use super::Rewriting;
use crate::authn::{AuthResult, Authentication, DkimCheck};
use crate::envelope::Client;

/// Octets of one value.
const VALUE_BYTES_MAX: usize = 253;

/// Appends the field; nothing where nobody checked.
pub(super) fn write(out: &mut Vec<u8>, job: &Rewriting<'_>) {
    let found = job.authentication;
    if found.left_out {
        return;
    }
    let _ =
        write!(out, "Authentication-Results: {}\r\n", results(job.host_name, found, job.client));
}

/// Our authserv-id and what we found out: the value of Authentication-Results, and what a seal of ours says (RFC 8617
/// section 4.1.1).
#[must_use]
pub fn results(host_name: &str, found: &Authentication, client: &Client) -> String {
    let mut text = host_name.to_owned();
    if found.left_out {
        text.push_str("; none");
        return text;
    }
    for statement in statements(found, client) {
        let _ = write!(text, ";\r\n\t{statement}");
    }
    text
}

fn statements(found: &Authentication, client: &Client) -> Vec<String> {
    let mut all = Vec::with_capacity(found.dkim.len() + 5);
    match &found.helo {
        None => all.push(spf(found.spf.result, "smtp.helo", &found.spf.domain)),
        Some(helo) => {
            all.push(spf(found.spf.result, "smtp.mailfrom", &found.spf.domain));
            all.push(spf(helo.result, "smtp.helo", &helo.domain));
        }
    }
    match found.dkim.as_slice() {
        [] => all.push("dkim=none".to_owned()),
        signatures => all.extend(signatures.iter().map(dkim)),
    }
    let dmarc = &found.dmarc;
    let mut text = format!("dmarc={}", dmarc.result.keyword());
    if dmarc.result != AuthResult::None {
        let _ = write!(text, " (p={})", dmarc.policy.keyword());
    }
    if let Some(sealer) = &dmarc.by_arc {
        property(&mut text, "policy.arc", sealer);
    }
    if !dmarc.domain.is_empty() {
        property(&mut text, "header.from", &dmarc.domain);
    }
    all.push(text);
    if found.arc.result != AuthResult::None {
        let mut text = format!("arc={}", found.arc.result.keyword());
        if let Some(last) = found.arc.sealers.last() {
            property(&mut text, "policy.sealer", &last.domain);
        }
        all.push(text);
    }
    let mut text = format!("iprev={}", found.reverse.result.keyword());
    property(&mut text, "policy.iprev", &client.address.ip().to_canonical().to_string());
    all.push(text);
    all
}

fn spf(result: AuthResult, name: &str, domain: &str) -> String {
    let mut text = format!("spf={}", result.keyword());
    if !domain.is_empty() {
        property(&mut text, name, domain);
    }
    text
}

fn dkim(check: &DkimCheck) -> String {
    let mut text = format!("dkim={}", check.result.keyword());
    if !check.reason.is_empty() {
        let _ = write!(text, "\r\n\t\treason={}", quoted(&check.reason));
    }
    for (name, value) in
        [("header.d", &check.domain), ("header.s", &check.selector), ("header.a", &check.algorithm)]
    {
        if !value.is_empty() {
            property(&mut text, name, value);
        }
    }
    text
}

/// ` name=value`, on a line of its own where it is long.
fn property(text: &mut String, name: &str, value: &str) {
    let token = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    let value = match value.len() <= VALUE_BYTES_MAX && value.bytes().all(token) {
        true => value.to_owned(),
        false => quoted(value),
    };
    let pause = if name.len() + value.len() > 40 { "\r\n\t\t" } else { " " };
    let _ = write!(text, "{pause}{name}={value}");
}

/// A quoted-string; what is not printable ASCII is a question mark.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for character in value.chars().take(VALUE_BYTES_MAX) {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => text.push('?'),
        }
    }
    text.push('"');
    text
}
