//! Mails out of files that people hand in: `.eml`, `.mbox`, `.msg` (SM-30).

use std::path::Path;

use sekisho_core::classify::Features;
use sekisho_core::envelope::MailId;
use sekisho_core::message::{View, ViewLimits};
use sekisho_core::scan::msg_to_mail;
use sekisho_loadgen::mix::to_canonical;

/// Octets of one file: a mailbox of some months.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// A mail has at least one of these.
const OF_A_MAIL: [&str; 6] = ["from", "to", "subject", "date", "received", "message-id"];

/// One mail that was handed in.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) features: Features,
    /// Our id of it, if it came through this gateway and has a field that says so.
    pub(crate) id: Option<MailId>,
}

/// Each mail in a file, or why it is refused.
pub(crate) fn mails(file: &Path) -> Result<Vec<Mail>, String> {
    let extension = file.extension().map(|text| text.to_string_lossy().to_lowercase());
    let bytes = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("{bytes} octets, {FILE_BYTES_MAX} are allowed"));
    }
    let read = || std::fs::read(file).map_err(|error| error.to_string());
    match extension.as_deref() {
        Some("eml") => mail(&read()?).map(|mail| vec![mail]),
        Some("mbox") => {
            let octets = read()?;
            let found: Result<Vec<_>, _> = messages(&octets).map(|octets| mail(&octets)).collect();
            let found = found?;
            if found.is_empty() { Err("no mail in it".to_owned()) } else { Ok(found) }
        }
        Some("msg") => match msg_to_mail(&read()?) {
            Some(octets) => mail(&octets).map(|mail| vec![mail]),
            None => Err("no mail of Outlook in it".to_owned()),
        },
        _ => Err("neither .eml, .mbox nor .msg".to_owned()),
    }
}

/// Features of one mail.
pub(crate) fn one(octets: &[u8]) -> Result<Features, String> {
    mail(octets).map(|mail| mail.features)
}

fn mail(octets: &[u8]) -> Result<Mail, String> {
    let content = to_canonical(octets);
    let view = View::build(&content, &ViewLimits::worker());
    let is_mail = view
        .fields
        .iter()
        .any(|field| OF_A_MAIL.iter().any(|name| field.name.eq_ignore_ascii_case(name)));
    if !is_mail {
        return Err("no mail: no header field in it".to_owned());
    }
    // Whatever arrives under this name is taken out before ours is written.
    let field = view.fields_named("x-sekisho-id").next();
    let id = field.and_then(|field| field.value.trim().parse().ok());
    Ok(Mail { features: Features::of(&view), id })
}

/// Mails of a mailbox file (RFC 4155): each begins with a line `From ` behind an empty line, or at the
/// start.
fn messages(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut lines = octets.split_inclusive(|octet| *octet == b'\n').peekable();
    std::iter::from_fn(move || {
        let mut mail: Vec<u8> = Vec::new();
        let mut blank = true;
        while let Some(line) = lines.peek().copied() {
            if blank && line.starts_with(b"From ") {
                if !mail.is_empty() {
                    break;
                }
            } else {
                // `>From ` stands for `From `.
                let quoted = line.strip_prefix(b">").filter(|rest| rest.starts_with(b"From "));
                mail.extend_from_slice(quoted.unwrap_or(line));
            }
            blank = line.trim_ascii().is_empty();
            lines.next();
        }
        (!mail.is_empty()).then_some(mail)
    })
}

#[cfg(test)]
mod tests {
    use super::{messages, one};

    #[test]
    fn a_mailbox_falls_apart_into_its_mails() {
        let text =
            b"From a@b Mon\nSubject: 1\n\nFrom: me\n>From there\n\nFrom c@d Tue\nSubject: 2\n\nx\n";
        let found: Vec<String> =
            messages(text).map(|mail| String::from_utf8(mail).unwrap()).collect();
        assert_eq!(found, ["Subject: 1\n\nFrom: me\nFrom there\n\n", "Subject: 2\n\nx\n"]);
        assert_eq!(messages(b"").count(), 0);
    }

    #[test]
    fn sm_30_what_is_no_mail_is_refused() {
        assert!(one(b"just some words\n").is_err());
        assert!(one(b"").is_err());
        assert!(one(b"Subject: x\n\nwords\n").is_ok());
    }
}
