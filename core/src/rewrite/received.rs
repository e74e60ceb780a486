//! The trace field: RFC 5321 section 4.4.

use std::io::Write as _;
use std::net::IpAddr;

use super::Rewriting;

/// Appends our `Received` field. Writing to a Vec cannot fail.
pub(super) fn write(out: &mut Vec<u8>, job: &Rewriting<'_>) {
    let client = job.client;
    let helo = if client.helo.is_empty() { "unknown".to_owned() } else { clean(&client.helo) };
    let address = match client.address.ip().to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let name = client.name.as_deref().map(|name| format!("{} ", clean(name))).unwrap_or_default();
    // RFC 3848, RFC 6531 section 4.3.
    let with = match (job.smtputf8, client.esmtp, client.tls.is_some()) {
        (true, _, true) => "UTF8SMTPS",
        (true, _, false) => "UTF8SMTP",
        (false, true, true) => "ESMTPS",
        (false, true, false) => "ESMTP",
        (false, false, _) => "SMTP",
    };
    let _ = write!(out, "Received: from {helo} ({name}{address})\r\n\tby {}", job.host_name);
    let _ = write!(out, " (Sekisho) with {with} id {}", job.mail);
    if let Some(tls) = &client.tls {
        let _ = write!(out, "\r\n\t({})", clean(tls));
    }
    if let [only] = job.recipients
        && (job.smtputf8 || only.is_ascii())
    {
        let path: String = only.to_path().chars().filter(|c| !c.is_control()).collect();
        let _ = write!(out, "\r\n\tfor <{path}>");
    }
    let _ = write!(out, ";\r\n\t{}\r\n", date(job.received_at));
}

/// RFC 5322 section 3.3, in UTC.
fn date(at: crate::clock::UnixMillis) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%a, %d %b %Y %H:%M:%S +0000")
        .to_string()
}

/// What a peer said of itself, made fit for a header field: no line ends, comments or other octets
/// that could end the clause it stands in.
fn clean(said: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && !"()<>\\\";,@".contains(c);
    let words = |c: char| if fits(c) || c == ' ' { c } else { '?' };
    said.chars().take(255).map(words).collect()
}
