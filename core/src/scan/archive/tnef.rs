//! TNEF (`winmail.dat`, MS-OXTNEF): texts and attachments that Outlook wraps where no other client sees them. Old attributes and
//! properties say the same twice, and differ where somebody wants them to: both are read.

use super::{Budget, Member, mapi};
use crate::message::{ExceptionKind, decode_charset, html_text};
use crate::scan::active;
use crate::scan::ole::unpacked_rtf;

const HEAD_BYTES: usize = 6;
/// attAttachRendData: the next attachment begins.
const BEGIN: u32 = 0x0006_9002;
/// attAttachTitle
const TITLE: u32 = 0x0001_8010;
/// attAttachData
const DATA: u32 = 0x0006_800F;
/// attAttachment: its properties.
const ATTACHMENT_PROPERTIES: u32 = 0x0006_9005;
/// attMAPIProps: those of the message.
const PROPERTIES: u32 = 0x0006_9003;
/// attBody
const BODY: u32 = 0x0002_800C;
/// Level of attributes about attachments.
const ATTACHMENT: u8 = 2;

// Properties. MS-OXPROPS.
const TEXT: u16 = 0x1000;
const RTF: u16 = 0x1009;
const HTML: u16 = 0x1013;
const OBJECT: u16 = 0x3701;
const SHORT_NAME: u16 = 0x3704;
const LONG_NAME: u16 = 0x3707;
/// Texts of one message; it has one of each kind.
const TEXTS_MAX: usize = 4;
/// An object begins with the number of its interface.
const INTERFACE_BYTES: usize = 16;

/// One attachment, as far as it was told.
#[derive(Default)]
struct Attachment<'z> {
    title: Vec<u8>,
    short: Vec<u8>,
    long: Vec<u8>,
    /// Its octets: of the old attribute, and of the property.
    data: Vec<&'z [u8]>,
}

struct Reading<'z, 'b, 'l> {
    place: &'b str,
    budget: &'b mut Budget<'l>,
    out: Vec<Member>,
    attachment: Attachment<'z>,
}

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut reading = Reading { place, budget, out: Vec::new(), attachment: Attachment::default() };
    let mut at = HEAD_BYTES;
    while at < octets.len() {
        let Some((level, id, value, next)) = attribute(octets, at) else {
            reading.malformed();
            break;
        };
        at = next;
        reading.attribute(level, id, value);
    }
    reading.attached();
    reading.out
}

impl<'z> Reading<'z, '_, '_> {
    fn malformed(&mut self) {
        let detail = "tnef that cannot be read to its end";
        self.budget.note(ExceptionKind::Malformed, self.place, detail);
    }

    fn attribute(&mut self, level: u8, id: u32, value: &'z [u8]) {
        match (level, id) {
            (ATTACHMENT, BEGIN) => self.attached(),
            (ATTACHMENT, TITLE) => {
                self.attachment.title =
                    value.split(|o| *o == 0).next().unwrap_or_default().to_vec();
            }
            (ATTACHMENT, DATA) if !value.is_empty() => self.attachment.data.push(value),
            (ATTACHMENT, ATTACHMENT_PROPERTIES) => self.of_attachment(value),
            (_, BODY) => self.text(value.to_vec()),
            (_, PROPERTIES) => self.of_message(value),
            _ => {}
        }
    }

