//! Rich text: embedded objects in hexadecimal, with all that is put between the digits to hide them;
//! templates, fields, objects that are opened without being asked for.
//!
//! Follows how Word reads, not how the format is specified: unknown control words and groups between
//! digits are passed over, upper and lower case mix, groups need not be closed.

mod text;

use memchr::memmem;

use super::{is_dde_field, is_remote};
use crate::message::Limit;
use crate::scan::archive::{Budget, Member};
use crate::scan::ole::native_files;

/// Objects of one document.
const OBJECTS_MAX: usize = 200;
/// Octets of text of one group that are kept.
const TEXT_BYTES_MAX: usize = 4096;
/// Groups inside each other; deeper ones count as one.
const DEPTH_MAX: usize = 1_000;

/// What the text of a group is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Other,
    /// Digits of an object.
    Data,
    /// An instruction of a field.
    Field,
    Template,
    Class,
    /// Passed over between digits.
    Unknown,
}

/// One step through the octets.
enum Token<'r> {
    Open,
    Close,
    /// A control word without its number.
    Word(&'r [u8], Option<i32>),
    /// An octet written as `\'hh`, or a plain one.
    Octet(u8),
    Symbol(u8),
    Raw(&'r [u8]),
}

/// The files in the objects; everything else that acts is noted.
pub(in crate::scan) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut reading = Reading {
        place,
        budget,
        out: Vec::new(),
        groups: vec![(Group::Other, false)],
        text: Vec::new(),
        shown: text::Text::new(),
        data: Data::default(),
        class: String::new(),
        objects: 0,
        deeper: 0,
    };
    let mut at = 0;
    while let Some((token, next)) = token(octets, at) {
        at = next;
        reading.step(&token);
    }
    reading.object();
    reading.text_of_group(Group::Field);
    let Reading { shown, mut out, budget, .. } = reading;
    out.extend(budget.text(shown.take(), place));
    out
}

/// Digits as they come, two of them an octet.
#[derive(Default)]
struct Data {
    octets: Vec<u8>,
    high: Option<u8>,
}

impl Data {
    fn digit(&mut self, octet: u8) {
        let Some(digit) = char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok()) else {
            return;
        };
        match self.high.take() {
            Some(high) => self.octets.push(high << 4 | digit),
            None => self.high = Some(digit),
        }
    }
}

struct Reading<'b, 'l> {
    place: &'b str,
    budget: &'b mut Budget<'l>,
    out: Vec<Member>,
    /// Open groups: what they are for, and whether they began with `\*`.
    groups: Vec<(Group, bool)>,
    text: Vec<u8>,
    /// What a reader sees.
    shown: text::Text,
    data: Data,
    class: String,
    objects: usize,
    deeper: usize,
}

impl Reading<'_, '_> {
    fn group(&self) -> Group {
        self.groups.last().map_or(Group::Other, |group| group.0)
    }

    fn set(&mut self, group: Group) {
        if let Some(last) = self.groups.last_mut() {
            last.0 = group;
        }
        self.text.clear();
    }

    fn step(&mut self, token: &Token<'_>) {
        match token {
            Token::Open if self.groups.len() < DEPTH_MAX => {
                let inherited = self.group();
                self.groups.push((inherited, false));
                self.shown.open();
            }
            Token::Open => self.deeper += 1,
            Token::Close if self.deeper > 0 => self.deeper -= 1,
            Token::Close => {
                self.shown.close();
                let closed = if self.groups.len() > 1 { self.groups.pop() } else { None };
                let closed = closed.map_or(Group::Other, |group| group.0);
                if closed != self.group() {
                    match closed {
                        Group::Data => self.object(),
                        Group::Field | Group::Template | Group::Class => self.text_of_group(closed),
                        Group::Other | Group::Unknown => {}
                    }
                }
            }
            Token::Symbol(b'*') => {
                if let Some(last) = self.groups.last_mut() {
                    last.1 = true;
                }
                self.shown.symbol(b'*');
            }
            Token::Symbol(symbol) => self.shown.symbol(*symbol),
            Token::Word(word, number) => {
                self.word(word, *number);
                self.shown.word(word, *number);
            }
            Token::Raw(octets) => {
                if self.group() == Group::Data {
                    self.data.octets.extend_from_slice(octets);
                }
            }
            Token::Octet(octet) => match self.group() {
                Group::Data => self.data.digit(*octet),
                Group::Field | Group::Template | Group::Class => self.push(*octet),
                Group::Other | Group::Unknown => self.shown.octet(*octet),
            },
        }
    }

    fn push(&mut self, octet: u8) {
        if self.text.len() < TEXT_BYTES_MAX && !matches!(octet, b'\r' | b'\n') {
            self.text.push(octet);
        }
    }

