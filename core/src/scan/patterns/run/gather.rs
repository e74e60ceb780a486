//! Units of fields that are put together from pieces of the message, and which of them are there.

use crate::message::FileType;
use crate::message::pe::Pe;
use crate::scan::patterns::error::ScanError;
use crate::scan::patterns::fields::{Fields, HeaderField, PartOctets, Units};
use crate::scan::patterns::open::Patterns;
use crate::scan::patterns::rule::{Field, HeaderForm, PartTarget, Place};

use super::Scratch;

/// Units one after the other.
#[derive(Debug, Default)]
pub(in super::super) struct Gathered {
    pub(super) octets: Vec<u8>,
    pub(super) ends: Vec<u32>,
}

impl Gathered {
    fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }

    fn end(&mut self) {
        self.ends.push(u32::try_from(self.octets.len()).unwrap_or(u32::MAX));
    }

    fn unit(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
        self.end();
    }
}

/// Header fields that carry a message id.
const MESSAGE_IDS: [&str; 3] = ["message-id", "resent-message-id", "x-message-id"];

impl Patterns {
    /// Header fields, and what is gathered from them.
    pub(super) async fn run_headers(
        &self,
        scratch: &mut Scratch,
        fields: &Fields<'_>,
        pause: &impl AsyncFn(),
    ) -> Result<(), ScanError> {
        let mut by_slot: Vec<smallvec::SmallVec<[&HeaderField<'_>; 2]>> =
            vec![smallvec::SmallVec::new(); self.asked_headers.len()];
        let mut lower = String::new();
        for header in &fields.headers {
            lower.clear();
            lower.extend(header.name.chars().map(|c| c.to_ascii_lowercase()));
            if let Some(slot) = self.header_slots.get(lower.as_str())
                && let Some(found) = by_slot.get_mut(*slot)
            {
                found.push(header);
            }
        }
        let mut gathered = std::mem::take(&mut scratch.gathered);
        for (found, asked) in by_slot.iter().zip(&self.asked_headers) {
            if !found.is_empty() {
                asked.exists.iter().for_each(|rule| scratch.state.add(*rule, 1));
            }
            for plan in &asked.plans {
                let Some(Field::Header(_, form)) = self.plan.fields.get(*plan).map(|p| &p.field)
                else {
                    continue;
                };
                if found.is_empty() {
                    self.run_unset(scratch, *plan);
                    continue;
                }
                gathered.clear();
                for header in found {
                    write_form(header, *form, &mut gathered.octets);
                }
                gathered.end();
                let units = Units { octets: &gathered.octets, ends: &gathered.ends };
                self.run_units(scratch, *plan, units, pause).await?;
            }
        }
        for (plan, field) in self.plan.fields.iter().enumerate() {
            gathered.clear();
            if !gather(fields, &field.field, &mut gathered) {
                continue;
            }
            if gathered.ends.is_empty() {
                self.run_unset(scratch, plan);
                continue;
            }
            let units = Units { octets: &gathered.octets, ends: &gathered.ends };
            self.run_units(scratch, plan, units, pause).await?;
        }
        scratch.gathered = gathered;
        Ok(())
    }
}

fn named<'f, 'a>(
    fields: &'f Fields<'a>,
    name: &'static str,
) -> impl Iterator<Item = &'f HeaderField<'a>> {
    fields.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
}

/// Gathers the units of a field; `false`: it is not gathered here.
pub(super) fn gather(fields: &Fields<'_>, field: &Field, out: &mut Gathered) -> bool {
    match field {
        Field::AllHeaders(HeaderForm::Raw) => {
            out.unit(fields.raw.get(..fields.header_bytes).unwrap_or_default());
        }
        Field::AllHeaders(_) => {
            for header in &fields.headers {
                out.octets.extend_from_slice(header.name.as_bytes());
                out.octets.extend_from_slice(b": ");
                out.octets.extend_from_slice(header.value.as_bytes());
                out.octets.push(b'\n');
            }
            out.end();
        }
        Field::ToCc => {
            for header in named(fields, "to").chain(named(fields, "cc")) {
                if !out.octets.is_empty() {
                    out.octets.extend_from_slice(b", ");
                }
                out.octets.extend_from_slice(header.value.as_bytes());
            }
            if !out.octets.is_empty() {
                out.end();
            }
        }
        Field::MessageIds => {
            for header in MESSAGE_IDS.into_iter().flat_map(|name| named(fields, name)) {
                out.octets.extend_from_slice(header.value.as_bytes());
                out.octets.push(b'\n');
            }
            if !out.octets.is_empty() {
                out.end();
            }
        }
        Field::EnvelopeFrom => {
            if let Some(path) = fields.envelope_from {
                out.unit(path);
            }
        }
        Field::MimeHeader(name, form) => {
            for part in &fields.parts {
                let before = out.octets.len();
                for header in part.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)) {
                    write_form(header, *form, &mut out.octets);
                }
                if out.octets.len() > before {
                    out.end();
                }
            }
        }
        Field::Uri => fields.uris.iter().for_each(|uri| out.unit(uri)),
        Field::FileName => fields.file_names.iter().for_each(|name| out.unit(name)),
        Field::Header(..)
        | Field::Body
        | Field::RawBody
        | Field::Normalised
        | Field::Raw
        | Field::Part(_)
        | Field::At(_) => return false,
    }
    true
}

