//! The MIME tree, read by `mail-parser` behind limits of ours.

use super::Exception;
use super::field::Field;
use super::part::Part;
use super::view::ViewLimits;

/// What was read.
pub(super) struct Structure<'m> {
    pub(super) header_bytes: usize,
    pub(super) fields: Vec<Field<'m>>,
    pub(super) parts: Vec<Part<'m>>,
    pub(super) exceptions: Vec<Exception>,
}

/// Reads `raw`.
pub(super) fn read<'m>(raw: &'m [u8], limits: &ViewLimits) -> Structure<'m> {
    let _ = limits;
    Structure {
        header_bytes: raw.len(),
        fields: Vec::new(),
        parts: Vec::new(),
        exceptions: Vec::new(),
    }
}
