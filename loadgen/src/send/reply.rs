//! Replies of a server, one line at a time.

use std::fmt;

use memchr::memchr;

/// A server that sends more than this without a line end is broken.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What a reply says to a program (RFC 5321 section 4.2, RFC 3463).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code {
    /// Three digits; 0 if the peer sent something else.
    pub(crate) basic: u16,
    /// Class, subject, detail.
    pub(crate) enhanced: Option<[u16; 3]>,
}

impl Code {
    pub(crate) fn is_positive(self) -> bool {
        (200..300).contains(&self.basic)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            Some([class, subject, detail]) => {
                write!(out, "{} {class}.{subject}.{detail}", self.basic)
            }
            None => write!(out, "{}", self.basic),
        }
    }
}

/// Extensions that an EHLO reply offers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offers {
    pub(crate) pipelining: bool,
    pub(crate) chunking: bool,
    pub(crate) starttls: bool,
    pub(crate) eight_bit_mime: bool,
}

impl Offers {
    fn note(&mut self, text: &[u8]) {
        let word = text.split(|&octet| octet == b' ').next().unwrap_or_default();
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        self.pipelining |= is("PIPELINING");
        self.chunking |= is("CHUNKING");
        self.starttls |= is("STARTTLS");
        self.eight_bit_mime |= is("8BITMIME");
    }
}

/// Octets received and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    octets: Vec<u8>,
    used: usize,
}

impl Inbox {
    /// Room for more octets at the end.
    pub(crate) fn octets(&mut self) -> &mut Vec<u8> {
        if self.used > 0 {
            self.octets.drain(..self.used);
            self.used = 0;
        }
        &mut self.octets
    }

    pub(crate) fn clear(&mut self) {
        self.octets.clear();
        self.used = 0;
    }

    /// Whether there is more without an end than any server would say.
    pub(crate) fn is_too_long(&self) -> bool {
        self.octets.len() - self.used > LINE_BYTES_MAX
    }

    /// The next whole reply, with the text of its last line; what its lines offer is added to
    /// `offers`. None until the last line is there, and then all its lines are read again: replies
    /// of more than one line come once a connection.
    pub(crate) fn reply(&mut self, offers: &mut Offers) -> Option<(Code, &[u8])> {
        let mut at = self.used;
        loop {
            let rest = self.octets.get(at..)?;
            let end = memchr(b'\n', rest)?;
            at += end + 1;
            let line = rest.get(..end)?;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (digits, tail) = line.split_at_checked(3).unwrap_or((b"", line));
            offers.note(tail.get(1..).unwrap_or_default());
            if tail.first() != Some(&b'-') || number(digits).is_none() {
                // The borrow ends here; what is returned is cut out anew.
                let start = at - end - 1;
                let length = line.len();
                self.used = at;
                let line = self.octets.get(start..start + length).unwrap_or_default();
                return Some((code(line), line));
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    let is_number = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let sum = |sum, digit: &u8| sum * 10 + u16::from(digit - b'0');
    is_number.then(|| digits.iter().fold(0, sum))
}

fn code(line: &[u8]) -> Code {
    let (digits, tail) = line.split_at_checked(3).unwrap_or((b"", line));
    let Some(basic) = number(digits) else { return Code::default() };
    let word = tail.get(1..).unwrap_or_default().split(|&octet| octet == b' ').next();
    let mut parts = word.unwrap_or_default().split(|&octet| octet == b'.').map(number);
    let enhanced = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(class)), Some(Some(subject)), Some(Some(detail)), None) => {
            Some([class, subject, detail])
        }
        _ => None,
    };
    Code { basic, enhanced }
}

#[cfg(test)]
mod tests {
    use super::{Inbox, Offers};

    #[test]
    fn a_reply_is_whole_only_with_its_last_line_wherever_the_octets_are_cut() {
        let sent = b"250-host hello\r\n250-PIPELINING\r\n250 chunking\r\n451 4.7.1 not now\r\n";
        for cut in 0..sent.len() {
            let (mut inbox, mut offers) = (Inbox::default(), Offers::default());
            let mut codes = Vec::new();
            for part in [&sent[..cut], &sent[cut..]] {
                inbox.octets().extend_from_slice(part);
                while let Some((code, text)) = inbox.reply(&mut offers) {
                    codes.push((code.to_string(), String::from_utf8(text.to_vec()).unwrap()));
                }
            }
            let expected = [("250", "250 chunking"), ("451 4.7.1", "451 4.7.1 not now")];
            assert_eq!(codes, expected.map(|(a, b)| (a.to_owned(), b.to_owned())), "cut {cut}");
            assert!(offers.pipelining && offers.chunking && !offers.starttls, "cut {cut}");
            assert!(inbox.octets().is_empty(), "cut {cut}: nothing is left");
        }
    }

    #[test]
    fn what_is_no_reply_has_code_0_and_odd_enhanced_codes_are_none() {
        for (line, expected) in [
            ("what is this about?", "0"),
            ("", "0"),
            ("25", "0"),
            ("250", "250"),
            ("250 ok", "250"),
            ("554 5.7.1", "554 5.7.1"),
            ("554 5.7.1.2 x", "554"),
            ("554 5.7", "554"),
            ("554 5.7.1234 x", "554"),
        ] {
            let mut inbox = Inbox::default();
            inbox.octets().extend_from_slice(format!("{line}\n").as_bytes());
            let (code, _) = inbox.reply(&mut Offers::default()).unwrap();
            assert_eq!(code.to_string(), expected, "{line}");
        }
    }
}
