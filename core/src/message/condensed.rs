//! A message for the structure parser, without the middles of its bodies.
//!
//! `mail-parser` walks every octet, decodes what it walks over and makes text of it, at 2 to 4 ns an octet; all that
//! is asked of it is where parts begin and end. Behind the empty line that ends a header section it only looks
//! for the next delimiter, and there is none without two hyphens. So it is handed a copy that has, of the lines
//! between an empty line and the next line with two hyphens, only the first and the last; its offsets are put back,
//! and parts are decoded from the source by us.
//!
//! Where it is not certain that the parser is in a body it sees everything: behind any line with two hyphens (it may
//! be a delimiter) up to the next line that is quite empty.

use mail_parser::Message;
use memchr::memmem;

/// Octets that stay at each end of a body, so that what is before and behind it has its neighbours.
const KEPT_BYTES: usize = 64;
/// Shorter middles are not worth a cut.
const CUT_BYTES_MIN: usize = 256;

/// The copy.
#[derive(Debug, Default)]
pub(super) struct Condensed {
    pub(super) octets: Vec<u8>,
    cuts: Vec<Cut>,
    /// How far the source is copied or left out.
    copied: usize,
}

/// Octets that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// The place in the copy before which they were.
    at: usize,
    /// How many are left out up to here, these included.
    before: usize,
}

impl Condensed {
    pub(super) fn of(raw: &[u8]) -> Self {
        let mut out = Self::default();
        let hyphens = memmem::Finder::new(b"--");
        let mut at = 0_usize;
        while let Some(body) = body_after(raw, at) {
            let rest = raw.get(body..).unwrap_or_default();
            let found = hyphens.find(rest).map(|found| body + found);
            let next = found.map_or(raw.len(), |found| line_start(raw, found));
            // Whole lines, so that nothing comes together that was apart.
            let first = next_line(raw, body.saturating_add(KEPT_BYTES));
            let last = line_start(raw, next.saturating_sub(KEPT_BYTES));
            if last >= first.saturating_add(CUT_BYTES_MIN) {
                out.leave_out(raw, first, last);
            }
            at = match found {
                Some(_) => next,
                None => break,
            };
        }
        out.octets.extend_from_slice(raw.get(out.copied..).unwrap_or_default());
        out
    }

    fn leave_out(&mut self, raw: &[u8], first: usize, last: usize) {
        self.octets.extend_from_slice(raw.get(self.copied..first).unwrap_or_default());
        self.copied = last;
        self.cuts.push(Cut { at: self.octets.len(), before: last - self.octets.len() });
    }

    /// Puts the offsets of the parsed copy back to where they are in the source.
    pub(super) fn put_back(&self, message: &mut Message<'_>) {
        for part in &mut message.parts {
            let places = [&mut part.offset_header, &mut part.offset_body, &mut part.offset_end];
            places.into_iter().for_each(|place| *place = self.source_offset(*place));
            for field in &mut part.headers {
                let places =
                    [&mut field.offset_field, &mut field.offset_start, &mut field.offset_end];
                places.into_iter().for_each(|place| *place = self.source_offset(*place));
            }
        }
    }

    fn source_offset(&self, offset: u32) -> u32 {
        // What is left out is in the middle of a body: nothing begins or ends at a cut itself.
        let behind = self.cuts.partition_point(|cut| cut.at <= offset as usize);
        let last = behind.checked_sub(1).and_then(|last| self.cuts.get(last));
        let before = last.map_or(0, |cut| u32::try_from(cut.before).unwrap_or(u32::MAX));
        offset.saturating_add(before)
    }
}

/// Behind the first line from `at` on that is quite empty.
fn body_after(raw: &[u8], at: usize) -> Option<usize> {
    let rest = raw.get(at..)?;
    memchr::memchr_iter(b'\n', rest).find_map(|end| match rest.get(end + 1..) {
        Some([b'\n', ..]) => Some(at + end + 2),
        Some([b'\r', b'\n', ..]) => Some(at + end + 3),
        _ => None,
    })
}

/// Where the line that `at` is in begins.
fn line_start(raw: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', raw.get(..at).unwrap_or_default()).map_or(0, |end| end + 1)
}

