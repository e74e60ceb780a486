//! Content octets as received to canonical content: dots un-stuffed, line ends made CR LF.
//! RFC 5321 section 4.5.2, decision 0040.
//!
//! Only CR LF . CR LF ends a message that came by DATA. A dot counts only directly after a true CR LF
//! (or at the very start); a bare CR or LF is a line end of the *content*, made CR LF once, here, before
//! dots are stuffed again on the way out, so that nobody downstream sees another boundary than we did
//! (SMTP smuggling). CR CR LF is a bare CR and a CR LF: it becomes CR LF CR LF.
//!
//! A line costs one `memchr2`; runs without a change are copied whole. Any split of the input gives the
//! same output: `carry` holds what the next octet decides about, at most one octet of it in doubt.

use memchr::{memchr, memchr2};

use super::step::ContentTraits;

/// How the end of the content is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By a line of one dot (DATA).
    Dot,
    /// By count (BDAT): dots mean nothing.
    Counted,
}

/// What the octets so far leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carry {
    /// At the start of the content, or after a true CR LF: a dot counts.
    LineStart,
    /// After the dot of a line that starts with one. The dot is not content.
    Dot,
    /// After that dot and a CR.
    DotCr,
    /// Inside a line, or after a bare line end.
    Line,
    /// After a CR that is not yet known to be bare.
    Cr,
}

/// The converter of one message. `bytes` counts what came out, all of it in canonical form.
#[derive(Clone, Debug)]
pub(super) struct Canonical {
    framing: Framing,
    carry: Carry,
    /// Octets of the unfinished line that are already out.
    line_bytes: usize,
    /// Longest line so far without its line end.
    longest_line_bytes: usize,
    bytes: u64,
    traits: ContentTraits,
}

/// What [`Canonical::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fed {
    /// Octets used: all of them, unless the message ended.
    pub(super) consumed: usize,
    /// CR LF . CR LF was seen; `consumed` ends after it.
    pub(super) ended: bool,
}

impl Canonical {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            carry: Carry::LineStart,
            line_bytes: 0,
            longest_line_bytes: 0,
            bytes: 0,
            traits: ContentTraits::default(),
        }
    }

    /// Octets of canonical content so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Longest line so far in octets, without its line end; the unfinished one counts.
    pub(super) fn longest_line_bytes(&self) -> usize {
        self.longest_line_bytes
    }

    pub(super) fn traits(&self) -> ContentTraits {
        self.traits
    }

    /// Converts `input` and appends to `output`. `output` grows by at most twice `input`, plus two.
    pub(super) fn feed(&mut self, input: &[u8], output: &mut Vec<u8>) -> Fed {
        let before = output.len();
        let mut at = 0;
        let mut ended = false;
        while let Some(octet) = input.get(at).copied() {
            match (self.carry, octet) {
                (Carry::LineStart, b'.') if self.framing == Framing::Dot => {
                    self.carry = Carry::Dot;
                    at += 1;
                }
                (Carry::Dot, b'\r') => {
                    self.carry = Carry::DotCr;
                    at += 1;
                }
                (Carry::DotCr, b'\n') => {
                    at += 1;
                    ended = true;
                    break;
                }
                // The dot was stuffing. The CR after it is judged by the octet that follows it.
                (Carry::DotCr, _) => self.carry = Carry::Cr,
                (Carry::LineStart | Carry::Dot, _) => self.carry = Carry::Line,
                (Carry::Cr, b'\n') => {
                    self.end_line(output);
                    self.carry = Carry::LineStart;
                    at += 1;
                }
                (Carry::Cr, _) => {
                    self.traits.bare_line_ends = true;
                    self.end_line(output);
                    self.carry = Carry::Line;
                }
                (Carry::Line, _) => at += self.lines(input.get(at..).unwrap_or_default(), output),
            }
        }
        let used = input.get(..at).unwrap_or_default();
        self.traits.eight_bit |= !used.is_ascii();
        self.traits.nul |= memchr(0, used).is_some();
        self.bytes += (output.len() - before) as u64;
        Fed { consumed: at, ended }
    }

    /// Copies whole lines as they are, up to the first octet that needs a decision; `input` is not empty
    /// and starts inside a line. Returns how many octets were used, at least one.
    fn lines(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let mut line_start = 0;
        loop {
            let rest = input.get(line_start..).unwrap_or_default();
            let Some(found) = memchr2(b'\r', b'\n', rest) else {
                output.extend_from_slice(input);
                self.line_bytes += rest.len();
                self.longest_line_bytes = self.longest_line_bytes.max(self.line_bytes);
                return input.len();
            };
            self.line_bytes += found;
            let end = line_start + found;
            match (rest.get(found), rest.get(found + 1), rest.get(found + 2)) {
                // The usual line: its end is complete, and no dot follows it.
                (Some(b'\r'), Some(b'\n'), Some(next))
                    if *next != b'.' || self.framing == Framing::Counted =>
                {
                    self.longest_line_bytes = self.longest_line_bytes.max(self.line_bytes);
                    self.line_bytes = 0;
                    line_start = end + 2;
                }
                (Some(b'\r'), _, _) => {
                    output.extend_from_slice(input.get(..end).unwrap_or_default());
                    self.carry = Carry::Cr;
                    return end + 1;
                }
                _ => {
                    output.extend_from_slice(input.get(..end).unwrap_or_default());
                    self.traits.bare_line_ends = true;
                    self.end_line(output);
                    return end + 1;
                }
            }
        }
    }

    fn end_line(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"\r\n");
        self.longest_line_bytes = self.longest_line_bytes.max(self.line_bytes);
        self.line_bytes = 0;
    }

    /// Ends content that came by count: the last line gets a line end if it has none.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) {
        let before = output.len();
        if self.carry == Carry::Cr {
            self.traits.bare_line_ends = true;
            self.end_line(output);
        } else if self.line_bytes > 0 {
            self.traits.unterminated = true;
            self.end_line(output);
        }
        self.carry = Carry::LineStart;
        self.bytes += (output.len() - before) as u64;
    }
}

/// Converts whole contents, for tests, benches and fuzzing: `None` if the end was not seen.
#[must_use]
pub fn unstuff(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut canonical = Canonical::new(Framing::Dot);
    let mut output = Vec::with_capacity(input.len());
    let fed = canonical.feed(input, &mut output);
    fed.ended.then_some((output, fed.consumed))
}