/// If the message has the field, which is not a header field.
pub(super) fn has(fields: &Fields<'_>, field: &Field) -> bool {
    let mut out = Gathered::default();
    gather(fields, field, &mut out) && !out.ends.is_empty()
}

pub(super) fn write_form(header: &HeaderField<'_>, form: HeaderForm, out: &mut Vec<u8>) {
    match form {
        HeaderForm::Value => {
            out.extend_from_slice(header.value.as_bytes());
            out.push(b'\n');
        }
        HeaderForm::Raw => {
            // `SpamAssassin` sees folds as LF.
            let text = header.raw.split(|octet| *octet == b'\r');
            text.for_each(|piece| out.extend_from_slice(piece));
            out.push(b'\n');
        }
        HeaderForm::Addr => out.extend_from_slice(mailbox(header.value).0.as_bytes()),
        HeaderForm::Name => out.extend_from_slice(mailbox(header.value).1.as_bytes()),
    }
}

/// Address and display name of the first mailbox, as a rule about senders needs them: of
/// `"A, B" <a@example.com>` the last angle brackets count, quotes and comments do not belong to it.
fn mailbox(value: &str) -> (&str, &str) {
    if let Some((name, rest)) = value.split_once('<')
        && let Some((address, _)) = rest.split_once('>')
    {
        return (address.trim(), name.trim().trim_matches('"').trim());
    }
    match value.split_once('(') {
        Some((address, rest)) => {
            let name = rest.split_once(')').map_or(rest, |(name, _)| name);
            (address.trim(), name.trim())
        }
        None => (value.split(',').next().unwrap_or_default().trim(), ""),
    }
}

/// The octets of a part from a place on, if it is a program that has one.
pub(super) fn program<'p>(place: Place, part: &PartOctets<'p>) -> Option<&'p [u8]> {
    if !matches!(part.file_type, FileType::Pe) {
        return None;
    }
    let pe = Pe::read(part.octets)?;
    part.octets.get(place.of(&pe, part.octets)?)
}

/// If a rule for `target` looks at `part`.
pub(super) fn concerns(target: PartTarget, part: &PartOctets<'_>) -> bool {
    match target {
        PartTarget::Any => true,
        PartTarget::Pe => matches!(part.file_type, FileType::Pe),
        PartTarget::Ole => matches!(part.file_type, FileType::Ole),
        PartTarget::Html => part.html || matches!(part.file_type, FileType::Html),
        PartTarget::Image => matches!(part.file_type, FileType::Image),
        PartTarget::Elf => matches!(part.file_type, FileType::Elf),
        PartTarget::Text => {
            part.text || matches!(part.file_type, FileType::Text | FileType::Script)
        }
        PartTarget::MachO => matches!(part.file_type, FileType::MachO),
        PartTarget::Pdf => matches!(part.file_type, FileType::Pdf),
        PartTarget::Flash => matches!(part.octets.get(1..3), Some(b"WS")),
        PartTarget::Java => {
            matches!(part.file_type, FileType::Jar)
                || part.octets.starts_with(&[0xca, 0xfe, 0xba, 0xbe])
        }
    }
}
