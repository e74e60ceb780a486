//! The texts that rules are matched against. The shapes are SpamAssassin's, so that its rules find
//! what they were written for (`Mail::SpamAssassin::Message`: `get_rendered_body_text_array`,
//! `get_decoded_body_text_array`).

use super::normalise::normalise;
use super::view::View;

/// Longest unit of the body text, SpamAssassin's `MAX_BODY_LINE_LENGTH`.
const UNIT_BYTES_MAX: usize = 2048;
/// Shortest unit of the raw body text; it ends at the next line end.
const RAW_UNIT_BYTES_MIN: usize = 1024;

/// UTF-8 text cut into units that rules match one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextUnits {
    /// All units, one after the other. A unit ends with LF if its paragraph ends with it.
    pub text: String,
    /// End of each unit, in octets, ascending; the last equals `text.len()`.
    pub ends: Vec<u32>,
}

impl TextUnits {
    /// The units in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0_usize;
        self.ends.iter().map(move |&end| {
            let unit = self.text.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            unit
        })
    }

    /// The same units after [`normalise`]; `None` if that would change nothing.
    pub(super) fn normalised(&self) -> Option<Self> {
        if self.text.is_ascii() {
            return None;
        }
        let mut out = Self { text: String::with_capacity(self.text.len()), ends: Vec::new() };
        for unit in self.iter() {
            normalise(unit, &mut out.text);
            out.ends.push(offset(out.text.len()));
        }
        Some(out)
    }
}

/// Octets cut into units that rules match one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawUnits {
    /// All units, one after the other.
    pub octets: Vec<u8>,
    /// End of each unit, ascending; the last equals `octets.len()`.
    pub ends: Vec<u32>,
}

impl RawUnits {
    /// The units in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0_usize;
        self.ends.iter().map(move |&end| {
            let unit = self.octets.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            unit
        })
    }
}

/// Texts are bounded by [`super::ViewLimits::text_bytes_max`], far below this.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// See [`View::body`].
pub(super) fn body(view: &View<'_>) -> TextUnits {
    let mut out = TextUnits::default();
    let subject = view.fields_named("subject").next().map_or("", |field| &field.value);
    render(subject, &mut out);
    for part in view.parts.iter().filter(|part| part.is_text()) {
        let left = view.text_bytes_max.saturating_sub(out.text.len());
        if left == 0 {
            break;
        }
        let text = if part.is_shown_as_html() { &part.html().text } else { part.text() };
        render(cut(text, left), &mut out);
    }
    out
}

/// At most `bytes_max` octets of `text`, cut between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// Appends `text`: runs of blank lines end a paragraph, other white space becomes one space, and a
/// paragraph longer than [`UNIT_BYTES_MAX`] is cut at its last space.
fn render(text: &str, out: &mut TextUnits) {
    out.text.reserve(text.len() + 1);
    let mut start = out.text.len();
    // Line ends since the last word: two end the paragraph.
    let mut line_ends = 0_usize;
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let line = line.trim_matches(|c| u8::try_from(c).is_ok_and(is_blank));
        if !line.is_empty() {
            if out.text.len() > start && line_ends >= 2 {
                out.text.push('\n');
                end_units(out, start);
                start = out.text.len();
            } else if out.text.len() > start && line_ends > 0 {
                out.text.push(' ');
            }
            push_line(line, &mut out.text);
            line_ends = 0;
        }
        line_ends += usize::from(!after.is_empty());
        rest = after.get(1..).unwrap_or_default();
    }
    if out.text.len() > start {
        out.text.push('\n');
        end_units(out, start);
    }
}

/// Appends a line that neither begins nor ends with white space: each run of it becomes one space.
fn push_line(line: &str, out: &mut String) {
    // Most lines have single spaces only. No early end: this way the compiler looks at 32 octets at once.
    let (octets, next) = (line.as_bytes(), line.as_bytes().get(1..).unwrap_or_default());
    let runs = octets.iter().zip(next).fold(false, |found, (&octet, &next)| {
        found | (matches!(octet, b'\t' | 0x0B..=b'\r') | ((octet == b' ') & (next == b' ')))
    });
    if !runs {
        out.push_str(line);
        return;
    }
    let words = line.split(|c| u8::try_from(c).is_ok_and(is_blank)).filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if number > 0 {
            out.push(' ');
        }
        out.push_str(word);
    }
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | 0x0B | 0x0C)
}

