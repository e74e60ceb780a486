//! Messages as Outlook saves them (MS-OXMSG): texts and attachments as members, those of messages
//! inside too; and a rendering as a mail, to learn from.

use std::borrow::Cow;

use super::compound::{Compound, Entry, Kind, word};
use crate::message::{Limit, decode_charset, html_text};
use crate::scan::active;
use crate::scan::archive::{Budget, Member};

/// Messages inside each other.
const DEPTH_MAX: usize = 8;
/// Attachments of one message.
const ATTACHMENTS_MAX: usize = 1_000;
/// Octets of one text.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

// Properties. MS-OXPROPS.
const SUBJECT: u16 = 0x0037;
const HEADERS: u16 = 0x007D;
const SENDER_NAME: u16 = 0x0C1A;
const SENDER_ADDRESS: u16 = 0x0C1F;
const SENDER_SMTP: u16 = 0x5D01;
const TO: u16 = 0x0E04;
const BODY: u16 = 0x1000;
const RTF: u16 = 0x1009;
const HTML: u16 = 0x1013;
const MESSAGE_ID: u16 = 0x1035;
const DATA: u16 = 0x3701;
const NAME: u16 = 0x3704;
const LONG_NAME: u16 = 0x3707;
const SHOWN_NAME: u16 = 0x3001;
const TYPE: u16 = 0x370E;
/// Property with the code page of texts that are not Unicode.
const CODE_PAGE: u32 = 0x3FFD_0003;
const INTERNET_CODE_PAGE: u32 = 0x3FDE_0003;

/// Whether the file is a message, by the stream that each has.
pub(super) fn is_msg(file: &Compound<'_>) -> bool {
    file.find("__properties_version1.0").is_some()
}

/// One message: the storage that it is in, empty for the file itself.
struct Message<'f, 'd> {
    file: &'f Compound<'d>,
    storage: String,
    charset: Cow<'static, str>,
}

/// One attachment.
struct Attachment<'f, 'd> {
    message: Message<'f, 'd>,
    name: String,
}

impl<'f, 'd> Message<'f, 'd> {
    fn new(file: &'f Compound<'d>, storage: String) -> Self {
        let mut message = Self { file, storage, charset: "".into() };
        message.charset = [CODE_PAGE, INTERNET_CODE_PAGE]
            .into_iter()
            .find_map(|tag| message.number(tag))
            .map_or(Cow::Borrowed(""), charset_of);
        message
    }

    fn path(&self, name: &str) -> String {
        if self.storage.is_empty() { name.to_owned() } else { format!("{}/{name}", self.storage) }
    }

    /// A number out of the stream of fixed properties: entries of 16 octets behind a head.
    fn number(&self, tag: u32) -> Option<u32> {
        let stream = self.stream("__properties_version1.0")?;
        let entries = stream.get(stream.len() % 16..)?.chunks_exact(16);
        entries.filter(|entry| word(entry, 0) == Some(tag)).find_map(|entry| word(entry, 8))
    }

    fn stream(&self, name: &str) -> Option<Vec<u8>> {
        let entry = self.file.find(&self.path(name)).filter(|entry| entry.kind == Kind::Stream)?;
        Some(self.file.stream(entry, super::STREAM_BYTES_MAX))
    }

    fn octets(&self, id: u16) -> Option<Vec<u8>> {
        self.stream(&format!("__substg1.0_{id:04X}0102"))
    }

