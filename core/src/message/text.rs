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

    /// The same units after [`normalise`].
    #[must_use]
    pub fn normalised(&self) -> Self {
        if self.text.is_ascii() {
            return self.clone();
        }
        let mut out = Self { text: String::with_capacity(self.text.len()), ends: Vec::new() };
        for unit in self.iter() {
            normalise(unit, &mut out.text);
            out.ends.push(offset(out.text.len()));
        }
        out
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
    let (mut line_ends, mut blank) = (0_usize, false);
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.bytes().position(is_blank).unwrap_or(rest.len());
        let (word, after) = rest.split_at(run);
        if !word.is_empty() {
            if out.text.len() > start && line_ends >= 2 {
                out.text.push('\n');
                end_units(out, start);
                start = out.text.len();
            } else if out.text.len() > start && blank {
                out.text.push(' ');
            }
            out.text.push_str(word);
            (line_ends, blank) = (0, false);
        }
        let run = after.bytes().position(|octet| !is_blank(octet)).unwrap_or(after.len());
        let (space, after) = after.split_at(run);
        line_ends += space.bytes().filter(|&octet| octet == b'\n').count();
        blank |= !space.is_empty();
        rest = after;
    }
    if out.text.len() > start {
        out.text.push('\n');
        end_units(out, start);
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