/// Ends the paragraph that began at `start`, in as many units as it needs.
fn end_units(out: &mut TextUnits, mut start: usize) {
    while out.text.len() - start > UNIT_BYTES_MAX {
        let limit = out.text.floor_char_boundary(start + UNIT_BYTES_MAX);
        let Some(unit) = out.text.get(start..limit) else {
            break;
        };
        let length = unit.rfind(' ').map_or(unit.len(), |space| space + 1).max(1);
        start += length;
        out.ends.push(offset(start));
    }
    if out.text.len() > start {
        out.ends.push(offset(out.text.len()));
    }
}

/// See [`View::rawbody`].
pub(super) fn rawbody(view: &View<'_>) -> RawUnits {
    let mut out = RawUnits::default();
    for part in view.parts.iter().filter(|part| part.is_text()) {
        let left = view.text_bytes_max.saturating_sub(out.octets.len());
        let start = out.octets.len();
        let octets = part.decoded.get(..left).unwrap_or(&part.decoded);
        push_with_lf(octets, &mut out.octets);
        raw_units(&mut out, start);
    }
    out
}

/// Appends octets with LF for CR LF, as SpamAssassin's rules expect.
fn push_with_lf(octets: &[u8], out: &mut Vec<u8>) {
    out.reserve(octets.len());
    let mut from = 0_usize;
    for at in memchr::memchr_iter(b'\r', octets) {
        if octets.get(at + 1) == Some(&b'\n') {
            out.extend_from_slice(octets.get(from..at).unwrap_or_default());
            from = at + 1;
        }
    }
    out.extend_from_slice(octets.get(from..).unwrap_or_default());
}

/// Cuts what follows `start` at the first line end after [`RAW_UNIT_BYTES_MIN`] octets.
fn raw_units(out: &mut RawUnits, mut start: usize) {
    while let Some(rest) = out.octets.get(start..).filter(|rest| !rest.is_empty()) {
        let length = if rest.len() <= 2 * RAW_UNIT_BYTES_MIN {
            rest.len()
        } else {
            let after = rest.get(RAW_UNIT_BYTES_MIN..).unwrap_or_default();
            memchr::memchr(b'\n', after).map_or_else(
                || {
                    let before = rest.get(..RAW_UNIT_BYTES_MIN).unwrap_or_default();
                    memchr::memrchr(b'\n', before).map_or(RAW_UNIT_BYTES_MIN, |at| at + 1)
                },
                |at| RAW_UNIT_BYTES_MIN + at + 1,
            )
        };
        start += length.max(1);
        out.ends.push(offset(start.min(out.octets.len())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, octet by octet.
    fn slowly(text: &str) -> TextUnits {
        let mut out = TextUnits::default();
        let (mut start, mut line_ends, mut blank) = (0, 0, false);
        for c in text.chars() {
            if u8::try_from(c).is_ok_and(is_blank) {
                line_ends += usize::from(c == '\n');
                blank = true;
                continue;
            }
            if line_ends >= 2 && out.text.len() > start {
                out.text.push('\n');
                end_units(&mut out, start);
                start = out.text.len();
            } else if blank && out.text.len() > start {
                out.text.push(' ');
            }
            out.text.push(c);
            (line_ends, blank) = (0, false);
        }
        if out.text.len() > start {
            out.text.push('\n');
            end_units(&mut out, start);
        }
        out
    }

    #[test]
    fn rendering_by_lines_gives_what_rendering_octet_by_octet_gives() {
        let pieces = [
            "a", "bc", "\u{3042}", "\u{a0}", " ", " ", "  ", "\t", "\n", "\r\n", "\n\n", "\r",
            "\u{b}", "\u{c}",
        ];
        let mut random = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..random % 40 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(random >> 33).unwrap_or(0) % pieces.len();
                text.push_str(pieces.get(at).copied().unwrap_or_default());
            }
            random = random.wrapping_add(0x9E37_79B9);
            let mut quick = TextUnits::default();
            render(&text, &mut quick);
            assert_eq!(quick, slowly(&text), "{text:?}");
        }
    }
}
