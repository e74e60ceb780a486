//! `ClamAV` text signatures: `ndb`, `ldb`, and hashes (`hdb hsb mdb msb`).
//!
//! Body signatures become byte expressions. Offsets from the entry point, a section or the version resource of a Windows
//! program become a field of their own ([`Place`]). What cannot be served is refused by name: those places in other
//! programs, offsets before the entry point, macros, byte compare, fuzzy hashes, icon groups, conditions of containers
//! and sections, and every line of a file that is none of ours (`NOT_READ`).

use crate::scan::finding::FindingKind;

use super::super::error::SourceError;
use super::super::report::Outcome;
use super::super::rule::{Field, PartTarget, Pattern, Place, Rule, Test};
use super::{Collected, Draft, octets_as_text};
use crate::scan::patterns::meta::Expression;

mod container;
mod hash;
mod hex;
mod logical;
mod other;

pub use container::read_cdb;
pub use hash::{HashSignature, hashes};
pub use other::{NOT_READ, ignored_names, leave_out, note_not_read};

/// Why a signature cannot be taken.
pub(super) enum Fault {
    /// The line is not in the format: column (octets, from 0) and what is wrong.
    Bad(usize, String),
    /// It asks for something that is not served here.
    Unsupported(String),
}

/// Reads a file of extended signatures (`ndb`).
pub fn read_ndb(file: &str, source: u32, octets: &[u8], out: &mut Collected) {
    each_line(file, source, octets, out, |line, place| {
        let parts: Vec<&str> = line.split(':').collect();
        let [name, target, offset, signature, ..] = parts.as_slice() else {
            return Err(Fault::Bad(0, "expected name:target:offset:signature".into()));
        };
        let column = name.len() + target.len() + offset.len() + 3;
        let made = (|| {
            let target: u32 = target.parse().map_err(|_| {
                Fault::Bad(name.len() + 1, format!("target `{target}` is no number"))
            })?;
            let (field, caseless) = field_of(target)?;
            let (field, offset) = &placed(field, offset)?;
            let field = field.clone();
            if let Some(literal) = hex::literal(signature).filter(|_| offset == "*") {
                // Most signatures: as literals they cost next to nothing, however many there are.
                return Ok(Test::Literals { field, literals: vec![literal], caseless });
            }
            let text = hex::expression(signature, hex::Modifiers::default())
                .map_err(|fault| shifted(fault, column))?;
            let text = hex::anchored(&text, offset).map_err(|fault| shifted(fault, 0))?;
            Ok(byte_test(field, text, caseless))
        })();
        Ok(vec![drafted(name, made, place)?])
    });
}

/// Reads a file of logical signatures (`ldb`).
pub fn read_ldb(file: &str, source: u32, octets: &[u8], out: &mut Collected) {
    each_line(file, source, octets, out, logical::read);
}

/// A test over octets.
pub(super) fn byte_test(field: Field, text: String, caseless: bool) -> Test {
    let pattern = Pattern { text, caseless, dotall: true, ..Pattern::default() };
    Test::Expression { field, pattern, negated: false, unset: String::new() }
}

fn shifted(fault: Fault, by: usize) -> Fault {
    match fault {
        Fault::Bad(column, text) => Fault::Bad(column + by, text),
        Fault::Unsupported(text) => Fault::Unsupported(text),
    }
}

/// Field and the rest of an offset: what is counted from a place in a program is matched against the octets from there on.
pub(super) fn placed(field: Field, offset: &str) -> Result<(Field, String), Fault> {
    let (place, shift) = match offset.split_once(',') {
        Some((place, shift)) => (place, format!(",{shift}")),
        None => (offset, String::new()),
    };
    let counted = |from: &str| {
        from.strip_prefix('+')
            .filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))
            .map(|digits| format!("{digits}{shift}"))
            .ok_or_else(|| Fault::Unsupported(format!("offset {offset}")))
    };
    let section = |digits: &str| {
        digits.parse::<u8>().map_err(|_| Fault::Unsupported(format!("offset {offset}")))
    };
    let (at, rest) = if let Some(rest) = place.strip_prefix("EP") {
        (Place::Entry, counted(rest)?)
    } else if let Some(rest) = place.strip_prefix("SL") {
        (Place::FromLast, counted(rest)?)
    } else if let Some(digits) = place.strip_prefix("SE") {
        (Place::Section(section(digits)?), "*".to_owned())
    } else if place == "VI" {
        (Place::Version, "*".to_owned())
    } else if let Some(rest) = place.strip_prefix('S') {
        let (digits, rest) = rest.split_at(rest.find('+').unwrap_or(rest.len()));
        (Place::From(section(digits)?), counted(rest)?)
    } else {
        return Ok((field, offset.to_owned()));
    };
    match field {
        Field::Part(PartTarget::Pe | PartTarget::Any) => Ok((Field::At(at), rest)),
        _ => Err(Fault::Unsupported(format!("offset {offset} in what is no Windows program"))),
    }
}

/// The field for a target type; `ClamAV` makes text and HTML lower case, we match in any case.
pub(super) fn field_of(target: u32) -> Result<(Field, bool), Fault> {
    let part = |target| Ok((Field::Part(target), false));
    match target {
        0 => part(PartTarget::Any),
        1 => part(PartTarget::Pe),
        2 => part(PartTarget::Ole),
        3 => Ok((Field::Part(PartTarget::Html), true)),
        4 => Ok((Field::Raw, false)),
        5 => part(PartTarget::Image),
        6 => part(PartTarget::Elf),
        7 => Ok((Field::Part(PartTarget::Text), true)),
        9 => part(PartTarget::MachO),
        10 => part(PartTarget::Pdf),
        11 => part(PartTarget::Flash),
        12 => part(PartTarget::Java),
        other => Err(Fault::Unsupported(format!("target type {other}"))),
    }
}

/// A signature as a draft; what is unsupported becomes its outcome.
pub(super) fn drafted(
    name: &str,
    test: Result<Test, Fault>,
    place: (u32, u32),
) -> Result<Draft, Fault> {
    let (test, outcome) = match test {
        Ok(test) => (test, None),
        Err(Fault::Unsupported(what)) => {
            (Test::Meta(Expression::default()), Some(Outcome::Refused(what)))
        }
        Err(bad @ Fault::Bad(..)) => return Err(bad),
    };
    let rule = Rule {
        name: name.to_owned(),
        test,
        kind: FindingKind::of_malware_name(name),
        points: 0,
        sub: false,
        log_only: false,
        count_max: 1,
        skips_first_unit: false,
        describe_ja: String::new(),
        describe_en: String::new(),
        place,
    };
    Ok(Draft { rule, outcome })
}

fn each_line(
    file: &str,
    source: u32,
    octets: &[u8],
    out: &mut Collected,
    mut read: impl FnMut(&str, (u32, u32)) -> Result<Vec<Draft>, Fault>,
) {
    let text = octets_as_text(octets);
    for (index, line) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match read(line, (source, number)) {
            Ok(drafts) => out.drafts.extend(drafts),
            Err(Fault::Bad(column, text)) => out.errors.push(SourceError {
                file: file.to_owned(),
                line: number,
                column: u32::try_from(column + 1).unwrap_or(u32::MAX),
                text,
            }),
            Err(Fault::Unsupported(what)) => {
                out.notes.push(format!("{file}:{number}: refused: {what}"));
            }
        }
    }
}
