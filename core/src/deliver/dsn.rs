//! Delivery status notifications: RFC 3464 in a multipart/report of RFC 6522, RFC 6533 where an address is
//! internationalised. Pure: what is known goes in, octets come out.
//!
//! The text is in Japanese and in English: the reader may be either. What the hop said is quoted,
//! cleaned of control characters when it was read; nothing about our insides is told.

use std::fmt::Write as _;

use crate::clock::UnixMillis;
use crate::content::Content;
use crate::envelope::{Envelope, MailId, Mailbox, Recipient, Ret};
use crate::reply::{Enhanced, Reply};

/// Longest header section that is returned.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Largest message that is returned whole, with RET=FULL; above it the header section is.
const FULL_BYTES_MAX: usize = 256 * 1024;
/// Most octets of a hop's reply in one field: RFC 5322 has lines of 998.
const REPLY_BYTES_MAX: usize = 800;

/// RFC 3464 section 2.3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsnAction {
    /// It will not arrive.
    Failed,
    /// It has not arrived yet and is tried again.
    Delayed,
    /// A hop took it that does not report success itself.
    Relayed,
}

/// One recipient that is reported on.
#[derive(Clone, Debug)]
pub struct Reported<'r> {
    /// Who.
    pub recipient: &'r Recipient,
    /// What the hop said, or we.
    pub reply: &'r Reply,
    /// Name of the hop; empty if the reply is ours.
    pub remote: &'r str,
}

/// One report.
#[derive(Clone, Debug)]
pub struct Dsn<'r> {
    /// What it says of all its recipients.
    pub action: DsnAction,
    /// Id of the mail that it is about.
    pub about: MailId,
    /// Id of the report itself: its Message-ID and boundary follow from it.
    pub id: MailId,
    /// Envelope of the mail.
    pub envelope: &'r Envelope,
    /// To whom it goes: the reverse-path.
    pub to: &'r Mailbox,
    /// Recipients, at least one.
    pub recipients: &'r [Reported<'r>],
    /// Our name.
    pub host_name: &'r str,
    /// When the mail came.
    pub arrived_at: UnixMillis,
    /// When it is given up, for `Delayed`.
    pub retry_until: Option<UnixMillis>,
    /// Now.
    pub now: UnixMillis,
}

