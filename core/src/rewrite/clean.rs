//! Takes infected parts out of a mail: in the place of each stands a text that says what was there.
//! Everything else of the mail keeps its octets (unified model 4.3, "deliver cleaned").
//!
//! Which parts those are was found, and proved by a second look, by the scanners (`scan::cuts`); here
//! are only the octets that stand in their place.

use std::io::Write as _;

use super::subject;
use crate::policy::Language;

/// A part that is taken out.
#[derive(Clone, Copy, Debug)]
pub struct Removed<'m> {
    /// Offset of its header section in the content.
    pub start: u64,
    /// Offset behind its last octet.
    pub end: u64,
    /// Its file name as the sender wrote it, decoded; empty if it had none.
    pub name: &'m str,
    /// Its size in octets, decoded.
    pub bytes: u64,
    /// Why it goes.
    pub why: Why<'m>,
}

/// Why a part is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'m> {
    /// This malware was found in it.
    Virus(&'m str),
    /// That is no malware, but acts when it is opened, and this check found it.
    Active(&'m str),
    /// This rule of the administrator wants it.
    Rule(&'m str),
}

/// Characters of a name that are kept.
const NAME_CHARS_MAX: usize = 150;
/// Octets of one piece of an RFC 2231 parameter.
const PIECE_BYTES_MAX: usize = 60;

/// The entity that stands in the place of `removed`; it ends without a line end, as the part did.
pub(super) fn stand_in(removed: &Removed<'_>, language: Language) -> Vec<u8> {
    let name = printable(removed.name);
    let mut out = Vec::with_capacity(1500);
    out.extend_from_slice(b"Content-Type: text/plain; charset=UTF-8\r\nContent-Description:");
    let shown = if name.is_empty() { "removed part" } else { &name };
    subject::encoded_words(&mut out, shown);
    out.extend_from_slice(b"\r\nContent-Disposition: inline");
    file_name(&mut out, &format!("{shown}.txt"));
    out.extend_from_slice(b"\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let (ja, en) = (japanese(&name, removed), english(&name, removed));
    let text = match language {
        Language::Both => format!("{ja}\r\n{en}"),
        Language::Ja => ja,
        Language::En => en,
    };
    let mut lines = text.as_bytes().chunks(57).peekable();
    while let Some(line) = lines.next() {
        subject::base64(&mut out, line);
        if lines.peek().is_some() {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// What the recipient reads.
fn japanese(name: &str, removed: &Removed<'_>) -> String {
    let (name, bytes) = (if name.is_empty() { "(なし)" } else { name }, removed.bytes);
    let virus = match removed.why {
        Why::Virus(virus) => printable(virus),
        Why::Active(check) => {
            let check = printable(check);
            return format!(
                "開くと動作する内容（マクロ、スクリプトなど）が含まれていたため、この部分は削除されました。\r\n\
                 ファイル名: {name}\r\n\
                 サイズ: {bytes} バイト\r\n\
                 検査名: {check}\r\n"
            );
        }
        // The name of a rule is the administrator's, and none of the recipient's business.
        Why::Rule(_) => {
            return format!(
                "管理者の設定により、この添付ファイルは削除されました。\r\n\
                 ファイル名: {name}\r\n\
                 サイズ: {bytes} バイト\r\n"
            );
        }
    };
    format!(
        "ウイルスが見つかったため、この部分は削除されました。\r\n\
         ファイル名: {name}\r\n\
         サイズ: {bytes} バイト\r\n\
         ウイルス名: {virus}\r\n"
    )
}

/// The same in English.
fn english(name: &str, removed: &Removed<'_>) -> String {
    let (name, bytes) = (if name.is_empty() { "(none)" } else { name }, removed.bytes);
    let virus = match removed.why {
        Why::Virus(virus) => printable(virus),
        Why::Active(check) => {
            let check = printable(check);
            return format!(
                "This part of the message held active content (macros, scripts or the like), and was removed.\r\n\
                 File name: {name}\r\n\
                 Size: {bytes} bytes\r\n\
                 Check: {check}\r\n"
            );
        }
        Why::Rule(_) => {
            return format!(
                "This attachment was removed by a rule of the administrator.\r\n\
                 File name: {name}\r\n\
                 Size: {bytes} bytes\r\n"
            );
        }
    };
    format!(
        "A virus was found in this part of the message, and the part was removed.\r\n\
         File name: {name}\r\n\
         Size: {bytes} bytes\r\n\
         Virus name: {virus}\r\n"
    )
}

/// Without what breaks lines or turns their direction: it comes from a stranger.
fn printable(text: &str) -> String {
    let odd = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}')
    };
    text.chars().filter(|c| !odd(c)).take(NAME_CHARS_MAX).collect()
}

/// Appends the parameter `filename`. RFC 2231: always extended, in pieces where it is long.
fn file_name(out: &mut Vec<u8>, name: &str) {
    let mut pieces: Vec<String> = vec!["UTF-8''".to_owned()];
    for c in name.chars() {
        let mut buffer = [0; 4];
        let mut piece = String::new();
        for octet in c.encode_utf8(&mut buffer).bytes() {
            let plain = octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
            if plain {
                piece.push(char::from(octet));
            } else {
                piece.push_str(&format!("%{octet:02X}"));
            }
        }
        match pieces.last_mut() {
            Some(last) if last.len() + piece.len() <= PIECE_BYTES_MAX => last.push_str(&piece),
            _ => pieces.push(piece),
        }
    }
    // Writing to a Vec cannot fail.
    if let [whole] = pieces.as_slice() {
        let _ = write!(out, ";\r\n filename*={whole}");
        return;
    }
    for (index, piece) in pieces.iter().enumerate() {
        let _ = write!(out, ";\r\n filename*{index}*={piece}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{View, ViewLimits};

    fn part(name: &str) -> String {
        let removed =
            Removed { start: 0, end: 0, name, bytes: 68, why: Why::Virus("EICAR_TEST_FILE") };
        String::from_utf8(stand_in(&removed, Language::Both)).expect("ASCII")
    }

    #[test]
    fn the_text_says_in_both_languages_what_was_removed() {
        let entity = part("eicar.com");
        let (header, body) = entity.split_once("\r\n\r\n").expect("a body");
        assert_eq!(
            header,
            "Content-Type: text/plain; charset=UTF-8\r\nContent-Description: eicar.com\r\n\
             Content-Disposition: inline;\r\n filename*=UTF-8''eicar.com.txt\r\n\
             Content-Transfer-Encoding: base64"
        );
        assert!(body.lines().all(|line| line.len() <= 76) && !body.ends_with('\n'), "{body}");
        let view = View::build(entity.as_bytes(), &ViewLimits::shard());
        assert_eq!(
            view.parts[0].text(),
            "ウイルスが見つかったため、この部分は削除されました。\r\nファイル名: eicar.com\r\n\
             サイズ: 68 バイト\r\nウイルス名: EICAR_TEST_FILE\r\n\r\nA virus was found in this part \
             of the message, and the part was removed.\r\nFile name: eicar.com\r\nSize: 68 bytes\r\n\
             Virus name: EICAR_TEST_FILE\r\n"
        );
    }

    #[test]
    fn the_text_is_in_the_language_of_the_domain() {
        let removed = Removed { start: 0, end: 0, name: "a.exe", bytes: 1, why: Why::Virus("V") };
        let text = |language| {
            let entity = stand_in(&removed, language);
            View::build(&entity, &ViewLimits::shard()).parts[0].text().to_owned()
        };
        let (ja, en) = (text(Language::Ja), text(Language::En));
        assert!(ja.contains("ウイルス名: V") && !ja.contains("Virus name"), "{ja}");
        assert!(en.is_ascii() && en.contains("Virus name: V"), "{en}");
        assert_eq!(text(Language::Both), format!("{ja}\r\n{en}"));
    }

    #[test]
    fn names_of_strangers_are_escaped_and_come_back_as_they_were() {
        for name in ["請求書 (1).zip", "a\"b;c\\d.com", &"長い名前".repeat(30), "x=?utf-8?Q?y?="]
        {
            let entity = part(name);
            assert!(entity.is_ascii() && entity.lines().all(|line| line.len() < 200), "{entity}");
            let mail = format!(
                "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{entity}\r\n--b--\r\n"
            );
            let view = View::build(mail.as_bytes(), &ViewLimits::shard());
            assert_eq!(view.parts[0].file_name(), Some(format!("{name}.txt").as_str()));
            let description = view.parts[0].fields.iter().find(|f| f.name == "Content-Description");
            assert_eq!(description.map(|field| &*field.value), Some(name), "{entity}");
        }
        let entity = part("a\r\nX-Evil: 1\u{202E}\r\n\r\n.exe");
        assert_eq!(entity.matches("\r\n\r\n").count(), 1, "{entity}");
        assert!(!entity.contains("\r\nX-Evil"), "{entity}");
        assert!(part("").contains("Content-Description: removed part\r\n"));
    }
}