    /// Texts of the message. The one in RTF may hold the HTML that it was written in.
    fn of_message(&mut self, value: &'z [u8]) {
        let (mut texts, mut more) = (Vec::new(), false);
        let whole = mapi::each(value, &mut |property| match property.id {
            _ if property.value.is_empty() => {}
            TEXT | HTML | RTF if texts.len() >= TEXTS_MAX => more = true,
            TEXT => texts.push((TEXT, plain(&property))),
            HTML => texts.push((HTML, plain(&property))),
            RTF => match unpacked_rtf(property.value) {
                Some(rtf) => texts.push((RTF, rtf)),
                None => texts.push((0, Vec::new())),
            },
            _ => {}
        });
        for (id, octets) in texts {
            match id {
                0 => self.malformed(),
                HTML => {
                    let read = html_text(&decode_charset(&octets, "").text);
                    self.budget.passwords.add_text(&read.text);
                    read.links.iter().for_each(|link| self.budget.link(link));
                    self.add(Vec::new(), &octets);
                }
                TEXT => self.text(octets),
                _ => self.add(Vec::new(), &octets),
            }
        }
        if whole.is_none() || more {
            self.malformed();
        }
    }

    fn text(&mut self, octets: Vec<u8>) {
        let text = decode_charset(&octets, "").text;
        self.budget.passwords.add_text(&text);
        active::web_links(&text).into_iter().for_each(|link| self.budget.link(&link));
        self.add(Vec::new(), &octets);
    }

    fn of_attachment(&mut self, value: &'z [u8]) {
        let attachment = &mut self.attachment;
        let whole = mapi::each(value, &mut |property| match property.id {
            LONG_NAME => attachment.long = plain(&property),
            SHORT_NAME => attachment.short = plain(&property),
            OBJECT => {
                let bytes = if property.kind == mapi::OBJECT { INTERFACE_BYTES } else { 0 };
                let data = property.value.get(bytes..).unwrap_or_default();
                // What the old attribute has already is mostly the same.
                if !data.is_empty() && !attachment.data.contains(&data) {
                    attachment.data.push(data);
                }
            }
            _ => {}
        });
        if whole.is_none() {
            self.malformed();
        }
    }

    /// The end of an attachment. Outlook shows the long name; the others count where they say something else.
    fn attached(&mut self) {
        let Attachment { title, short, long, data } = std::mem::take(&mut self.attachment);
        let ending = |name: &[u8]| {
            let ending = name.rsplit(|octet| *octet == b'.').next().unwrap_or_default();
            ending.iter().take(3).map(u8::to_ascii_lowercase).collect::<Vec<u8>>()
        };
        let mut names: Vec<Vec<u8>> = Vec::new();
        for name in [long, title, short].into_iter().filter(|name| !name.is_empty()) {
            if !names.iter().any(|known| ending(known) == ending(&name)) {
                names.push(name);
            }
        }
        let first = if names.is_empty() { Vec::new() } else { names.remove(0) };
        if data.is_empty() {
            self.add(first.clone(), &[]);
        }
        for data in data {
            self.add(first.clone(), data);
        }
        // A name by itself is looked at as that of a member is.
        for name in names {
            self.add(name, &[]);
        }
    }

    fn add(&mut self, name: Vec<u8>, octets: &[u8]) {
        if octets.is_empty() && name.is_empty() || !self.budget.admits_member(self.place) {
            return;
        }
        let mut source = octets;
        let (content, _) = self.budget.read(&mut source, octets.len() as u64, self.place);
        self.out.push(Member::new(name, content));
    }
}

/// A text as octets, without the zero at its end: UTF-8 where it was UTF-16.
fn plain(property: &mapi::Property<'_>) -> Vec<u8> {
    let text = match property.kind {
        mapi::UNICODE => decode_charset(property.value, "utf-16le").text.as_bytes().to_vec(),
        _ => property.value.to_vec(),
    };
    let end = text.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default().to_vec()
}

/// Level, id, value, where the next one begins.
fn attribute(octets: &[u8], at: usize) -> Option<(u8, u32, &[u8], usize)> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(octets.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let level = *octets.get(at)?;
    let (id, bytes) = (word(at + 1)?, usize::try_from(word(at + 5)?).ok()?);
    let start = at + 9;
    let end = start.checked_add(bytes)?;
    // A checksum of two octets follows.
    Some((level, id, octets.get(start..end)?, end.checked_add(2)?))
}
