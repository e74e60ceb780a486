//! Writes MAIL and RCPT with the parameters that the hop has offered.

use std::fmt::Write as _;

use super::{Offer, Transaction};
use crate::envelope::{BodyType, Notify, Recipient, Ret, ReversePath};

/// `MAIL FROM:<...> ...`.
pub(super) fn mail(out: &mut Vec<u8>, transaction: &Transaction, offer: &Offer, utf8: bool) {
    let mut line = String::from("MAIL FROM:<");
    line.push_str(&path(&transaction.reverse_path));
    line.push('>');
    if offer.size {
        // Writing to a String cannot fail, here and below.
        let _ = write!(line, " SIZE={}", transaction.bytes);
    }
    if offer.eight_bit_mime
        && (transaction.needs.eight_bit || transaction.body == BodyType::EightBitMime)
    {
        line.push_str(" BODY=8BITMIME");
    }
    if utf8 {
        line.push_str(" SMTPUTF8");
    }
    if offer.dsn {
        match transaction.ret {
            Some(Ret::Full) => line.push_str(" RET=FULL"),
            Some(Ret::Headers) => line.push_str(" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = transaction.envid.as_deref().filter(|text| is_xtext(text)) {
            let _ = write!(line, " ENVID={envid}");
        }
    }
    push(out, line);
}

/// `RCPT TO:<...> ...`.
pub(super) fn rcpt(out: &mut Vec<u8>, recipient: &Recipient, offer: &Offer) {
    let mut line = format!("RCPT TO:<{}>", one_line(&recipient.resolved.to_path()));
    if offer.dsn {
        if let Some(notify) = notify_text(recipient.notify) {
            let _ = write!(line, " NOTIFY={notify}");
        }
        if let Some(orcpt) = recipient.orcpt.as_deref().filter(|text| is_xtext(text)) {
            let _ = write!(line, " ORCPT={orcpt}");
        }
    }
    push(out, line);
}

fn path(reverse_path: &ReversePath) -> String {
    reverse_path.as_ref().map(|mailbox| one_line(&mailbox.to_path())).unwrap_or_default()
}

/// The grammar lets no control character into a mailbox; a table or an old spool file might. A line
/// end here would be a command of somebody else's making.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Printable without spaces: xtext and utf-8-addr-xtext. Anything else is not passed on.
fn is_xtext(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

fn notify_text(notify: Notify) -> Option<String> {
    if notify.never {
        return Some("NEVER".to_owned());
    }
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    let words: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    (!words.is_empty()).then(|| words.join(","))
}

fn push(out: &mut Vec<u8>, line: String) {
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}