    fn text(&self, id: u16) -> Option<String> {
        let text = match self.stream(&format!("__substg1.0_{id:04X}001F")) {
            Some(wide) => decode_charset(cut(&wide), "utf-16le").text.to_string(),
            None => {
                let narrow = self.stream(&format!("__substg1.0_{id:04X}001E"))?;
                decode_charset(cut(&narrow), &self.charset).text.to_string()
            }
        };
        let text = text.trim_end_matches('\0').to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn html(&self) -> Option<Vec<u8>> {
        self.octets(HTML).or_else(|| self.text(HTML).map(String::into_bytes))
    }

    fn attachments(&self) -> Vec<Attachment<'f, 'd>> {
        let storages = self.file.entries.iter().filter(|entry| {
            entry.kind == Kind::Storage
                && entry.parent().eq_ignore_ascii_case(&self.storage)
                && entry.name.starts_with("__attach_version1.0_#")
        });
        storages
            .take(ATTACHMENTS_MAX)
            .map(|entry| {
                let storage = entry.path.clone();
                let message = Message { file: self.file, storage, charset: self.charset.clone() };
                let name =
                    [LONG_NAME, NAME, SHOWN_NAME].into_iter().find_map(|id| message.text(id));
                Attachment { message, name: name.unwrap_or_default() }
            })
            .collect()
    }

    /// The author as a field's value.
    fn from(&self) -> String {
        let address = [SENDER_SMTP, SENDER_ADDRESS].into_iter().filter_map(|id| self.text(id));
        let address = address.filter(|text| text.contains('@')).map(|text| line(&text)).next();
        let name = self.text(SENDER_NAME).map(|name| encoded(&line(&name))).unwrap_or_default();
        match address {
            Some(address) if name.is_empty() => address,
            Some(address) => format!("{name} <{address}>"),
            None => name,
        }
    }
}

/// Texts and attachments of a message, as members.
pub(super) fn members(file: &Compound<'_>, place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    gather(&Message::new(file, String::new()), 0, (place, budget), &mut out);
    out
}

fn gather(
    message: &Message<'_, '_>,
    depth: usize,
    (place, budget): (&str, &mut Budget<'_>),
    out: &mut Vec<Member>,
) {
    let mut add = |name: &str, octets: Vec<u8>, budget: &mut Budget<'_>| {
        if !octets.is_empty() && budget.admits_member(place) {
            let mut source = octets.as_slice();
            let (octets, _) = budget.read(&mut source, octets.len() as u64, place);
            out.push(Member::new(name.as_bytes().to_vec(), octets));
        }
    };
    if let Some(headers) = message.text(HEADERS) {
        add("", headers.into_bytes(), budget);
    }
    let texts = [message.text(SUBJECT), message.text(BODY)];
    for text in texts.into_iter().flatten() {
        budget.passwords.add_text(&text);
        active::web_links(&text).into_iter().for_each(|link| budget.link(&link));
        add("", text.into_bytes(), budget);
    }
    if let Some(html) = message.html() {
        let text = decode_charset(&html, &message.charset).text;
        let read = html_text(&text);
        budget.passwords.add_text(&read.text);
        read.links.iter().for_each(|link| budget.link(link));
        add("", html, budget);
    }
    if let Some(rtf) = message.octets(RTF).and_then(|packed| unpacked_rtf(&packed)) {
        add("", rtf, budget);
    }
    let attachments = message.attachments();
    for attachment in attachments {
        // Attachments may share the sectors that they are in.
        if !budget.admits_input(message.file.bytes(), place) {
            break;
        }
        if let Some(octets) = attachment.message.octets(DATA) {
            budget.used_input(octets.len() as u64);
            let mut source = octets.as_slice();
            if budget.admits_member(place) {
                let (octets, _) = budget.read(&mut source, octets.len() as u64, place);
                out.push(Member::new(attachment.name.into_bytes(), octets));
            }
            continue;
        }
        let inside = attachment.message.path(&format!("__substg1.0_{DATA:04X}000D"));
        let inner = Message::new(message.file, inside);
        if inner.stream("__properties_version1.0").is_some() {
            if depth >= DEPTH_MAX {
                let detail = format!("messages nested deeper than {DEPTH_MAX}");
                budget.limit(Limit::Depth, place, detail);
                continue;
            }
            gather(&inner, depth + 1, (place, budget), out);
        } else {
            object(&inner, place, budget, out);
        }
    }
}

/// An OLE object that is attached: its streams are looked at as those of a document are.
fn object(inner: &Message<'_, '_>, place: &str, budget: &mut Budget<'_>, out: &mut Vec<Member>) {
    let mut project = super::Project::default();
    let prefix = format!("{}/", inner.storage);
    let streams: Vec<&Entry> = inner
        .file
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::Stream && entry.path.starts_with(&prefix))
        .collect();
    for entry in streams {
        let stream = inner.file.stream(entry, super::STREAM_BYTES_MAX);
        budget.used_input(stream.len() as u64);
        super::look(entry, &stream, &mut project, (place, budget), out);
    }
    super::say(&project, place, budget);
}

/// A message of Outlook as a mail (RFC 5322), with its texts and attachments: what a reader sees of
/// it, not the octets that once arrived. `None` if `octets` are no such message.
#[must_use]
pub fn msg_to_mail(octets: &[u8]) -> Option<Vec<u8>> {
    let file = Compound::read(octets)?;
    is_msg(&file).then(|| mail(&Message::new(&file, String::new()), 0).into_bytes())
}