    fn word(&mut self, word: &[u8], number: Option<i32>) {
        match word {
            b"objdata" => {
                self.object();
                self.set(Group::Data);
            }
            b"fldinst" => self.set(Group::Field),
            b"template" => self.set(Group::Template),
            b"objclass" => self.set(Group::Class),
            b"objupdate" => {
                let detail = "an object that is opened with the document";
                self.budget.mark("ACTIVE_RTF_UPDATE", self.place, detail);
            }
            b"objautlink" | b"objlink" => {
                self.budget.mark("ACTIVE_REMOTE_OBJECT", self.place, "a linked object");
            }
            b"objocx" => self.budget.mark("ACTIVE_ACTIVEX", self.place, "ActiveX control"),
            // A character by its number.
            b"u" => {
                let number = number.map(|number| number & 0xFFFF);
                let octet = number.and_then(|number| u8::try_from(number).ok());
                if matches!(self.group(), Group::Field | Group::Template | Group::Class)
                    && let Some(octet) = octet
                {
                    self.push(octet);
                }
            }
            _ => {
                // `{\*\foo ...}` is passed over where `foo` means nothing.
                if let Some((group, starred)) = self.groups.last_mut()
                    && *starred
                    && *group == Group::Data
                {
                    *group = Group::Unknown;
                }
            }
        }
        if let Some(last) = self.groups.last_mut() {
            last.1 = false;
        }
    }

    /// The end of a group whose text means something.
    fn text_of_group(&mut self, group: Group) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).trim().to_owned();
        match group {
            Group::Field => {
                if is_dde_field(&text) {
                    self.budget.mark("ACTIVE_DDE", self.place, text.as_str());
                }
                for link in super::web_links(&text) {
                    self.budget.link(&link);
                }
                let lower = text.to_ascii_lowercase();
                if lower.starts_with("includetext")
                    || lower.starts_with("includepicture") && lower.contains("\\d")
                {
                    let target =
                        text.split_once(char::is_whitespace).map_or("", |(_, target)| target);
                    if is_remote(target.trim().trim_matches('"')) {
                        self.budget.mark("ACTIVE_REMOTE_OBJECT", self.place, text.as_str());
                    }
                }
            }
            Group::Template if is_remote(&text) => {
                self.budget.link(&text);
                self.budget.mark("ACTIVE_REMOTE_TEMPLATE", self.place, text.as_str());
            }
            Group::Class => {
                self.equation(&text);
                self.class = text;
            }
            Group::Template | Group::Data | Group::Other | Group::Unknown => {}
        }
    }

    /// The editor of equations has holes that are never closed, and no need to be in rich text.
    fn equation(&mut self, text: &str) {
        if text.to_ascii_lowercase().contains("equation.") {
            self.budget.mark("ACTIVE_EQUATION", self.place, "object of the equation editor");
        }
    }

    /// The end of an object.
    fn object(&mut self) {
        let Data { octets, .. } = std::mem::take(&mut self.data);
        let class = std::mem::take(&mut self.class);
        if octets.is_empty() {
            return;
        }
        self.objects += 1;
        if self.objects > OBJECTS_MAX {
            let detail = format!("more than {OBJECTS_MAX} objects in rich text");
            self.budget.limit(Limit::Entries, self.place, detail);
            return;
        }
        let head: String = octets
            .iter()
            .take(64)
            .filter(|o| o.is_ascii_graphic())
            .map(|o| char::from(*o))
            .collect();
        self.equation(&head);
        // The class identifier of the equation editor, {0002CE02-...}, whatever the name says.
        const EQUATION: &[u8] = b"\x02\xCE\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46";
        if memmem::find(&octets, EQUATION).is_some() {
            self.equation("equation.3");
        }
        self.budget.mark("ACTIVE_EMBEDDED", self.place, format!("embedded object {class}"));
        self.out.append(&mut native_files(&octets, self.place, self.budget));
    }
}

/// The token at `at`, and where the next one begins.
fn token(octets: &[u8], at: usize) -> Option<(Token<'_>, usize)> {
    let first = *octets.get(at)?;
    match first {
        b'{' => return Some((Token::Open, at + 1)),
        b'}' => return Some((Token::Close, at + 1)),
        b'\\' => {}
        _ => return Some((Token::Octet(first), at + 1)),
    }
    let rest = octets.get(at + 1..)?;
    match rest {
        [b'\'', high, low, ..] => {
            let digit =
                |octet: &u8| char::from(*octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let octet = digit(high).zip(digit(low)).map_or(b'?', |(high, low)| high << 4 | low);
            Some((Token::Octet(octet), at + 4))
        }
        [letter, ..] if letter.is_ascii_alphabetic() => {
            let bytes =
                rest.iter().take(64).take_while(|octet| octet.is_ascii_alphabetic()).count();
            let word = rest.get(..bytes)?;
            let behind = rest.get(bytes..)?;
            let sign = usize::from(behind.first() == Some(&b'-'));
            let digits =
                behind.iter().skip(sign).take(12).take_while(|o| o.is_ascii_digit()).count();
            let number = if digits > 0 {
                std::str::from_utf8(behind.get(..sign + digits)?).ok()?.parse().ok()
            } else {
                None
            };
            let used = if digits > 0 { sign + digits } else { 0 };
            let blank = usize::from(behind.get(used) == Some(&b' '));
            let next = at + 1 + bytes + used + blank;
            if word == b"bin" {
                let count = number.and_then(|n: i32| usize::try_from(n).ok()).unwrap_or(0);
                let raw = octets.get(next..)?;
                let raw = raw.get(..count).unwrap_or(raw);
                return Some((Token::Raw(raw), next + raw.len()));
            }
            Some((Token::Word(word, number), next))
        }
        [symbol, ..] => Some((Token::Symbol(*symbol), at + 2)),
        [] => None,
    }
}