impl Dsn<'_> {
    /// How much of the mail [`Dsn::to_content`] wants to see.
    #[must_use]
    pub fn wants_bytes(&self, original_bytes: u64) -> usize {
        if self.is_full(original_bytes) { FULL_BYTES_MAX } else { HEADER_BYTES_MAX }
    }

    /// The report. `beginning`: the first [`Dsn::wants_bytes`] octets of the mail, or all of it.
    #[must_use]
    pub fn to_content(&self, beginning: &[u8], original_bytes: u64) -> Content {
        let utf8 = self.is_utf8();
        let boundary = format!("=_{}", self.id);
        let returned = self.returned(beginning, original_bytes);
        let mut out = String::new();
        // RFC 2045 section 6.4: what holds an 8-bit part says so itself.
        let eight_bit = utf8 || !returned.is_ascii();
        self.header(&mut out, &boundary, (utf8, eight_bit));
        self.explanation(&mut out, &boundary);
        self.fields(&mut out, &boundary, utf8);
        let mut octets = out.into_bytes();
        octets.extend_from_slice(
            self.returned_head(returned, original_bytes, &boundary, utf8).as_bytes(),
        );
        octets.extend_from_slice(returned);
        octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Content::from_octets(octets)
    }

    fn is_full(&self, original_bytes: u64) -> bool {
        self.action == DsnAction::Failed
            && self.envelope.ret == Some(Ret::Full)
            && original_bytes <= FULL_BYTES_MAX as u64
    }

    /// Some address cannot be written in ASCII: the SMTPUTF8 forms of RFC 6533 are used.
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        !self.to.is_ascii()
            || self
                .recipients
                .iter()
                .any(|one| !one.recipient.resolved.is_ascii() || !one.recipient.original.is_ascii())
    }

    fn header(&self, out: &mut String, boundary: &str, (utf8, eight_bit): (bool, bool)) {
        let encoding = if eight_bit { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
        let status = if utf8 { "global-delivery-status" } else { "delivery-status" };
        let subject = match self.action {
            DsnAction::Failed => {
                "=?UTF-8?B?6YWN5L+h44Gn44GN44G+44Gb44KT44Gn44GX44Gf?= / Undelivered mail"
            }
            DsnAction::Delayed => "=?UTF-8?B?6YWN5L+h44GM6YGF44KM44Gm44GE44G+44GZ?= / Delayed mail",
            DsnAction::Relayed => "=?UTF-8?B?6Lui6YCB44GX44G+44GX44Gf?= / Mail relayed",
        };
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            out,
            "From: Mail Delivery System <MAILER-DAEMON@{host}>\r\n\
             To: <{to}>\r\n\
             Subject: {subject}\r\n\
             Date: {date}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             MIME-Version: 1.0\r\n\
             Auto-Submitted: auto-replied\r\n\
             {encoding}Content-Type: multipart/report; report-type={status};\r\n\tboundary=\"{boundary}\"\r\n\
             \r\n",
            host = self.host_name,
            to = self.to.to_path(),
            date = rfc5322_date(self.now),
            id = self.id,
        );
    }

    fn explanation(&self, out: &mut String, boundary: &str) {
        let (japanese, english) = match self.action {
            DsnAction::Failed => (
                "次の宛先にメールを配信できませんでした。再送は行いません。",
                "Your mail could not be delivered to the recipients below. It will not be tried again.",
            ),
            DsnAction::Delayed => (
                "次の宛先へのメールの配信が遅れています。引き続き再送しますので、送り直す必要はありません。",
                "Your mail to the recipients below is delayed. It is being retried; there is no need to send it again.",
            ),
            DsnAction::Relayed => (
                "次の宛先へのメールを配信先のサーバーに渡しました。このサーバーは配信結果を通知しません。",
                "Your mail to the recipients below was handed to a server that does not report on delivery.",
            ),
        };
        let _ = write!(
            out,
            "--{boundary}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: base64\r\n\
             Content-Description: Notification\r\n\r\n"
        );
        let mut text = format!("{japanese}\r\n{english}\r\n\r\n");
        for one in self.recipients {
            let _ = write!(text, "<{}>\r\n", one.recipient.original.to_path());
            if one.remote.is_empty() {
                let _ = write!(text, "    {}\r\n", shortened(one.reply));
            } else {
                let _ = write!(text, "    {}: {}\r\n", one.remote, shortened(one.reply));
            }
        }
        let _ = write!(text, "\r\nID: {}\r\n", self.about);
        base64_lines(text.as_bytes(), out);
        out.push_str("\r\n");
    }

    fn fields(&self, out: &mut String, boundary: &str, utf8: bool) {
        let (kind, address) = match utf8 {
            true => ("global-delivery-status", "utf-8"),
            false => ("delivery-status", "rfc822"),
        };
        let encoding = if utf8 { "Content-Transfer-Encoding: 8bit\r\n" } else { "" };
        let _ = write!(
            out,
            "--{boundary}\r\nContent-Type: message/{kind}\r\n{encoding}\
             Content-Description: Delivery report\r\n\r\n\
             Reporting-MTA: dns; {}\r\n",
            self.host_name
        );
        if let Some(envid) = self.envelope.envid.as_deref() {
            let _ = write!(out, "Original-Envelope-Id: {}\r\n", ascii(&from_xtext(envid)));
        }
        let _ = write!(out, "Arrival-Date: {}\r\n", rfc5322_date(self.arrived_at));
        for one in self.recipients {
            out.push_str("\r\n");
            self.recipient_fields(out, one, address);
        }
        out.push_str("\r\n");
    }

    fn recipient_fields(&self, out: &mut String, one: &Reported<'_>, address: &str) {
        if let Some(orcpt) = one.recipient.orcpt.as_deref() {
            let (kind, value) = orcpt.split_once(';').unwrap_or(("rfc822", orcpt));
            let _ = write!(out, "Original-Recipient: {kind};{}\r\n", ascii(&from_xtext(value)));
        }
        let (action, class) = match self.action {
            DsnAction::Failed => ("failed", 5),
            DsnAction::Delayed => ("delayed", 4),
            DsnAction::Relayed => ("relayed", 2),
        };
        let mailbox = one.recipient.resolved.to_path();
        let _ = write!(
            out,
            "Final-Recipient: {address};{mailbox}\r\nAction: {action}\r\nStatus: {}\r\n",
            status(one.reply, class)
        );
        if !one.remote.is_empty() {
            let _ = write!(
                out,
                "Remote-MTA: dns; {}\r\nDiagnostic-Code: smtp; {}\r\n",
                one.remote,
                ascii(&shortened(one.reply))
            );
        }
        let _ = write!(out, "Last-Attempt-Date: {}\r\n", rfc5322_date(self.now));
        if let Some(until) = self.retry_until {
            let _ = write!(out, "Will-Retry-Until: {}\r\n", rfc5322_date(until));
        }
    }

    /// The mail itself with RET=FULL (failures only, RFC 3461 section 6.2), else its header section.
    fn returned<'b>(&self, beginning: &'b [u8], original_bytes: u64) -> &'b [u8] {
        if self.is_full(original_bytes) {
            return beginning;
        }
        // A header section longer than what we have ends with the last line that is whole.
        let end = header_end(beginning)
            .or_else(|| memchr::memmem::rfind(beginning, b"\r\n").map(|at| at + 2));
        beginning.get(..end.unwrap_or(0)).unwrap_or_default()
    }

    fn returned_head(
        &self,
        returned: &[u8],
        original_bytes: u64,
        boundary: &str,
        utf8: bool,
    ) -> String {
        let kind = match (self.is_full(original_bytes), utf8) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        };
        let encoding = match returned.is_ascii() {
            true => "",
            false => "Content-Transfer-Encoding: 8bit\r\n",
        };
        format!(
            "--{boundary}\r\nContent-Type: {kind}\r\n{encoding}\
             Content-Description: Undelivered message\r\n\r\n"
        )
    }
}