fn mail(message: &Message<'_, '_>, depth: usize) -> String {
    let mut out = String::new();
    match message.text(HEADERS) {
        Some(headers) if headers.contains(':') => out.push_str(&kept_fields(&headers)),
        _ => {
            let mut field = |name: &str, value: String| {
                if !value.is_empty() {
                    out.push_str(&format!("{name}: {value}\r\n"));
                }
            };
            field("From", message.from());
            field("To", encoded(&line(&message.text(TO).unwrap_or_default())));
            field("Subject", encoded(&line(&message.text(SUBJECT).unwrap_or_default())));
            field("Message-ID", line(&message.text(MESSAGE_ID).unwrap_or_default()));
        }
    }
    // No text of the message can hold it: they are all in base64.
    let boundary = format!("=_message_{depth}");
    out.push_str("MIME-Version: 1.0\r\n");
    out.push_str(&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n"));
    let mut part = |head: &str, octets: &[u8]| {
        out.push_str(&format!("\r\n--{boundary}\r\n{head}\r\n"));
        out.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
        let text = base64_simd::STANDARD.encode_to_string(octets);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(76));
            out.push_str(now);
            out.push_str("\r\n");
            rest = later;
        }
    };
    if let Some(text) = message.text(BODY) {
        part("Content-Type: text/plain; charset=utf-8", text.as_bytes());
    }
    if let Some(html) = message.html() {
        let text = decode_charset(&html, &message.charset).text;
        part("Content-Type: text/html; charset=utf-8", text.as_bytes());
    }
    for attachment in message.attachments() {
        let name = encoded(&line(&attachment.name).replace(['"', '\\'], "_"));
        let octets = attachment.message.octets(DATA);
        let inner = Message::new(
            message.file,
            attachment.message.path(&format!("__substg1.0_{DATA:04X}000D")),
        );
        if let Some(octets) = octets {
            let kind = attachment.message.text(TYPE).map(|kind| line(&kind));
            let kind = kind.filter(|kind| kind.contains('/') && !kind.contains(['"', ';', ' ']));
            let kind = kind.unwrap_or_else(|| "application/octet-stream".to_owned());
            let head = format!(
                "Content-Type: {kind}; name=\"{name}\"\r\n\
                 Content-Disposition: attachment; filename=\"{name}\""
            );
            part(&head, &octets);
        } else if depth < DEPTH_MAX && inner.stream("__properties_version1.0").is_some() {
            part("Content-Type: message/rfc822", mail(&inner, depth + 1).as_bytes());
        }
    }
    out.push_str(&format!("\r\n--{boundary}--\r\n"));
    out
}

/// Fields as they arrived, without those that speak of a structure that is not there any more.
fn kept_fields(headers: &str) -> String {
    let mut out = String::new();
    let mut keep = false;
    for row in headers.lines().filter(|row| !row.trim().is_empty()) {
        if !row.starts_with([' ', '\t']) {
            let name = row.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            keep = row.contains(':')
                && !name.contains(' ')
                && !name.starts_with("content-")
                && name != "mime-version";
        }
        if keep {
            out.push_str(row.trim_end_matches(['\r', '\n']));
            out.push_str("\r\n");
        }
    }
    out
}

fn cut(octets: &[u8]) -> &[u8] {
    octets.get(..TEXT_BYTES_MAX).unwrap_or(octets)
}

/// Without what would begin another line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// As encoded words where it is not ASCII. RFC 2047.
fn encoded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        match words.last_mut() {
            Some(last) if last.len() + c.len_utf8() <= 42 => last.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let word = |word: &String| {
        format!("=?UTF-8?B?{}?=", base64_simd::STANDARD.encode_to_string(word.as_bytes()))
    };
    words.iter().map(word).collect::<Vec<_>>().join("\r\n ")
}

/// The name of a Windows code page that `encoding_rs` knows.
fn charset_of(page: u32) -> Cow<'static, str> {
    match page {
        932 => "shift_jis".into(),
        936 => "gbk".into(),
        949 => "euc-kr".into(),
        950 => "big5".into(),
        1250..=1258 => format!("windows-{page}").into(),
        28_591..=28_605 => format!("iso-8859-{}", page - 28_590).into(),
        50_220..=50_222 => "iso-2022-jp".into(),
        51_932 => "euc-jp".into(),
        65_001 => "utf-8".into(),
        _ => "".into(),
    }
}

/// Octets that the window begins with. MS-OXRTFCP section 2.1.2.1.
const RTF_BEGIN: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \
    \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\
    \\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
const RTF_WINDOW: usize = 4096;

/// RTF that is packed (MS-OXRTFCP), up to its end mark: a size in its header that is too small would hide the rest.
pub(in crate::scan) fn unpacked_rtf(packed: &[u8]) -> Option<Vec<u8>> {
    let wanted = TEXT_BYTES_MAX;
    let data = packed.get(16..)?;
    if packed.get(8..12)? == b"MELA" {
        return Some(data.get(..wanted).unwrap_or(data).to_vec());
    }
    let mut window = [0_u8; RTF_WINDOW];
    window.iter_mut().zip(RTF_BEGIN).for_each(|(to, from)| *to = *from);
    let mut at = RTF_BEGIN.len();
    let mut out = Vec::new();
    let mut octets = data.iter().copied();
    let mut put = |octet: u8, at: &mut usize, window: &mut [u8; RTF_WINDOW]| {
        out.push(octet);
        if let Some(slot) = window.get_mut(*at) {
            *slot = octet;
        }
        *at = (*at + 1) % RTF_WINDOW;
        out.len() < wanted
    };
    'all: while let Some(flags) = octets.next() {
        for bit in 0..8 {
            let Some(first) = octets.next() else { break 'all };
            if flags >> bit & 1 == 0 {
                if !put(first, &mut at, &mut window) {
                    break 'all;
                }
                continue;
            }
            let Some(second) = octets.next() else { break 'all };
            let token = u16::from_be_bytes([first, second]);
            let (mut from, length) = (usize::from(token >> 4), usize::from(token & 15) + 2);
            if from == at {
                break 'all;
            }
            for _ in 0..length {
                let octet = window.get(from).copied().unwrap_or(0);
                from = (from + 1) % RTF_WINDOW;
                if !put(octet, &mut at, &mut window) {
                    break 'all;
                }
            }
        }
    }
    Some(out)
}
