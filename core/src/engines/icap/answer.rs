//! The head of an ICAP answer.

use super::super::error::ScannerError;
use super::super::report::name;

/// Header fields that are kept.
const FIELDS_MAX: usize = 100;

/// Code and header fields.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) code: u16,
    /// Names in lower case; lines of a folded value with LF between them.
    fields: Vec<(String, String)>,
}

impl Head {
    pub(super) fn read(octets: &[u8]) -> Result<Self, ScannerError> {
        let text = String::from_utf8_lossy(octets);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.split_ascii_whitespace();
        let code = match (words.next(), words.next().map(str::parse)) {
            (Some(version), Some(Ok(code))) if version.starts_with("ICAP/") => code,
            _ => {
                let shown = name(first.as_bytes());
                return Err(ScannerError::protocol(format!("`{shown}` instead of ICAP")));
            }
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line.trim());
                }
            } else if let Some((field, value)) = line.split_once(':')
                && fields.len() < FIELDS_MAX
            {
                fields.push((field.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Ok(Self { code, fields })
    }

    /// The value of the first field of this name.
    pub(super) fn value(&self, field: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Where a part begins, by `Encapsulated` (RFC 3507 section 4.4.1); `None` if there is no such part.
    pub(super) fn body_offset(&self, part: &str) -> Option<usize> {
        let places = self.value("encapsulated")?;
        let mut places = places.split(',').filter_map(|place| place.trim().split_once('='));
        places.find(|(known, _)| *known == part)?.1.trim().parse().ok()
    }

    /// The name of what was found. There is no standard for it: the fields are those of the draft of ICAP extensions, and of the
    /// servers that are around.
    pub(super) fn threat(&self) -> Option<Box<str>> {
        if let Some(value) = self.value("x-infection-found") {
            let mut pairs = value.split(';').filter_map(|pair| pair.trim().split_once('='));
            let threat = pairs.find(|(key, _)| key.eq_ignore_ascii_case("threat"));
            return Some(name(threat.map_or(value, |(_, threat)| threat).as_bytes()));
        }
        for field in ["x-virus-id", "x-virus-name"] {
            if let Some(value) = self.value(field).filter(|value| !says_no(value)) {
                return Some(name(value.as_bytes()));
            }
        }
        // A count, then for each: file, threat, number of the problem, what was done.
        let value = self.value("x-violations-found").filter(|value| !says_no(value))?;
        let mut lines = value.split('\n');
        let count = lines.next().unwrap_or_default();
        if count.trim().parse() == Ok(0_u32) {
            return None;
        }
        Some(name(lines.nth(1).unwrap_or("unnamed").as_bytes()))
    }
}

/// Some servers send the field always.
fn says_no(value: &str) -> bool {
    let value = value.trim();
    value.is_empty() || value == "-" || value == "0" || value.eq_ignore_ascii_case("none")
}