/// Where the header section ends, its empty line not included.
fn header_end(octets: &[u8]) -> Option<usize> {
    memchr::memmem::find(octets, b"\r\n\r\n").map(|at| at + 2)
}

/// A status of the class that the action asks for (RFC 3464 section 2.3.4).
fn status(reply: &Reply, class: u8) -> Enhanced {
    match reply.enhanced {
        Some(Enhanced(_, subject, detail)) => Enhanced(class, subject, detail),
        None => Enhanced(class, 0, 0),
    }
}

/// A reply in at most `REPLY_BYTES_MAX` octets: a hop may say 32 KiB, and a field is one line.
fn shortened(reply: &Reply) -> String {
    let mut text = reply.to_string();
    text.truncate(text.floor_char_boundary(REPLY_BYTES_MAX));
    text
}

/// These fields are ASCII in both forms of the report (RFC 3464 section 2.1, RFC 6533 section 3).
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// `+41` back to `A`, RFC 3461 section 4; what would break a header line is dropped.
fn from_xtext(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let hex = hex.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (octet, hex) {
            (b'+', Some(value)) => {
                out.push(value);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(octet);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).chars().filter(|c| !c.is_control()).collect()
}

/// `Mon, 23 Nov 2026 04:03:00 +0000`.
pub(super) fn rfc5322_date(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.as_secs()).unwrap_or(0);
    let Ok(at) = jiff::Timestamp::from_second(seconds) else { return String::new() };
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// Base64 in lines of 76 characters, RFC 2045 section 6.8.
fn base64_lines(octets: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for line in octets.chunks(57) {
        for group in line.chunks(3) {
            let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
            let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
            for place in 0..4_usize {
                let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
                let letter = ALPHABET.get(index).copied().unwrap_or(b'A');
                out.push(if place > group.len() { '=' } else { char::from(letter) });
            }
        }
        out.push_str("\r\n");
    }
}