/// Where the first line at or behind `at` begins; the end if there is none.
fn next_line(raw: &[u8], at: usize) -> usize {
    let rest = raw.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(raw.len(), |end| at + end + 1)
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;
    use proptest::prelude::*;

    use super::super::declared::mask;
    use super::*;

    /// Everything of the structure that is asked of the parser.
    fn structure(message: &Message<'_>) -> Vec<String> {
        let part = |part: &mail_parser::MessagePart<'_>| {
            let children = match &part.body {
                mail_parser::PartType::Multipart(children) => children.clone(),
                _ => Vec::new(),
            };
            let at = (part.offset_header, part.offset_body, part.offset_end);
            format!("{at:?} {children:?} {:?}", part.headers)
        };
        message.parts.iter().map(part).collect()
    }

    /// The structure of the copy is that of the source; gives how much shorter it was.
    fn assert_same(mail: &[u8]) -> usize {
        let parser = MessageParser::new().with_mime_headers();
        let mut condensed = Condensed::of(mail);
        mask(&mut condensed.octets);
        let mut whole = mail.to_vec();
        mask(&mut whole);
        let whole = parser.parse(&whole[..]).map(|message| structure(&message));
        let cut = parser.parse(&condensed.octets[..]).map(|mut message| {
            condensed.put_back(&mut message);
            structure(&message)
        });
        assert_eq!(cut, whole, "{}", String::from_utf8_lossy(mail));
        mail.len() - condensed.octets.len()
    }

    const LINE: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\n";

    fn mixed(text: &str, lines: usize) -> String {
        format!(
            "From: a@b.example\nContent-Type: multipart/mixed; boundary=x\n\npreamble\n--x\n\
             Content-Type: text/html\n\n{text}\n--x\n\
             Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n{}QUI=\n--x--\nepilogue\n",
            LINE.repeat(lines)
        )
    }

    #[test]
    fn offsets_are_those_of_the_source() {
        for lines in [0, 1, 4, 5, 6, 7, 100] {
            for text in ["", "hello: world", "a\n\nb", "<!-- x -->\n\n-- \nA: b\n\nme"] {
                let mail = mixed(&format!("{text}{}", "\nmore: text\n\n".repeat(lines)), lines);
                assert_same(mail.as_bytes());
                let shorter = assert_same(mail.replace('\n', "\r\n").as_bytes());
                assert!(lines < 100 || shorter > 7_000, "only {shorter} left out");
            }
        }
        // One part: only its ends are left.
        let plain = format!("Subject: x\n\n{}", LINE.repeat(1_000));
        assert!(assert_same(plain.as_bytes()) > 72_000);
    }

    #[test]
    fn delimiters_are_seen_wherever_they_are() {
        let long = LINE.repeat(20);
        for delimiter in
            ["--x", "text --x", "--x--", " --x", "----x", "\r--x", "--x\r", "-\n--x\n-"]
        {
            for header in ["", "Content-Type: text/html\n", "no field\n", " folded\n", " \n", "\r"]
            {
                let part = format!("{delimiter}\n{header}\n{long}");
                let mail = format!(
                    "Content-Type: multipart/mixed; boundary=x\n\n{long}{part}{part}\n\n{long}--x--\n{long}"
                );
                assert_same(mail.as_bytes());
            }
        }
    }

    proptest! {
        /// Any lines in any order.
        #[test]
        fn structure_is_that_of_the_source(
            lines in prop::collection::vec(prop::sample::select(vec![
                "\n", "\n", "\r\n", " \n", "--x\n", "--y\n", "--x--\n", "--y--\n", "-\n", "--\n", "a --x\n", "\t--y\r\n",
                "Content-Type: multipart/mixed; boundary=y\n", "Content-Type: multipart/alternative;\n boundary=\"y\"\n",
                "Content-Type: text/plain; charset=utf-8\n", "Content-Transfer-Encoding: base64\n",
                "Content-Transfer-Encoding: quoted-printable\n", "text\n", "a=\n", "a=zz\n", ": x\n", "=\n",
                LINE, LINE, LINE, LINE, LINE,
            ]), 0..60),
            long in prop::collection::vec(1_usize..30, 60),
        ) {
            let mut mail = "Content-Type: multipart/mixed; boundary=x\n".to_owned();
            for (line, times) in lines.iter().zip(long) {
                mail.push_str(&line.repeat(if *line == LINE { times } else { 1 }));
            }
            assert_same(mail.as_bytes());
        }
    }
}
