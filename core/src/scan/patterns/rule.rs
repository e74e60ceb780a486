//! A rule as all sources give it and as the compiled payload keeps it.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::message::pe::Pe;
use crate::scan::finding::{FindingKind, MilliPoints};

/// Index of a rule in its payload.
pub type RuleIndex = u32;

/// Which text of a message a rule is matched against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    /// All fields of this name (lower case) as one unit, each followed by LF.
    Header(String, HeaderForm),
    /// The whole header section as one unit.
    AllHeaders(HeaderForm),
    /// `To` and `Cc` as one unit, joined with a comma.
    ToCc,
    /// All fields that carry a message id as one unit.
    MessageIds,
    /// The reverse-path of the envelope.
    EnvelopeFrom,
    /// A header field of a body part (name in lower case): a unit for each part that has it.
    MimeHeader(String, HeaderForm),
    /// `SpamAssassin`'s rendered text: a unit for each paragraph.
    Body,
    /// Decoded, not rendered text: a unit for each 1 to 2 KiB of lines.
    RawBody,
    /// Rendered text after NFKC with confusable letters folded: valid UTF-8.
    Normalised,
    /// A unit for each URI.
    Uri,
    /// A unit for each file name of a part.
    FileName,
    /// The whole message as received.
    Raw,
    /// The decoded octets of each body part.
    Part(PartTarget),
    /// Octets of each Windows program from a place of its structure on (`ClamAV` offsets).
    At(Place),
}

/// A place in a Windows program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// From its first instruction on (`EP`).
    Entry,
    /// From the beginning of a section on (`Sx`).
    From(u8),
    /// A section, to its end (`SEx`).
    Section(u8),
    /// From the beginning of its last section on (`SL`).
    FromLast,
    /// Its version resource (`VI`).
    Version,
}

impl Place {
    /// The octets from there on; `None` where a program has no such place.
    pub(super) fn of(self, pe: &Pe, octets: &[u8]) -> Option<Range<usize>> {
        let section = |number: u8| pe.sections.get(usize::from(number)).cloned();
        let from = |section: Range<usize>| section.start..octets.len();
        match self {
            Self::Entry => pe.entry.map(|entry| entry..octets.len()),
            Self::From(number) => section(number).map(from),
            Self::Section(number) => section(number),
            Self::FromLast => pe.sections.last().cloned().map(from),
            Self::Version => Pe::version(octets),
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name, form) => write!(f, "header {name}{form}"),
            Self::AllHeaders(form) => write!(f, "header ALL{form}"),
            Self::ToCc => f.write_str("header ToCc"),
            Self::MessageIds => f.write_str("header MESSAGEID"),
            Self::EnvelopeFrom => f.write_str("header EnvelopeFrom"),
            Self::MimeHeader(name, form) => write!(f, "mimeheader {name}{form}"),
            Self::Body => f.write_str("body"),
            Self::RawBody => f.write_str("rawbody"),
            Self::Normalised => f.write_str("normalised"),
            Self::Uri => f.write_str("uri"),
            Self::FileName => f.write_str("filename"),
            Self::Raw => f.write_str("raw"),
            Self::Part(target) => write!(f, "part {target:?}"),
            Self::At(place) => write!(f, "program {place:?}"),
        }
    }
}

/// Which form of a header field's value.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum HeaderForm {
    /// Unfolded, encoded words decoded.
    #[default]
    Value,
    /// As received.
    Raw,
    /// The first mailbox in it, without name and comments.
    Addr,
    /// The display name of the first mailbox.
    Name,
}

impl std::fmt::Display for HeaderForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Value => "",
            Self::Raw => ":raw",
            Self::Addr => ":addr",
            Self::Name => ":name",
        })
    }
}

/// Which body parts a rule looks at (`ClamAV` target types).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PartTarget {
    /// All of them.
    Any,
    /// Windows programs (1).
    Pe,
    /// OLE compound files (2).
    Ole,
    /// HTML (3).
    Html,
    /// Pictures (5).
    Image,
    /// ELF programs (6).
    Elf,
    /// Text (7).
    Text,
    /// Mach-O programs (9).
    MachO,
    /// PDF (10).
    Pdf,
    /// Flash (11).
    Flash,
    /// Java classes and archives (12).
    Java,
}

/// What a rule tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// An expression over the units of a field.
    Expression {
        /// The field.
        field: Field,
        /// The expression.
        pattern: Pattern,
        /// Hits when nothing matches (`!~`).
        negated: bool,
        /// What the field is taken for when the message does not have it.
        unset: String,
    },
    /// One of these literals in a unit of a field.
    Literals {
        /// The field.
        field: Field,
        /// The literals.
        literals: Vec<Vec<u8>>,
        /// Letters A to Z match in any case.
        caseless: bool,
    },
    /// The message has the field.
    Exists(Field),
    /// An expression over other rules.
    Meta(super::meta::Expression),
    /// A logical signature: evaluated after each body part with the hits in that part alone.
    PartMeta {
        /// The expression.
        expression: super::meta::Expression,
        /// Sizes of parts that it is for, in octets, both ends included.
        bytes: (u64, u64),
    },
}

/// An expression in the syntax of PCRE2; non-ASCII octets are written as `\xHH` unless `utf`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// The expression.
    pub text: String,
    /// `i`
    pub caseless: bool,
    /// `m`
    pub multiline: bool,
    /// `s`
    pub dotall: bool,
    /// `x`
    pub extended: bool,
    /// Matches characters, not octets: only on our own normalised text.
    pub utf: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// What it tests.
    pub test: Test,
    /// Kind of its finding.
    pub kind: FindingKind,
    /// Its score.
    pub points: MilliPoints,
    /// It is a part of other rules and has no finding of its own.
    pub sub: bool,
    /// Reported, never judged by.
    pub log_only: bool,
    /// Counts all its matches, up to this many; 1: the first is enough.
    pub count_max: u32,
    /// Does not look at the first unit (`tflags nosubject`: it is the Subject).
    #[serde(default)]
    pub skips_first_unit: bool,
    /// Description for Japanese readers; empty: as English.
    pub describe_ja: String,
    /// Description for English readers.
    pub describe_en: String,
    /// File (index in the report's list of sources) and line, for messages.
    pub place: (u32, u32),
}
