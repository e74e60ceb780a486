//! Shortcuts to addresses (`.url`), as Windows reads them.

use super::charset::decode_charset;

/// Octets that are looked at: Windows reads no more of such a file.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Addresses beside the target that are kept.
const OTHERS_MAX: usize = 16;
/// Keys whose value Windows fetches or shows, too.
const OTHER_KEYS: [&str; 4] = ["BASEURL", "ORIGURL", "IconFile", "WorkingDirectory"];

/// Where a shortcut leads.
#[derive(Debug, Default)]
pub(super) struct Shortcut {
    /// Its target.
    pub(super) target: Option<String>,
    /// What is fetched beside it: an icon is, as soon as its folder is shown.
    pub(super) others: Vec<String>,
}

/// Reads a shortcut: sections in any order, in any encoding that Windows knows. `None` for every other file.
pub(super) fn shortcut(octets: &[u8]) -> Option<Shortcut> {
    let octets = octets.get(..FILE_BYTES_MAX).unwrap_or(octets);
    let text = text_of(octets)?;
    let is_head = |line: &str| line.trim().eq_ignore_ascii_case("[InternetShortcut]");
    text.lines().any(is_head).then_some(())?;
    let mut out = Shortcut::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let (key, value) = (key.trim(), value.trim().trim_matches('"'));
        if key.eq_ignore_ascii_case("URL") && out.target.is_none() {
            out.target = Some(value.to_owned());
        } else if (key.eq_ignore_ascii_case("URL")
            || OTHER_KEYS.iter().any(|other| key.eq_ignore_ascii_case(other)))
            && is_place(value)
            && out.others.len() < OTHERS_MAX
        {
            out.others.push(value.to_owned());
        }
    }
    Some(out)
}

/// The text of a file that begins with a section or a comment.
fn text_of(octets: &[u8]) -> Option<String> {
    let charset = match octets {
        [0xFF, 0xFE, ..] | [b'[' | b';', 0, ..] => "utf-16le",
        [0xFE, 0xFF, ..] | [0, b'[' | b';', ..] => "utf-16be",
        _ => {
            let text = octets.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(octets);
            let begins = text.trim_ascii_start().first();
            begins.filter(|octet| matches!(**octet, b'[' | b';'))?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    };
    Some(decode_charset(octets, charset).text.trim_start_matches('\u{feff}').to_owned())
}

/// `C:\Windows\x.dll` is on the reader's own disk.
fn is_place(value: &str) -> bool {
    value.starts_with("\\\\") || value.starts_with("//") || value.contains("://")
}
