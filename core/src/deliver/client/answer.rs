//! Reads a hop's replies: RFC 5321 section 4.2.1, any split of the octets, every bound explicit.

use std::borrow::Cow;

use crate::reply::{Enhanced, Reply};

/// Longest reply line, CR LF included. The RFC says 512; hops that quote a policy in a line are
/// real, so there is slack.
const LINE_BYTES_MAX: usize = 4096;
/// Most lines of one reply. An EHLO reply has some thirty.
const LINES_MAX: usize = 256;
/// Most octets of one reply.
const REPLY_BYTES_MAX: usize = 32 * 1024;

/// The hop does not speak SMTP. Nothing that follows on this connection can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// A line without a reply code.
    #[error("a line that is no reply")]
    NoCode,
    /// A code outside 200..=599, or codes that differ within one reply.
    #[error("a reply code that cannot be")]
    Code,
    /// A line, or all lines of a reply together, above the bound.
    #[error("a reply that does not end")]
    TooLong,
    /// A reply nobody asked for.
    #[error("a reply to nothing")]
    Unasked,
    /// Octets in clear after the answer to STARTTLS: someone in between wrote them.
    #[error("text in clear behind the answer to STARTTLS")]
    AfterStartTls,
}

/// Collects octets and gives out replies. `0 <= octets held <= REPLY_BYTES_MAX + one read`.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    input: Vec<u8>,
    /// Octets of `input` that are used up.
    used: usize,
    code: Option<u16>,
    lines: Vec<Cow<'static, str>>,
    bytes: usize,
}

impl Answers {
    /// Octets from the hop.
    pub(crate) fn fill(&mut self, octets: &[u8]) {
        if self.used > 0 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        self.input.extend_from_slice(octets);
    }

    /// Nothing is waiting to be read, not even half a line.
    pub(crate) fn is_empty(&self) -> bool {
        self.used == self.input.len() && self.lines.is_empty()
    }

    /// The next whole reply; `None` until it is there.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, Nonsense> {
        loop {
            let rest = self.input.get(self.used..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return if rest.len() > LINE_BYTES_MAX { Err(Nonsense::TooLong) } else { Ok(None) };
            };
            let line = rest.get(..end).unwrap_or_default();
            self.used += end + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (code, last, text) = split(line)?;
            self.bytes += line.len();
            if line.len() > LINE_BYTES_MAX
                || self.bytes > REPLY_BYTES_MAX
                || self.lines.len() >= LINES_MAX
            {
                return Err(Nonsense::TooLong);
            }
            if *self.code.get_or_insert(code) != code {
                return Err(Nonsense::Code);
            }
            self.lines.push(Cow::Owned(printable(text)));
            if last {
                self.code = None;
                self.bytes = 0;
                return Ok(Some(with_enhanced(code, std::mem::take(&mut self.lines))));
            }
        }
    }
}

/// Code, whether it is the last line, text.
fn split(line: &[u8]) -> Result<(u16, bool, &[u8]), Nonsense> {
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else {
        return Err(Nonsense::NoCode);
    };
    let digit = |octet: &u8| u16::from(octet - b'0');
    let code = digit(a) * 100 + digit(b) * 10 + digit(c);
    if !(200..600).contains(&code) {
        return Err(Nonsense::Code);
    }
    match rest {
        [] => Ok((code, true, rest)),
        [b' ', text @ ..] => Ok((code, true, text)),
        [b'-', text @ ..] => Ok((code, false, text)),
        [..] => Err(Nonsense::NoCode),
    }
}

/// A peer's text goes into logs, reports and our own replies: no control character survives.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Takes the enhanced status code off the lines if the first one begins with one of its class.
fn with_enhanced(code: u16, mut lines: Vec<Cow<'static, str>>) -> Reply {
    let enhanced = lines.first().and_then(|line| parse_enhanced(line)).map(|(code, _)| code);
    let enhanced = enhanced.filter(|enhanced| u16::from(enhanced.0) == code / 100);
    if enhanced.is_some() {
        for line in &mut lines {
            if let Some((found, text)) = parse_enhanced(line)
                && Some(found) == enhanced
            {
                *line = Cow::Owned(text.to_owned());
            }
        }
    }
    Reply { code, enhanced, lines }
}

/// `5.1.1 text` to its code and text. RFC 2034 section 4.
fn parse_enhanced(line: &str) -> Option<(Enhanced, &str)> {
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = code.split('.');
    let class = parts.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
    let mut number = || parts.next().filter(|part| part.len() <= 3)?.parse::<u16>().ok();
    let (subject, detail) = (number()?, number()?);
    parts.next().is_none().then(|| (Enhanced(class, subject, detail), text.trim_start()))
}
